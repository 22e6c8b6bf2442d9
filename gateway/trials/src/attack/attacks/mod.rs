//! All attacks, by what they are aimed at.

mod connections;
mod credentials;
mod deflate;
mod floods;
mod frames;
mod handshake;
mod names;
mod operators;
mod owing;
mod requests;
mod slow;

use super::attack::Attack;

/// Every attack, in the order in which they are played.
pub(super) fn all() -> Vec<Attack> {
    let parts: [&[Attack]; 11] = [
        &handshake::ATTACKS,
        &requests::ATTACKS,
        &names::ATTACKS,
        &credentials::ATTACKS,
        &frames::ATTACKS,
        &floods::ATTACKS,
        &deflate::ATTACKS,
        &slow::ATTACKS,
        &owing::ATTACKS,
        &connections::ATTACKS,
        &operators::ATTACKS,
    ];
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

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
