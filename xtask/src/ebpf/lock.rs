//! What Cargo.lock says of the packages that some others rest on.

use std::collections::{BTreeMap, BTreeSet};

/// One `[[package]]` of Cargo.lock.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Locked<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    /// Of its archive; empty for the packages of the workspace.
    pub(super) checksum: &'a str,
}

/// The packages of these names and all that they rest on, on whatever system, in order.
///
/// Where the lock holds several versions of a name that is asked for without one, all of them.
pub(super) fn closure<'a>(lock: &'a str, names: &[&'a str]) -> BTreeSet<Locked<'a>> {
    let packages = packages(lock);
    let mut closure = BTreeSet::new();
    let mut open: Vec<&str> = names.to_vec();
    while let Some(wanted) = open.pop() {
        let (name, version) = named(wanted);
        for (package, rests_on) in packages.get(name).into_iter().flatten() {
            let is_wanted = version.is_none_or(|version| version == package.version);
            if is_wanted && closure.insert(*package) {
                open.extend(rests_on);
            }
        }
    }
    closure
}

/// `name`, `name version` or `name version (source)`.
fn named(wanted: &str) -> (&str, Option<&str>) {
    let mut words = wanted.split(' ');
    (words.next().unwrap_or_default(), words.next())
}

/// By name: each version, with what it rests on.
fn packages(lock: &str) -> BTreeMap<&str, Vec<(Locked<'_>, Vec<&str>)>> {
    let mut packages = BTreeMap::<_, Vec<_>>::new();
    for text in lock.split("[[package]]").skip(1) {
        let (package, rests_on) = package(text);
        packages.entry(package.name).or_default().push((package, rests_on));
    }
    packages
}

fn package(text: &str) -> (Locked<'_>, Vec<&str>) {
    let mut package = Locked::default();
    let mut rests_on = Vec::new();
    for line in text.lines() {
        match line.split_once(" = ") {
            Some(("name", value)) => package.name = unquoted(value),
            Some(("version", value)) => package.version = unquoted(value),
            Some(("checksum", value)) => package.checksum = unquoted(value),
            Some(_) => {}
            // Cargo writes each element of `dependencies` on a line of its own.
            None if line.starts_with(" \"") => rests_on.push(unquoted(line.trim_end_matches(','))),
            None => {}
        }
    }
    (package, rests_on)
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"version = 4

[[package]]
name = "ours"
version = "0.1.0"
dependencies = [
 "low",
 "twice 2.0.0",
]

[[package]]
name = "low"
version = "1.2.3"
source = "somewhere"
checksum = "abc"
dependencies = [
 "ours",
]

[[package]]
name = "stranger"
version = "9.0.0"

[[package]]
name = "twice"
version = "1.0.0"

[[package]]
name = "twice"
version = "2.0.0"
"#;

    fn found(names: &[&str]) -> Vec<String> {
        let closure = closure(LOCK, names);
        closure.iter().map(|found| format!("{} {}", found.name, found.version)).collect()
    }

    #[test]
    fn all_that_a_package_rests_on_is_found_once() {
        assert_eq!(found(&["ours"]), ["low 1.2.3", "ours 0.1.0", "twice 2.0.0"]);
    }

    #[test]
    fn a_name_without_a_version_means_every_version() {
        assert_eq!(found(&["twice"]), ["twice 1.0.0", "twice 2.0.0"]);
        assert!(found(&["nobody"]).is_empty());
    }

    #[test]
    fn a_package_has_the_checksum_of_its_archive() {
        let closure = closure(LOCK, &["low"]);
        let sums: Vec<_> = closure.iter().map(|found| found.checksum).collect();
        assert_eq!(sums, ["abc", "", ""]);
    }
}
