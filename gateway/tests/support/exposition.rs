//! Prometheus's text format, read by the letter: whatever is not of it panics.

use std::collections::{BTreeMap, BTreeSet};

/// Reads the text format 0.0.4 as strictly as it is specified, and more so: each family has help
/// and a type before its samples, once, and each series one value. Gives series as written.
pub(crate) fn parse(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with('\n'), "the last line ends like the others");
    let mut families = BTreeSet::new();
    let mut series = BTreeMap::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let help = line.strip_prefix("# HELP ").unwrap_or_else(|| panic!("no help: {line}"));
        let (family, help) = help.split_once(' ').expect("a name, then help");
        assert!(is_name(family) && !help.is_empty(), "{line}");
        assert!(families.insert(family.to_owned()), "{family} comes once");
        let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {family} "));
        let kind = kind.unwrap_or_else(|| panic!("no type of {family}"));
        assert!(["counter", "gauge"].contains(&kind), "{family}: {kind}");
        assert_eq!(family.ends_with("_total"), kind == "counter", "{family}");
        let mut samples = 0;
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').expect("a series, then its value");
            check_series(name, family);
            let before = series.insert(name.to_owned(), value.parse().expect("a number"));
            assert_eq!(before, None, "{name} comes once");
            samples += 1;
        }
        assert!(samples > 0, "{family} has samples");
    }
    series
}

fn check_series(series: &str, family: &str) {
    let labels = series.strip_prefix(family).unwrap_or_else(|| panic!("{series}: of {family}"));
    if labels.is_empty() {
        return;
    }
    let mut rest = labels.strip_prefix('{').expect("labels follow the name");
    let mut seen = BTreeSet::new();
    loop {
        let (name, value) = rest.split_once("=\"").expect("a label has a value in quotes");
        assert!(is_name(name) && !name.contains(':') && seen.insert(name), "{series}: {name}");
        rest = after_value(value).unwrap_or_else(|| panic!("{series}: a value ends"));
        match rest.split_at(1) {
            (",", more) => rest = more,
            ("}", "") => return,
            (other, _) => panic!("{series}: {other} after a label"),
        }
    }
}

/// What follows a label's value and its closing quote.
fn after_value(value: &str) -> Option<&str> {
    let mut chars = value.char_indices();
    loop {
        match chars.next()? {
            (end, '"') => return Some(&value[end + 1..]),
            (_, '\\') => assert!(matches!(chars.next()?.1, '\\' | '"' | 'n'), "{value}"),
            (_, char) => assert_ne!(char, '\n'),
        }
    }
}

fn is_name(name: &str) -> bool {
    let plain = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == ':';
    !name.is_empty()
        && !name.starts_with(|char: char| char.is_ascii_digit())
        && name.chars().all(plain)
}
