//! What libFuzzer says of a search, and the table of all searches.

use std::fmt;

/// What became of a search.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Outcome {
    pub(super) seconds: u64,
    pub(super) executions: u64,
    /// Edges of the program's control flow that some input took.
    pub(super) edges: u64,
    pub(super) crash: Option<Crash>,
}

/// A promise that was broken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Crash {
    /// The file that has the input, if it was written.
    file: Option<String>,
    /// What was said last.
    words: String,
}

impl Outcome {
    /// Reads what libFuzzer printed.
    pub(super) fn read(said: &str, success: bool) -> Self {
        let executions = stat(said, "number_of_executed_units");
        let rate = stat(said, "average_exec_per_sec");
        // Said only at the end of a search that nothing stopped.
        let done = said.lines().rev().find_map(|line| {
            line.strip_prefix("Done ")?.split_once(" runs in ")?.1.split(' ').next()?.parse().ok()
        });
        Self {
            seconds: done.unwrap_or_else(|| executions.checked_div(rate).unwrap_or_default()),
            executions,
            edges: number_after(said, " cov: "),
            crash: (!success).then(|| Crash::read(said)),
        }
    }

    fn per_second(&self) -> u64 {
        self.executions.checked_div(self.seconds).unwrap_or_default()
    }
}

impl Crash {
    /// Lines that are shown: those of the panic, its backtrace, and libFuzzer's summary.
    const LINES_MAX: usize = 60;

    fn read(said: &str) -> Self {
        let mut written = said.lines().filter_map(|line| line.split_once("Test unit written to "));
        // From the panic on, or what AddressSanitizer says.
        let begins = |line: &&str| line.contains("panicked at") || line.starts_with("==");
        let lines: Vec<_> = said.lines().collect();
        let start = lines.iter().position(begins).unwrap_or_else(|| lines.len().saturating_sub(20));
        let words = lines[start..].iter().take(Self::LINES_MAX).copied().collect::<Vec<_>>();
        Self { file: written.next_back().map(|(_, file)| file.to_owned()), words: words.join("\n") }
    }

    /// What was found, and how it is found again.
    pub(super) fn told(&self, target: &str) -> String {
        let Self { file, words } = self;
        match file {
            Some(file) => format!(
                "{words}\n\n{target}: a promise is broken by {file}\n\
                 again: cargo xtask fuzz {target} --replay {file}"
            ),
            None => format!("{words}\n\n{target}: stopped without an input"),
        }
    }
}

/// One of the numbers that libFuzzer prints last.
fn stat(said: &str, name: &str) -> u64 {
    number_after(said, &format!("stat::{name}:"))
}

/// The number behind the last of these words; 0 if they were not said.
fn number_after(said: &str, words: &str) -> u64 {
    let rest = said.rfind(words).map_or("", |at| said[at + words.len()..].trim_start());
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().unwrap_or_default()
}

/// All searches, one to a line.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<(&'static str, Outcome)>,
}

impl Table {
    pub(super) fn add(&mut self, target: &'static str, outcome: Outcome) {
        self.rows.push((target, outcome));
    }

    pub(super) fn has_crash(&self) -> bool {
        self.rows.iter().any(|(_, outcome)| outcome.crash.is_some())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = ["target", "seconds", "executions", "per second", "edges", "crashes"];
        line(f, titles.map(str::to_owned))?;
        for (target, outcome) in &self.rows {
            let Outcome { seconds, executions, edges, ref crash } = *outcome;
            let numbers = [seconds, executions, outcome.per_second(), edges];
            let [seconds, executions, rate, edges] = numbers.map(grouped);
            let crashes = u8::from(crash.is_some()).to_string();
            line(f, [(*target).to_owned(), seconds, executions, rate, edges, crashes])?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, cells: [String; 6]) -> fmt::Result {
    let [target, seconds, executions, rate, edges, crashes] = cells;
    writeln!(f, "{target:<12} {seconds:>8} {executions:>14} {rate:>11} {edges:>7} {crashes:>8}")
}

/// With a comma before each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: &str = "#2\tINITED cov: 7 ft: 8 corp: 1/1b exec/s: 0 rss: 40Mb\n\
        #1234567\tDONE   cov: 810 ft: 2871 corp: 309/50Kb lim: 512 exec/s: 20239 rss: 9Mb\n\
        Done 1234567 runs in 61 second(s)\n\
        stat::number_of_executed_units: 1234567\n\
        stat::average_exec_per_sec:     20238\n";

    const CRASHED: &str = "#9\tNEW    cov: 12 ft: 8 corp: 1/1b\n\
        thread '<unnamed>' panicked at fuzz/src/lib.rs:1:1:\n\
        of no consequence\n\
        ==7== ERROR: libFuzzer: deadly signal\n\
        Test unit written to /target/fuzz/x/artifacts/crash-1\n\
        stat::number_of_executed_units: 900\n\
        stat::average_exec_per_sec:     300\n";

    #[test]
    fn a_search_is_a_line_of_numbers() {
        let mut table = Table::default();
        table.add("frame_parser", Outcome::read(DONE, true));
        assert!(!table.has_crash());
        assert_eq!(
            table.to_string(),
            "target        seconds     executions  per second   edges  crashes\n\
             frame_parser       61      1,234,567      20,238     810        0\n"
        );
    }

    #[test]
    fn a_crash_has_its_words_its_file_and_the_command_that_replays_it() {
        let outcome = Outcome::read(CRASHED, false);
        assert_eq!((outcome.seconds, outcome.executions, outcome.edges), (3, 900, 12));
        let told = outcome.crash.clone().expect("it crashed").told("session");
        assert!(told.starts_with("thread '<unnamed>' panicked at"), "{told}");
        let again = "cargo xtask fuzz session --replay /target/fuzz/x/artifacts/crash-1";
        assert!(told.ends_with(again), "{told}");
        let mut table = Table::default();
        table.add("session", outcome);
        assert!(table.has_crash() && table.to_string().ends_with("1\n"));
    }

    #[test]
    fn what_ends_before_it_begins_is_a_crash_without_an_input() {
        let outcome = Outcome::read("error while loading\n", false);
        let told = outcome.crash.expect("it failed").told("packet");
        assert_eq!(told, "error while loading\n\npacket: stopped without an input");
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        let all = [0, 12, 123, 1234, 123_456, 1_234_567].map(grouped);
        assert_eq!(all, ["0", "12", "123", "1,234", "123,456", "1,234,567"]);
    }
}
