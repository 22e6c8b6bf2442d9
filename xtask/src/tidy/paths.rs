//! Paths that exist on one machine only.

use super::source::{Finding, Source};

/// Folders below the root in which people and machines keep checkouts.
const FOLDERS: [&str; 4] = ["work", "farm", "root", "home"];

/// Absolute paths into such a folder.
pub(super) fn of_one_machine(source: &Source<'_>) -> Vec<Finding> {
    FOLDERS
        .iter()
        .flat_map(|folder| {
            let path = format!("/{folder}/");
            let starts: Vec<_> = source.text.match_indices(&path).map(|(at, _)| at).collect();
            starts.into_iter().filter(|at| is_root(source.text, *at))
        })
        .map(|at| {
            source.at(at, "a path of one machine: name it relative to the top of the checkout")
        })
        .collect()
}

/// Whether the slash at this offset starts a path, instead of going on with one.
fn is_root(text: &str, at: usize) -> bool {
    let before = text[..at].chars().next_back();
    !before.is_some_and(|c| c.is_alphanumeric() || "_-.}*>)~/".contains(c))
        || text[..at].ends_with("file://")
}

#[cfg(test)]
mod tests {
    use super::super::source::lines_found;
    use super::*;

    #[test]
    fn a_path_of_one_machine_is_found() {
        let bad = format!("run /{0}/weir\n`/{1}/a`\nfile:///{1}/b\n", "work", "home");
        assert_eq!(lines_found(of_one_machine, "README.md", &bad), [1, 2, 3]);
    }

    #[test]
    fn a_relative_path_passes() {
        let (root, work) = ("root", "work");
        let good = format!("sim/home/page, https://weir.example/{root}/a, ~/{work}/b\n/ws/home/\n");
        assert!(lines_found(of_one_machine, "README.md", &good).is_empty());
    }
}
