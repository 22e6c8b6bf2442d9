//! Who comes: let in or turned away, by what operators said of it, what its source has and whether
//! there is a place.

use std::net::IpAddr;

use gateway_core::event::{Event, Full};
use gateway_core::handshake::ProxyHeader;
use gateway_core::id::ShardId;
use gateway_core::slot::Slot;
use gateway_core::time::Now;
use tracing::debug;

use super::{Place, Turn};
use crate::guard::Verdict;
use crate::net::Net;
use crate::others::{Found, Moved, Newcomer, Others, Passed};
use crate::proxy::Heard;
use crate::sources::{Over, Seat};

/// Newcomers that were turned away before the hub could tell them why.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct TurnedAway {
    /// Their source comes too often: they were reset unread.
    pub(super) source_rate: u64,
    /// They are denied: they were reset unread, or closed if a proxy spoke for them.
    pub(super) denied: u64,
    /// They came from a trusted proxy without saying for whom: they were closed.
    pub(super) proxy_header: u64,
}

impl<N: Net> Turn<N> {
    /// Someone was accepted: served if there is a place, passed on if that is on another shard, or
    /// here only to hear that there is none. Of whoever a proxy speaks for that is known when the
    /// proxy has said so.
    pub(super) fn accept(
        &mut self,
        now: Now,
        slot: Slot,
        newcomer: Newcomer,
        others: &mut impl Others<N::Socket>,
    ) {
        let peer = newcomer.peer.ip();
        let verdict = self.judge(now, peer);
        // Nothing was read and nothing is said: whoever is denied is to cost little.
        if verdict == Some(Verdict::Deny) {
            return self.net.reset(slot);
        }
        if self.heralds.trusts(peer) {
            return self.find_place(now, slot, newcomer, None, others);
        }
        if self.hub.is_draining() {
            return self.hub.handle(now, Event::Refused { slot, full: Full::Node });
        }
        match self.admit(now, peer, verdict) {
            Ok(seat) => self.find_place(now, slot, newcomer, seat, others),
            // The same for whoever comes this often.
            Err(Over::Rate) => {
                self.turned_away.source_rate += 1;
                self.net.reset(slot);
            }
            Err(Over::Connections) => {
                self.hub.handle(now, Event::Refused { slot, full: Full::Source });
            }
        }
    }

    fn find_place(
        &mut self,
        now: Now,
        slot: Slot,
        newcomer: Newcomer,
        seat: Option<Seat>,
        others: &mut impl Others<N::Socket>,
    ) {
        if self.hub.is_draining() {
            return self.turn_away(now, slot, newcomer, seat);
        }
        let found = others.find_place(&newcomer);
        self.notes.accepted(now, self.hub.shard(), found != Found::Nowhere);
        match found {
            Found::Here => self.welcome(now, slot, newcomer, seat),
            Found::There(to) => self.pass_on(slot, to, newcomer, seat, others),
            Found::Nowhere => self.turn_away(now, slot, newcomer, seat),
        }
    }

    /// Serves somebody who has a place here.
    fn welcome(&mut self, now: Now, slot: Slot, newcomer: Newcomer, seat: Option<Seat>) {
        let Newcomer { peer, cpu, own } = newcomer;
        self.off_cpu += u64::from(self.is_off(cpu));
        if self.heralds.trusts(peer.ip()) {
            self.heralds.expect(slot);
        }
        self.place(slot, if own { Place::Own } else { Place::Any });
        self.hub.handle(now, Event::Accepted { slot });
        self.seat(slot, seat);
    }

    /// Tells somebody who has no place that the node is full.
    fn turn_away(&mut self, now: Now, slot: Slot, newcomer: Newcomer, seat: Option<Seat>) {
        if self.heralds.trusts(newcomer.peer.ip()) {
            self.heralds.expect(slot);
        }
        self.hub.handle(now, Event::Refused { slot, full: Full::Node });
        if let Some(seat) = seat {
            self.give_back(seat);
        }
    }

    /// Hands a newcomer over before anything is read, so that its shard sees all it ever says.
    fn pass_on(
        &mut self,
        slot: Slot,
        to: ShardId,
        newcomer: Newcomer,
        seat: Option<Seat>,
        others: &mut impl Others<N::Socket>,
    ) {
        let Some(socket) = self.net.release(slot) else {
            // The system never watched it: it is gone, and was never counted.
            others.give_up(to);
            return seat.into_iter().for_each(|seat| self.give_back(seat));
        };
        self.passed += 1;
        others.pass(to, Passed { socket, newcomer, seat });
    }

    /// Serves somebody whom another shard accepted, and who has a place here already; or passes it
    /// on once more, if everyone here is to go.
    pub(super) fn take_in(
        &mut self,
        now: Now,
        passed: Passed<N::Socket>,
        others: &mut impl Others<N::Socket>,
    ) {
        if let Some(to) = others.send_on(&passed.newcomer) {
            self.passed += 1;
            return others.pass(to, passed);
        }
        let Passed { socket, newcomer, seat } = passed;
        let slot = self.net.vacant();
        self.net.adopt(slot, socket);
        debug!(shard = %self.hub.shard(), %slot, peer = %newcomer.peer, "taken in");
        if self.hub.is_draining() {
            others.release();
            return self.turn_away(now, slot, newcomer, seat);
        }
        self.welcome(now, slot, newcomer, seat);
    }

    /// A connection goes on here, where it has a place already.
    pub(super) fn adopt(&mut self, now: Now, moved: Moved<N::Socket>) {
        let Moved { socket, frozen, seat } = moved;
        let slot = self.net.vacant();
        self.net.adopt(slot, socket);
        self.place(slot, Place::Any);
        self.seat(slot, seat);
        self.hub.handle(now, Event::Thawed { slot, frozen });
    }

    /// Hears whom a proxy speaks for, in the first `read` bytes of what was read; how many of them
    /// are none of the request.
    #[cold]
    pub(super) fn herald(&mut self, now: Now, slot: Slot, read: usize) -> usize {
        match self.heralds.hear(slot, &self.scratch[..read]) {
            Ok(Heard::Part) => read,
            Ok(Heard::Whole { header: ProxyHeader { client, .. }, rest }) => {
                let shard = self.hub.shard();
                debug!(%shard, %slot, client = client.map(tracing::field::display), "proxied");
                // A proxy that speaks for itself is nobody's crowd.
                match client.map(|client| self.admit_proxied(now, slot, client.ip())) {
                    Some(Some(Verdict::Deny)) => read,
                    Some(Some(Verdict::Allow) | None) | None => rest,
                }
            }
            Err(error) => {
                self.turned_away.proxy_header += 1;
                self.notes.no_header(now, self.hub.shard(), error);
                // It is closed unanswered, as the protocol has it: who else knows what it heard?
                self.hub.handle(now, Event::Broken { slot });
                read
            }
        }
    }

    /// Counts whom a proxy speaks for, unless it is denied.
    fn admit_proxied(&mut self, now: Now, slot: Slot, client: IpAddr) -> Option<Verdict> {
        let verdict = self.judge(now, client);
        if verdict == Some(Verdict::Deny) {
            // A reset would be the proxy's to explain; so it is closed unanswered.
            self.hub.handle(now, Event::Broken { slot });
            return verdict;
        }
        match self.admit(now, client, verdict) {
            Ok(seat) => self.seat(slot, seat),
            // A reset would reach the proxy, not the client.
            Err(Over::Connections) => {
                self.hub.handle(now, Event::Refused { slot, full: Full::Source });
            }
            Err(Over::Rate) => {
                self.hub.handle(now, Event::Refused { slot, full: Full::SourceRate });
            }
        }
        verdict
    }

    /// What operators have said of an address; who is denied is counted.
    fn judge(&mut self, now: Now, client: IpAddr) -> Option<Verdict> {
        let verdict = self.guard.as_mut()?.verdict(client);
        if verdict == Some(Verdict::Deny) {
            self.turned_away.denied += 1;
            self.notes.denied(now, self.hub.shard(), client);
        }
        verdict
    }

    /// Counts somebody for its source, unless it is allowed anyway, and whom it is not counted for.
    fn admit(
        &mut self,
        now: Now,
        client: IpAddr,
        verdict: Option<Verdict>,
    ) -> Result<Option<Seat>, Over> {
        let Some(sources) = self.sources.as_ref().filter(|_| verdict.is_none()) else {
            return Ok(None);
        };
        sources.admit(now, client, self.draw.word()).inspect_err(|over| {
            self.notes.over(now, self.hub.shard(), client, *over);
        })
    }

    /// Keeps a seat as long as the connection lives, which may be over already.
    fn seat(&mut self, slot: Slot, seat: Option<Seat>) {
        let Some(seat) = seat else { return };
        if !self.is_placed(slot) {
            return self.give_back(seat);
        }
        if slot.index() >= self.seats.len() {
            self.seats.resize_with(slot.index() + 1, || None);
        }
        let before = self.seats[slot.index()].replace(seat);
        assert!(before.is_none(), "a connection is counted for one source");
    }

    pub(super) fn unseat(&mut self, slot: Slot) -> Option<Seat> {
        self.seats.get_mut(slot.index())?.take()
    }

    pub(super) fn give_back(&self, seat: Seat) {
        let sources = self.sources.as_ref().expect("seats come from there");
        sources.release(seat);
    }

    fn place(&mut self, slot: Slot, place: Place) {
        if slot.index() >= self.placed.len() {
            self.placed.resize(slot.index() + 1, Place::None);
        }
        self.placed[slot.index()] = place;
    }

    fn is_placed(&self, slot: Slot) -> bool {
        self.placed.get(slot.index()).is_some_and(|place| *place != Place::None)
    }
}
