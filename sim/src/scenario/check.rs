//! Whether what was heard follows from what was said.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use gateway_core::event::CloseReason;
use gateway_core::hub::MemberPolicy;

use super::message::Message;
use super::outcome::{Heard, Rest};
use super::plan::{Action, Leave, Plan};
use super::reference::{Entry, Membership, Reference};
use crate::promise::Promise;

/// A promise that a run can break.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rule {
    /// Every message was said by somebody, with these bytes and of this kind.
    Invented,
    /// A room's messages stay in the room.
    ForeignRoom,
    /// Nobody hears itself.
    OwnMessage,
    /// Nobody hears what was said before it came or after it went.
    NotThere,
    /// Nothing is heard twice.
    Duplicate,
    /// Everyone hears in the order of the log.
    Order,
    /// Nothing is left out, except at the end for who is closed, and where loss is counted.
    Missing,
    /// Frames are whole and as the protocol wants them.
    Frames,
    /// The answer to a request is what its moment asks for.
    Answer,
    /// Each connection ends with the last word that is due, and none is cut that is not late.
    LastWord,
    /// The numbers add up.
    Counters,
    /// A drained shard is empty.
    Empty,
}

impl Rule {
    /// Which of the promises it is about.
    #[must_use]
    pub fn promise(self) -> Promise {
        match self {
            // What was heard was said, whole and of its kind.
            Self::Invented | Self::Frames => Promise::SamePlace,
            Self::ForeignRoom | Self::OwnMessage | Self::NotThere => Promise::Apart,
            Self::Duplicate => Promise::Once,
            Self::Order | Self::Missing => Promise::Linked,
            // A request is answered as its moment asks for: joins succeed, but where all is full.
            Self::Answer => Promise::Alive,
            Self::LastWord | Self::Empty => Promise::Farewell,
            Self::Counters => Promise::Accounted,
        }
    }
}

/// A broken promise.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// By what.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.detail)
    }
}

/// What a checked run adds up to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sums {
    /// Messages heard by all clients.
    pub deliveries: u64,
    /// Messages that lossy members missed, as counted by the hub.
    pub dropped: u64,
    /// Clients that heard 1013.
    pub slow: u64,
}

/// Checks one run.
///
/// # Errors
/// The first promise found broken.
pub fn check(
    plan: &Plan,
    reference: &Reference,
    heard: &[Heard],
    rest: &Rest,
) -> Result<Sums, Violation> {
    let mut checker = Checker::new(plan, reference, rest);
    let placed = heard.iter().map(|heard| checker.place(heard)).collect::<Result<Vec<_>, _>>()?;
    checker.find_unpublished(heard, &placed);
    for (index, (heard, places)) in heard.iter().zip(&placed).enumerate() {
        checker.judge(index, heard, places)?;
    }
    checker.add_up(heard)
}

const AWAY: u16 = 1001;
const TRY_LATER: u16 = 1013;
/// More than all members of a plan together can owe.
const SHARD_OUTBOX_AMPLE: usize = 64 << 20;

struct Checker<'a> {
    plan: &'a Plan,
    reference: &'a Reference,
    rest: &'a Rest,
    /// Where each message stands; every one is unlike all others.
    index: BTreeMap<&'a Message, (&'a str, usize)>,
    /// Authors of whom the hub heard nothing from this place of the log on.
    unheard_from: BTreeMap<SocketAddr, usize>,
    /// Messages that lossy members surely missed, and those they may have missed.
    missed_min: u64,
    missed_max: u64,
}

impl<'a> Checker<'a> {
    fn new(plan: &'a Plan, reference: &'a Reference, rest: &'a Rest) -> Self {
        let entries = reference.rooms.iter().flat_map(|(room, log)| {
            let places = log.iter().enumerate();
            places.map(move |(place, entry)| (&entry.message, (room.as_str(), place)))
        });
        Self {
            plan,
            reference,
            rest,
            index: entries.collect(),
            unheard_from: BTreeMap::new(),
            missed_min: 0,
            missed_max: 0,
        }
    }

    /// Where in its room's log each message stands that a client heard.
    fn place(&self, heard: &Heard) -> Result<Vec<usize>, Violation> {
        let Some((address, member)) = self.member(heard) else {
            return match heard.messages.first() {
                None => Ok(Vec::new()),
                Some(message) => broken(Rule::NotThere, format!("a stranger heard {message:?}")),
            };
        };
        let mut places: Vec<usize> = Vec::new();
        for message in &heard.messages {
            let say =
                |rule, what: &str| broken(rule, format!("{address} heard {message:?} {what}"));
            let Some(&(room, place)) = self.index.get(message) else {
                return say(Rule::Invented, "that nobody said");
            };
            if room != member.room {
                return say(Rule::ForeignRoom, &format!("of {room} in {}", member.room));
            }
            if self.log(member)[place].author == address {
                return say(Rule::OwnMessage, "from itself");
            }
            if place < member.joined_at || member.left_at.is_some_and(|left| place >= left) {
                return say(Rule::NotThere, "while it was not there");
            }
            if places.contains(&place) {
                return say(Rule::Duplicate, "twice");
            }
            if places.last().is_some_and(|&last| last > place) {
                return say(Rule::Order, "after a later one");
            }
            places.push(place);
        }
        Ok(places)
    }

    /// A slow author is closed at a moment that nobody sees from outside; what it says from then
    /// on is dropped. So its last message that anyone heard was the last one surely published.
    fn find_unpublished(&mut self, heard: &[Heard], placed: &[Vec<usize>]) {
        if self.closed(CloseReason::Slow) == 0 {
            return;
        }
        for (index, author) in heard.iter().enumerate() {
            let Some((address, member)) = self.member(author) else { continue };
            // These it hears only if it was open until then.
            let said_goodbye = matches!(self.leave(index), Some(Leave::Goodbye(code))
                if author.close == Some(code) && member.left_at.is_some());
            if author.close == Some(AWAY) || said_goodbye {
                continue;
            }
            let log = self.log(member);
            let witnesses = heard.iter().zip(placed).filter(|(other, _)| {
                self.member(other).is_some_and(|(_, other)| other.room == member.room)
            });
            let witnessed = witnesses
                .flat_map(|(_, places)| places.iter().copied())
                .filter(|&place| log[place].author == address);
            let from = witnessed.max().map_or(0, |last| last + 1);
            self.unheard_from.insert(address, from);
        }
    }

    fn judge(&mut self, index: usize, heard: &Heard, places: &[usize]) -> Result<(), Violation> {
        let who = heard.address.map_or_else(|| "nobody".to_owned(), |address| address.to_string());
        if let Some(fault) = &heard.fault {
            return broken(Rule::Frames, format!("{who} was sent {fault}"));
        }
        let reset = self.leave(index) == Some(Leave::Reset);
        let cut = heard.close.is_none() && self.rest.counters.cut > 0;
        if heard.half_frame && !reset && !cut {
            return broken(Rule::Frames, format!("{who} was left with half a frame"));
        }
        let member = self.member(heard);
        self.judge_answer(&who, heard, member.is_some(), reset)?;
        self.judge_last_word(index, &who, heard, member.map(|(_, member)| member))?;
        match member {
            Some((address, member)) => {
                let promised = if reset { 0 } else { self.promised_until(member, heard) };
                self.judge_gaps(address, member, places, promised)
            }
            None => Ok(()),
        }
    }

    fn judge_answer(
        &self,
        who: &str,
        heard: &Heard,
        member: bool,
        reset: bool,
    ) -> Result<(), Violation> {
        let due = match (heard.status, member) {
            (Some(101), true) | (Some(503), false) => true,
            // Cut or reset before the response was read, or never accepted.
            (None, true) => reset || self.rest.counters.cut > 0,
            (None, false) => true,
            (Some(_), _) => false,
        };
        if due {
            return Ok(());
        }
        broken(Rule::Answer, format!("{who} (member: {member}) was answered {:?}", heard.status))
    }

    fn judge_last_word(
        &self,
        index: usize,
        who: &str,
        heard: &Heard,
        member: Option<&Membership>,
    ) -> Result<(), Violation> {
        let leave = self.leave(index);
        let left = member.is_some_and(|member| member.left_at.is_some());
        let due = match (heard.close, leave) {
            (Some(code), Some(Leave::Goodbye(said))) if left && code == said => true,
            (Some(AWAY), _) => member.is_some() && !left,
            (Some(TRY_LATER), _) => self.closed(CloseReason::Slow) > 0,
            (Some(_), _) => false,
            (None, Some(Leave::Reset | Leave::HalfClose)) => true,
            (None, Some(Leave::Goodbye(_)) | None) => {
                member.is_none() || self.rest.counters.cut > 0
            }
        };
        if due {
            return Ok(());
        }
        broken(
            Rule::LastWord,
            format!("{who} heard {:?} at the end, leaving: {leave:?}", heard.close),
        )
    }

    /// What a member should have heard and did not.
    fn judge_gaps(
        &mut self,
        address: SocketAddr,
        member: &Membership,
        places: &[usize],
        promised: usize,
    ) -> Result<(), Violation> {
        let log = self.log(member);
        let end = member.left_at.unwrap_or(log.len());
        let missed: Vec<usize> = (member.joined_at..end)
            .filter(|&place| log[place].author != address && places.binary_search(&place).is_err())
            .collect();
        let after_last = places.last().map_or(0, |last| last + 1);
        let until = after_last.max(promised);
        let surely = missed.iter().copied().filter(|&place| {
            let unheard = self.unheard_from.get(&log[place].author);
            place < until && unheard.is_none_or(|&from| place < from)
        });
        let surely: Vec<usize> = surely.collect();
        let lossy = self.plan.policy == MemberPolicy::Lossy;
        if let (Some(place), false) = (surely.first(), lossy) {
            let entry = &log[*place];
            let detail = format!("{address} did not hear {:?} of {}", entry.message, entry.author);
            return broken(Rule::Missing, detail);
        }
        self.missed_min += surely.len() as u64;
        self.missed_max += missed.len() as u64;
        Ok(())
    }

    /// Up to which place a member hears everything, whatever it heard last.
    fn promised_until(&self, member: &Membership, heard: &Heard) -> usize {
        let log = self.log(member);
        let troubled = self.rest.counters.cut > 0 || self.closed(CloseReason::Slow) > 0;
        match (member.left_in_turn, heard.close) {
            (None, Some(AWAY)) => log.len(),
            (_, Some(TRY_LATER)) | (None, _) => 0,
            // Without a close frame it cannot be told from who was cut.
            (Some(_), None) if troubled => 0,
            // What was said in the turn in which it left may come too late for it.
            (Some(turn), _) => log.partition_point(|entry| entry.turn < turn),
        }
    }

    fn add_up(&self, heard: &[Heard]) -> Result<Sums, Violation> {
        let rest = self.rest;
        let left = (rest.live, rest.rooms, rest.outbox_bytes, rest.inbound_bytes, rest.extents);
        if left != (0, 0, 0, 0, 0) {
            return broken(Rule::Empty, format!("{rest:?}"));
        }
        let sums = Sums {
            deliveries: heard.iter().map(|heard| heard.messages.len() as u64).sum(),
            dropped: rest.counters.dropped,
            slow: heard.iter().filter(|heard| heard.close == Some(TRY_LATER)).count() as u64,
        };
        let (cut, late) = (rest.counters.cut, self.late());
        let shed = self.plan.limits.shard_outbox_bytes_max < SHARD_OUTBOX_AMPLE;
        if cut > late && !shed {
            let detail = format!("{cut} were cut, of whom {late} at most were late");
            return broken(Rule::LastWord, detail);
        }
        let wrong = self.disagreements(heard, sums).into_iter().find(|(_, agrees)| !agrees);
        match wrong {
            Some((what, _)) => {
                let (min, max) = (self.missed_min, self.missed_max);
                let detail =
                    format!("{what}: {sums:?}, missed {min} to {max}, {:?}", rest.counters);
                broken(Rule::Counters, detail)
            }
            None => Ok(sums),
        }
    }

    /// Clients that may be cut: whoever reads at once and answers a close frame ends in time.
    fn late(&self) -> u64 {
        let reads = self.plan.limits.read_bytes_max;
        let late = self.plan.clients.iter().filter(|client| client.may_be_late(reads));
        late.count() as u64
    }

    fn disagreements(&self, heard: &[Heard], sums: Sums) -> Vec<(&'static str, bool)> {
        let counters = &self.rest.counters;
        let said = self.reference.messages();
        let lossy = self.plan.policy == MemberPolicy::Lossy;
        let dropped = counters.dropped;
        let wordless = heard.iter().enumerate().filter(|(index, heard)| {
            let left = matches!(self.leave(*index), Some(Leave::Reset | Leave::HalfClose));
            self.member(heard).is_some() && heard.close.is_none() && !left
        });
        let all_stayed = heard.iter().all(|heard| heard.close == Some(AWAY))
            && self.reference.members.values().all(|member| member.left_at.is_none());
        let certain = self.closed(CloseReason::Slow) == 0;
        vec![
            ("accepted and closed", counters.accepted == counters.closed_total()),
            ("members and opened", counters.opened == self.reference.members.len() as u64),
            ("messages said", counters.messages <= said),
            ("messages said by those never closed", !certain || counters.messages == said),
            ("1013 heard and said", sums.slow <= self.closed(CloseReason::Slow)),
            ("no last word and cut", wordless.count() as u64 <= counters.cut),
            ("dropped without leave", lossy || dropped == 0),
            ("missed and dropped", !lossy || self.missed_min <= dropped),
            ("dropped and missed", dropped <= self.missed_max),
            ("heard and delivered", sums.deliveries <= counters.deliveries),
            ("all heard what was delivered", !all_stayed || sums.deliveries == counters.deliveries),
        ]
    }

    fn closed(&self, reason: CloseReason) -> u64 {
        self.rest.counters.closed[reason.index()]
    }

    fn member(&self, heard: &Heard) -> Option<(SocketAddr, &'a Membership)> {
        let address = heard.address?;
        Some((address, self.reference.members.get(&address)?))
    }

    fn log(&self, member: &Membership) -> &'a [Entry] {
        self.reference.rooms.get(&member.room).map_or(&[], |log| log)
    }

    fn leave(&self, index: usize) -> Option<Leave> {
        match self.plan.clients[index].steps.last()?.action {
            Action::Leave(leave) => Some(leave),
            Action::Say(_) | Action::Stall | Action::Narrow(_) | Action::Resume(_) => None,
        }
    }
}

fn broken<T>(rule: Rule, detail: String) -> Result<T, Violation> {
    Err(Violation { rule, detail })
}

#[cfg(test)]
mod tests;
