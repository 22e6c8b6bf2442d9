//! What the hub asks for, carried out: interests, ends, questions, moves, and places.

use std::panic::{AssertUnwindSafe, catch_unwind};

use gateway_core::dispatch::{Answer, Inquiry};
use gateway_core::event::{self, CloseReason, Effect, Event};
use gateway_core::frozen::Frozen;
use gateway_core::handshake::Secret;
use gateway_core::id::ShardId;
use gateway_core::route::RouteId;
use gateway_core::slot::Slot;
use gateway_core::time::Now;
use gateway_faults::{self as faults, Mutant};
use tracing::{debug, error};

use super::{Place, Turn};
use crate::auth::{self, Decision};
use crate::logging::shown;
use crate::net::Net;
use crate::others::{Moved, Others};
use crate::sequencer::{self, Placed};

impl<N: Net> Turn<N> {
    /// Does what the hub asks for; whether it asked for anything.
    pub(super) fn carry_out(&mut self, now: Now, others: &mut impl Others<N::Socket>) -> bool {
        let mut any = false;
        while let Some(effect) = self.hub.poll_effect() {
            any = true;
            match effect {
                Effect::Interest { slot, read, write } => {
                    let write = write && !faults::is(Mutant::InterestForgotten);
                    self.net.interest(slot, read, write);
                }
                Effect::Shutdown { slot } => self.net.shutdown(slot),
                Effect::Release { slot, reason } => self.release(slot, reason, others),
                Effect::Ship { slot, to, frozen } => self.ship(now, slot, to, frozen, others),
                Effect::Authenticate { ticket, route, token } => {
                    self.decide(now, ticket, route, &token);
                }
                Effect::Inquire(inquiry) => {
                    if let Some(answer) = self.answer(inquiry, others) {
                        self.hub.handle(now, Event::Answer(answer));
                    }
                }
            }
        }
        any
    }

    /// Asks whether a client is let in.
    fn decide(&mut self, now: Now, ticket: event::Ticket, route: RouteId, token: &Secret) {
        let shard = self.hub.shard();
        let route = self.hub.routes().get(route).path();
        let ask = auth::Ask { token, route, ticket: auth::Ticket { shard, inner: ticket } };
        let decided = catch_unwind(AssertUnwindSafe(|| self.auth.decide(&ask)));
        let granted = match decided {
            Ok(Decision::Granted(grant)) => Some(grant),
            Ok(Decision::Refused) => None,
            Ok(Decision::Later) => return,
            Err(_) => {
                error!(%shard, route, "auth panicked, as told above; the client is refused");
                None
            }
        };
        self.hub.handle(now, Event::Authenticated { ticket, granted });
    }

    /// Asks who gives messages their places, or the registry.
    fn answer(&mut self, inquiry: Inquiry, others: &mut impl Others<N::Socket>) -> Option<Answer> {
        let Some(sequencer) = &self.sequencer else { return others.inquire(inquiry) };
        let Inquiry::Sequence { room, term, ticket } = inquiry else {
            return others.inquire(inquiry);
        };
        let shard = self.hub.shard();
        let ticket = sequencer::Ticket { shard, term, number: ticket };
        let ask = sequencer::Ask { room: &room, ticket };
        let placed = catch_unwind(AssertUnwindSafe(|| sequencer.sequence(&ask)));
        placed
            .unwrap_or_else(|_| {
                let room = &*shown(&room.name);
                error!(%shard, room, "the sequencer panicked, as told above; a message is refused");
                Placed::Refused
            })
            .answer(ticket)
    }

    fn release(&mut self, slot: Slot, reason: CloseReason, others: &mut impl Others<N::Socket>) {
        let shard = self.hub.shard();
        debug!(%shard, %slot, reason = reason.name(), detail = ?reason, "closed");
        if reason == CloseReason::Overloaded {
            self.net.reset(slot);
        } else {
            drop(self.net.release(slot));
        }
        self.heralds.forget(slot);
        if let Some(seat) = self.unseat(slot) {
            self.give_back(seat);
        }
        if self.unplace(slot) {
            others.release();
        }
    }

    /// Lets a connection go to another shard, or goes on with it here if it asked for this one, or
    /// there is no way.
    fn ship(
        &mut self,
        now: Now,
        slot: Slot,
        to: ShardId,
        mut frozen: Box<Frozen>,
        others: &mut impl Others<N::Socket>,
    ) {
        let stays = self.has_asked_for_this_shard(slot) && !self.evacuating;
        if stays || !others.make_way(to) {
            frozen.settle();
            // Its socket has never left its slot; a thawed connection expects to be read from.
            self.net.interest(slot, true, false);
            return self.hub.handle(now, Event::Thawed { slot, frozen });
        }
        self.unplace(slot);
        let seat = self.unseat(slot);
        match self.net.release(slot) {
            Some(socket) => others.ship(to, Moved { socket, frozen, seat }),
            // The system never watched it, so nobody knows more of it than that it is gone.
            None => {
                self.lost += 1;
                others.give_up(to);
                if let Some(seat) = seat {
                    self.give_back(seat);
                }
            }
        }
    }

    fn has_asked_for_this_shard(&self, slot: Slot) -> bool {
        self.placed.get(slot.index()) == Some(&Place::Own)
    }

    /// Whether the slot's connection had a place.
    fn unplace(&mut self, slot: Slot) -> bool {
        let place = self.placed.get_mut(slot.index()).map(std::mem::take);
        place.is_some_and(|place| place != Place::None)
    }
}
