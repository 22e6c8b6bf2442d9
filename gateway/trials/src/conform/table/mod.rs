//! All cases, a file for each group.

mod closing;
mod deflate;
mod fragments;
mod framing;
mod handshake;
mod masking;
mod offers;
mod opcodes;
mod pings;
mod reserved;
mod sizes;
mod utf8;

use super::case::{Case, Group, Id};
use super::script::Script;

/// All cases, in the order of their numbers.
#[must_use]
pub fn cases() -> Vec<Case> {
    let groups: [(Group, Put); 12] = [
        (Group::Framing, framing::put),
        (Group::Pings, pings::put),
        (Group::Reserved, reserved::put),
        (Group::Opcodes, opcodes::put),
        (Group::Fragments, fragments::put),
        (Group::Utf8, utf8::put),
        (Group::Sizes, sizes::put),
        (Group::Closing, closing::put),
        (Group::Masking, masking::put),
        (Group::Handshake, handshake::put),
        (Group::Offers, offers::put),
        (Group::Deflate, deflate::put),
    ];
    let mut cases = Vec::new();
    for (group, put) in groups {
        let mut sheet = Sheet { group, part: 0, section: "", cases: Vec::new(), number: 0 };
        put(&mut sheet);
        cases.append(&mut sheet.cases);
    }
    cases
}

/// Puts down the cases of a group.
type Put = fn(&mut Sheet);

/// The cases of a group, numbered as they are put down.
struct Sheet {
    group: Group,
    part: usize,
    /// The rule behind this part.
    section: &'static str,
    number: usize,
    cases: Vec<Case>,
}

impl Sheet {
    /// Begins a part, whose cases are about this rule.
    fn part(&mut self, section: &'static str) {
        self.part += 1;
        self.number = 0;
        self.section = section;
    }

    /// Puts down a case: its sentence, and what is said and heard.
    fn case(&mut self, says: impl Into<String>, script: Script) {
        assert!(self.part > 0, "a case belongs to a part");
        self.number += 1;
        let id = Id { group: self.group, part: self.part, number: self.number };
        let Script { opening, steps } = script;
        self.cases.push(Case { id, section: self.section, says: says.into(), opening, steps });
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::super::case::{Expected, Step};
    use super::*;

    #[test]
    fn each_case_has_a_number_and_a_rule_and_each_group_has_cases() {
        let cases = cases();
        assert!(cases.is_sorted_by(|one, other| one.id() < other.id()));
        for case in &cases {
            assert!(case.section().contains('§'), "{}", case.id());
            assert!(!case.says().is_empty(), "{}", case.id());
        }
        for group in Group::value_variants() {
            let count = cases.iter().filter(|case| case.group() == *group).count();
            assert!(count >= 8, "{group:?} has {count}");
        }
    }

    #[test]
    fn a_case_ends_only_when_nothing_more_can_come() {
        for case in &cases() {
            match case.steps.last() {
                Some(Step::Hear(Expected::End | Expected::Gone)) => {}
                // What was refused has ended.
                None => assert!(matches!(
                    case.opening.answer,
                    super::super::opening::Answer::Refused { .. }
                )),
                other => panic!("{} ends with {other:?}", case.id()),
            }
        }
    }
}
