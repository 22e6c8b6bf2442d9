//! Rooms, and the mailbox of each member: on one thread, hence without locks.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// What was said in one go, shared by all who hear it.
pub(crate) type Batch<M> = Rc<[M]>;

/// All rooms, by path.
pub(crate) struct Rooms<M> {
    rooms: RefCell<HashMap<String, Rc<Room<M>>>>,
}

/// Those who hear each other.
pub(crate) struct Room<M> {
    members: RefCell<Vec<Rc<Mailbox<M>>>>,
}

/// What a member has yet to be told.
pub(crate) struct Mailbox<M> {
    batches: RefCell<VecDeque<Batch<M>>>,
    /// Of the task that tells it, while that waits.
    waker: Cell<Option<Waker>>,
    /// Its index in its room.
    place: Cell<usize>,
    left: Cell<bool>,
}

impl<M> Rooms<M> {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self { rooms: RefCell::new(HashMap::new()) })
    }

    /// The room at `path`, made for whoever is first there.
    pub(crate) fn enter(&self, path: &str) -> Rc<Room<M>> {
        let mut rooms = self.rooms.borrow_mut();
        let new = || Rc::new(Room { members: RefCell::new(Vec::new()) });
        rooms.entry(path.to_owned()).or_insert_with(new).clone()
    }
}

impl<M> Room<M> {
    pub(crate) fn join(&self) -> Rc<Mailbox<M>> {
        let mut members = self.members.borrow_mut();
        let mailbox = Rc::new(Mailbox {
            batches: RefCell::new(VecDeque::new()),
            waker: Cell::new(None),
            place: Cell::new(members.len()),
            left: Cell::new(false),
        });
        members.push(mailbox.clone());
        mailbox
    }

    /// Whoever tells the member what is in its mailbox is told that there will be no more.
    pub(crate) fn leave(&self, member: &Mailbox<M>) {
        let mut members = self.members.borrow_mut();
        members.swap_remove(member.place.get());
        if let Some(moved) = members.get(member.place.get()) {
            moved.place.set(member.place.get());
        }
        member.left.set(true);
        member.wake();
    }

    /// Puts what a member said, if anything, into the mailboxes of all others.
    pub(crate) fn publish(&self, author: &Mailbox<M>, said: &mut Vec<M>) {
        if said.is_empty() {
            return;
        }
        let batch: Batch<M> = said.drain(..).collect();
        let members = self.members.borrow();
        let (before, rest) = members.split_at(author.place.get());
        for member in before.iter().chain(&rest[1..]) {
            member.batches.borrow_mut().push_back(batch.clone());
            member.wake();
        }
    }
}

impl<M> Mailbox<M> {
    /// The next batch, waited for; `None` when the member has left.
    pub(crate) async fn next(&self) -> Option<Batch<M>> {
        poll_fn(|cx| match self.try_next() {
            Some(batch) => Poll::Ready(Some(batch)),
            None if self.left.get() => Poll::Ready(None),
            None => {
                self.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }

    /// The next batch if there is one already.
    pub(crate) fn try_next(&self) -> Option<Batch<M>> {
        self.batches.borrow_mut().pop_front()
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_but_the_author_is_told_in_order_and_only_in_that_room() {
        let rooms = Rooms::new();
        let room = rooms.enter("/ws/a");
        let [ann, bob] = [room.join(), room.join()];
        let elsewhere = rooms.enter("/ws/b").join();
        room.publish(&ann, &mut vec![1, 2]);
        rooms.enter("/ws/a").publish(&ann, &mut vec![3]);
        let heard: Vec<_> =
            std::iter::from_fn(|| bob.try_next()).flat_map(|it| it.to_vec()).collect();
        assert_eq!(heard, [1, 2, 3]);
        assert!(ann.try_next().is_none() && elsewhere.try_next().is_none());
    }

    #[test]
    fn who_left_is_told_nothing_and_nobody_else_is_forgotten() {
        let rooms = Rooms::new();
        let room = rooms.enter("/ws/a");
        let [ann, bob, cid] = [room.join(), room.join(), room.join()];
        room.leave(&ann);
        room.publish(&cid, &mut vec![1]);
        assert!(ann.try_next().is_none() && cid.try_next().is_none());
        assert_eq!(bob.try_next().as_deref(), Some(&[1][..]));
    }
}
