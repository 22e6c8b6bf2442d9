//! What was claimed, what was read, and whether they agree: a table.

use std::fmt;

/// Whether a claim holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Holds,
    Fails,
    /// The gateway has not got yet what the claim is about.
    NotYet,
}

impl Verdict {
    pub(super) fn of(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }
}

/// Claims in the order in which they were looked at.
#[derive(Debug, Default)]
pub(super) struct Claims(Vec<Claim>);

#[derive(Debug)]
struct Claim {
    name: String,
    read: String,
    verdict: Verdict,
}

impl Claims {
    pub(super) fn add(
        &mut self,
        name: impl Into<String>,
        verdict: Verdict,
        read: impl Into<String>,
    ) {
        self.0.push(Claim { name: name.into(), read: read.into(), verdict });
    }

    /// Whether no claim fails.
    pub(super) fn hold(&self) -> bool {
        self.count(Verdict::Fails) == 0
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.0.iter().filter(|claim| claim.verdict == verdict).count()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Holds => "ok",
            Self::Fails => "FAILED",
            Self::NotYet => "not yet",
        })
    }
}

impl fmt::Display for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|claim| claim.name.chars().count()).max().unwrap_or(0);
        for Claim { name, read, verdict } in &self.0 {
            writeln!(f, "{name:<width$}   {verdict:<7}   {read}")?;
        }
        let [ok, failed, not_yet] =
            [Verdict::Holds, Verdict::Fails, Verdict::NotYet].map(|verdict| self.count(verdict));
        writeln!(f, "\n{ok} ok, {failed} failed, {not_yet} not yet")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_was_read_and_ends_with_the_counts() {
        let mut claims = Claims::default();
        claims.add("two nodes", Verdict::of(true), "0, 1");
        claims.add("XDP", Verdict::NotYet, "no loader");
        assert!(claims.hold(), "what is not there yet fails nobody");
        claims.add("memory", Verdict::of(false), "3 MiB elsewhere");
        assert!(!claims.hold());
        assert_eq!(
            claims.to_string(),
            "two nodes   ok        0, 1\n\
             XDP         not yet   no loader\n\
             memory      FAILED    3 MiB elsewhere\n\
             \n\
             1 ok, 1 failed, 1 not yet\n"
        );
    }
}
