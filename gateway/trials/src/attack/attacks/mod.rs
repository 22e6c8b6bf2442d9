//! All attacks, by what they are aimed at.

mod closing;
mod connections;
mod credentials;
mod deflate;
mod floods;
mod frames;
mod handshake;
mod names;
mod operators;
mod owing;
mod proxies;
mod requests;
mod slow;
mod windows;

use super::attack::Attack;

/// Every attack, in the order in which they are played.
pub(super) fn all() -> Vec<Attack> {
    let parts: [&[Attack]; 14] = [
        &handshake::ATTACKS,
        &requests::ATTACKS,
        &names::ATTACKS,
        &credentials::ATTACKS,
        &frames::ATTACKS,
        &floods::ATTACKS,
        &deflate::ATTACKS,
        &windows::ATTACKS,
        &slow::ATTACKS,
        &closing::ATTACKS,
        &owing::ATTACKS,
        &connections::ATTACKS,
        &proxies::ATTACKS,
        &operators::ATTACKS,
    ];
    parts.concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PAGE: &str = include_str!("../../../../docs/limits.md");
    /// What no client reaches by itself: rooms that a program puts it into.
    const UNREACHED: [&str; 1] = ["rooms"];

    /// Names of counters, with which rows of tables on the page end.
    fn counters_on_page() -> BTreeSet<&'static str> {
        let last = |row: &'static str| row.strip_suffix(" |")?.rsplit_once("| ");
        let counters = PAGE.lines().filter_map(|row| last(row)?.1.strip_prefix('`'));
        counters.filter_map(|rest| Some(rest.split_once('`')?.0)).collect()
    }

    #[test]
    fn each_counter_of_the_page_about_limits_is_attacked_and_no_other() {
        let all = all();
        let attacked = all.iter().flat_map(|attack| attack.limits).copied();
        let attacked: BTreeSet<_> = attacked.chain(UNREACHED).collect();
        assert_eq!(attacked, counters_on_page());
    }

    #[test]
    fn each_attack_has_a_name_of_its_own_and_says_what_it_costs_at_which_pace() {
        let all = all();
        let mut names: Vec<_> = all.iter().map(|attack| attack.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
        for attack in all {
            assert!(attack.about.ends_with('.'), "{}", attack.name);
            assert!(!attack.pace.is_empty() && !attack.outcomes.is_empty(), "{}", attack.name);
        }
    }
}
