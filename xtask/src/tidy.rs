//! `cargo xtask tidy`: rules over the sources that a compiler does not know.
//!
//! Each rule is a small function from a file to its findings, in a file of its own.

mod calls;
mod code;
mod dependencies;
mod faults;
mod files;
mod layout;
mod links;
mod manifest;
mod maps;
mod paths;
mod simulated;
mod source;
mod unsafety;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use manifest::Manifest;
use source::{Finding, Source};

/// A rule over one file at a time.
type Rule = fn(&Source<'_>) -> Vec<Finding>;

const RULES: [Rule; 12] = [
    layout::module_doc,
    layout::file_length,
    layout::line_width,
    layout::trailing_space,
    calls::banned,
    calls::unbiased_select,
    maps::unseeded,
    unsafety::only_where_listed,
    unsafety::listed_in_vain,
    unsafety::unexplained,
    unsafety::core_forbids,
    paths::of_one_machine,
];

pub(crate) fn tidy() -> Result<ExitCode> {
    check()?;
    println!("tidy");
    Ok(ExitCode::SUCCESS)
}

/// Prints each finding on a line.
///
/// # Errors
/// If there are any; says how many.
pub(crate) fn check() -> Result<()> {
    let root = crate::workspace::root();
    let files = files::read(&root, tracked_files(&root)?)?;
    let findings = findings(&files);
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("1 finding"),
        more => bail!("{more} findings"),
    }
}

/// The files of the checkout, relative to its top and sorted: those that git tracks or would.
pub(crate) fn tracked_files(root: &Path) -> Result<Vec<String>> {
    files::list(root)
}

/// What the package of this manifest is built from, by name; not what its tests use.
pub(crate) fn dependencies(manifest: &str) -> Vec<&str> {
    let read = Manifest::parse(manifest).expect("a package of the workspace has a name");
    let built = read.dependencies.into_iter().filter(|dependency| !dependency.is_dev);
    built.map(|dependency| dependency.name).collect()
}

/// What the rules say about these files, each a path and, if it is text, what it holds.
fn findings(files: &[(String, Option<String>)]) -> Vec<Finding> {
    let paths: Vec<_> = files.iter().map(|(path, _)| path.as_str()).collect();
    let sources: Vec<_> =
        files.iter().filter_map(|(path, text)| Some(Source::new(path, text.as_deref()?))).collect();

    let mut findings: Vec<_> =
        sources.iter().flat_map(|source| RULES.iter().flat_map(|rule| rule(source))).collect();
    findings.extend(dependencies::direction(&sources));
    findings.extend(faults::turned_on(&sources));
    findings.extend(unsafety::missing(&paths));
    findings.extend(links::dead(&sources, &paths));
    findings.sort();
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> (String, Option<String>) {
        (path.to_owned(), Some(text.to_owned()))
    }

    #[test]
    fn findings_come_sorted_one_to_a_line() {
        let findings = findings(&[
            file("b.rs", "fn b() {}\n"),
            file("a.md", "See [b](b.rs) and [c](c.rs).\n"),
            ("picture.png".to_owned(), None),
        ]);
        let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
        // More may follow: files that the rules name and that are not among these.
        let [first, second, ..] = lines.as_slice() else { panic!("two findings in {lines:?}") };
        assert!(first.starts_with("a.md:1: "), "{first}");
        assert!(second.starts_with("b.rs:1: "), "{second}");
        assert!(findings.is_sorted());
    }
}
