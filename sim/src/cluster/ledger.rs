//! The one book of a run: what is known together, the first promise that was broken, and what is
//! folded into the run's number.

use std::collections::{BTreeMap, VecDeque};

use super::connection::{Connection, Stage};
use super::coverage;
use super::record::{Place, Record};
use super::setting::Setting;
use crate::counts::{Counts, Group};
use crate::promise::{Promise, Violation};
use crate::story::{Arrow, Lane, Mark, MarkKind, Of, Pen};

/// Lines that a failure is told with.
const LINES_MAX: usize = 60;
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Who has which lane in the picture.
#[derive(Clone, Debug)]
pub(super) struct Lanes {
    pub(super) nodes: Vec<Lane>,
    pub(super) clients: Vec<Lane>,
}

/// What clients know of one process of a node.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Known {
    /// Connections that were established, and those whose request was answered with 101 and with
    /// something else.
    pub(super) established: u64,
    pub(super) upgraded: u64,
    pub(super) answered: u64,
    /// Close frames with 1001 and with 1013 that were heard.
    pub(super) told_away: u64,
    pub(super) told_later: u64,
}

/// All that a run knows.
pub(super) struct Ledger {
    pub(super) setting: Setting,
    /// Nanoseconds since the run began.
    pub(super) now: u64,
    /// By node: how far its clock is ahead.
    pub(super) ahead: Vec<u64>,
    pub(super) record: Record,
    pub(super) connections: Vec<Connection>,
    /// By node and incarnation.
    pub(super) known: BTreeMap<(usize, u32), Known>,
    /// Messages that everyone has to have heard by these moments.
    pub(super) due: VecDeque<(u64, u32)>,
    pub(super) counts: Counts,
    pub(super) broken: Option<Violation>,
    pub(super) pen: Pen,
    pub(super) lanes: Lanes,
    hash: u64,
    events: u64,
    lines: VecDeque<String>,
}

impl Ledger {
    pub(super) fn new(setting: Setting, pen: Pen, clients: usize) -> Self {
        let lanes = Lanes {
            nodes: (0..setting.nodes).map(|n| pen.lane("nodes", || format!("node {n}"))).collect(),
            clients: (0..clients).map(|c| pen.lane("clients", || format!("client {c}"))).collect(),
        };
        Self {
            now: 0,
            ahead: vec![0; setting.nodes],
            record: Record::default(),
            connections: Vec::new(),
            known: BTreeMap::new(),
            due: VecDeque::new(),
            counts: coverage::nothing_yet(),
            broken: None,
            pen,
            lanes,
            hash: FNV_OFFSET,
            events: 0,
            lines: VecDeque::new(),
            setting,
        }
    }

    /// A node's own time.
    pub(super) fn node_now(&self, node: usize) -> u64 {
        self.now + self.ahead[node]
    }

    /// Folds something that happened.
    pub(super) fn note(&mut self, line: String) {
        self.events += 1;
        let bytes = self.now.to_le_bytes();
        for byte in bytes.iter().chain(line.as_bytes()).chain(&[0xff]) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>9.3} {line}", self.now as f64 / 1e9));
    }

    /// Folds what was folded elsewhere.
    pub(super) fn fold(&mut self, hash: u64, events: u64) {
        for byte in hash.to_le_bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        self.events += events;
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn events(&self) -> u64 {
        self.events
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }

    pub(super) fn count(&mut self, group: Group, name: &'static str) {
        self.counts.add(group, name, 1);
    }

    /// A promise is broken; the first one counts.
    #[cold]
    pub(super) fn complain(&mut self, promise: Promise, what: String, at: Option<Lane>) {
        if self.broken.is_some() {
            return;
        }
        let (lane, now) = (at.unwrap_or(self.lanes.nodes[0]), self.now);
        let text = || format!("promise {promise}: {what}");
        let kind = MarkKind::Broken;
        self.pen.broke(|| Mark { lane, at: now, kind, of: Of::default(), text: text() });
        self.broken = Some(Violation { promise, what });
    }

    /// A promise is broken to a connection.
    #[cold]
    pub(super) fn complain_of(&mut self, id: u32, promise: Promise, what: &str) {
        let Connection { client, place, speech, offset, .. } = self.connections[id as usize];
        let Place { node, incarnation, room } = place;
        let what = format!(
            "{what} (client {client}, {speech:?}, connection {id}, node {node}.{incarnation}, \
             room {room}, at {offset}, {} ms)",
            self.now / 1_000_000
        );
        let lane = self.lanes.clients[client];
        self.complain(promise, what, Some(lane));
    }

    /// A connection is established.
    pub(super) fn established(&mut self, connection: Connection) -> u32 {
        let id = self.connections.len() as u32;
        let Connection { client, place, speech, since, .. } = connection;
        self.known_of(place).established += 1;
        let Place { node, incarnation, room } = place;
        self.note(format!(
            "client {client} connects to node {node}.{incarnation}, room {room}, as {speech:?} \
             {id}, since {since:?}"
        ));
        self.connections.push(connection);
        id
    }

    pub(super) fn known_of(&mut self, place: Place) -> &mut Known {
        self.known.entry((place.node, place.incarnation)).or_default()
    }

    /// A connection is over, as far as its client is concerned.
    pub(super) fn over(&mut self, id: u32, why: &str) {
        let connection = &mut self.connections[id as usize];
        if std::mem::replace(&mut connection.stage, Stage::Over) == Stage::Over {
            return;
        }
        let (client, close) = (connection.client, connection.close);
        self.note(format!("client {client}'s {id} is over: {why}, {close:?}"));
        self.mark(id, MarkKind::Closed, || format!("{why}, code {close:?}"));
    }

    /// A fault touches these connections.
    pub(super) fn taint(&mut self, of: impl Fn(&Connection) -> bool) -> u64 {
        let mut touched = 0;
        for connection in &mut self.connections {
            if connection.stage != Stage::Over && of(connection) {
                connection.tainted = true;
                touched += 1;
            }
        }
        touched
    }

    /// Something happened to a client, for the picture.
    pub(super) fn mark(&self, id: u32, kind: MarkKind, text: impl FnOnce() -> String) {
        let connection = &self.connections[id as usize];
        let (lane, at) = (self.lanes.clients[connection.client], self.now);
        let of = || self.of(id);
        self.pen.mark(|| Mark { lane, at, kind, of: of(), text: text() });
    }

    /// A message was heard, for the picture.
    pub(super) fn draw(&self, id: u32, message: u32) {
        self.pen.arrow(|| {
            let said = &self.record.messages[message as usize];
            let speaker = self.connections[said.by as usize].client;
            let hearer = self.connections[id as usize].client;
            Arrow {
                from: self.lanes.clients[speaker],
                sent: said.said_at,
                to: self.lanes.clients[hearer],
                heard: self.now,
                of: Of { messages: vec![u64::from(message)], ..self.of(id) },
                text: format!("message {message}"),
            }
        });
    }

    fn of(&self, id: u32) -> Of {
        let Place { node, room, .. } = self.connections[id as usize].place;
        Of {
            room: Some(format!("node {node}, room {room}")),
            connection: Some(u64::from(id)),
            ..Of::default()
        }
    }
}
