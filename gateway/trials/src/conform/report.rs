//! What is printed: each failure, and a table of the groups.

use std::fmt::Write;

use clap::ValueEnum;

use super::case::{Case, Group};
use super::judge::Failure;

/// Each case in a line, below the name of its group.
pub(super) fn list(cases: &[&Case]) -> String {
    let mut out = String::new();
    for group in cases.chunk_by(|one, other| one.group() == other.group()) {
        let _ = writeln!(out, "{}", group[0].group().name());
        for case in group {
            let _ = writeln!(out, "  {:<9} {} ({})", case.id(), case.says(), case.section());
        }
    }
    let _ = writeln!(out, "{} cases", cases.len());
    out
}

/// Each failure, then how many there are in each group that was played.
pub(super) fn report(cases: &[&Case], failed: &[(&Case, Failure)]) -> String {
    let mut out = String::new();
    for (case, failure) in failed {
        let _ = writeln!(out, "{} {} ({})", case.id(), case.says(), case.section());
        let Failure { said, expected, came } = failure;
        let _ =
            writeln!(out, "    said      {said}\n    expected  {expected}\n    came      {came}");
    }
    let _ = writeln!(out, "{:<10} {:>6} {:>6} {:>6}", "group", "cases", "passed", "failed");
    for group in Group::value_variants() {
        let played = cases.iter().filter(|case| case.group() == *group).count();
        let failed = failed.iter().filter(|(case, _)| case.group() == *group).count();
        if played > 0 {
            line(&mut out, &group.name(), played, failed);
        }
    }
    line(&mut out, "all", cases.len(), failed.len());
    out
}

fn line(out: &mut String, name: &str, played: usize, failed: usize) {
    let _ = writeln!(out, "{name:<10} {played:>6} {:>6} {failed:>6}", played - failed);
}
