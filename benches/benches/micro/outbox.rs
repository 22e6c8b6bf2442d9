//! What does a refused tail cost?
//!
//! One member of two does not take what it is sent, and is owed it. Sketch: to be owed is a range
//! of 16 bytes in a queue of its own, a rank among debts and two effects, so 200 ns beside the same
//! turn in which everything is taken; what was owed over many turns is joined before it is sent,
//! 8 KiB in 200 ns more.

use criterion::Criterion;
use gateway_core::hub::Config;
use gateway_core::slot::Slot;

use crate::alone::frame;
use crate::clients::Clients;
use crate::counted::Counted;

/// Messages that are owed before they are taken.
const BURST: usize = 16;

/// Bytes of a message, and of what its member is sent.
const PAYLOAD_BYTES: usize = 512;
const SENT_BYTES: usize = PAYLOAD_BYTES + 4;

/// Bytes that a socket takes of a burst before it is full: it ends within a frame.
const TAKEN_BYTES: usize = 700;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = Counted::new(criterion, "outbox");
    group.operation("taken at once", BURST, || taken_at_once(1));
    group.operation("refused in one turn, then drained", BURST, || refused(1, 0));
    group.operation("cut in one turn, then drained", BURST, || refused(1, TAKEN_BYTES));
    group.operation("taken in 16 turns", BURST, || taken_at_once(BURST));
    group.operation("refused in 16 turns, then drained", BURST, || refused(BURST, 0));
    group.operation("always a message behind", 1, always_behind);
    group.finish();
}

/// A burst in so many turns that a healthy member hears: what the others are compared with.
fn taken_at_once(turns: usize) -> impl FnMut() {
    let mut talk = Talk::new(BURST / turns);
    move || {
        let heard: usize = (0..turns).map(|_| talk.turn()).sum();
        assert_eq!(heard, BURST * SENT_BYTES, "everything was taken");
    }
}

/// A burst in so many turns of which a member takes no more than the first `taken` bytes; then it
/// takes everything.
fn refused(turns: usize, taken: usize) -> impl FnMut() {
    let mut talk = Talk::new(BURST / turns);
    move || {
        talk.clients.open(LISTENER, taken);
        let heard: usize = (0..turns).map(|_| talk.turn()).sum();
        assert_eq!(heard, taken, "the rest was refused");
        assert!(talk.clients.outbox_bytes() > 0, "it is owed");
        talk.clients.open(LISTENER, usize::MAX);
        assert_eq!(talk.clients.finish(), BURST * SENT_BYTES - taken, "the rest was sent");
        assert_eq!(talk.clients.outbox_bytes(), 0, "nothing is owed");
    }
}

/// A member that owes two messages takes one while the next one is said, and so on.
fn always_behind() -> impl FnMut() {
    let mut talk = Talk::new(1);
    talk.clients.open(LISTENER, 0);
    (0..2).for_each(|_| assert_eq!(talk.turn(), 0, "it is refused"));
    move || {
        talk.clients.open(LISTENER, SENT_BYTES);
        assert_eq!(talk.turn(), SENT_BYTES, "a message of before was taken");
        assert!(talk.clients.outbox_bytes() > 0, "others are owed");
    }
}

/// The first of two speaks, the second one listens.
const SPEAKER: Slot = Slot(0);
const LISTENER: Slot = Slot(1);

struct Talk {
    clients: Clients,
    said: Vec<u8>,
    scratch: Vec<u8>,
}

impl Talk {
    fn new(burst: usize) -> Self {
        let mut clients = Clients::of(Config::default());
        assert_eq!([clients.join("/ws/bench"), clients.join("/ws/bench")], [SPEAKER, LISTENER]);
        let said = frame(PAYLOAD_BYTES).repeat(burst);
        Self { clients, scratch: said.clone(), said }
    }

    /// A turn in which the burst is said; how many bytes were taken.
    fn turn(&mut self) -> usize {
        self.scratch.copy_from_slice(&self.said);
        self.clients.receive(SPEAKER, &mut self.scratch);
        self.clients.finish()
    }
}
