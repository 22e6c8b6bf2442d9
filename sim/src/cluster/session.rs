//! A connection while it lasts: what its client says, hears and is told to do.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use gateway_core::probe::{ToClient, ToServer};
use tokio::io::AsyncWrite;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};
use tokio_tungstenite::tungstenite::{Error, Message as Heeded};

use super::dial::Socket;
use super::fault::{Fault, Kind};
use super::plan::{Leave, Speech};
use super::words;
use super::world::World;
use crate::promise::Promise;
use crate::scenario::frames::goodbye;
use crate::wires::SimStream;

/// Silence after which a client asks whether anybody is there, and after which it gives up.
const PING_AFTER: Duration = Duration::from_millis(1_500);
const GIVE_UP_AFTER: Duration = Duration::from_millis(6_000);
/// Time in which whoever leaves waits for the node's goodbye.
const GOODBYE: Duration = Duration::from_secs(3);
/// How long a slow reader takes over a message.
const SLOWLY: Duration = Duration::from_millis(150);
/// What a ping carries whose pong says that a connection is whole.
const PROOF: &[u8] = b"proof";
/// More than a window ever is.
const WIDE: usize = 16 << 10;

/// What a connection comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Line {
    /// It goes on.
    Open,
    /// It is over.
    Over(&'static str),
}

pub(super) struct Session<'a> {
    world: &'a World,
    pub(super) id: u32,
    speech: Speech,
    socket: Socket,
    /// What waits to be said.
    queue: VecDeque<Heeded>,
    heard_at: Instant,
    pinged_at: Instant,
    /// Until when it reads slowly, if it does.
    slow_until: Option<Instant>,
    /// It ends its stream behind what it has written.
    shuts: bool,
    /// When it stops waiting for the node's goodbye.
    leaves_at: Option<Instant>,
}

impl<'a> Session<'a> {
    pub(super) fn new(world: &'a World, id: u32, socket: Socket) -> Self {
        let speech = world.ledger.borrow().connections[id as usize].speech;
        let now = Instant::now();
        Self {
            world,
            id,
            speech,
            socket,
            queue: VecDeque::new(),
            heard_at: now,
            pinged_at: now,
            slow_until: None,
            shuts: false,
            leaves_at: None,
        }
    }

    /// Says and hears until something has changed.
    pub(super) async fn go_on(&mut self) -> Line {
        match poll_fn(|cx| self.poll(cx)).await {
            Some(Ok(heard)) => self.hear(heard).await,
            Some(Err(error)) => self.fail(&error),
            None => Line::Over("the stream ended"),
        }
    }

    /// Writes what waits as far as it goes, and reads one message.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Heeded, Error>>> {
        while !self.queue.is_empty() {
            match self.socket.poll_ready_unpin(cx) {
                Poll::Ready(Ok(())) => {
                    let next = self.queue.pop_front().expect("something waits");
                    if let Err(error) = self.socket.start_send_unpin(next) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                // What broke shows when it is read.
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        let _ = self.socket.poll_flush_unpin(cx);
        if self.shuts {
            let shut = Pin::new(self.socket.get_mut()).poll_shutdown(cx);
            self.shuts = shut.is_pending();
        }
        self.socket.poll_next_unpin(cx)
    }

    /// What is to be done though nothing is heard, and when that is.
    pub(super) fn deadline(&self) -> Instant {
        let silent = self.heard_at + GIVE_UP_AFTER;
        let ping = self.heard_at.max(self.pinged_at) + PING_AFTER;
        let slow = self.slow_until.into_iter().chain(self.leaves_at);
        slow.chain([silent, ping]).min().expect("there are two at least")
    }

    /// Does what has become due.
    pub(super) fn tick(&mut self) -> Line {
        let now = Instant::now();
        if self.leaves_at.is_some_and(|at| at <= now) {
            return Line::Over("nobody said goodbye");
        }
        if self.slow_until.is_some_and(|at| at <= now) {
            self.read_freely();
        }
        if now >= self.heard_at + GIVE_UP_AFTER {
            return Line::Over("nothing was heard");
        }
        if now >= self.heard_at.max(self.pinged_at) + PING_AFTER {
            self.pinged_at = now;
            self.queue.push_back(Heeded::Ping(Vec::new().into()));
        }
        Line::Open
    }

    async fn hear(&mut self, heard: Heeded) -> Line {
        self.heard_at = Instant::now();
        self.world.tell(|ledger| match (&heard, self.speech) {
            (Heeded::Close(frame), _) => {
                ledger.hears_close(self.id, frame.as_ref().map_or(1005, |frame| frame.code.into()));
            }
            (Heeded::Pong(payload), _) if payload[..] == *PROOF => {
                ledger.connections[self.id as usize].proved = true;
            }
            (Heeded::Ping(_) | Heeded::Pong(_) | Heeded::Frame(_), _) => {}
            (Heeded::Binary(bytes), Speech::Probe) => match ToClient::decode(bytes) {
                Ok(told) => ledger.told(self.id, &told),
                Err(error) => {
                    let what = format!("a probe was sent what is none of its protocol: {error}");
                    ledger.complain_of(self.id, Promise::SamePlace, &what);
                }
            },
            (Heeded::Text(text), Speech::Line) => ledger.hears_chat(self.id, &words::line(text)),
            (Heeded::Text(text), Speech::Chat) => ledger.hears_chat(self.id, &words::json(text)),
            (Heeded::Text(text), _) => ledger.hears_raw(self.id, true, text.as_bytes()),
            (Heeded::Binary(bytes), _) => ledger.hears_raw(self.id, false, bytes),
        });
        if self.slow_until.is_some() {
            sleep(SLOWLY).await;
        }
        Line::Open
    }

    fn fail(&self, error: &Error) -> Line {
        let ended = matches!(
            error,
            Error::ConnectionClosed
                | Error::AlreadyClosed
                | Error::Io(_)
                | Error::Protocol(
                    ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing
                )
        );
        if !ended {
            let what = format!("it was sent what is no WebSocket: {error}");
            self.world.tell(|ledger| ledger.complain_of(self.id, Promise::SamePlace, &what));
        }
        Line::Over("the connection ended")
    }

    /// Says a message, in one frame or several.
    pub(super) fn say(&mut self, bytes: usize, text: bool, frames: usize) {
        let (number, payload) = self.world.tell(|ledger| ledger.publish(self.id, bytes, text));
        if self.speech == Speech::Probe {
            let kind = gateway_core::frame::Kind::Text;
            let kind = if text { kind } else { gateway_core::frame::Kind::Binary };
            let (id, payload) = (u64::from(number), payload.as_bytes());
            let mut bytes = Vec::new();
            ToServer::Publish { id, kind, payload }.encode(&mut bytes);
            return self.put(bytes, false, frames);
        }
        self.put(payload.into_bytes(), text, frames);
    }

    fn put(&mut self, mut bytes: Vec<u8>, text: bool, frames: usize) {
        let mut data = if text { Data::Text } else { Data::Binary };
        let piece = bytes.len().div_ceil(frames).max(1);
        while bytes.len() > piece {
            let rest = bytes.split_off(piece);
            self.queue.push_back(Heeded::Frame(Frame::message(bytes, OpCode::Data(data), false)));
            (bytes, data) = (rest, Data::Continue);
        }
        self.queue.push_back(Heeded::Frame(Frame::message(bytes, OpCode::Data(data), true)));
    }

    /// Asks who is there.
    pub(super) fn ask(&mut self) {
        match self.speech {
            Speech::Probe => {
                let id = self.world.tell(|ledger| {
                    let connection = &mut ledger.connections[self.id as usize];
                    connection.asked += 1;
                    connection.asked
                });
                let mut bytes = Vec::new();
                ToServer::Members { id }.encode(&mut bytes);
                self.queue.push_back(Heeded::binary(bytes));
            }
            Speech::Line | Speech::Chat => self.queue.push_back(Heeded::text("/who")),
            Speech::Raw => {}
        }
    }

    /// Asks for a sign that the connection is whole, either way.
    pub(super) fn prove(&mut self) {
        self.queue.push_back(Heeded::Ping(PROOF.to_vec().into()));
    }

    /// Takes another name.
    pub(super) fn rename(&mut self, nick: &str) {
        self.world.tell(|ledger| {
            let connection = &mut ledger.connections[self.id as usize];
            connection.nicks.push(nick.to_owned());
        });
        self.queue.push_back(Heeded::text(format!("/nick {nick}")));
    }

    /// Begins to leave.
    pub(super) fn leave(&mut self, how: Leave) -> Line {
        self.world.tell(|ledger| ledger.connections[self.id as usize].leaves = true);
        match how {
            Leave::Goodbye => self.queue.push_back(Heeded::Close(Some(goodbye(1000)))),
            // Whether it still can shows in what it hears.
            Leave::HalfClose => self.shuts = true,
            Leave::Reset => return Line::Over("it is gone"),
        }
        self.leaves_at = Some(Instant::now() + GOODBYE);
        Line::Open
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaves_at.is_some()
    }

    /// Something goes wrong with it.
    pub(super) async fn suffer(&mut self, fault: &Fault) -> Line {
        let lasts = Duration::from_millis(fault.lasts_millis);
        self.world.tell(|ledger| ledger.connections[self.id as usize].tainted = true);
        match fault.kind {
            Kind::StuckReader => {
                self.world.struck(fault);
                self.narrow(fault.amount as usize);
                self.reads(false);
                sleep(lasts).await;
                self.read_freely();
            }
            Kind::SlowReader => {
                self.world.struck(fault);
                self.narrow(fault.amount as usize);
                self.reads(false);
                self.slow_until = Some(Instant::now() + lasts);
            }
            Kind::Garbage => {
                self.world.struck(fault);
                self.queue.push_back(nonsense(fault.amount));
            }
            Kind::Storm => return Line::Over("it is gone with all others"),
            Kind::Partition
            | Kind::OneWay
            | Kind::Hold
            | Kind::Reorder
            | Kind::Latency
            | Kind::Loss
            | Kind::HalfOpen
            | Kind::Crash
            | Kind::PowerLoss
            | Kind::Drain
            | Kind::ShardAdded
            | Kind::ShardMoved
            | Kind::ShardDismissed
            | Kind::ClockJump => {}
        }
        Line::Open
    }

    fn read_freely(&mut self) {
        self.slow_until = None;
        self.narrow(WIDE);
        self.reads(true);
        // Nobody could be heard.
        self.heard_at = Instant::now();
    }

    fn reads(&self, reads: bool) {
        self.world.tell(|ledger| ledger.connections[self.id as usize].reads = reads);
    }

    fn narrow(&self, window: usize) {
        let stream: &SimStream = self.socket.get_ref().stream();
        stream.try_set_window(window.max(1));
    }
}

/// A frame that no client may send.
fn nonsense(amount: u64) -> Heeded {
    let (opcode, payload): (_, &[u8]) = match amount % 3 {
        0 => (OpCode::Data(Data::Text), &[0xff, 0xfe]),
        1 => (OpCode::Data(Data::Continue), b"?"),
        // A code has two bytes.
        _ => (OpCode::Control(Control::Close), b"?"),
    };
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    Heeded::Frame(Frame::from_payload(header, payload.to_vec().into()))
}
