//! Fuzzes frames against a reading of RFC 6455 by the letter.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::frame_parser(data));
