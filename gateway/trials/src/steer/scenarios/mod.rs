//! Every scenario, by what it is about.

mod balance;
mod guard;
mod kept;
mod life;
mod rights;
mod rungs;
mod shards;

use super::scenario::Scenario;

/// All of them, in the order in which they are played.
pub(super) fn all() -> Vec<Scenario> {
    [
        rungs::scenarios(),
        shards::scenarios(),
        balance::scenarios(),
        guard::scenarios(),
        life::scenarios(),
        kept::scenarios(),
        rights::scenarios(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own() {
        let mut names: Vec<_> = all().into_iter().map(|it| it.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn the_short_form_has_each_selector_native_and_generic_and_the_bottom_rung() {
        let short = all().into_iter().filter(|it| it.is_short).map(|it| it.name);
        let short: Vec<_> = short.collect();
        for selector in ["program", "incoming-cpu", "cbpf", "hash"] {
            for xdp in ["native", "generic"] {
                let named = |name: &&String| name.starts_with(xdp) && name.contains(selector);
                assert_eq!(short.iter().filter(named).count(), 1, "{xdp} {selector}");
            }
        }
        for also in ["removed under load", "bottom rung"] {
            assert!(short.iter().any(|name| name.contains(also)), "{also}");
        }
    }
}
