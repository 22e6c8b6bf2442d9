//! The places of admin clients: when all are taken, or descriptors are short, whoever makes least
//! of its place gives it up to the next one.
//!
//! Nobody is refused: a scraper that sends its request when it comes is answered however many
//! others hold a place without asking for anything.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{AbortHandle, spawn_local};
use tokio::time::sleep;

use super::patience::Patience;
use super::reserve::Reserve;

/// Clients served at a time: a few scrapers, balancers and people, with room for careless ones,
/// and little enough memory and descriptors that nobody notices if all are taken.
pub(super) const CONNECTIONS_MAX: usize = 64;

/// Between two clients that are cut for others: who comes again and again costs a few hundred
/// connections a second at most, and a newcomer has an eighth of a second for its request.
const PACE: Duration = Duration::from_millis(2);

/// All that have a place, on the admin's thread.
#[derive(Debug)]
pub(super) struct Places {
    seated: RefCell<BTreeMap<u64, Seat>>,
    /// Clients come in this order.
    next: Cell<u64>,
    reserve: RefCell<Reserve>,
}

#[derive(Debug)]
struct Seat {
    patience: Patience,
    task: AbortHandle,
}

impl Places {
    pub(super) fn new(reserve: Reserve) -> Rc<Self> {
        let reserve = RefCell::new(reserve);
        Rc::new(Self { seated: RefCell::default(), next: Cell::new(0), reserve })
    }

    /// Waits until a place is free, cutting whoever can be if none is. If everyone is being
    /// answered that takes as long as one of them needs.
    pub(super) async fn vacant(&self) {
        while self.seated.borrow().len() >= CONNECTIONS_MAX {
            self.cut();
            sleep(PACE).await;
        }
    }

    /// Frees a descriptor that was kept back, for whoever may be waiting; whether there was one.
    pub(super) fn lend(&self) -> bool {
        self.reserve.borrow_mut().lend()
    }

    /// Keeps one descriptor back though the others are lent, cutting whoever can be: who comes next
    /// can only be seen by accepting it.
    pub(super) async fn keep_one(&self) {
        if self.reserve.borrow().is_empty() && self.cut() {
            sleep(PACE).await;
        }
    }

    /// Takes back descriptors that are there again.
    pub(super) fn refill(&self) {
        self.reserve.borrow_mut().refill();
    }

    /// Gives a place to a client, until it has gone or is cut.
    pub(super) fn seat(self: &Rc<Self>, patience: Patience, client: impl Future + 'static) {
        let id = self.next.replace(self.next.get() + 1);
        let leaving = Leaving { places: Rc::clone(self), id };
        let task = spawn_local(async move {
            client.await;
            drop(leaving);
        });
        let task = task.abort_handle();
        self.seated.borrow_mut().insert(id, Seat { patience, task });
    }

    /// Cuts whoever makes least of its place; whether there was somebody.
    fn cut(&self) -> bool {
        let seated = self.seated.borrow();
        let idlest = seated.values().filter_map(|seat| Some((seat.patience.use_made()?, seat)));
        let idlest = idlest.min_by_key(|(made, _)| *made);
        if let Some((_, seat)) = idlest {
            seat.task.abort();
        }
        idlest.is_some()
    }
}

/// Gives its place back when it is dropped, which is after its connection.
struct Leaving {
    places: Rc<Places>,
    id: u64,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.places.seated.borrow_mut().remove(&self.id);
        self.places.refill();
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::net::TcpListener;

    use tokio::task::LocalSet;

    use super::*;

    fn places() -> Rc<Places> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Places::new(Reserve::of(&listener).expect("descriptors"))
    }

    /// A client that never goes by itself; it is here as long as this is held twice.
    fn stay(places: &Rc<Places>) -> (Patience, Rc<()>) {
        let (patience, here) = (Patience::new(), Rc::new(()));
        let held = Rc::clone(&here);
        places.seat(patience.clone(), async move {
            pending::<()>().await;
            drop(held);
        });
        (patience, here)
    }

    fn is_here((_, here): &(Patience, Rc<()>)) -> bool {
        Rc::strong_count(here) == 2
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_places_are_taken_who_asked_for_nothing_is_cut_before_who_did() {
        let set = LocalSet::new();
        set.run_until(async {
            let places = places();
            let clients: Vec<_> = (0..CONNECTIONS_MAX).map(|_| stay(&places)).collect();
            for (patience, _) in &clients[..2] {
                patience.asked();
                patience.answered();
            }
            sleep(Duration::from_secs(1)).await;
            places.vacant().await;
            let cut: Vec<_> = (0..CONNECTIONS_MAX).filter(|&at| !is_here(&clients[at])).collect();
            assert_eq!(cut, [2], "the first that asked for nothing");
            places.vacant().await;
            assert_eq!(
                clients.iter().filter(|client| !is_here(client)).count(),
                1,
                "one is enough"
            );
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_rest_who_was_answered_longest_ago_is_cut() {
        let set = LocalSet::new();
        set.run_until(async {
            let places = places();
            let clients: Vec<_> = (0..CONNECTIONS_MAX).map(|_| stay(&places)).collect();
            // The first of them asks once more, after all the others.
            for (patience, _) in clients.iter().chain(&clients[..1]) {
                patience.asked();
                patience.answered();
                sleep(Duration::from_millis(10)).await;
            }
            places.vacant().await;
            let cut: Vec<_> = (0..CONNECTIONS_MAX).filter(|&at| !is_here(&clients[at])).collect();
            assert_eq!(cut, [1]);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_who_is_being_answered_is_cut() {
        let set = LocalSet::new();
        set.run_until(async {
            let places = places();
            let clients: Vec<_> = (0..CONNECTIONS_MAX).map(|_| stay(&places)).collect();
            clients.iter().for_each(|(patience, _)| patience.asked());
            let soon = tokio::time::timeout(Duration::from_secs(1), places.vacant());
            assert!(soon.await.is_err(), "it waits");
            clients[7].0.answered();
            places.vacant().await;
            let cut: Vec<_> = (0..CONNECTIONS_MAX).filter(|&at| !is_here(&clients[at])).collect();
            assert_eq!(cut, [7]);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_last_descriptor_is_lent_somebody_is_cut_for_another() {
        let set = LocalSet::new();
        set.run_until(async {
            let places = places();
            let clients = [stay(&places), stay(&places)];
            while places.lend() {
                places.keep_one().await;
                if places.reserve.borrow().is_empty() || !is_here(&clients[0]) {
                    break;
                }
            }
            assert!(!is_here(&clients[0]) && is_here(&clients[1]), "one was enough");
            assert!(places.lend(), "what was freed is kept back");
        })
        .await;
    }
}
