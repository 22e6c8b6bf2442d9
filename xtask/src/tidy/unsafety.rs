//! Where `unsafe` may stand, and that it says why it is sound.

use super::source::{Finding, Source};

/// Every file that may hold `unsafe`. Each entry has its reason in that file.
const LISTED: &[&str] = &[
    "benches/src/bare/uring.rs",
    "gateway/registry/src/ring.rs",
    "gateway/src/malloc.rs",
    "gateway/src/net/epoll.rs",
    "gateway/src/net/ethtool.rs",
    "gateway/src/steer/mapped.rs",
    "gateway/src/steer/sys.rs",
    "gateway-ebpf/src/bpf/frame.rs",
    "gateway-ebpf/src/bpf/main.rs",
    "gateway-ebpf/src/bpf/maps.rs",
    "gateway-ebpf/src/bpf/select.rs",
    "gateway-ebpf/src/bpf/steer.rs",
];

/// `unsafe` outside of the listed files.
pub(super) fn only_where_listed(source: &Source<'_>) -> Vec<Finding> {
    only_in(LISTED, source)
}

fn only_in(listed: &[&str], source: &Source<'_>) -> Vec<Finding> {
    if listed.contains(&source.path) {
        return Vec::new();
    }
    let what = "`unsafe` in a file that is not listed: do without, or list the file in \
                xtask/src/tidy/unsafety.rs";
    source.words("unsafe").map(|at| source.at(at, what)).collect()
}

/// A listed file that does not need to be.
pub(super) fn listed_in_vain(source: &Source<'_>) -> Vec<Finding> {
    vain_in(LISTED, source)
}

fn vain_in(listed: &[&str], source: &Source<'_>) -> Vec<Finding> {
    if !listed.contains(&source.path) || source.words("unsafe").next().is_some() {
        return Vec::new();
    }
    let what = "holds no `unsafe`: take it off the list in xtask/src/tidy/unsafety.rs";
    vec![source.on(1, what)]
}

/// Listed files that are not there.
pub(super) fn missing(paths: &[&str]) -> Vec<Finding> {
    missing_of(LISTED, paths)
}

fn missing_of(listed: &[&str], paths: &[&str]) -> Vec<Finding> {
    let what = "is not there: take it off the list in xtask/src/tidy/unsafety.rs";
    let missing = listed.iter().filter(|path| !paths.contains(path));
    missing.map(|path| Source::new(path, "").on(1, what)).collect()
}

/// `unsafe` blocks and impls without a `// SAFETY:` above them.
pub(super) fn unexplained(source: &Source<'_>) -> Vec<Finding> {
    let lines: Vec<_> = source.text.lines().collect();
    source
        .words("unsafe")
        .filter(|at| is_promise(&source.code[at + "unsafe".len()..]))
        .map(|at| source.at(at, "no `// SAFETY:` above: name the fact that makes this sound"))
        .filter(|finding| !is_explained(&lines[..finding.line() - 1]))
        .collect()
}

/// Whether what follows `unsafe` makes a promise here, instead of asking one of callers.
fn is_promise(after: &str) -> bool {
    let after = after.trim_start();
    !["fn", "trait", "extern"].iter().any(|word| after.starts_with(word))
}

/// Whether a comment with `SAFETY:` stands right above the statement that the next line is in.
fn is_explained(above: &[&str]) -> bool {
    let mut above = above.iter().rev().map(|line| line.trim());
    let is_comment = |line: &&str| line.starts_with("//");
    let is_statement_end = |line: &str| line.is_empty() || line.ends_with([';', ',', '{', '}']);
    let comment = above.by_ref().find(|line| is_comment(line) || is_statement_end(line));
    let mut comments = comment.into_iter().chain(above).take_while(is_comment);
    comments.any(|line| line.starts_with("// SAFETY:"))
}

/// The core's root must forbid `unsafe` altogether.
pub(super) fn core_forbids(source: &Source<'_>) -> Vec<Finding> {
    let is_core = source.path == "gateway/core/src/lib.rs";
    if !is_core || source.code.contains("#![forbid(unsafe_code)]") {
        return Vec::new();
    }
    vec![source.on(1, "the core must say `#![forbid(unsafe_code)]`: its safety is a promise")]
}

#[cfg(test)]
mod tests {
    use super::super::source::lines_found;
    use super::*;

    const BAD: &str = "//! A.\nlet a = unsafe { b() };\n";

    #[test]
    fn unsafe_outside_of_listed_files_is_found() {
        let source = Source::new("a.rs", BAD);
        assert_eq!(only_in(&[], &source).len(), 1);
        assert!(only_in(&["a.rs"], &source).is_empty());
    }

    #[test]
    fn talking_about_unsafe_is_fine() {
        let good = "// unsafe\n#![deny(unsafe_code, unsafe_op_in_unsafe_fn)]\nf(\"unsafe\");\n";
        assert!(lines_found(only_where_listed, "a.rs", good).is_empty());
    }

    #[test]
    fn a_file_listed_in_vain_is_found() {
        assert_eq!(vain_in(&["a.rs"], &Source::new("a.rs", "// unsafe\n")).len(), 1);
        assert!(vain_in(&["a.rs"], &Source::new("a.rs", BAD)).is_empty());
        assert!(vain_in(&[], &Source::new("a.rs", "")).is_empty());
    }

    #[test]
    fn a_listed_file_that_is_gone_is_found() {
        assert_eq!(missing_of(&["a.rs", "b.rs"], &["b.rs"]).len(), 1);
        assert!(missing_of(&["b.rs"], &["b.rs"]).is_empty());
    }

    #[test]
    fn an_unexplained_block_is_found() {
        assert_eq!(lines_found(unexplained, "a.rs", BAD), [2]);
        let far = "// SAFETY: too far away.\nb();\nlet a = unsafe { b() };\n";
        assert_eq!(lines_found(unexplained, "a.rs", far), [3]);
        assert_eq!(lines_found(unexplained, "a.rs", "// Fine.\nunsafe impl Send for A {}\n"), [2]);
    }

    #[test]
    fn an_explained_block_passes() {
        let one = "// SAFETY: `b` was checked.\n// Twice.\nlet a = unsafe { b() };\n";
        assert!(lines_found(unexplained, "a.rs", one).is_empty());
        let long = "f();\n// SAFETY: checked.\nlet a =\n    unsafe { b() };\n";
        assert!(lines_found(unexplained, "a.rs", long).is_empty());
        assert!(lines_found(unexplained, "a.rs", "unsafe fn a() {}\n").is_empty());
    }

    #[test]
    fn a_core_that_does_not_forbid_unsafe_is_found() {
        let lib = "gateway/core/src/lib.rs";
        assert_eq!(lines_found(core_forbids, lib, "// #![forbid(unsafe_code)]\n"), [1]);
        assert!(lines_found(core_forbids, lib, "#![forbid(unsafe_code)]\n").is_empty());
        assert!(lines_found(core_forbids, "sim/src/lib.rs", "").is_empty());
    }
}
