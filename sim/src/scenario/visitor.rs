//! A client in turmoil: tokio-tungstenite over a simulated stream, as its plan says.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message as Heeded};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::frames;
use super::mask::Remasked;
use super::message::{Kind, Message};
use super::outcome::Heard;
use super::plan::{Action, ClientPlan, Leave, Say};
use super::tale::Voice;
use crate::rng::Rng;
use crate::wires::{SimStream, Wires};

const CONNECT: Duration = Duration::from_secs(5);
/// The server's name is no matter of the plan, and the key not one of chance.
const AUTHORITY: &str = "weir.test";
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

type Socket = WebSocketStream<Remasked<SimStream>>;

pub(super) struct Visitor<'a> {
    plan: &'a ClientPlan,
    heard: &'a mut Heard,
    voice: Voice,
    /// When the run began.
    began: Instant,
    /// Steps that it took.
    acted: u64,
}

/// Whether more may be heard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Line {
    Open,
    Ended,
}

impl<'a> Visitor<'a> {
    /// Somebody who is there from now on, and will connect when it is time to.
    pub(super) fn new(plan: &'a ClientPlan, heard: &'a mut Heard, voice: Voice) -> Self {
        Self { plan, heard, voice, began: Instant::now(), acted: 0 }
    }

    /// Connects, does what the plan says, and listens to the end; how many steps it took.
    pub(super) async fn visit(mut self, wires: &Wires, server: SocketAddr, rng: Rng) -> u64 {
        sleep_until(self.at(self.plan.arrives_at_millis)).await;
        self.voice().connects();
        let socket = self.connect(wires, server, rng).await;
        let status = self.heard.status;
        self.voice().answered(status);
        let Some(socket) = socket else { return self.acted };
        socket.get_ref().stream().set_window(self.plan.window);
        self.stay(socket).await;
        let close = self.heard.close;
        self.voice().ends(close);
        self.acted
    }

    fn at(&self, millis: u64) -> Instant {
        self.began + Duration::from_millis(millis)
    }

    /// What it says now, it says at this time.
    fn voice(&mut self) -> &mut Voice {
        self.voice.set_now(self.began.elapsed().as_nanos() as u64);
        &mut self.voice
    }

    async fn stay(&mut self, mut socket: Socket) {
        let mut stalled = false;
        for step in &self.plan.steps {
            let until = self.at(step.at_millis);
            match stalled {
                true => sleep_until(until).await,
                false => {
                    if self.listen_until(&mut socket, until).await == Line::Ended {
                        return;
                    }
                }
            }
            self.acted += 1;
            if let Action::Leave(leave) = step.action {
                self.heard.left = Some(leave);
            }
            self.voice().does(&step.action);
            match &step.action {
                Action::Say(say) => speak(&mut socket, say).await,
                Action::Stall => stalled = true,
                Action::Narrow(window) => socket.get_ref().stream().set_window(*window),
                Action::Resume(window) => {
                    socket.get_ref().stream().set_window(*window);
                    stalled = false;
                }
                Action::Leave(Leave::Goodbye(code)) => {
                    // Whether it still can shows in what it hears.
                    let _ = socket.close(Some(frames::goodbye(*code))).await;
                }
                Action::Leave(Leave::HalfClose) => {
                    let _ = socket.get_mut().shutdown().await;
                }
                Action::Leave(Leave::Reset) => return,
            }
        }
        while self.listen(&mut socket).await == Line::Open {}
    }

    async fn connect(&mut self, wires: &Wires, server: SocketAddr, rng: Rng) -> Option<Socket> {
        let stream = wires.connect(server, Instant::now() + CONNECT).await.ok()?;
        self.heard.address = stream.local_addr().ok();
        match client_async(request(&self.plan.path), Remasked::new(stream, rng)).await {
            Ok((socket, response)) => {
                self.heard.status = Some(response.status().as_u16());
                Some(socket)
            }
            Err(Error::Http(response)) => {
                self.heard.status = Some(response.status().as_u16());
                None
            }
            Err(Error::Io(_) | Error::Protocol(ProtocolError::HandshakeIncomplete)) => None,
            Err(error) => {
                self.heard.fault = Some(error.to_string());
                None
            }
        }
    }

    async fn listen_until(&mut self, socket: &mut Socket, until: Instant) -> Line {
        let moment = sleep_until(until);
        tokio::pin!(moment);
        loop {
            tokio::select! {
                biased;
                () = &mut moment => return Line::Open,
                line = self.listen(socket) => match line {
                    Line::Open => {}
                    Line::Ended => return Line::Ended,
                },
            }
        }
    }

    /// Waits for one message, or the end. Being dropped in between loses nothing.
    async fn listen(&mut self, socket: &mut Socket) -> Line {
        match socket.next().await {
            Some(Ok(Heeded::Text(text))) => self.hear(Kind::Text, text.as_bytes()),
            Some(Ok(Heeded::Binary(bytes))) => self.hear(Kind::Binary, &bytes),
            Some(Ok(Heeded::Close(frame))) => {
                self.heard.close = frame.map(|frame| frame.code.into());
            }
            Some(Ok(Heeded::Ping(_) | Heeded::Pong(_) | Heeded::Frame(_))) => {}
            None => return Line::Ended,
            Some(Err(error)) => {
                self.heard.fault = fault(&error);
                return Line::Ended;
            }
        }
        Line::Open
    }

    fn hear(&mut self, kind: Kind, payload: &[u8]) {
        let message = Message { kind, payload: payload.to_vec() };
        self.voice().hears(&message);
        self.heard.messages.push(message);
    }
}

/// What the server did wrong; nothing if it only ended the connection.
fn fault(error: &Error) -> Option<String> {
    let ended = matches!(
        error,
        Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Io(_)
            | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
    );
    (!ended).then(|| error.to_string())
}

/// Whether the connection still takes it shows in what is heard.
async fn speak(socket: &mut Socket, say: &Say) {
    for frame in frames::of_say(say) {
        if socket.send(Heeded::Frame(frame)).await.is_err() {
            return;
        }
    }
}

fn request(path: &str) -> Request {
    let request = format!("ws://{AUTHORITY}{path}").into_client_request();
    let mut request = request.expect("a plan's path is a path");
    request.headers_mut().insert("Sec-WebSocket-Key", HeaderValue::from_static(KEY));
    request
}
