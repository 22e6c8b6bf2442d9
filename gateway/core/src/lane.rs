//! A lane: the members of one room that read one encoding, deflated or not, and what this turn
//! says to them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::chunk::{Chunk, Span};
use crate::deflate::Reach;
use crate::dispatch::RoomKey;
use crate::encoding::Encoding;
use crate::position::Offset;
use crate::slot::Slot;
use crate::time::Now;

/// A member's entry: all that a send needs to know, eight bytes in a dense array.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Member {
    slot: u32,
    marks: u32,
}

/// The member owes: what it gets is queued, not sent.
const OWES: u32 = 1;
/// The member skips some of an even or an odd flight.
const SKIPS: [u32; 2] = [2, 4];
/// The member hears nothing that is said from now on, and leaves soon.
const HUSHED: u32 = 8;

impl Member {
    const HOLE: Self = Self { slot: u32::MAX, marks: OWES };

    /// The place, unless its connection left during the flight.
    pub(crate) fn slot(self) -> Option<Slot> {
        (self.slot != u32::MAX).then_some(Slot(self.slot))
    }

    /// A slot to prefetch; for a hole one that nobody has.
    pub(crate) fn hint(self) -> Slot {
        Slot(self.slot)
    }

    /// Whether the member gets this flight's whole run, now.
    #[inline]
    pub(crate) fn is_plain(self, odd: bool) -> bool {
        self.marks & (OWES | SKIPS[usize::from(odd)]) == 0
    }
}

/// Bytes of the filling chunk that one member must not get: its own, or from before it joined.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Skip {
    pub(crate) slot: Slot,
    pub(crate) span: Span,
    pub(crate) frames: u32,
}

/// A member that hears nothing up to an offset, and what it missed of the filling chunk so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Floor {
    pub(crate) slot: Slot,
    pub(crate) offset: Offset,
    missed: Option<Skip>,
}

/// One room's lane in one encoding.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) room: RoomKey,
    pub(crate) encoding: Encoding,
    /// How far back what they are sent may refer.
    pub(crate) reach: Reach,
    pub(crate) members: Vec<Member>,
    holes: u32,
    /// What has been said since the last flight began.
    pub(crate) filling: Chunk,
    pub(crate) skips: Vec<Skip>,
    /// Members that were further on than the room is here.
    pub(crate) floors: Vec<Floor>,
    /// Members that hear nothing from here on, and the frames before that.
    hushed: BTreeMap<Slot, (u32, u32)>,
    /// Members that left and that the room does not know of yet, because the lane still speaks.
    pub(crate) departed: u32,
    /// In the list of lanes that have something to say.
    pub(crate) queued: bool,
    /// Whether what is said waits for more.
    pub(crate) window: Window,
    /// Members that owe.
    owing: u32,
    flying: bool,
    odd: bool,
}

/// What a lane does with its words until its window ends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    /// When the window ends that was opened last.
    pub(crate) ends: Now,
    /// The words wait for that, which is noted elsewhere, and are in no list of what is to be said.
    pub(crate) waits: bool,
    /// Bytes of the words that have waited.
    pub(crate) waited: u32,
    /// Somebody cannot wait for them any longer.
    pub(crate) hurries: bool,
}

impl Lane {
    pub(crate) fn new(room: RoomKey, encoding: Encoding, reach: Reach) -> Self {
        Self {
            room,
            encoding,
            reach,
            members: Vec::new(),
            holes: 0,
            filling: Chunk::default(),
            skips: Vec::new(),
            floors: Vec::new(),
            hushed: BTreeMap::new(),
            departed: 0,
            queued: false,
            window: Window::default(),
            owing: 0,
            flying: false,
            odd: false,
        }
    }

    /// Members present.
    pub(crate) fn population(&self) -> usize {
        self.members.len() - self.holes as usize
    }

    /// Whether nothing is being said, or waits to be.
    pub(crate) fn is_idle(&self) -> bool {
        !self.flying && !self.queued && !self.window.waits
    }

    /// Whether any member owes.
    pub(crate) fn owes(&self) -> bool {
        self.owing > 0
    }

    /// Adds a member, which hears what is said from now on, and gives its seat.
    pub(crate) fn join(&mut self, slot: Slot) -> u32 {
        let seat = u32::try_from(self.members.len()).expect("a slot has one seat");
        self.members.push(Member { slot: slot.0, marks: 0 });
        if !self.filling.is_empty() {
            let (span, frames) = (self.filling.whole(), self.filling.frames());
            self.skip(seat, Skip { slot, span, frames });
        }
        seat
    }

    /// Removes the member in `seat`; who was moved into that seat, if anyone, is returned.
    pub(crate) fn leave(&mut self, seat: u32) -> Option<Slot> {
        let member = self.members[seat as usize];
        if member.marks & HUSHED != 0 {
            // Whoever gets the slot next must not be hushed in its place.
            self.hushed.remove(&Slot(member.slot));
        }
        self.owing -= u32::from(member.marks & OWES != 0);
        if self.flying {
            self.members[seat as usize] = Member::HOLE;
            self.holes += 1;
            return None;
        }
        self.members.swap_remove(seat as usize);
        self.members.get(seat as usize).and_then(|moved| moved.slot())
    }

    /// Remembers that `skip.slot`, who sits in `seat`, does not hear this much of the turn.
    pub(crate) fn skip(&mut self, seat: u32, skip: Skip) {
        self.members[seat as usize].marks |= SKIPS[usize::from(self.odd)];
        if let Some(last) = self.skips.last_mut()
            && last.slot == skip.slot
            && last.span.end == skip.span.start
        {
            last.span.end = skip.span.end;
            last.frames += skip.frames;
            return;
        }
        self.skips.push(skip);
    }

    pub(crate) fn mark_owing(&mut self, seat: u32, owes: bool) {
        let marks = &mut self.members[seat as usize].marks;
        self.owing -= u32::from(*marks & OWES != 0);
        self.owing += u32::from(owes);
        *marks = if owes { *marks | OWES } else { *marks & !OWES };
    }

    /// The member in `seat` hears what was said until now, and nothing after.
    pub(crate) fn hush(&mut self, seat: u32, slot: Slot) {
        self.members[seat as usize].marks |= SKIPS[usize::from(self.odd)] | HUSHED;
        self.hushed.insert(slot, (self.filling.len(), self.filling.frames()));
    }

    /// The member hears nothing up to this offset.
    pub(crate) fn set_floor(&mut self, slot: Slot, offset: Offset) {
        self.floors.push(Floor { slot, offset, missed: None });
    }

    /// A message with this offset is this much of the filling chunk. Who is further on misses it;
    /// `seat_of` tells where it sits.
    pub(crate) fn keep_floors(
        &mut self,
        offset: Offset,
        span: Span,
        seat_of: impl Fn(Slot) -> Option<u32>,
    ) {
        let (skips, mark) = (&mut self.skips, SKIPS[usize::from(self.odd)]);
        self.floors.retain(|floor| {
            let stays = floor.offset >= offset;
            if !stays {
                skips.extend(floor.missed);
            }
            stays
        });
        for floor in &mut self.floors {
            let Some(seat) = seat_of(floor.slot) else { continue };
            self.members[seat as usize].marks |= mark;
            // It misses everything, so that one range grows.
            let slot = floor.slot;
            let missed = floor.missed.get_or_insert(Skip { slot, span, frames: 0 });
            missed.span.end = span.end;
            missed.frames += 1;
        }
    }

    /// Nobody is further on than the room any more; what they missed so far they still do.
    pub(crate) fn forget_floors(&mut self) {
        self.skips.extend(self.floors.drain(..).filter_map(|floor| floor.missed));
    }

    /// The spans of what was said so far, up to `end`, that a member gets.
    pub(crate) fn spans_up_to(&self, end: u32, slot: Slot, out: &mut Vec<Span>) {
        let floors = self.floors.iter().filter_map(|floor| floor.missed);
        let skips = self.skips.iter().copied().chain(floors);
        let mut skips: Vec<Skip> =
            skips.filter(|skip| skip.slot == slot && skip.span.start < end).collect();
        skips.iter_mut().for_each(|skip| skip.span.end = skip.span.end.min(end));
        skips.sort_unstable_by_key(|skip| (skip.span.start, Reverse(skip.span.end)));
        let flight = Flight { skips, odd: self.odd, next: 0, end: 0 };
        flight.spans(slot, Span { start: 0, end }, out);
    }

    /// Starts a flight: what was filled goes out, what comes now waits for the next one.
    pub(crate) fn take_off(&mut self) -> (Chunk, Flight) {
        assert!(!self.flying, "a lane has one flight at a time");
        let mut skips = std::mem::take(&mut self.skips);
        let (end, all) = (self.filling.len(), self.filling.frames());
        skips.extend(std::mem::take(&mut self.hushed).into_iter().map(
            |(slot, (start, before))| Skip {
                slot,
                span: Span { start, end },
                frames: all - before,
            },
        ));
        skips.extend(self.floors.iter_mut().filter_map(|floor| floor.missed.take()));
        skips.sort_unstable_by_key(|skip| (skip.slot, skip.span.start, Reverse(skip.span.end)));
        let flight = Flight { skips, odd: self.odd, next: 0, end: self.members.len() };
        self.flying = true;
        self.queued = false;
        self.odd = !self.odd;
        (std::mem::take(&mut self.filling), flight)
    }

    /// The member at `index` of the flight, and whether it skips some of it.
    ///
    /// Its mark for this flight is cleared, since it is asked for once.
    pub(crate) fn visit(&mut self, index: usize, flight: &Flight) -> Option<Visit> {
        let member = &mut self.members[index];
        let mark = SKIPS[usize::from(flight.odd)];
        let skips = member.marks & mark != 0;
        member.marks &= !mark;
        Some(Visit { slot: member.slot()?, skips })
    }

    /// Ends the flight; `reseat` hears of members that filled a hole.
    pub(crate) fn land(&mut self, mut reseat: impl FnMut(Slot, u32)) {
        self.flying = false;
        let mut seat = self.members.len();
        while self.holes > 0 {
            seat -= 1;
            if self.members[seat].slot().is_some() {
                continue;
            }
            self.members.swap_remove(seat);
            self.holes -= 1;
            if let Some(moved) = self.members.get(seat).and_then(|moved| moved.slot()) {
                reseat(moved, seat as u32);
            }
        }
    }
}

/// One member's turn in a flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit {
    pub(crate) slot: Slot,
    pub(crate) skips: bool,
}

/// A chunk on its way to the members who were there when it took off.
#[derive(Debug)]
pub(crate) struct Flight {
    skips: Vec<Skip>,
    odd: bool,
    /// The next member to visit, and one past the last.
    pub(crate) next: usize,
    pub(crate) end: usize,
}

impl Flight {
    pub(crate) fn is_odd(&self) -> bool {
        self.odd
    }

    /// Appends the spans of `whole` that `slot` gets; returns the frames it does not get.
    pub(crate) fn spans(&self, slot: Slot, whole: Span, out: &mut Vec<Span>) -> u32 {
        let first = self.skips.partition_point(|skip| skip.slot < slot);
        let mut at = whole.start;
        let mut skipped = 0;
        for skip in self.skips[first..].iter().take_while(|skip| skip.slot == slot) {
            if at < skip.span.start {
                out.push(Span { start: at, end: skip.span.start });
            }
            // One within another is of a connection that had the slot before.
            if skip.span.end > at {
                at = skip.span.end;
                skipped += skip.frames;
            }
        }
        if at < whole.end {
            out.push(Span { start: at, end: whole.end });
        }
        skipped
    }

    /// The skips' memory, for the next lane that needs some.
    pub(crate) fn into_skips(mut self) -> Vec<Skip> {
        self.skips.clear();
        self.skips
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::frame::Opcode;

    fn lane() -> Lane {
        Lane::new(RoomKey(0), Encoding::Raw, Reach::None)
    }

    fn say(lane: &mut Lane, author: Option<(Slot, u32)>, text: &[u8]) {
        let start = lane.filling.len();
        lane.filling.push_frame(Opcode::Text, text);
        if let Some((slot, seat)) = author {
            let span = Span { start, end: lane.filling.len() };
            lane.skip(seat, Skip { slot, span, frames: 1 });
        }
    }

    fn heard(lane: &mut Lane, flight: &Flight, chunk: &Chunk, index: usize) -> Vec<(u32, u32)> {
        let Some(visit) = lane.visit(index, flight) else { return Vec::new() };
        let mut spans = vec![chunk.whole()];
        if visit.skips {
            spans.clear();
            flight.spans(visit.slot, chunk.whole(), &mut spans);
        }
        spans.iter().map(|span| (span.start, span.end)).collect()
    }

    #[test]
    fn an_author_does_not_hear_itself_and_a_newcomer_not_the_past() {
        let mut lane = lane();
        let (a, b) = (lane.join(Slot(10)), lane.join(Slot(3)));
        say(&mut lane, Some((Slot(10), a)), b"one"); // 0..5
        say(&mut lane, Some((Slot(3), b)), b"two"); // 5..10
        lane.join(Slot(7));
        say(&mut lane, Some((Slot(10), a)), b"six"); // 10..15
        let (chunk, flight) = lane.take_off();
        assert_eq!(heard(&mut lane, &flight, &chunk, 0), [(5, 10)]);
        assert_eq!(heard(&mut lane, &flight, &chunk, 1), [(0, 5), (10, 15)]);
        assert_eq!(heard(&mut lane, &flight, &chunk, 2), [(10, 15)]);
    }

    #[test]
    fn what_is_said_during_a_flight_is_marked_for_the_next_one_only() {
        let mut lane = lane();
        let a = lane.join(Slot(1));
        lane.join(Slot(2));
        say(&mut lane, None, b"one");
        let (chunk, flight) = lane.take_off();
        say(&mut lane, Some((Slot(1), a)), b"two");
        assert_eq!(heard(&mut lane, &flight, &chunk, 0), [(0, 5)], "this flight is heard whole");
        assert_eq!(heard(&mut lane, &flight, &chunk, 1), [(0, 5)]);
        lane.land(|_, _| panic!("nobody left"));
        let (chunk, flight) = lane.take_off();
        assert_eq!(heard(&mut lane, &flight, &chunk, 0), [], "the next one has its own words");
        assert_eq!(heard(&mut lane, &flight, &chunk, 1), [(0, 5)]);
        lane.land(|_, _| panic!("nobody left"));
        say(&mut lane, None, b"six");
        let (chunk, flight) = lane.take_off();
        assert_eq!(heard(&mut lane, &flight, &chunk, 0), [(0, 5)], "marks do not outlive it");
    }

    #[test]
    fn members_who_leave_in_flight_leave_holes_that_landing_fills() {
        let mut lane = lane();
        (0..5).for_each(|slot| assert_eq!(lane.join(Slot(slot)), slot));
        say(&mut lane, None, b"one");
        let (chunk, flight) = lane.take_off();
        assert_eq!(lane.leave(1), None);
        assert_eq!(lane.leave(4), None);
        lane.join(Slot(9));
        assert_eq!(lane.population(), 4);
        assert_eq!(heard(&mut lane, &flight, &chunk, 1), []);
        let mut moves = BTreeMap::new();
        lane.land(|slot, seat| {
            moves.insert(slot, seat);
        });
        assert_eq!(lane.population(), 4);
        assert!(lane.members.iter().all(|member| member.slot().is_some()));
        for (slot, seat) in moves {
            assert_eq!(lane.members[seat as usize].slot(), Some(slot));
        }
        let slots: Vec<_> = lane.members.iter().filter_map(|m| m.slot()).collect();
        assert!([0, 2, 3, 9].iter().all(|&slot| slots.contains(&Slot(slot))), "{slots:?}");
    }

    #[test]
    fn leaving_outside_of_a_flight_moves_the_last_member_into_the_seat() {
        let mut lane = lane();
        (0..3).for_each(|slot| assert_eq!(lane.join(Slot(slot)), slot));
        assert_eq!(lane.leave(0), Some(Slot(2)));
        assert_eq!(lane.leave(1), None);
        assert_eq!(lane.population(), 1);
    }
}
