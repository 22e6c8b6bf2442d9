//! The page about limits names all of them.

use gateway_core::hit::Hit;
use gateway_core::limits::Limits;

const PAGE: &str = include_str!("../../docs/limits.md");

#[test]
fn every_counter_is_on_the_page() {
    for name in Hit::NAMES {
        let rows = PAGE.lines().filter(|line| line.ends_with(&format!("| `{name}` |")));
        assert!(rows.count() > 0, "{name}");
    }
}

#[test]
fn every_limit_is_on_the_page() {
    let shown = format!("{:#?}", Limits::default());
    let fields = shown.lines().filter_map(|line| line.strip_prefix("    "));
    let fields = fields.filter(|line| !line.starts_with([' ', '}']));
    let names: Vec<_> = fields.filter_map(|line| line.split_once(':')).collect();
    assert!(names.len() > 30, "{shown}");
    for (name, _) in names {
        assert!(PAGE.contains(&format!("`{name}`")), "{name}");
    }
}
