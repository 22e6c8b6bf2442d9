//! A report as one screen of text: aligned columns, at most 100 wide, without colours.

use std::fmt::{self, Write};

use super::Report;
use super::asked::Asked;
use super::finding::{Finding, Severity};

/// What a line takes at most.
const COLUMNS: usize = 100;

/// The mark of the severity, and a space.
const MARK_COLUMNS: usize = 2;

/// `inactive`, and two spaces.
const STATE_COLUMNS: usize = 10;

/// The whole screen.
pub(super) fn report(report: &Report, asked: &Asked) -> String {
    let mut screen = String::new();
    let written = write_all(&mut screen, report, asked);
    written.expect("writing to a string does not fail");
    screen
}

fn write_all(screen: &mut String, report: &Report, asked: &Asked) -> fmt::Result {
    for fix in &report.fixes {
        writeln!(screen, "{fix}")?;
    }
    if !report.fixes.is_empty() {
        writeln!(screen)?;
    }
    writeln!(screen, "{}\n", title(report, asked))?;
    let names: Vec<_> = report.findings.iter().map(name).collect();
    let columns = names.iter().map(String::len).max().unwrap_or(0) + 2;
    for (finding, name) in report.findings.iter().zip(names) {
        line(screen, finding, &name, columns)?;
    }
    writeln!(screen, "\n{}", summary(report))
}

fn title(report: &Report, asked: &Asked) -> String {
    let kernel = report.facts.kernel.map_or_else(|| "?".to_owned(), |kernel| kernel.to_string());
    let count = |number: usize, thing: &str| {
        format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
    };
    let (plan, nodes) = (&asked.plan, report.facts.nodes.len().max(1));
    format!(
        "Weir {} at {} on Linux {kernel}: {}, {}, {}",
        env!("CARGO_PKG_VERSION"),
        asked.addr,
        count(plan.shards(), "shard"),
        count(plan.workers.len(), "worker"),
        count(nodes, "NUMA node"),
    )
}

fn name(finding: &Finding) -> String {
    match &finding.device {
        Some(device) => format!("{} {device}", finding.name),
        None => finding.name.to_owned(),
    }
}

fn line(screen: &mut String, finding: &Finding, name: &str, columns: usize) -> fmt::Result {
    let mark = match finding.severity {
        Severity::Fine => ' ',
        Severity::Slower => '!',
        Severity::Refused => 'X',
    };
    let left = MARK_COLUMNS + columns + STATE_COLUMNS;
    let head = format!("{mark} {name:columns$}{:STATE_COLUMNS$}", finding.state.name());
    let mut texts = wrapped(&finding.why, COLUMNS - left);
    if let Some(turn_on) = &finding.turn_on {
        texts.extend(wrapped(&format!("-> {turn_on}"), COLUMNS - left));
    }
    for (index, text) in texts.iter().enumerate() {
        let head = if index == 0 { head.as_str() } else { "" };
        writeln!(screen, "{head:left$}{text}")?;
    }
    Ok(())
}

/// Lines of words; a word that is wider than a line has one for itself.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.len() + 1 + word.len() > columns {
            lines.push(word.to_owned());
        } else {
            let space = if line.is_empty() { "" } else { " " };
            line.push_str(space);
            line.push_str(word);
        }
    }
    lines
}

fn summary(report: &Report) -> String {
    let count = |severity| report.findings.iter().filter(|it| it.severity == severity).count();
    let slower = match count(Severity::Slower) {
        0 => "nothing is slower than it could be".to_owned(),
        1 => "! 1 is slower than it could be".to_owned(),
        more => format!("! {more} are slower than they could be"),
    };
    let refused = match count(Severity::Refused) {
        0 => "nothing that was asked for would be refused".to_owned(),
        1 => "X 1 that was asked for would be refused".to_owned(),
        more => format!("X {more} that were asked for would be refused"),
    };
    format!("{slower}; {refused} (exit code {})", report.severity().exit_code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole_and_lines_within_their_columns() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one two three", 6), ["one", "two", "three"]);
        assert_eq!(wrapped("a-word-that-is-wide b", 4), ["a-word-that-is-wide", "b"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
