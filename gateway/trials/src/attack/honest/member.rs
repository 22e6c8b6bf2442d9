//! One honest client: it says what it is told to, and checks what it hears.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tokio::net::TcpStream;

use super::super::frames::{self, BINARY, CLOSE, FIN, PING, PONG};
use super::super::wire::Wire;
use super::room::Tally;

/// Bytes that one look takes.
const READ_BYTES: usize = 32 << 10;
/// Bytes of a message that say who said it, as which one, and when.
pub(super) const HEAD_BYTES: usize = 16;

/// A place in a room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) room: usize,
    pub(super) member: usize,
}

/// A client in its place.
#[derive(Debug)]
pub(super) struct Member {
    place: Place,
    stream: TcpStream,
    /// What the kernel has not taken yet.
    unsent: RefCell<Vec<u8>>,
    /// Messages it has said.
    said: Cell<u32>,
    /// The message that each member of its room says next, as far as it has heard.
    next: RefCell<Vec<u32>>,
}

/// What one message says about itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Note {
    pub(super) phase: u8,
    pub(super) member: u8,
    pub(super) room: u16,
    pub(super) number: u32,
    pub(super) said_nanos: u64,
}

impl Note {
    pub(super) fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[0] = self.phase;
        bytes[1] = self.member;
        bytes[2..4].copy_from_slice(&self.room.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.number.to_be_bytes());
        bytes[8..].copy_from_slice(&self.said_nanos.to_be_bytes());
        bytes
    }

    pub(super) fn of(payload: &[u8]) -> Option<Self> {
        Some(Self {
            phase: *payload.first()?,
            member: *payload.get(1)?,
            room: u16::from_be_bytes(payload.get(2..4)?.try_into().ok()?),
            number: u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?),
            said_nanos: u64::from_be_bytes(payload.get(8..16)?.try_into().ok()?),
        })
    }
}

impl Member {
    /// Connects and takes its place among so many. Each room comes from an address of its own, so
    /// that no bound per source is in its way.
    pub(super) async fn open(addr: SocketAddr, place: Place, members: usize) -> Result<Rc<Self>> {
        let Place { room, member } = place;
        let source = Ipv4Addr::new(127, 0, 1, u8::try_from(room % 250)? + 1);
        let wire = Wire::connect_from(IpAddr::V4(source), addr, None).await;
        let wire = wire.with_context(|| format!("honest client {member} of room {room}"))?;
        let path = format!("/honest/{room}");
        let wire = wire.upgrade(&path, "").await;
        let wire = wire.map_err(|told| anyhow::anyhow!("an honest client is told {told}"))?;
        let (stream, rest) = wire.into_parts();
        ensure!(rest.is_empty(), "something was said before anybody spoke");
        Ok(Rc::new(Self {
            place,
            stream,
            unsent: RefCell::default(),
            said: Cell::default(),
            next: RefCell::new(vec![0; members]),
        }))
    }

    /// Messages it has said.
    pub(super) fn said(&self) -> u32 {
        self.said.get()
    }

    /// Messages that it has not heard of those that the others have said.
    pub(super) fn missing(&self, said: &[u32]) -> u64 {
        let next = self.next.borrow();
        let others =
            next.iter().zip(said).enumerate().filter(|(index, _)| *index != self.place.member);
        others.map(|(_, (next, said))| u64::from(said.saturating_sub(*next))).sum()
    }

    /// Says its next message.
    pub(super) fn speak(&self, phase: u8, payload_bytes: usize, since: Instant) -> io::Result<()> {
        let number = self.said.replace(self.said.get() + 1);
        let Place { room, member } = self.place;
        let said_nanos = since.elapsed().as_nanos() as u64;
        let note = Note { phase, member: member as u8, room: room as u16, number, said_nanos };
        let mut payload = note.to_bytes().to_vec();
        payload.resize(payload_bytes.max(HEAD_BYTES), b'.');
        self.unsent.borrow_mut().extend_from_slice(&frames::frame(FIN | BINARY, &payload));
        self.push()
    }

    /// Sends what is unsent, as far as the kernel takes it.
    pub(super) fn push(&self) -> io::Result<()> {
        let mut unsent = self.unsent.borrow_mut();
        while !unsent.is_empty() {
            match self.stream.try_write(&unsent) {
                Ok(sent) => drop(unsent.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Hears until the connection ends, and says how it did.
    pub(super) async fn hear(&self, tally: &RefCell<Tally>, since: Instant) -> String {
        let mut got = Vec::new();
        loop {
            if let Err(error) = self.stream.readable().await {
                return error.to_string();
            }
            let start = got.len();
            got.resize(start + READ_BYTES, 0);
            match self.stream.try_read(&mut got[start..]) {
                Ok(0) => return "the connection ended".to_owned(),
                Ok(read) => got.truncate(start + read),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => got.truncate(start),
                Err(error) => return error.to_string(),
            }
            let now_nanos = since.elapsed().as_nanos() as u64;
            match self.take(&got, now_nanos, tally) {
                Ok(taken) => drop(got.drain(..taken)),
                Err(why) => return why,
            }
        }
    }

    /// Looks at all whole frames; how many bytes they are.
    fn take(&self, got: &[u8], now_nanos: u64, tally: &RefCell<Tally>) -> Result<usize, String> {
        let mut at = 0;
        while let Some(heard) = frames::first_of(&got[at..])? {
            let payload = &got[at..][heard.payload.clone()];
            at += heard.payload.end;
            match heard.first {
                first if first == FIN | BINARY => self.note(payload, now_nanos, tally),
                first if first == FIN | PING => {
                    self.unsent.borrow_mut().extend(frames::frame(FIN | PONG, payload));
                    self.push().map_err(|error| error.to_string())?;
                }
                first if first == FIN | CLOSE => {
                    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    return Err(format!("closed with {code:?}"));
                }
                first => return Err(format!("it heard a frame that starts with {first:#x}")),
            }
        }
        Ok(at)
    }

    fn note(&self, payload: &[u8], now_nanos: u64, tally: &RefCell<Tally>) {
        let mut tally = tally.borrow_mut();
        let Place { room, member } = self.place;
        let Some(note) = Note::of(payload).filter(|note| usize::from(note.room) == room) else {
            return tally.wrong(format!("room {room} heard what nobody there has said"));
        };
        let author = usize::from(note.member);
        let mut next = self.next.borrow_mut();
        match next.get_mut(author) {
            Some(next) if author != member && note.number >= *next => {
                // What lies between is lost, unless it comes too late: then it is out of order.
                tally.lost += u64::from(note.number - *next);
                *next = note.number + 1;
                tally.heard(note.phase, now_nanos.saturating_sub(note.said_nanos));
            }
            Some(_) if author == member => {
                tally.wrong(format!("room {room}: {member} hears itself"))
            }
            Some(_) => tally.wrong(format!("room {room}: {author}'s words twice or out of order")),
            None => tally.wrong(format!("room {room} has no member {author}")),
        }
    }
}
