//! The turn: one shard's work, synchronous and repeated, over any network.
//!
//! Follow one turn top-down: what other shards sent and what became ready is handed to the hub,
//! the hub decides, its words go to other shards and out to the sockets, in slices between which
//! the turn looks at its rings, and its effects are carried out.

mod arrivals;
mod effects;
pub(crate) mod notes;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use gateway_core::counters::Counters;
use gateway_core::envelope::{Command, Delivery, Post};
use gateway_core::event::{CloseReason, Event};
use gateway_core::hit::Hit;
use gateway_core::hub::{Flush, Hub};
use gateway_core::id::ShardId;
use gateway_core::slot::{self, Slot};
use gateway_core::time::Now;
use gateway_ebpf::Network;
use gateway_faults::{self as faults, Mutant, buggify};
use tracing::debug;

use crate::auth::{Auth, OneToken};
use crate::draw::Draw;
use crate::guard::{Guard, Watch};
use crate::net::{Batch, Net, Ready};
use crate::others::{Arrival, Newcomer, Others};
use crate::proxy::Heralds;
use crate::sequencer::Sequencer;
use crate::sources::{Seat, Sources};

use notes::Notes;

use arrivals::TurnedAway;

/// Members served per flush slice unless configured otherwise.
pub const SLICE_DEFAULT: usize = 64;

/// Envelopes after which a turn takes in no more from other shards while it flushes; they wait for
/// the next one, or a room that others never stop speaking in would keep the shard from its
/// sockets.
const HEARD_MAX: usize = 1024;

/// One shard: its sockets, its hub, and the buffers between them.
pub struct Turn<N> {
    net: N,
    hub: Hub,
    batch: Batch,
    /// Who was readable when the last turn reached its bound, in that order.
    unread: Vec<Slot>,
    /// The turn in which each slot was last read from, or put off.
    seen: Vec<u32>,
    /// For each slot, whether its connection has a place that is to be given back.
    placed: Vec<Place>,
    /// For each slot up to the last that needed it: whether it is counted for its source.
    seats: Vec<Option<Seat>>,
    /// Who bounds what a source may have, if anybody does.
    sources: Option<Arc<Sources>>,
    /// Who is denied and who is allowed, if anybody says so.
    guard: Option<Watch>,
    /// Chance for whoever comes nearly too often.
    draw: Draw,
    heralds: Heralds,
    turned_away: TurnedAway,
    turns: u32,
    /// Every read of the shard goes through this one buffer.
    scratch: Vec<u8>,
    slice: usize,
    /// Whether nothing is left to do until something happens.
    settled: bool,
    /// Whether all that is for other shards was sent.
    exchanged: bool,
    notes: Notes,
    auth: Arc<dyn Auth>,
    sequencer: Option<Arc<dyn Sequencer>>,
    /// Connections that the system lost on their way to another shard.
    lost: u64,
    /// Whether everyone is to go elsewhere.
    evacuating: bool,
    /// The CPU that the shard is turned on, if it is always the same.
    cpu: Option<usize>,
    /// Connections served from their beginning whose packets arrived on another one.
    off_cpu: u64,
    /// Newcomers that went to another shard.
    passed: u64,
}

/// A slot's place in the census.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Place {
    /// None: nobody is there, or only to hear that they are too many.
    #[default]
    None,
    /// That of somebody who may go where its room is.
    Any,
    /// That of somebody who asked for this shard.
    Own,
}

impl<N: Net> Turn<N> {
    /// A shard over `net` that flushes to `slice` members at a time.
    #[must_use]
    pub fn new(net: N, hub: Hub, slice: usize) -> Self {
        let scratch = vec![0; hub.limits().read_bytes_max];
        Self {
            net,
            hub,
            batch: Batch::default(),
            unread: Vec::new(),
            seen: Vec::new(),
            placed: Vec::new(),
            seats: Vec::new(),
            sources: None,
            guard: None,
            draw: Draw::new(0),
            heralds: Heralds::default(),
            turned_away: TurnedAway::default(),
            turns: 0,
            scratch,
            slice,
            settled: false,
            exchanged: true,
            notes: Notes::default(),
            auth: Arc::new(OneToken::default()),
            sequencer: None,
            lost: 0,
            evacuating: false,
            cpu: None,
            off_cpu: 0,
            passed: 0,
        }
    }

    /// Lets in whom `auth` lets in; without it nobody is where a route asks for a token.
    #[must_use]
    pub fn with_auth(mut self, auth: Arc<dyn Auth>) -> Self {
        self.auth = auth;
        self
    }

    /// Has this one give messages their places, where the hub does not do so itself.
    #[must_use]
    pub fn with_sequencer(mut self, sequencer: Option<Arc<dyn Sequencer>>) -> Self {
        self.sequencer = sequencer;
        self
    }

    /// Has each source have no more than these allow; without them it has what it can get.
    #[must_use]
    pub fn with_sources(mut self, sources: Arc<Sources>) -> Self {
        self.sources = Some(sources);
        self
    }

    /// Has newcomers judged by this list, as it is when they come.
    #[must_use]
    pub fn with_guard(mut self, guard: &Guard) -> Self {
        self.guard = Some(guard.watch());
        self
    }

    /// Draws from this seed where chance decides; without it from 0. Shards of a node are to have
    /// different ones.
    #[must_use]
    pub fn drawing_from(mut self, seed: u64) -> Self {
        self.draw = Draw::new(seed);
        self
    }

    /// Has connections from these networks say whom they speak for, by the PROXY protocol, before
    /// their request. No other is believed to do so.
    #[must_use]
    pub fn trusting(mut self, proxies: Arc<[Network]>) -> Self {
        self.heralds = Heralds::new(proxies);
        self
    }

    /// Says which CPU the shard is turned on, if it is always the same: see
    /// [`off_cpu`](Self::off_cpu).
    #[must_use]
    pub fn pinned_to(mut self, cpu: Option<usize>) -> Self {
        self.cpu = cpu;
        self
    }

    /// Does one turn if there is anything to do; `Pending` with the waker registered if not. Then
    /// it is to be polled again when something arrives from the others, when a ring that refused
    /// has room, or when the hub's deadline comes.
    ///
    /// # Errors
    /// Only if the shard cannot go on: a listener or its poller is broken.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Now,
        others: &mut impl Others<N::Socket>,
    ) -> Poll<io::Result<()>> {
        let due = self.hub.poll_timeout().is_some_and(|at| at <= now) || buggify!(TickEarly);
        self.batch.ready.clear();
        let polled = self.net.poll(cx, &mut self.batch);
        let paused = self.notes.pauses(now, self.hub.shard(), self.net.accept_pauses());
        let heard = self.hear(now, others);
        let idle = polled.is_pending() && !due && heard == 0 && !paused;
        if idle && self.settled {
            return Poll::Pending;
        }
        if let Poll::Ready(result) = polled {
            result?;
        }
        self.receive(now, others);
        // What had come in time is read by now, however late this turn is: nobody is judged by what
        // still lies in its socket.
        if due {
            self.hub.handle(now, Event::Tick);
            self.give_back_memory();
        }
        let busy = self.finish(now, others);
        // What the last flush began may be all that is left, such as a connection's leaving: a
        // turn that finds nothing to do says that there is nothing.
        self.settled = idle && !busy && self.exchanged;
        if idle && !busy { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// Tells the hub something that came neither from a socket nor from another shard. The next
    /// turn says what follows from it.
    pub fn tell(&mut self, now: Now, event: Event<'_>) {
        self.hub.handle(now, event);
        self.settled = false;
    }

    /// Whether so much is on its way to other shards that nothing more is to be published here.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.hub.underway_bytes() > self.hub.limits().underway_bytes_max
    }

    /// Stops accepting and says goodbye to everyone; the shard is done when it is empty.
    pub fn drain(&mut self, now: Now, others: &mut impl Others<N::Socket>) {
        // Who waits at the door hears 503; then it is shut.
        self.net.retire();
        self.hub.handle(now, Event::Drain);
        self.finish(now, others);
        self.settled = false;
    }

    /// Sends everyone and every home to these shards, by turns. Who waits to be accepted still
    /// is; then the listeners are closed. To be said again when other shards are to take over.
    pub fn evacuate(&mut self, now: Now, to: Vec<ShardId>) {
        self.net.retire();
        self.evacuating = true;
        self.hub.handle(now, Event::Evacuate { to });
        self.settled = false;
    }

    /// As [`evacuate`](Self::evacuate), but connections are told to go instead of going: closed
    /// with 1001 as in a drain, within `drain_secs`.
    pub fn dismiss(&mut self, now: Now, to: Vec<ShardId>) {
        self.net.retire();
        self.evacuating = true;
        self.hub.handle(now, Event::Dismiss { to });
        self.settled = false;
    }

    /// Whether nothing is here any more, nothing is left to be sent, and nobody will be accepted.
    #[must_use]
    pub fn is_vacant(&self) -> bool {
        self.net.is_retired() && self.exchanged && self.hub.is_vacant()
    }

    /// What the shard has counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut counters = self.hub.counters().clone();
        // They ended here instead of going on elsewhere.
        counters.moved_out -= self.lost;
        counters.closed[CloseReason::Reset.index()] += self.lost;
        counters.passed = self.passed;
        // What happens at the door the hub never hears of.
        let TurnedAway { source_rate, denied, proxy_header } = self.turned_away;
        counters.hits[Hit::SourceRate.index()] += source_rate;
        counters.hits[Hit::Denied.index()] += denied;
        counters.hits[Hit::ProxyHeader.index()] += proxy_header;
        counters.hits[Hit::Descriptors.index()] += self.net.accept_pauses();
        counters
    }

    /// Newcomers since the start that another shard serves.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Connections served here from their beginning, since the start, whose packets arrived on
    /// another CPU than the one that the shard is pinned to; 0 if it is not, or the system does not
    /// tell.
    #[must_use]
    pub fn off_cpu(&self) -> u64 {
        self.off_cpu
    }

    /// How often accepting has paused for want of descriptors or memory, since the start.
    #[must_use]
    pub fn accept_pauses(&self) -> u64 {
        self.net.accept_pauses()
    }

    /// The shard's connections and rooms.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The shard's sockets.
    pub fn net_mut(&mut self) -> &mut N {
        &mut self.net
    }

    /// Takes in what came from other shards; how much that was.
    fn hear(&mut self, now: Now, others: &mut impl Others<N::Socket>) -> usize {
        let mut heard = 0;
        while let Some(arrival) = others.next_arrival() {
            heard += 1;
            match arrival {
                Arrival::Command(command) => self.hub.handle(now, Event::Command(command)),
                Arrival::Delivery(delivery) => self.hub.handle(now, Event::Delivery(delivery)),
                Arrival::Moved(moved) => self.adopt(now, moved),
                Arrival::Passed(passed) => self.take_in(now, passed, others),
            }
        }
        heard
    }

    /// Gives back what was kept for slots that the hub has given back.
    fn give_back_memory(&mut self) {
        self.net.give_back();
        let end = self.hub.slots();
        if end < self.placed.len() {
            let gone = self.placed[end..].iter().all(|place| *place == Place::None);
            assert!(gone, "who has a place is in the hub");
        }
        slot::cut(&mut self.seen, end);
        slot::cut(&mut self.placed, end);
        slot::cut(&mut self.seats, end);
    }

    fn receive(&mut self, now: Now, others: &mut impl Others<N::Socket>) {
        self.turns = self.turns.wrapping_add(1);
        let mut left = self.hub.limits().turn_bytes_max;
        // Readiness lasts and is reported in the same order each time, so whoever a turn did not
        // come to is read from first in the next one, or those behind would never be.
        for slot in std::mem::take(&mut self.unread) {
            self.read_once(now, slot, &mut left);
        }
        let mut batch = std::mem::take(&mut self.batch);
        for ready in batch.ready.drain(..) {
            match ready {
                Ready::Accepted { slot, peer, cpu, own } => {
                    debug!(shard = %self.hub.shard(), %slot, %peer, ?cpu, own, "accepted");
                    self.accept(now, slot, Newcomer { peer, cpu, own }, others);
                }
                Ready::Readable(slot) => self.read_once(now, slot, &mut left),
                Ready::Writable(slot) => self.hub.handle(now, Event::Writable { slot }),
            }
        }
        self.batch = batch;
    }

    /// Whether packets arrive on another CPU than the shard's, as far as both are known.
    fn is_off(&self, cpu: Option<u32>) -> bool {
        self.cpu.zip(cpu).is_some_and(|(mine, theirs)| usize::try_from(theirs) != Ok(mine))
    }

    /// Reads from a slot unless this turn has, or puts it off if the turn has read enough.
    fn read_once(&mut self, now: Now, slot: Slot, left: &mut usize) {
        if slot.index() >= self.seen.len() {
            self.seen.resize(slot.index() + 1, self.turns.wrapping_sub(1));
        }
        if std::mem::replace(&mut self.seen[slot.index()], self.turns) == self.turns {
            return;
        }
        if *left == 0 || buggify!(TurnSpent) {
            return self.unread.push(slot);
        }
        *left = left.saturating_sub(self.read(now, slot));
    }

    /// Reads once from a slot; returns how many bytes came.
    fn read(&mut self, now: Now, slot: Slot) -> usize {
        if !self.hub.may_read(slot) {
            return 0;
        }
        let most = if buggify!(ReadShort) { 1 } else { self.scratch.len() };
        match self.net.recv(slot, &mut self.scratch[..most]) {
            Ok(0) => self.hub.handle(now, Event::Ended { slot }),
            Ok(mut read) => {
                if faults::is(Mutant::FullReadCut) {
                    read -= usize::from(read > 1 && read == most);
                }
                let said = if self.heralds.awaits(slot) { self.herald(now, slot, read) } else { 0 };
                if said < read {
                    let bytes = &mut self.scratch[said..read];
                    self.hub.handle(now, Event::Received { slot, bytes });
                }
                return read;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.hub.handle(now, Event::Broken { slot }),
        }
        0
    }

    /// Says what is to be said and does what the hub asks for, until nothing is left; whether
    /// there was anything for others, or to be done.
    fn finish(&mut self, now: Now, others: &mut impl Others<N::Socket>) -> bool {
        let mut busy = false;
        let mut heard = 0;
        while self.pass(now, others, &mut heard) {
            busy = true;
        }
        self.notes.panics(now, self.hub.shard(), self.hub.counters().panics);
        busy
    }

    fn pass(&mut self, now: Now, others: &mut impl Others<N::Socket>, heard: &mut usize) -> bool {
        let mut busy = self.carry_out(now, others);
        busy |= self.exchange(now, others);
        while self.hub.flush(now, self.slice, &mut self.net) == Flush::More {
            if *heard >= HEARD_MAX {
                continue;
            }
            // A wide room does not hold up other shards.
            others.look_around();
            let more = self.hear(now, others);
            if more > 0 {
                *heard += more;
                busy |= self.exchange(now, others);
            }
        }
        busy | self.carry_out(now, others)
    }

    /// Sends what is for other shards, as far as rings take it; whether any of it was sent.
    fn exchange(&mut self, now: Now, others: &mut impl Others<N::Socket>) -> bool {
        let mut tally = Tally { others, sent: false };
        self.exchanged = self.hub.exchange(now, &mut tally);
        tally.sent
    }
}

/// Notes whether anything was sent.
struct Tally<'a, O> {
    others: &'a mut O,
    sent: bool,
}

impl<O: Post> Post for Tally<'_, O> {
    fn command(&mut self, to: ShardId, command: Command) -> Result<(), Command> {
        self.others.command(to, command)?;
        self.sent = true;
        Ok(())
    }

    fn deliver(&mut self, to: ShardId, delivery: Delivery) -> Result<(), Delivery> {
        self.others.deliver(to, delivery)?;
        self.sent = true;
        Ok(())
    }
}
