//! What each question's answer may be, as kept in git.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use anyhow::{Context, Result};
use toml::de::DeTable;

/// How far a count may be from its budget, as a part of it: compilers and libraries differ.
const SLACK: f64 = 0.02;

/// Instructions by question.
pub(crate) struct Budget(BTreeMap<String, f64>);

/// A count beside its budget.
pub(crate) enum Verdict {
    Kept {
        budget: f64,
    },
    /// So much less that the budget should follow.
    Cheaper {
        budget: f64,
    },
    Dearer {
        budget: f64,
        percent: f64,
    },
}

impl Budget {
    /// The budget of this checkout.
    ///
    /// # Errors
    /// If the file is not there, or says anything but numbers.
    pub(crate) fn read() -> Result<Self> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.toml");
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        let table = DeTable::parse(&text).with_context(|| format!("{path} is no TOML"))?;
        let entries = table.get_ref().iter().map(|(question, count)| {
            let count = count.get_ref().as_float().and_then(|count| count.as_str().parse().ok());
            let name = question.get_ref().to_string();
            let count = count.with_context(|| format!("{path}: {name} is no number with a point"));
            Ok((name, count?))
        });
        Ok(Self(entries.collect::<Result<_>>()?))
    }

    /// # Errors
    /// If nothing is said of this question.
    pub(crate) fn judge(&self, question: &str, count: f64) -> Result<Verdict> {
        let budget = self.0.get(question).copied().with_context(|| {
            format!("benches/instructions.toml wants a line `{question} = {count:.1}`")
        })?;
        let part = count / budget - 1.0;
        Ok(if part > SLACK {
            Verdict::Dearer { budget, percent: part * 100.0 }
        } else if part < -SLACK {
            Verdict::Cheaper { budget }
        } else {
            Verdict::Kept { budget }
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept { budget } => write!(f, "within 2 % of {budget}"),
            Self::Cheaper { budget } => write!(f, "less than {budget}, which may be lowered"),
            Self::Dearer { budget, percent } => write!(f, "{percent:.1} % MORE than {budget}"),
        }
    }
}
