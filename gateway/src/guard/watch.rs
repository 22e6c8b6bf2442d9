//! The table that holds now, and each shard's sight of it.

use std::net::IpAddr;
use std::sync::Arc;

use gateway_registry::shown;

use super::Verdict;
use super::table::Table;

/// The table that holds now. Shown by whoever changes the list; read by all shards.
pub(super) type Shown = shown::Shown<Table>;

/// One shard's sight: the table that it saw last.
#[derive(Debug)]
pub(crate) struct Watch(shown::Watch<Table>);

impl Watch {
    pub(super) fn new(shown: Arc<Shown>) -> Self {
        Self(shown::Watch::new(shown))
    }

    /// What holds now for a newcomer from this address.
    pub(crate) fn verdict(&mut self, ip: IpAddr) -> Option<Verdict> {
        self.0.look().verdict(ip.into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn table(text: &str, verdict: Verdict) -> Table {
        Table::new([(text.parse().expect("a network"), verdict)])
    }

    #[test]
    fn a_watch_sees_what_was_shown_last() {
        let shown = Arc::new(Shown::default());
        let mut watches = [(); 2].map(|()| Watch::new(Arc::clone(&shown)));
        let ip = "10.0.0.1".parse().expect("an address");
        let mut said = |watch: usize| watches[watch].verdict(ip);
        assert_eq!([said(0), said(1)], [None, None]);
        shown.show(table("10.0.0.0/8", Verdict::Deny));
        assert_eq!([said(0), said(0)], [Some(Verdict::Deny); 2]);
        shown.show(table("10.0.0.0/8", Verdict::Allow));
        shown.show(table("10.0.0.0/16", Verdict::Deny));
        assert_eq!([said(0), said(1)], [Some(Verdict::Deny); 2]);
        shown.show(Table::default());
        assert_eq!([said(1), said(0)], [None, None]);
    }

    /// Each table denies one of two addresses and allows the other, so that a look that saw parts
    /// of two tables, or none, would find neither.
    #[test]
    fn who_looks_while_tables_change_sees_a_whole_one() {
        let shown = Arc::new(Shown::default());
        let pair = |first, second| {
            let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|it| it.parse().expect("a network"));
            Table::new([(one, first), (other, second)])
        };
        shown.show(pair(Verdict::Deny, Verdict::Allow));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let look = || {
                let mut watch = Watch::new(Arc::clone(&shown));
                let mut looks = 0_u32;
                while !done.load(Ordering::Relaxed) || looks == 0 {
                    let [one, other] =
                        [1, 2].map(|last| watch.verdict(IpAddr::from([10, 0, 0, last])));
                    assert!(one.is_some() && other.is_some(), "no gap");
                    looks += 1;
                }
            };
            let looking = [(); 2].map(|()| scope.spawn(look));
            for nth in 0..2_000 {
                let (first, second) = match nth % 2 {
                    0 => (Verdict::Allow, Verdict::Deny),
                    _ => (Verdict::Deny, Verdict::Allow),
                };
                shown.show(pair(first, second));
            }
            done.store(true, Ordering::Relaxed);
            looking.into_iter().for_each(|it| it.join().expect("it saw a whole one each time"));
        });
    }
}
