//! One connection of a client, as its client knows it.

use std::collections::BTreeSet;

use gateway_core::position::Position;

use super::plan::Speech;
use super::record::Place;

/// How far it has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// Its request is not answered.
    Asking,
    /// It is a member.
    Open,
    /// It is over.
    Over,
}

/// What a member passed over: after one offset and up to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Span {
    pub(super) epoch: u64,
    pub(super) after: u64,
    pub(super) upto: u64,
}

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) client: usize,
    pub(super) host: usize,
    pub(super) place: Place,
    pub(super) speech: Speech,
    /// A name that others may share.
    pub(super) name: Option<u32>,
    /// Who has the same does not hear it.
    pub(super) author: u64,
    pub(super) since: Option<Position>,
    pub(super) stage: Stage,
    /// When it became a member.
    pub(super) opened_at: u64,
    /// A fault has touched it, its link or its node: what it does not hear is no surprise.
    pub(super) tainted: bool,
    /// It was whole after all faults had ended.
    pub(super) proved: bool,
    /// It takes what it is sent.
    pub(super) reads: bool,
    /// It has said goodbye.
    pub(super) leaves: bool,
    /// The code of the close frame that it was sent.
    pub(super) close: Option<u16>,
    pub(super) subscribed: bool,
    pub(super) epoch: u64,
    /// Where it joined, and where it is.
    pub(super) first: u64,
    pub(super) offset: u64,
    /// What it was told it has lost, and what it passed over without a word.
    pub(super) lost: Vec<Span>,
    pub(super) silent: Vec<Span>,
    /// Messages that it waits to hear the fate of.
    pub(super) unanswered: BTreeSet<u32>,
    /// Questions that wait for an answer.
    pub(super) asked: u64,
    /// Who is there, as a probe was told last.
    pub(super) view: Option<Vec<u64>>,
    /// Who is there by name, as who chats was told last.
    pub(super) list: Option<Vec<String>>,
    /// All names that it ever had where people chat, the present one last.
    pub(super) nicks: Vec<String>,
    /// Messages that it heard, in order, and all of them.
    pub(super) heard: Vec<u32>,
    pub(super) known: BTreeSet<u32>,
}

/// Authors that share a name are told apart from connections by this bit.
const NAMED: u64 = 1 << 32;

impl Connection {
    pub(super) fn new(id: u32, client: usize, host: usize, place: Place, speech: Speech) -> Self {
        Self {
            client,
            host,
            place,
            speech,
            name: None,
            author: u64::from(id),
            since: None,
            stage: Stage::Asking,
            opened_at: 0,
            tainted: false,
            proved: false,
            reads: true,
            leaves: false,
            close: None,
            subscribed: false,
            epoch: 0,
            first: 0,
            offset: 0,
            lost: Vec::new(),
            silent: Vec::new(),
            unanswered: BTreeSet::new(),
            asked: 0,
            view: None,
            list: None,
            nicks: Vec::new(),
            heard: Vec::new(),
            known: BTreeSet::new(),
        }
    }

    /// The same, known by a name that others may have too.
    pub(super) fn named(self, name: Option<u32>) -> Self {
        let author = name.map_or(self.author, |name| NAMED | u64::from(name));
        Self { name, author, ..self }
    }

    pub(super) fn is_probe(&self) -> bool {
        self.speech == Speech::Probe
    }

    pub(super) fn chats(&self) -> bool {
        matches!(self.speech, Speech::Line | Speech::Chat)
    }

    /// Whether it is a member that reads, and against which nothing was said.
    pub(super) fn is_healthy(&self) -> bool {
        self.stage == Stage::Open && self.reads && !self.leaves && self.close.is_none()
    }

    /// Where it is, once it was told.
    pub(super) fn position(&self) -> Option<Position> {
        let epoch = gateway_core::position::Epoch(self.epoch);
        let offset = gateway_core::position::Offset(self.offset);
        self.subscribed.then_some(Position { epoch, offset })
    }

    /// Whether it was told that it lost what is at this place.
    pub(super) fn lost_at(&self, epoch: u64, offset: u64) -> bool {
        let covers =
            |span: &Span| span.epoch == epoch && span.after < offset && offset <= span.upto;
        self.lost.iter().any(covers)
    }
}
