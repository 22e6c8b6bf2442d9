//! Fuzzes our session beside that of tungstenite.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::differential(data));
