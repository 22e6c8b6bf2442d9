//! What must be true at certain moments: in time, when a node has ended, when all is calm, and once
//! a run is over.

use std::collections::BTreeMap;

use gateway_core::counters::Counters;
use gateway_core::event::CloseReason;
use gateway_core::id::Author;

use super::connection::{Connection, Span, Stage};
use super::coverage::{outcome, race, work};
use super::ledger::Ledger;
use super::record::{Message, Place};
use super::setting::Family;
use crate::counts::Group;
use crate::promise::Promise;

impl Ledger {
    /// Whoever reads has heard in time what was said, although others are stuck.
    pub(super) fn check_due(&mut self) {
        while let Some(&(due, number)) = self.due.front()
            && due <= self.now
            && self.broken.is_none()
        {
            self.due.pop_front();
            if let Some(id) = self.deaf_to(number) {
                let what = format!("it has not heard message {number} in time");
                self.complain_of(id, Promise::Unhindered, &what);
            }
        }
    }

    /// A member whom no fault touches and who has not heard a message that no fault touched.
    fn deaf_to(&self, number: u32) -> Option<u32> {
        let said = &self.record.messages[number as usize];
        let by = &self.connections[said.by as usize];
        let arrived = !by.tainted && (by.is_healthy() || said.at.is_some());
        if !arrived || said.refused || self.setting.is_lossy() {
            return None;
        }
        let ids = (0..).zip(&self.connections);
        let mut members = ids.filter(|(_, connection)| {
            connection.is_healthy()
                && !connection.tainted
                && connection.place == said.place
                && connection.opened_at < said.said_at
        });
        members.find(|(_, connection)| !self.has(connection, number)).map(|(id, _)| id)
    }

    /// Whether a member has heard a message, may not hear it, or was told that it has lost it.
    pub(super) fn has(&self, connection: &Connection, number: u32) -> bool {
        let said = &self.record.messages[number as usize];
        let excluded = self.setting.rooms[said.place.room] != Family::Chat;
        if excluded && said.author == connection.author || connection.known.contains(&number) {
            return true;
        }
        if !connection.is_probe() {
            return false;
        }
        match said.at {
            // It joined behind it, or has lost it.
            Some((epoch, offset)) => {
                epoch == connection.epoch && offset <= connection.first
                    || connection.lost_at(epoch, offset)
            }
            None => !connection.lost.is_empty(),
        }
    }

    /// The bounds of a node's shards, now.
    pub(super) fn check_bounds(&mut self, node: usize, look: &[Look]) {
        let limits = &self.setting.limits;
        let capacity = self.setting.capacity;
        let live: u64 = look.iter().map(|look| u64::from(look.live)).sum();
        let outbox_max = limits.shard_outbox_bytes_max as u64;
        let inbound_max = (limits.inbound_bytes_max + limits.read_bytes_max) as u64;
        let mut broken = (live > capacity.total_max).then(|| format!("{live} connections"));
        for look in look {
            let over = [
                (u64::from(look.live), u64::from(capacity.shard_max), "connections"),
                (look.outbox_bytes, outbox_max, "outbox bytes"),
                (look.inbound_bytes, inbound_max, "inbound bytes"),
                (look.waiting, limits.commands_waiting_max as u64, "waiting commands"),
            ];
            let over = over.into_iter().find(|(has, max, _)| has > max);
            let over =
                over.map(|(has, max, what)| format!("a shard has {has} {what}, {max} at most"));
            broken = broken.or(over);
        }
        if let Some(what) = broken {
            let lane = self.lanes.nodes[node];
            self.complain(Promise::Bounded, format!("node {node}: {what}"), Some(lane));
        }
    }

    /// A process has ended in order, having counted this: so many connections of nobody's were
    /// made to it besides those of clients.
    pub(super) fn check_ended(&mut self, node: usize, incarnation: u32, ended: &Ended) {
        let Ended { counters, left, strangers } = ended;
        let known = self.known.get(&(node, incarnation)).copied().unwrap_or_default();
        let closed = |reason: CloseReason| counters.closed[reason.index()];
        let came = counters.accepted + counters.moved_in;
        let went = counters.closed_total() + counters.moved_out;
        let mine = |connection: &&Connection| {
            connection.place.node == node && connection.place.incarnation == incarnation
        };
        let connections = self.connections.iter().filter(mine);
        // Nobody knows whether the node answered those that never heard an answer.
        let unheard = connections.filter(|connection| connection.opened_at == 0).count() as u64;
        let later =
            closed(CloseReason::Slow) + closed(CloseReason::Gap) + closed(CloseReason::Inbound);
        let facts = [
            (came == went, format!("{came} came and {went} went")),
            (*left == 0, format!("{left} are left, or what they owe")),
            (
                counters.accepted <= known.established + strangers,
                format!("{} were accepted of {}", counters.accepted, known.established),
            ),
            (
                known.upgraded <= counters.opened && counters.opened <= known.upgraded + unheard,
                format!("{} were opened, {} know of it", counters.opened, known.upgraded),
            ),
            (
                known.told_away <= closed(CloseReason::Drained),
                format!("{} heard 1001", known.told_away),
            ),
            (
                known.told_later <= later,
                format!("{} heard 1013, {later} were told", known.told_later),
            ),
        ];
        self.counts.add(Group::Race, race::MOVED, counters.moved_in);
        self.counts.add(Group::Race, race::PASSED, counters.passed);
        self.counts.add(Group::Race, race::GAPS, counters.gaps);
        self.counts.add(Group::Outcome, outcome::DROPPED, counters.dropped);
        self.count(Group::Work, work::DRAINED_NODES);
        self.note(format!("node {node}.{incarnation} has ended: {counters:?}"));
        if let Some((_, what)) = facts.into_iter().find(|(holds, _)| !holds) {
            let lane = self.lanes.nodes[node];
            let what = format!("node {node}.{incarnation}: {what}; it counted {counters:?}");
            self.complain(Promise::Accounted, what, Some(lane));
        }
    }

    /// When a node has drained: whoever reads was told, unless a fault touched it.
    pub(super) fn check_farewell(&mut self, node: usize, incarnation: u32) {
        let untold = |connection: &Connection| {
            let Place { node: of, incarnation: and, .. } = connection.place;
            (of, and) == (node, incarnation)
                && connection.stage == Stage::Open
                && connection.reads
                && !connection.tainted
                && !connection.leaves
                && connection.close.is_none()
        };
        if let Some(id) = self.connections.iter().position(untold) {
            let what = "its node has drained, and it was not told";
            self.complain_of(id as u32, Promise::Farewell, what);
        }
    }

    /// The first lie about who is where, if members have been told one: who is told, what, and what
    /// is true.
    pub(super) fn false_presence(&self) -> Option<(u32, String)> {
        let mut members: BTreeMap<Place, Vec<(u32, &Connection)>> = BTreeMap::new();
        for (id, connection) in (0..).zip(&self.connections) {
            if connection.stage == Stage::Open {
                members.entry(connection.place).or_default().push((id, connection));
            }
        }
        let shown = members.iter().filter(|(place, _)| self.setting.policy(place.room).presence);
        shown.into_iter().find_map(|(_, members)| {
            let (mut named, mut others, mut nicks) = (Vec::new(), 0, Vec::new());
            for (_, member) in members {
                match member.name {
                    _ if member.chats() => nicks.extend(member.nicks.last().cloned()),
                    Some(name) => named.push(Author::named(u64::from(name)).to_bits()),
                    None => others += usize::from(member.is_probe()),
                }
            }
            named.sort_unstable();
            named.dedup();
            nicks.sort_unstable();
            let truth = Truth { named, others, nicks };
            members.iter().find_map(|(id, member)| Some((*id, truth.lie(member)?)))
        })
    }

    /// What can be said only when all is known: about what was passed over, and about order.
    pub(super) fn check_past(&mut self) {
        if self.setting.is_lossy() {
            return;
        }
        for id in 0..self.connections.len() as u32 {
            let connection = &self.connections[id as usize];
            let found = if connection.is_probe() {
                self.passed_over(connection)
            } else {
                self.hole(connection)
            };
            if let Some(what) = found {
                return self.complain_of(id, Promise::Linked, &what);
            }
        }
    }

    /// A message that a probe passed over without a word, and that is not its own.
    fn passed_over(&self, connection: &Connection) -> Option<String> {
        let strangers = connection.silent.iter().find_map(|&Span { epoch, after, upto }| {
            let mut all = self.record.between(connection.place, epoch, after, upto);
            all.find(|&number| self.said(number).author != connection.author)
        });
        strangers.map(|number| format!("it passed over message {number} without a word"))
    }

    /// Where a member that hears no offsets heard out of order, or not all.
    fn hole(&self, connection: &Connection) -> Option<String> {
        let mut last: Option<(u64, u64)> = None;
        for &number in &connection.heard {
            let Some((epoch, offset)) = self.said(number).at else { continue };
            if let Some((_, before)) = last.filter(|&(of, _)| of == epoch) {
                if offset <= before {
                    return Some(format!("it heard offset {offset} after {before}"));
                }
                let mut between = self.record.between(connection.place, epoch, before, offset - 1);
                let missed = between.find(|&number| !self.has(connection, number));
                if let Some(missed) = missed {
                    return Some(format!("it did not hear message {missed}, before {offset}"));
                }
            }
            last = Some((epoch, offset));
        }
        None
    }

    fn said(&self, number: u32) -> &Message {
        &self.record.messages[number as usize]
    }
}

/// What a shard holds at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Look {
    pub(super) live: u32,
    pub(super) outbox_bytes: u64,
    pub(super) inbound_bytes: u64,
    pub(super) waiting: u64,
}

/// What a process says when it has ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    pub(super) counters: Counters,
    /// Places and bytes that nobody gave back.
    pub(super) left: u64,
    /// Connections to it that were nobody's.
    pub(super) strangers: u64,
}

/// Who is in a room: who is known by a name, how many are not, and the names of those who chat.
struct Truth {
    named: Vec<u64>,
    others: usize,
    nicks: Vec<String>,
}

impl Truth {
    /// What a member was told, if it is not true.
    fn lie(&self, member: &Connection) -> Option<String> {
        if member.chats() {
            let mut told = member.list.clone().unwrap_or_default();
            told.sort_unstable();
            return (told != self.nicks)
                .then(|| format!("it was told that {told:?} are there, not {:?}", self.nicks));
        }
        if !member.is_probe() {
            return None;
        }
        let Some(view) = &member.view else { return Some("it was not told".to_owned()) };
        let (named, others): (Vec<u64>, Vec<u64>) =
            view.iter().partition(|&&bits| Author::from_bits(bits).is_named());
        (named != self.named || others.len() != self.others).then(|| {
            let names = named.len();
            format!(
                "it was told of {names} with names and {} others; there are {} and {}",
                others.len(),
                self.named.len(),
                self.others
            )
        })
    }
}
