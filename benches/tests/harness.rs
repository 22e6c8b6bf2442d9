//! The harness against itself: the bare server stands in Weir's place.

use std::path::Path;
use std::process::{Command, Output};

const BENCH: &str = env!("CARGO_BIN_EXE_weir-bench");

/// Asks a question about `weir`, on one CPU, as the machine may not have two.
fn ask(question: &str, weir: &str, more: &[&str]) -> Output {
    Command::new(BENCH)
        .args([question, "--weir", weir, "--smoke", "--server-core", "0", "--load-core", "0"])
        .args(more)
        .output()
        .expect("the program that is tested starts")
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("the harness speaks UTF-8")
}

/// The line of a server in the summary or beside it.
fn count(said: &str, word: &str) -> usize {
    said.matches(word).count()
}

#[test]
fn every_question_is_answered_and_nothing_is_lost() {
    let file = std::env::temp_dir().join(format!("weir-bench-{}.json", std::process::id()));
    let path = file.to_str().expect("the temporary folder has a plain name");
    let output = ask("all", BENCH, &["--json", path]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    // One at a time and 16 at a time, of fan-out and of echo.
    assert_eq!(count(said, "lost 0 of"), 4, "{said}");
    assert_eq!(count(said, "weir / floor"), 4, "{said}");
    assert_eq!(count(said, "floor / loop"), 2, "{said}");
    assert_eq!(count(said, "bytes of user memory per connection"), 2, "{said}");
    let written = std::fs::read_to_string(&file).expect("the numbers were asked for");
    std::fs::remove_file(&file).expect("the file is ours");
    assert_eq!(count(&written, "\"verdict\":"), 7, "{written}");
}

#[test]
fn a_program_that_does_not_serve_is_told_from_one_that_does() {
    for missing in ["/nonexistent/weir", "/bin/false"] {
        let output = ask("echo", missing, &[]);
        assert_eq!(output.status.code(), Some(1));
        let why = text(&output.stderr);
        let known = ["cannot start /nonexistent/weir", "weir: it ended before it listened"];
        assert!(known.iter().any(|known| why.contains(known)), "{why}");
    }
}

#[test]
fn the_last_words_of_a_server_that_fails_are_repeated() {
    // The bare server knows no room by this name and says so as it ends.
    let output = Command::new(BENCH).args(["serve", "--addr", "nowhere"]).output();
    let output = output.expect("the program that is tested starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(Path::new(BENCH).exists());
}
