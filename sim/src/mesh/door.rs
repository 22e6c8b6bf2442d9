//! Who is let in where a token is asked for: answers that are late, refusals, silence, users whose
//! tokens are good no more.

use gateway_core::event::{Effect, Event, Grant, Ticket};

use super::world::World;

/// Users whom tokens name.
pub(super) const USERS: usize = 6;

/// What becomes of a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Token {
    Good,
    /// It is answered after so many steps, at most.
    Late,
    Wrong,
    /// Nobody ever answers.
    Unanswered,
}

/// Answers on their way.
#[derive(Debug, Default)]
pub(super) struct Door {
    pending: Vec<(u64, usize, Ticket, Option<Grant>)>,
    pub(super) revoked: [bool; USERS],
}

/// Steps that a late answer takes, at most: less than any handshake may.
const LATE_STEPS: usize = 200;

/// How a user is called.
pub(super) fn user(user: u32) -> String {
    format!("user-{user}")
}

/// What a client shows.
pub(super) fn token(id: u32) -> String {
    format!("token-{id}")
}

impl World {
    /// A client shows a token.
    pub(super) fn ask_door(&mut self, index: usize, effect: Effect) {
        let Effect::Authenticate { ticket, token, .. } = effect else { return };
        let id = token.expose().strip_prefix("token-").and_then(|id| id.parse::<usize>().ok());
        let client = id.and_then(|id| self.ears.clients.get_mut(id));
        let Some(client) = client else { return };
        let user = client.user.filter(|&user| !self.door.revoked[user as usize]);
        if client.user.is_some() && user.is_none() {
            client.token = Token::Wrong;
        }
        let granted = Grant { user: user.map(|it| self::user(it).into()) };
        match client.token {
            Token::Unanswered => {}
            Token::Wrong => self.answer_door(index, ticket, None),
            Token::Good => self.answer_door(index, ticket, Some(granted)),
            Token::Late => {
                self.ears.coverage.late_tokens += 1;
                let due = self.step + 1 + self.rng.below(LATE_STEPS) as u64;
                self.door.pending.push((due, index, ticket, Some(granted)));
            }
        }
    }

    fn answer_door(&mut self, index: usize, ticket: Ticket, granted: Option<Grant>) {
        self.stirred = Some("an answer about a token");
        self.shards[index].hub.handle(self.now, Event::Authenticated { ticket, granted });
    }

    /// Answers that have arrived at a shard.
    pub(super) fn open_door(&mut self, index: usize, calm: bool) {
        let mut at = 0;
        while let Some(&(due, shard, ticket, _)) = self.door.pending.get(at) {
            if shard != index || !calm && due > self.step {
                at += 1;
                continue;
            }
            let (.., granted) = self.door.pending.swap_remove(at);
            self.answer_door(index, ticket, granted);
        }
    }
}
