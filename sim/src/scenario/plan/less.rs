//! A plan with less in it, for a failure that is to be told by as little as possible.

use super::{Action, Leave, Plan};
use crate::worlds::Less;

/// The kinds of faults that a plan may hold, as reports name them.
pub(in crate::scenario) const KINDS: [&str; 4] = [STALLS, CUTS, HALF_CLOSES, EARLY_DRAINS];

const STALLS: &str = "stalls";
const CUTS: &str = "cuts";
const HALF_CLOSES: &str = "half-closes";
const EARLY_DRAINS: &str = "early-drains";

impl Plan {
    /// What is left of it.
    #[must_use]
    pub(in crate::scenario) fn with(mut self, less: &Less) -> Self {
        let clients_max = less.clients_max.map_or(usize::MAX, |max| max as usize);
        self.clients.truncate(clients_max);
        if !less.has(EARLY_DRAINS) {
            self.drains_at_millis = None;
        }
        for client in &mut self.clients {
            client.steps.retain(|step| kind(&step.action).is_none_or(|kind| less.has(kind)));
        }
        if let Some(max) = less.actions_max {
            self.stop_after(max as usize);
        }
        self
    }

    /// Keeps the first steps of all that are taken.
    fn stop_after(&mut self, steps_max: usize) {
        let mut moments: Vec<_> = self
            .clients
            .iter()
            .zip(0..)
            .flat_map(|(client, of)| client.steps.iter().map(move |step| (step.at_millis, of)))
            .collect();
        // Of one client at one time, steps stand in their order.
        moments.sort_by_key(|&(at, _)| at);
        moments.truncate(steps_max);
        for (client, index) in self.clients.iter_mut().zip(0_usize..) {
            client.steps.truncate(moments.iter().filter(|&&(_, of)| of == index).count());
        }
    }
}

fn kind(action: &Action) -> Option<&'static str> {
    match action {
        Action::Stall | Action::Narrow(_) | Action::Resume(_) => Some(STALLS),
        Action::Leave(Leave::Reset) => Some(CUTS),
        Action::Leave(Leave::HalfClose) => Some(HALF_CLOSES),
        Action::Say(_) | Action::Leave(Leave::Goodbye(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn steps(plan: &Plan) -> usize {
        plan.clients.iter().map(|client| client.steps.len()).sum()
    }

    #[test]
    fn less_of_a_plan_is_its_beginning() {
        for seed in 0..50 {
            let whole = Plan::new(seed);
            let less = Less { clients_max: Some(2), actions_max: Some(5), ..Less::default() };
            let plan = whole.clone().with(&less);
            assert_eq!(plan.clients.len(), 2);
            assert_eq!(steps(&plan), 5.min(whole.clients[..2].iter().map(|c| c.steps.len()).sum()));
            let last = |plan: &Plan| {
                let all = plan.clients.iter().flat_map(|client| &client.steps);
                all.map(|step| step.at_millis).collect::<BTreeSet<_>>()
            };
            let kept = last(&plan);
            let all = last(&whole.with(&Less { clients_max: Some(2), ..Less::default() }));
            assert!(kept.iter().eq(all.iter().take(kept.len())), "seed {seed}: {kept:?}");
        }
    }

    #[test]
    fn kinds_that_are_left_out_do_not_happen() {
        let seeds = || (0..100).map(Plan::new);
        let holds = |plan: &Plan, name: &str| match name {
            EARLY_DRAINS => plan.drains_at_millis.is_some(),
            name => {
                let mut steps = plan.clients.iter().flat_map(|client| &client.steps);
                steps.any(|step| kind(&step.action) == Some(name))
            }
        };
        for name in KINDS {
            assert!(seeds().any(|plan| holds(&plan, name)), "no plan has {name}");
            let less = Less { without: BTreeSet::from([name.to_owned()]), ..Less::default() };
            let plans: Vec<_> = seeds().map(|plan| plan.with(&less)).collect();
            assert!(plans.iter().all(|plan| !holds(plan, name)), "{name}");
            let others = KINDS.into_iter().filter(|other| *other != name);
            let mut others = others.filter(|other| plans.iter().any(|plan| holds(plan, other)));
            assert!(others.next().is_some(), "without {name} nothing is left");
        }
    }
}
