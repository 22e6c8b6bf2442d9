//! Who comes: let in or turned away, by what operators said of it, what its source has and whether
//! there is a place.

use std::net::IpAddr;

use gateway_core::event::{Event, Full};
use gateway_core::handshake::ProxyHeader;
use gateway_core::slot::Slot;
use gateway_core::time::Now;
use tracing::debug;

use super::{Place, Turn};
use crate::guard::Verdict;
use crate::net::Net;
use crate::others::{Moved, Others};
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
    /// Someone was accepted: served if there is a place, or here only to hear that there is none.
    /// Of whoever a proxy speaks for that is known when the proxy has said so.
    pub(super) fn accept(
        &mut self,
        now: Now,
        slot: Slot,
        peer: IpAddr,
        place: Place,
        others: &mut impl Others<N::Socket>,
    ) {
        let verdict = self.judge(now, peer);
        // Nothing was read and nothing is said: whoever is denied is to cost little.
        if verdict == Some(Verdict::Deny) {
            return self.net.reset(slot);
        }
        if self.heralds.trusts(peer) {
            self.heralds.expect(slot);
            return self.find_place(now, slot, place, others);
        }
        if self.hub.is_draining() {
            return self.hub.handle(now, Event::Refused { slot, full: Full::Node });
        }
        match self.admit(now, peer, verdict) {
            Ok(seat) => {
                self.find_place(now, slot, place, others);
                self.seat(slot, seat);
            }
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
        place: Place,
        others: &mut impl Others<N::Socket>,
    ) {
        let draining = self.hub.is_draining();
        let placed = !draining && others.reserve();
        if !draining {
            self.notes.accepted(now, self.hub.shard(), placed);
        }
        if placed {
            self.place(slot, place);
            self.hub.handle(now, Event::Accepted { slot });
        } else {
            self.hub.handle(now, Event::Refused { slot, full: Full::Node });
        }
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
