//! Tests of a step that were not run, by what they wrote to the file that they were given.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The variable that names the file: a line for each test, `skipped: TEST: REASON`.
const VARIABLE: &str = "WEIR_SKIPS";

/// A file that tests write to while a step runs.
pub(crate) struct Skips {
    path: PathBuf,
}

impl Skips {
    /// Empty, below the folder of what is built.
    ///
    /// # Errors
    /// If what an earlier step left cannot be removed.
    pub(crate) fn begin(target: &Path) -> Result<Self> {
        let path = target.join("skips.txt");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(Self { path }),
        }
    }

    /// What tests are to find in their environment.
    pub(crate) fn variable(&self) -> (&'static str, String) {
        (VARIABLE, self.path.display().to_string())
    }

    /// How many tests were skipped, and why; `None` if none was.
    pub(crate) fn told(&self) -> Option<String> {
        told(&fs::read_to_string(&self.path).unwrap_or_default())
    }
}

fn told(lines: &str) -> Option<String> {
    let mut reasons = BTreeMap::<_, u32>::new();
    for line in lines.lines() {
        let reason = line.splitn(3, ": ").nth(2).unwrap_or(line);
        *reasons.entry(reason).or_default() += 1;
    }
    let told = reasons.iter().map(|(reason, count)| format!("{count} skipped: {reason}"));
    (!reasons.is_empty()).then(|| told.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_were_skipped_are_counted_by_their_reason() {
        let lines = "skipped: a::b: this process has no CAP_BPF\n\
                     skipped: c: there is one CPU: no other\n\
                     skipped: d: this process has no CAP_BPF\n";
        let due = "1 skipped: there is one CPU: no other; 2 skipped: this process has no CAP_BPF";
        assert_eq!(told(lines).as_deref(), Some(due));
        assert_eq!(told("something else\n").as_deref(), Some("1 skipped: something else"));
        assert_eq!(told(""), None);
    }

    #[test]
    fn what_an_earlier_step_left_is_gone() {
        let folder = std::env::temp_dir().join(format!("weir-skips-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let skips = Skips::begin(&folder).expect("nothing is there");
        assert_eq!(skips.told(), None);
        fs::write(skips.variable().1, "skipped: a: b\n").expect("a file");
        assert_eq!(skips.told().as_deref(), Some("1 skipped: b"));
        assert_eq!(Skips::begin(&folder).expect("it is removed").told(), None);
        fs::remove_dir_all(folder).expect("it is there");
    }
}
