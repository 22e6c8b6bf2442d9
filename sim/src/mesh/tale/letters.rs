//! Letters between shards, in words.

use gateway_core::envelope::{Command, Delivery, RoomName};
use gateway_core::event::Event;
use gateway_core::message::Batch;

use super::super::ears::{self, Ears};
use super::{Tale, room};
use crate::story::{Arrow, Of};

/// Messages of a letter that are named one by one.
const NAMED_MAX: usize = 4;

/// What a letter says, of which messages, and of which room if it names one.
struct Letter<'a> {
    text: String,
    batch: Option<&'a Batch>,
    room: Option<String>,
}

impl Ears {
    /// A letter that was sent at that time is read, from one shard by another.
    pub(in super::super) fn tell_letter(
        &mut self,
        sent: u64,
        [from, to]: [usize; 2],
        event: &Event<'_>,
    ) {
        if !self.tale.pen.writes() {
            return;
        }
        let letter = if let Event::Command(command) = event {
            self.tale.command(command)
        } else if let Event::Delivery(delivery) = event {
            self.tale.delivery(to, delivery)
        } else {
            return;
        };
        let Letter { text, batch, room } = letter;
        let messages = batch.map(numbers).unwrap_or_default();
        self.tell_known(messages.iter().map(|&message| message as u32));
        let first = messages.first().and_then(|&first| self.record.messages.get(first as usize));
        let room = room.or_else(|| first.map(|message| super::room(message.room)));
        let text = text + &named(&messages);
        let of = Of { room, connection: None, messages };
        let (now, tale) = (self.now, &mut self.tale);
        let (from, to) = (tale.shard(from), tale.shard(to));
        tale.pen.arrow(|| Arrow { from, sent, to, heard: now, of, text });
    }
}

impl Tale {
    fn command<'a>(&mut self, command: &'a Command) -> Letter<'a> {
        let of = |term| self.terms.get(term).cloned();
        let (text, batch, room) = match command {
            Command::Attach(attach) => {
                let room = shown(&attach.room);
                self.terms.insert(attach.term.0, room.clone());
                self.links.insert((attach.from.index(), attach.link), room.clone());
                ("has members of the room: attaches to its home", None, Some(room))
            }
            Command::Detach { term, .. } => {
                ("has no members of the room any more", None, of(&term.0))
            }
            Command::Publish { term, batch } => ("for the home: ", Some(&**batch), of(&term.0)),
            Command::Recover { term, .. } => ("asks what came since a position", None, of(&term.0)),
            Command::Pin { term, .. } => ("a connection moves: keep what comes", None, of(&term.0)),
            Command::Unpin { term, .. } => ("need not be kept any more", None, of(&term.0)),
            Command::Presence { term, .. } => ("who came and went here", None, of(&term.0)),
            Command::Fence { term, .. } => {
                ("nothing more comes for the old home", None, of(&term.0))
            }
            Command::Ship(shipment) => {
                let room = shown(&shipment.room);
                self.terms.insert(shipment.term.0, room.clone());
                ("the room's home moves here", None, Some(room))
            }
        };
        Letter { text: text.to_owned(), batch, room }
    }

    fn delivery<'a>(&self, to: usize, delivery: &'a Delivery) -> Letter<'a> {
        let (text, batch, link) = match delivery {
            Delivery::Attached { link, position, .. } => {
                (format!("attached: hears the room from offset {} on", position.offset), None, link)
            }
            Delivery::NotHome { link } => ("the home is not here".to_owned(), None, link),
            Delivery::Said { link, batch } => ("from the home: ".to_owned(), Some(&**batch), link),
            Delivery::Gap { link, position } => {
                let offset = position.offset;
                (format!("a gap: what came up to offset {offset} is forgotten"), None, link)
            }
            Delivery::Answers { link, answers } => {
                (format!("{} messages of yours are within the gap", answers.len()), None, link)
            }
            Delivery::Recovered { link, batch, complete, .. } => {
                let text =
                    if *complete { "all since then: " } else { "not all since then is kept" };
                (text.to_owned(), Some(&**batch), link)
            }
            Delivery::Pinned { link, .. } => ("is kept".to_owned(), None, link),
            Delivery::Presence { link, .. } => ("who came and went".to_owned(), None, link),
            Delivery::Moved { link, to, .. } => {
                (format!("the home is on shard {} from now on", to.index()), None, link)
            }
        };
        Letter { text, batch, room: self.links.get(&(to, *link)).cloned() }
    }
}

fn shown(name: &RoomName) -> String {
    let number = name.name.strip_prefix("room-").unwrap_or("0");
    number.parse().map_or_else(|_| name.name.to_string(), room)
}

/// The messages of a batch that say which they are.
fn numbers(batch: &Batch) -> Vec<u64> {
    let number = |payload: &[u8]| ears::number(payload).map(u64::from);
    batch.iter().filter_map(|(_, words)| number(&words.read()?)).collect()
}

fn named(messages: &[u64]) -> String {
    let shown: Vec<_> = messages.iter().take(NAMED_MAX).map(u64::to_string).collect();
    match messages.len() {
        0 => String::new(),
        1 => format!("message {}", shown[0]),
        2..=NAMED_MAX => format!("messages {}", shown.join(", ")),
        many => format!("messages {} and {} more", shown.join(", "), many - NAMED_MAX),
    }
}
