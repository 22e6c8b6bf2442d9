//! How shards and clients are, looked at after each turn: what changed is told.

use std::collections::BTreeMap;

use super::super::client::{Client, Place, Reads, Stage};
use super::super::shard::State;
use super::super::world::World;
use super::Tale;
use crate::story::{Arrow, Band, Lane, MarkKind, Of};

/// More than this passes only when nobody turns.
const TURN_NANOS_MAX: u64 = 20_000_000;

/// What was seen at the last look.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) calm: bool,
    now: Option<u64>,
    shards: Vec<SeenShard>,
    /// Those whose connection is not over, and how many there ever were.
    clients: BTreeMap<u32, Seen>,
    came: u32,
}

#[derive(Debug)]
struct SeenShard {
    state: State,
    /// The stretch in which it leaves.
    leaves: Option<usize>,
}

/// A client as it was.
#[derive(Debug)]
struct Seen {
    stage: Stage,
    place: Place,
    reads: Reads,
    /// Which of the [faults](faults) had befallen it.
    faults: [bool; 5],
    /// Where its connection set out for another shard, and when.
    left: (Lane, u64),
    /// The stretch in which it does not read freely.
    slow: Option<usize>,
}

/// What befell a client, in words.
fn faults(client: &Client) -> [(bool, &'static str); 5] {
    [
        (client.severed, "its connection is cut"),
        (client.breaks, "it is gone amid a frame"),
        (client.mute.is_some(), "half-open: no word of it comes any more, and no end"),
        (client.spoiled.is_some(), "says what no client may say"),
        (client.told_off, "its user is let in no more"),
    ]
}

impl World {
    /// Tells what changed since the last look, if anything is told.
    pub(in super::super) fn watch(&mut self) {
        if !self.ears.tale.pen.writes() {
            return;
        }
        let mut tale = std::mem::take(&mut self.ears.tale);
        // Whoever had not heard something may hear it yet.
        tale.suspect = None;
        tale.watch_time(self.now.0);
        tale.watch_shards(self);
        tale.watch_clients(self);
        self.ears.tale = tale;
    }
}

impl Tale {
    fn watch_time(&mut self, now: u64) {
        let before = self.watched.now.replace(now).unwrap_or(now);
        if now - before > TURN_NANOS_MAX && !self.watched.calm {
            let text = format!("no shard turns for {} ms", (now - before) / 1_000_000);
            self.stretch(Vec::new(), before, Some(now), &text);
        }
    }

    fn watch_shards(&mut self, world: &World) {
        let now = world.now.0;
        for (index, shard) in world.shards.iter().enumerate() {
            let lane = self.shard(index);
            if self.watched.shards.len() == index {
                self.note(lane, now, MarkKind::Opened, Of::default(), "serves".to_owned());
                self.watched.shards.push(SeenShard { state: State::Serving, leaves: None });
            }
            let before = std::mem::replace(&mut self.watched.shards[index].state, shard.state);
            if before == shard.state {
                continue;
            }
            if before == State::Serving {
                let text = "leaves: everything on it goes elsewhere";
                let leaves = self.stretch(vec![lane], now, None, text);
                self.watched.shards[index].leaves = Some(leaves);
            }
            if shard.state == State::Gone {
                if let Some(leaves) = self.watched.shards[index].leaves.take() {
                    self.pen.end(leaves, now);
                }
                self.note(lane, now, MarkKind::Closed, Of::default(), "is vacant".to_owned());
            }
        }
    }

    fn watch_clients(&mut self, world: &World) {
        let (now, clients) = (world.now.0, &world.ears.clients);
        for id in self.watched.came..clients.len() as u32 {
            let left = (self.client(id), now);
            let seen = Seen {
                stage: Stage::Asking,
                place: Place::Nowhere,
                reads: Reads::Freely,
                faults: [false; 5],
                left,
                slow: None,
            };
            self.watched.clients.insert(id, seen);
        }
        self.watched.came = clients.len() as u32;
        let mut watched = std::mem::take(&mut self.watched.clients);
        watched.retain(|&id, seen| self.watch_client(now, id, seen, &clients[id as usize]));
        self.watched.clients = watched;
    }

    /// Whether its connection is not over.
    fn watch_client(&mut self, now: u64, id: u32, seen: &mut Seen, client: &Client) -> bool {
        let lane = self.client(id);
        let room = Some(super::room(client.room));
        let of = Of { room, connection: Some(u64::from(id)), messages: Vec::new() };
        self.watch_place(now, (id, lane), seen, client, &of);
        if seen.stage != client.stage {
            let kind = match (client.probes, &client.chat) {
                (true, _) => "a probe",
                (false, Some(_)) => "somebody who chats",
                (false, None) => "a raw client",
            };
            match client.stage {
                Stage::Open => {
                    let text = format!("is let in to room {} as {kind}", client.room);
                    self.note(lane, now, MarkKind::Opened, of.clone(), text);
                }
                Stage::Refused => {
                    let text = format!("is refused: {}", client.status);
                    self.note(lane, now, MarkKind::Closed, of.clone(), text);
                }
                Stage::Asking | Stage::Over => {}
            }
            seen.stage = client.stage;
        }
        for (seen, (has, text)) in seen.faults.iter_mut().zip(faults(client)) {
            if has && !*seen {
                *seen = true;
                self.note(lane, now, MarkKind::Fault, of.clone(), text.to_owned());
            }
        }
        self.watch_reads(now, lane, seen, client);
        let Some(reason) = client.reason else { return true };
        let heard = client.heard_close.map(|code| format!(", it heard {code}"));
        let text = format!("its connection ends: {reason:?}{}", heard.unwrap_or_default());
        self.note(lane, now, MarkKind::Closed, of, text);
        false
    }

    fn watch_reads(&mut self, now: u64, lane: Lane, seen: &mut Seen, client: &Client) {
        let reads = if client.reason.is_some() { Reads::Freely } else { client.reads };
        if reads == seen.reads {
            return;
        }
        seen.reads = reads;
        if let Some(slow) = seen.slow.take() {
            self.pen.end(slow, now);
        }
        let text = match reads {
            Reads::Freely => return,
            Reads::Slowly(bytes) => format!("reads only {bytes} bytes at a time"),
            Reads::Not => "reads nothing".to_owned(),
        };
        seen.slow = Some(self.stretch(vec![lane], now, None, &text));
    }

    /// A client comes to a shard, or its connection goes on at another one.
    fn watch_place(
        &mut self,
        now: u64,
        (id, lane): (u32, Lane),
        seen: &mut Seen,
        client: &Client,
        of: &Of,
    ) {
        let before = std::mem::replace(&mut seen.place, client.place);
        if before == client.place {
            return;
        }
        if let Place::At { shard, .. } = before {
            seen.left = (self.shard(usize::from(shard)), now);
        }
        let Place::At { shard, .. } = client.place else { return };
        let to = self.shard(usize::from(shard));
        let (from, sent) = seen.left;
        let text = match (from == lane, client.since) {
            (false, _) => format!("the connection of client {id} goes on here"),
            (true, None) => format!("asks to join room {}", client.room),
            (true, Some(since)) => {
                format!("comes back to room {}, from offset {}", client.room, since.offset)
            }
        };
        self.pen.arrow(|| Arrow { from, sent, to, heard: now, of: of.clone(), text });
    }

    /// A fault or a time with a name; its number.
    pub(super) fn stretch(
        &mut self,
        lanes: Vec<Lane>,
        from: u64,
        until: Option<u64>,
        text: &str,
    ) -> usize {
        self.pen.band(|| Band { lanes, from, until, text: text.to_owned() })
    }
}
