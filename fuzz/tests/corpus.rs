//! Every input of the corpora on a stable compiler: as it is, and changed a little.

use std::fs;
use std::path::PathBuf;

/// Changed inputs per file of a corpus.
const CHANGES: u64 = 300;

type Target = fn(&[u8]);

#[test]
fn what_clients_of_the_corpus_say_means_what_it_says() {
    replay("command", fuzz::command);
}

#[test]
fn deflated_messages_of_the_corpus_are_read_by_the_letter() {
    replay("deflate", fuzz::deflate);
}

#[test]
fn frames_of_the_corpus_are_heard_as_tungstenite_hears_them_but_for_what_is_allowed() {
    replay("differential", fuzz::differential);
    for (difference, seen) in fuzz::seen() {
        assert!(seen > 0, "{difference:?} is not seen; take it off the table, or add a seed");
    }
}

#[test]
fn packets_of_the_corpus_are_read_by_the_letter() {
    replay("packet", fuzz::packet);
}

#[test]
fn frames_of_the_corpus_are_read_by_the_letter() {
    replay("frame_parser", fuzz::frame_parser);
}

#[test]
fn lists_of_the_corpus_are_read_by_the_letter() {
    replay("guard", fuzz::guard);
}

#[test]
fn requests_of_the_corpus_are_answered() {
    replay("handshake", fuzz::handshake);
}

#[test]
fn sessions_of_the_corpus_hear_the_same_in_pieces() {
    replay("session", fuzz::session);
}

/// Runs the target on each file of its corpus, and on the file with a few bytes changed.
fn replay(name: &str, target: Target) {
    let inputs = inputs(name);
    assert!(inputs.len() >= 10, "corpus/{name} has its seeds");
    for (at, (file, input)) in inputs.iter().enumerate() {
        run(target, input, || format!("corpus/{name}/{file}"));
        for change in 0..CHANGES {
            let mut random = Random(at as u64 * CHANGES + change);
            let input = changed(input, &inputs[random.below(inputs.len())].1, &mut random);
            run(target, &input, || format!("corpus/{name}/{file} in change {change}"));
        }
    }
}

/// Names the input if the target panics.
fn run(target: Target, input: &[u8], name: impl FnOnce() -> String) {
    if std::panic::catch_unwind(|| target(input)).is_err() {
        panic!("a promise is broken by {}: {:?}", name(), input.escape_ascii().to_string());
    }
}

/// The files of a corpus by name.
fn inputs(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let entries = fs::read_dir(&folder).expect("the corpus is there").map(Result::unwrap);
    let mut inputs: Vec<_> = entries
        .map(|entry| {
            let file = entry.file_name().to_string_lossy().into_owned();
            (file, fs::read(entry.path()).expect("a file can be read"))
        })
        .collect();
    inputs.sort();
    inputs
}

/// A few bytes flipped, set, taken out or put in, or the end of another input in place of its own.
fn changed(input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut input = input.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(input.len() + 1);
        match random.below(5) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.below(256) as u8,
            2 if at < input.len() => drop(input.remove(at)),
            3 => {
                input.truncate(at);
                input.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
            _ => input.insert(at, b"\0\r\n\x80\xFF:, %/?#\xED"[random.below(13)]),
        }
    }
    input
}

/// A linear congruential generator with Knuth's constants: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}
