//! The table that `cargo xtask test` ends with.

use std::fmt;
use std::time::Duration;

/// What became of a step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Passed,
    /// But for tests that were skipped, with a line that says why.
    PassedBut(String),
    /// With a line that says what failed.
    Failed(String),
    Skipped(Reason),
}

/// Why a step was skipped. There is no other way to skip one, so that none goes unexplained.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Reason {
    /// The toolchain was installed without this component.
    ComponentAbsent(&'static str),
    /// There is no nightly compiler.
    NightlyAbsent,
    /// The nightly compiler was installed without this component.
    NightlyLacks(&'static str),
    /// The step `packages` failed.
    PackagesMissing,
    /// A program that only this step needs is not installed.
    ProgramAbsent(&'static str),
    /// The step is about another processor.
    OtherProcessor(&'static str),
    /// The object for the kernel was checked, but not built once more.
    NotRebuilt(String),
    /// The user who asks has not this capability.
    Unprivileged(&'static str),
    /// The workspace has nothing of this kind.
    NothingToRun,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ComponentAbsent(name) => {
                write!(f, "{name} is not installed: rustup component add {name}")
            }
            Self::NightlyAbsent => f.write_str("there is no nightly toolchain"),
            Self::NightlyLacks(name) => {
                write!(f, "the nightly toolchain has no {name} component")
            }
            Self::PackagesMissing => f.write_str("system packages are missing"),
            Self::ProgramAbsent(name) => write!(f, "{name} is not installed"),
            Self::OtherProcessor(name) => write!(f, "only {name} is asked"),
            Self::NotRebuilt(reason) => write!(f, "not rebuilt: {reason}"),
            Self::Unprivileged(name) => write!(f, "this process has no {name}"),
            Self::NothingToRun => f.write_str("the workspace has no such tests"),
        }
    }
}

/// Steps and what became of them; shown as a table with a closing line.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    step: String,
    outcome: Outcome,
    took: Duration,
}

impl Report {
    pub(crate) fn add(&mut self, step: String, outcome: Outcome, took: Duration) {
        self.rows.push(Row { step, outcome, took });
    }

    /// Whether no step failed.
    pub(crate) fn is_green(&self) -> bool {
        self.count("FAILED") == 0
    }

    fn count(&self, word: &str) -> usize {
        self.rows.iter().filter(|row| row.outcome.word() == word).count()
    }
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Passed | Self::PassedBut(_) => "passed",
            Self::Failed(_) => "FAILED",
            Self::Skipped(_) => "skipped",
        }
    }

    fn note(&self) -> String {
        match self {
            Self::Passed => String::new(),
            Self::PassedBut(what) | Self::Failed(what) => what.clone(),
            Self::Skipped(reason) => reason.to_string(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "step", "result", "seconds", "")?;
        for Row { step, outcome, took } in &self.rows {
            line(f, step, outcome.word(), &secs(*took), &outcome.note())?;
        }
        let total = self.rows.iter().map(|row| row.took).sum();
        line(f, "total", "", &secs(total), "")?;
        let [passed, failed, skipped] =
            ["passed", "FAILED", "skipped"].map(|word| self.count(word));
        writeln!(f, "\n{passed} passed, {failed} failed, {skipped} skipped")
    }
}

fn line(
    f: &mut fmt::Formatter<'_>,
    step: &str,
    result: &str,
    secs: &str,
    note: &str,
) -> fmt::Result {
    let line = format!("{step:<12} {result:<8} {secs:>8}   {note}");
    writeln!(f, "{}", line.trim_end())
}

fn secs(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: &[Outcome]) -> Report {
        let mut report = Report::default();
        for outcome in outcomes {
            report.add("unit".to_owned(), outcome.clone(), Duration::from_millis(1500));
        }
        report
    }

    #[test]
    fn the_table_ends_with_the_counts_alone_on_a_line() {
        let report = report(&[
            Outcome::Passed,
            Outcome::PassedBut("3 skipped: this process has no CAP_BPF".to_owned()),
            Outcome::Failed("2 findings".to_owned()),
            Outcome::Skipped(Reason::ComponentAbsent("rustfmt")),
        ]);
        assert_eq!(
            report.to_string(),
            "step         result    seconds\n\
             unit         passed        1.5\n\
             unit         passed        1.5   3 skipped: this process has no CAP_BPF\n\
             unit         FAILED        1.5   2 findings\n\
             unit         skipped       1.5   rustfmt is not installed: \
             rustup component add rustfmt\n\
             total                      6.0\n\
             \n\
             2 passed, 1 failed, 1 skipped\n"
        );
    }

    #[test]
    fn a_failure_turns_the_report_red_and_a_skip_does_not() {
        assert!(report(&[Outcome::Passed, Outcome::Skipped(Reason::NothingToRun)]).is_green());
        assert!(!report(&[Outcome::Passed, Outcome::Failed(String::new())]).is_green());
    }

    #[test]
    fn every_reason_says_something() {
        for reason in [
            Reason::ComponentAbsent("clippy"),
            Reason::NotRebuilt("another compiler".to_owned()),
            Reason::PackagesMissing,
            Reason::NothingToRun,
        ] {
            assert!(!reason.to_string().is_empty());
        }
    }
}
