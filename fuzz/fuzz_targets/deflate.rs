//! Fuzzes messages that are deflated, and those that say they are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::deflate(data));
