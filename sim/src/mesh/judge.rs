//! What must be true whenever the world is calm, and once it is over.

use super::client::{Client, Span};
use super::ears::Ears;
use super::world::World;
use crate::promise::Promise;

impl World {
    /// Whether every member that reads has heard all that it has to hear; if not, what is missing.
    pub(super) fn missing(&mut self) -> Option<String> {
        for at in 0..self.open.len() {
            let id = self.open[at];
            if self.ears.clients[id as usize].is_judged()
                && let Some(what) = self.ears.misses(id)
            {
                return Some(what);
            }
        }
        if self.calm { self.misinformed() } else { None }
    }

    /// Whether presence is what it is: what members were told, and what they were not told since.
    pub(super) fn check_presence(&mut self) {
        for room in 0..self.setting.rooms as u16 {
            if !self.setting.policy(room).presence {
                continue;
            }
            let members: Vec<u32> = self
                .open
                .iter()
                .copied()
                .filter(|&id| {
                    let client = &self.ears.clients[id as usize];
                    client.room == room && client.probes && client.can_speak()
                })
                .collect();
            let truth = self.ears.authors(&members);
            for id in members {
                let client = &self.ears.clients[id as usize];
                let Some(view) = &client.view else { continue };
                let mut told: Vec<_> = view.iter().map(|&who| known_by(who)).collect();
                told.sort_unstable();
                if !client.is_judged() || told == truth {
                    continue;
                }
                let less: Vec<_> = truth.iter().filter(|who| !told.contains(who)).collect();
                let more: Vec<_> = told.iter().filter(|who| !truth.contains(who)).collect();
                let (all, are) = (told.len(), truth.len());
                let what = format!(
                    "it was told of {all} members, {are} are there; {more:?} are not, {less:?} are"
                );
                self.ears.complain(Promise::Alive, id, &what);
            }
        }
    }

    /// What can be said only when all is known: about order, and about what was passed over.
    pub(super) fn check_past(&mut self) {
        self.ears.check_order();
        for id in 0..self.ears.clients.len() as u32 {
            self.ears.check_silence(id);
            if !self.ears.clients[id as usize].probes {
                self.ears.check_raw(id);
            }
        }
    }
}

/// Who is who for a checker: a name, or a place of birth.
fn known_by(bits: u64) -> (bool, u64) {
    let author = gateway_core::id::Author::from_bits(bits);
    match author.birthplace() {
        Some((shard, slot)) => (false, u64::from(shard.0) << 32 | u64::from(slot.0)),
        None => (true, bits),
    }
}

impl Ears {
    /// What one member still has to hear of all that was accepted since it became one.
    fn misses(&mut self, id: u32) -> Option<String> {
        let lossy = self.setting.is_lossy();
        let refuses = self.setting.faults.refuse > 0;
        let client = &self.clients[id as usize];
        if client.probes && client.unanswered > 0 {
            let what = format!("client {id} waits for {} answers", client.unanswered);
            self.suspect_unanswered(id);
            return Some(what);
        }
        if !client.unread().is_empty() {
            return Some(format!("client {id} is not read from, at {:?}", client.place));
        }
        if let Some(what) = self.misses_past(id) {
            return Some(what);
        }
        let (mut missed, mut judged) = (0, client.judged);
        for &message in &self.record.rooms[usize::from(client.room)].accepted[client.judged..] {
            judged += 1;
            let known = &self.record.messages[message as usize];
            let empty = known.len == 0 && !client.probes;
            let own = known.author == client.author && client.chat.is_none();
            if own || !known.required || known.refused || empty {
                continue;
            }
            if self.has_it(client, message) {
                continue;
            }
            // The engine refused it, and whoever said it is gone, or reads raw.
            if refuses && known.heard == 0 && known.place.is_none() {
                continue;
            }
            if lossy {
                missed += 1;
                continue;
            }
            self.tale.suspects(id, Some(message), None);
            let (place, by) = (known.place, known.publisher);
            let (kind, at) = (if client.probes { "probe" } else { "raw" }, client.offset);
            return Some(format!(
                "client {id} ({kind}, room {}, at {at}, {:?}) has not heard message {message} of \
                 client {by} at {place:?}",
                client.room, client.place
            ));
        }
        self.missed += missed;
        self.clients[id as usize].judged = judged;
        None
    }

    /// What a member has not heard that came back, of all that was known when it did: what it was
    /// told it has got completely.
    fn misses_past(&self, id: u32) -> Option<String> {
        let client = &self.clients[id as usize];
        if client.due <= client.offset || self.setting.is_lossy() {
            return None;
        }
        let mut past = self.record.between(client.room, client.epoch, client.offset, client.due);
        let strangers = |&message: &u32| {
            let known = &self.record.messages[message as usize];
            let (epoch, offset) = known.place.unwrap_or_default();
            known.author != client.author && !client.lost_at(epoch, offset)
        };
        let message = past.find(strangers)?;
        let (at, due) = (client.offset, client.due);
        Some(format!(
            "client {id} came back to room {} and is at {at}: it has not heard message {message}, \
             which was known before, up to {due}",
            client.room
        ))
    }

    /// Whether a member has heard a message, or was told that it has lost it.
    fn has_it(&self, client: &Client, message: u32) -> bool {
        if !client.probes {
            return client.has_heard(message);
        }
        let known = &self.record.messages[message as usize];
        let Some((epoch, offset)) = known.place else {
            // Nobody heard it; all who could were told that they lost something.
            return !client.lost.is_empty() || known.len == 0;
        };
        let passed = client.first < offset && offset <= client.offset;
        epoch == client.epoch && passed || client.lost_at(epoch, offset)
    }

    /// The authors of these members, as [`known_by`] gives them.
    /// A name counts once, wherever it is.
    fn authors(&self, members: &[u32]) -> Vec<(bool, u64)> {
        let author = |&id: &u32| {
            let client = &self.clients[id as usize];
            match client.name {
                Some(name) => known_by(gateway_core::id::Author::named(u64::from(name)).to_bits()),
                None => (false, u64::from(client.born.0) << 32 | u64::from(client.born.1)),
            }
        };
        let mut authors: Vec<_> = members.iter().map(author).collect();
        authors.sort_unstable();
        authors.dedup_by(|a, b| a == b && a.0);
        authors
    }

    /// Within an epoch each publisher's messages are in the order in which it said them.
    fn check_order(&mut self) {
        let mut last = vec![0; self.clients.len()];
        let mut wrong = None;
        for room in &self.record.rooms {
            for epoch in &room.epochs {
                last.fill(0);
                for &known in epoch.log.iter().filter(|&&known| known > 0) {
                    let publisher = self.record.messages[known as usize - 1].publisher;
                    let before = std::mem::replace(&mut last[publisher as usize], known);
                    if known < before {
                        wrong = Some((publisher, known - 1, before - 1));
                    }
                }
            }
        }
        if let Some((publisher, late, early)) = wrong {
            let what = format!("its message {late} comes after its {early}");
            self.complain(Promise::Linked, publisher, &what);
        }
    }

    /// What a probe passed over without a word is its own.
    fn check_silence(&mut self, id: u32) {
        if self.setting.is_lossy() {
            return;
        }
        let client = &self.clients[id as usize];
        for &Span { epoch, after, upto } in &client.silent {
            let by_other =
                |&message: &u32| self.record.messages[message as usize].author != client.author;
            let stranger = self.record.between(client.room, epoch, after, upto).find(by_other);
            if let Some(message) = stranger {
                let what = format!("it passed over message {message} between {after} and {upto}");
                let at = self.tale.skipped_at(id, upto);
                self.tale.suspects(id, Some(message), at);
                return self.complain(Promise::Linked, id, &what);
            }
        }
    }

    /// What a raw member heard is in the room's order, and without holes.
    fn check_raw(&mut self, id: u32) {
        let client = &self.clients[id as usize];
        let mut at: Option<(u16, u64)> = None;
        for &message in &client.heard {
            let Some((epoch, offset)) = self.record.messages[message as usize].place else {
                continue;
            };
            if let Some((before, last)) = at.filter(|&(before, _)| before == epoch) {
                if offset <= last {
                    let what = format!("it heard offset {offset} after {last}");
                    return self.complain(Promise::Linked, id, &what);
                }
                let hole = self.record.between(client.room, before, last, offset - 1).find(|&m| {
                    let known = &self.record.messages[m as usize];
                    known.author != client.author && known.len > 0
                });
                if let Some(hole) = hole.filter(|_| !self.setting.is_lossy()) {
                    let what =
                        format!("it did not hear message {hole}, between {last} and {offset}");
                    let heard_at = self.tale.heard_at(id, message);
                    self.tale.suspects(id, Some(hole), heard_at);
                    return self.complain(Promise::Linked, id, &what);
                }
            }
            at = Some((epoch, offset));
        }
    }
}
