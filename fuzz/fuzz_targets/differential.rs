//! Fuzzes our session beside that of tungstenite, and says now and then in what they differed.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::differential(data);
    if let Some(tally) = fuzz::tally() {
        eprintln!("{tally}");
    }
});
