//! Fuzzes the kernel's packet parser on the host.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::packet(data));
