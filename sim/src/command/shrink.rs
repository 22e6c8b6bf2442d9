//! Makes a failure smaller: the fewest clients, actions and kinds of faults with which a run still
//! breaks in the same way.

use std::collections::BTreeSet;

use sim::worlds::Less;

use super::answer::Broken;

/// Runs that are made to find a smaller one. Small runs are tried first, and cost little.
pub(crate) const TRIES_MAX: u32 = 200;
/// No run has more clients or actions than this.
const AMOUNT_MAX: u64 = 1 << 24;

/// Makes runs of one seed with less in them.
pub(crate) trait Trial {
    /// What breaks with this left out, if it is what broke in the beginning.
    async fn breaks(&mut self, less: &Less) -> Option<Broken>;

    /// Single faults that are planned with this left out, by their names.
    fn planned(&self, less: &Less) -> Vec<String>;
}

/// The smallest run that was found.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Smallest {
    pub(crate) less: Less,
    /// What broke in it; none if nothing smaller than the original breaks.
    pub(crate) broken: Option<Broken>,
    /// Runs that were made to find it.
    pub(crate) tries: u32,
}

/// Searches for the smallest run, given the kinds of faults that can be left out.
pub(crate) async fn shrink(trial: &mut impl Trial, from: Less, kinds: &[String]) -> Smallest {
    let best = Smallest { less: from, broken: None, tries: 0 };
    let mut search = Search { trial, best };
    loop {
        let before = search.best.less.clone();
        search.fewer(|less| &mut less.actions_max).await;
        search.fewer(|less| &mut less.clients_max).await;
        search.calmer(kinds).await;
        let planned = search.trial.planned(&search.best.less);
        search.calmer(&planned).await;
        // With fewer clients other actions may do, and the other way round.
        if search.best.less == before || search.best.tries == TRIES_MAX {
            return search.best;
        }
    }
}

struct Search<'a, T> {
    trial: &'a mut T,
    best: Smallest,
}

impl<T: Trial> Search<'_, T> {
    /// Whether this, which is less than the best, breaks too; it is the best then.
    async fn accepts(&mut self, less: Less) -> bool {
        if self.best.tries == TRIES_MAX {
            return false;
        }
        self.best.tries += 1;
        let broken = self.trial.breaks(&less).await;
        let breaks = broken.is_some();
        if breaks {
            self.best.less = less;
            self.best.broken = broken;
        }
        breaks
    }

    /// Doubles an amount until the run breaks, then halves the distance to the last that did not.
    async fn fewer(&mut self, amount: impl Fn(&mut Less) -> &mut Option<u64>) {
        let with = |less: &Less, max: u64| {
            let mut less = less.clone();
            *amount(&mut less) = Some(max);
            less
        };
        let known = amount(&mut self.best.less).unwrap_or(AMOUNT_MAX);
        let (mut clean, mut breaks) = (0, 1);
        while breaks < known && !self.accepts(with(&self.best.less, breaks)).await {
            (clean, breaks) = (breaks, breaks * 2);
        }
        // Without a bound at first, there may be none that breaks and is known to.
        let mut breaks = breaks.min(known);
        while breaks < AMOUNT_MAX && breaks - clean > 1 && self.best.tries < TRIES_MAX {
            let middle = clean + (breaks - clean) / 2;
            if self.accepts(with(&self.best.less, middle)).await {
                breaks = middle;
            } else {
                clean = middle;
            }
        }
    }

    /// Leaves out all of these, or else as many as may be, in ever smaller parts.
    async fn calmer(&mut self, faults: &[String]) {
        let mut part = faults.len();
        while part > 0 {
            let happen = |fault: &&String| self.best.less.has(fault);
            let left: Vec<_> = faults.iter().filter(happen).cloned().collect();
            for faults in left.chunks(part) {
                let mut less = self.best.less.clone();
                less.without.extend(faults.iter().cloned());
                self.accepts(less).await;
            }
            part /= 2;
        }
    }
}

/// The kinds of faults among these names that are words one can type.
pub(crate) fn kinds<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names: BTreeSet<_> = names.filter(|name| !name.contains([',', '\''])).collect();
    names.into_iter().map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::super::answer::How;
    use super::*;

    /// A world whose runs break with enough clients and actions, and with some faults.
    struct Fake {
        clients: u64,
        actions: u64,
        needs: &'static [&'static str],
        tries: u32,
    }

    impl Trial for Fake {
        async fn breaks(&mut self, less: &Less) -> Option<Broken> {
            self.tries += 1;
            let enough = |max: Option<u64>, needed| max.is_none_or(|max| max >= needed);
            let breaks = enough(less.clients_max, self.clients)
                && enough(less.actions_max, self.actions)
                && self.needs.iter().all(|kind| less.has(kind));
            let what = format!("with {less:?}");
            breaks.then(|| Broken { how: How::Itself, what, hash: 0, lines: Vec::new() })
        }

        /// Two storms and a crash; without their kind they are not planned.
        fn planned(&self, less: &Less) -> Vec<String> {
            let all = [("f0", "storms"), ("f1", "crashes"), ("f2", "storms")];
            let planned = all.into_iter().filter(|(name, kind)| less.has(kind) && less.has(name));
            planned.map(|(name, _)| name.to_owned()).collect()
        }
    }

    fn shrunk(fake: &mut Fake, from: Less) -> Smallest {
        let names: Vec<_> =
            ["cuts", "storms", "garbage", "crashes", "holds"].map(Into::into).into();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(shrink(fake, from, &names))
    }

    fn fake() -> Fake {
        Fake { clients: 3, actions: 417, needs: &["storms", "holds", "f2"], tries: 0 }
    }

    #[test]
    fn the_smallest_run_has_only_what_it_takes() {
        let mut fake = fake();
        let Smallest { less, broken, tries } = shrunk(&mut fake, Less::default());
        assert_eq!((less.clients_max, less.actions_max), (Some(3), Some(417)));
        let without: Vec<_> = less.without.iter().map(String::as_str).collect();
        assert_eq!(without, ["crashes", "cuts", "f0", "garbage"]);
        assert_eq!(broken.expect("it breaks").what, format!("with {less:?}"));
        assert_eq!(tries, fake.tries);
        assert!(tries <= TRIES_MAX, "{tries}");
    }

    #[test]
    fn what_was_asked_to_do_less_never_does_more() {
        let from = Less {
            clients_max: Some(5),
            actions_max: Some(418),
            without: BTreeSet::from(["cuts".to_owned()]),
        };
        let Smallest { less, .. } = shrunk(&mut fake(), from);
        assert_eq!((less.clients_max, less.actions_max), (Some(3), Some(417)));
        assert!(!less.has("cuts"));
    }

    #[test]
    fn a_run_that_breaks_whatever_is_left_out_needs_one_client_and_one_action() {
        let mut always = Fake { clients: 1, actions: 1, needs: &[], tries: 0 };
        let Smallest { less, tries, .. } = shrunk(&mut always, Less::default());
        assert_eq!((less.clients_max, less.actions_max), (Some(1), Some(1)));
        assert_eq!(less.without.len(), 5);
        assert!(tries < 10, "{tries}");
    }

    #[test]
    fn a_run_that_never_breaks_again_stays_as_it_was_within_the_bound() {
        let mut never = Fake { clients: u64::MAX, actions: 1, needs: &[], tries: 0 };
        let from = Less { clients_max: Some(1_000_000), ..Less::default() };
        let smallest = shrunk(&mut never, from.clone());
        assert_eq!((smallest.less, smallest.broken), (from, None));
        assert!(never.tries <= TRIES_MAX, "{}", never.tries);
    }

    #[test]
    fn kinds_are_words_one_can_type() {
        assert_eq!(kinds(["b", "a", "a", "it's", "a,b"].into_iter()), ["a", "b"]);
    }
}
