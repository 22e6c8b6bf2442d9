//! Fuzzes the reader of lists of prefixes, and the table that is made of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::guard(data));
