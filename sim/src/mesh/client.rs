//! A client: what it still sends, what it takes, and what it knows of its room.

use std::collections::VecDeque;

use gateway_core::event::CloseReason;
use gateway_core::position::Position;
use gateway_core::slot::Slot;

use super::chat::Chatter;
use super::door::Token;
use super::garbage::Spoiled;

/// How far a client has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// It has not read the answer to its request.
    Asking,
    /// It is a member.
    Open,
    /// It was refused.
    Refused,
    /// Its connection is gone.
    Over,
}

/// Where its socket is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    Nowhere,
    /// On its way between two shards.
    Between,
    At {
        shard: u16,
        slot: Slot,
    },
}

/// How it reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reads {
    Freely,
    /// So many bytes each time that its shard turns.
    Slowly(usize),
    Not,
}

/// Something that it said, in the order in which the hub reads it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    /// The message; none for a question.
    pub(super) message: Option<u32>,
    /// Where its last byte is, counted over all that the client sends.
    pub(super) end: usize,
}

/// What a member passed over, by epoch: after one offset and up to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) epoch: u16,
    pub(super) after: u64,
    pub(super) upto: u64,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) room: u16,
    pub(super) probes: bool,
    pub(super) name: Option<u32>,
    /// Who has the same one does not hear it.
    pub(super) author: u32,
    pub(super) since: Option<Position>,
    /// All that came since is still within history, to the message.
    pub(super) recalls: bool,
    pub(super) stage: Stage,
    pub(super) place: Place,
    /// Where it was accepted.
    pub(super) born: (u16, u32),
    /// It has been on more than one shard.
    pub(super) moved: bool,
    /// It has a place in the census.
    pub(super) reserved: bool,
    /// It is in the list of those its shard has to look at.
    pub(super) ready: bool,
    pub(super) reason: Option<CloseReason>,
    /// It has read that it is a member.
    pub(super) was_open: bool,
    /// With what it was refused.
    pub(super) status: u16,
    /// Messages of its room that were accepted when it read its response.
    pub(super) start: usize,
    pub(super) judged: usize,

    pub(super) up: Vec<u8>,
    /// Bytes of `up` that its shard has read, and bytes that stood before them.
    pub(super) given: usize,
    pub(super) before: usize,
    pub(super) said: VecDeque<Said>,
    /// Messages that were read with its request, and how many of them, or of those that wait with
    /// it, were counted while something else was read.
    pub(super) with_request: usize,
    pub(super) counted_early: usize,
    /// It ends its stream behind what it sends; its shard was told so.
    pub(super) ends: bool,
    pub(super) ended: bool,
    pub(super) severed: bool,
    /// It is cut as soon as its shard has read all that it sent.
    pub(super) breaks: bool,
    pub(super) said_close: bool,
    /// Since when no word of it comes any more, and no end.
    pub(super) mute: Option<u64>,
    /// It comes back when it is cut.
    pub(super) returns: bool,
    /// It said what no client may say.
    pub(super) spoiled: Option<Spoiled>,
    /// The clock went on while it was amid something.
    pub(super) amid: bool,
    /// It did not take all that it was sent at some time.
    pub(super) lagged: bool,

    /// Who it is where a token is asked for, and what becomes of that.
    pub(super) user: Option<u32>,
    pub(super) token: Token,
    /// Its user was let in no more since it came.
    pub(super) told_off: bool,
    /// What it knows where people chat.
    pub(super) chat: Option<Box<Chatter>>,

    pub(super) window: usize,
    pub(super) reads: Reads,
    pub(super) partial: Vec<u8>,
    /// The server ended its stream.
    pub(super) shut: bool,
    pub(super) heard_close: Option<u16>,
    /// Something that it was sent had to wait.
    pub(super) blocked: bool,

    pub(super) subscribed: bool,
    pub(super) epoch: u16,
    /// Where it joined, and where it is.
    pub(super) first: u64,
    pub(super) offset: u64,
    /// The furthest message that was known when it came back with a position.
    pub(super) due: u64,
    /// What it was told it has lost, and what it passed over without a word.
    pub(super) lost: Vec<Span>,
    pub(super) silent: Vec<Span>,
    pub(super) unanswered: u32,
    /// Who is in the room, as it was told since it asked.
    pub(super) view: Option<Vec<u64>>,
    /// Questions that wait for an answer, and how many of them may be answered with what was true
    /// before it moved.
    pub(super) asked: u32,
    pub(super) stale: u32,

    /// What a member without numbers heard, in order, and by bits.
    pub(super) heard: Vec<u32>,
    pub(super) bits: Vec<u64>,
}

/// A window that is never used up.
pub(super) const OPEN_WINDOW: usize = usize::MAX / 2;
const NAMED: u32 = 1 << 31;

impl Client {
    pub(super) fn new(id: u32, room: u16, probes: bool, name: Option<u32>) -> Self {
        Self {
            room,
            probes,
            name,
            author: name.map_or(id, |name| NAMED | name),
            since: None,
            recalls: false,
            stage: Stage::Asking,
            place: Place::Nowhere,
            born: (0, 0),
            moved: false,
            reserved: false,
            ready: false,
            reason: None,
            was_open: false,
            status: 0,
            start: 0,
            judged: 0,
            up: Vec::new(),
            given: 0,
            before: 0,
            said: VecDeque::new(),
            with_request: 0,
            counted_early: 0,
            ends: false,
            ended: false,
            severed: false,
            breaks: false,
            said_close: false,
            mute: None,
            returns: false,
            spoiled: None,
            amid: false,
            lagged: false,
            user: None,
            token: Token::Good,
            told_off: false,
            chat: None,
            window: OPEN_WINDOW,
            reads: Reads::Freely,
            partial: Vec::new(),
            shut: false,
            heard_close: None,
            blocked: false,
            subscribed: false,
            epoch: 0,
            first: 0,
            offset: 0,
            due: 0,
            lost: Vec::new(),
            silent: Vec::new(),
            unanswered: 0,
            view: None,
            asked: 0,
            stale: 0,
            heard: Vec::new(),
            bits: Vec::new(),
        }
    }

    /// Whether it may publish.
    pub(super) fn can_speak(&self) -> bool {
        let goes = self.said_close || self.ends || self.severed || self.breaks;
        self.stage == Stage::Open && !goes && self.mute.is_none() && self.spoiled.is_none()
    }

    /// Whether it does not take all that it is sent.
    pub(super) fn is_slow(&self) -> bool {
        self.reads != Reads::Freely
    }

    /// Whether it is a member that has nothing against it and reads all it is sent.
    pub(super) fn is_judged(&self) -> bool {
        self.can_speak() && self.reads == Reads::Freely && self.heard_close.is_none()
    }

    /// Notes that it heard a message; false if it had before.
    #[inline]
    pub(super) fn hears(&mut self, message: u32) -> bool {
        let (word, bit) = (message as usize / 64, 1 << (message % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let fresh = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        fresh
    }

    pub(super) fn has_heard(&self, message: u32) -> bool {
        let word = self.bits.get(message as usize / 64).copied().unwrap_or(0);
        word & 1 << (message % 64) != 0
    }

    /// Whether it was told that it lost what is at this place.
    pub(super) fn lost_at(&self, epoch: u16, offset: u64) -> bool {
        let covers =
            |span: &Span| span.epoch == epoch && span.after < offset && offset <= span.upto;
        self.lost.iter().any(covers)
    }

    /// Bytes that its shard has read of it.
    pub(super) fn read_bytes(&self) -> usize {
        self.before + self.given
    }

    /// Bytes that its shard may read.
    pub(super) fn unread(&self) -> &[u8] {
        &self.up[self.given..]
    }

    /// Its shard has read so many more.
    pub(super) fn give(&mut self, bytes: usize) {
        self.given += bytes;
        if self.given == self.up.len() {
            self.before += self.given;
            self.given = 0;
            self.up.clear();
        }
    }
}
