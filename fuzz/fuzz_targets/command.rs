//! Fuzzes what clients say beside frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::command(data));
