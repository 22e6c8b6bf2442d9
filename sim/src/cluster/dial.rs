//! How a client comes to a node: over TCP, then by a request.

use std::net::SocketAddr;
use std::time::Duration;

use gateway_core::position::Position;
use gateway_core::{chat, probe};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::connection::Connection;
use super::coverage::outcome;
use super::fault::Kind;
use super::plan::Speech;
use super::record::Place;
use super::setting::{Role, token};
use super::world::{PORT, World};
use crate::counts::Group;
use crate::promise::Promise;
use crate::rng::Rng;
use crate::scenario::mask::Remasked;
use crate::wires::SimStream;

pub(super) type Socket = WebSocketStream<Remasked<SimStream>>;

/// Time to be connected, and then to be answered.
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(4);
/// The key is none of chance.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Whom a client wants to be where.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) client: usize,
    pub(super) host: usize,
    pub(super) speech: Speech,
    pub(super) name: Option<u32>,
    pub(super) node: usize,
    pub(super) room: usize,
    pub(super) since: Option<Position>,
    /// How it wants to be called where people chat.
    pub(super) nick: String,
    pub(super) good_token: bool,
}

impl Wish {
    /// Comes to the node; the connection's number if it was let in.
    pub(super) async fn fulfil(&self, world: &World, rng: &mut Rng) -> Option<(u32, Socket)> {
        let stream = self.connect(world).await?;
        let id = self.note(world);
        let stream = Remasked::new(stream, rng.fork());
        let request = client_async(self.request(world), stream);
        let Ok(answer) = timeout(ANSWER, request).await else {
            world.tell(|ledger| ledger.over(id, "no answer came"));
            return None;
        };
        match answer {
            Ok((socket, _)) => {
                world.tell(|ledger| ledger.opened(id));
                return Some((id, socket));
            }
            Err(Error::Http(response)) => {
                let (status, good) = (response.status().as_u16(), self.good_token);
                world.tell(|ledger| ledger.answered(id, status, good));
            }
            Err(Error::Io(_) | Error::Protocol(ProtocolError::HandshakeIncomplete)) => {
                world.tell(|ledger| ledger.over(id, "it ended before it was answered"));
            }
            Err(error) => {
                let what = format!("the answer to its request makes no sense: {error}");
                world.tell(|ledger| ledger.complain_of(id, Promise::SamePlace, &what));
            }
        }
        None
    }

    async fn connect(&self, world: &World) -> Option<SimStream> {
        let cut = || {
            let fault = world.fault_of_link(self.host, self.node);
            matches!(fault, Some(Kind::Partition | Kind::HalfOpen))
        };
        let (was_cut, began) = (cut(), Instant::now());
        let server = SocketAddr::from((turmoil::lookup(Role::Node(self.node).host()), PORT));
        let error = match world.wires.connect(server, began + CONNECT).await {
            Ok(stream) => return Some(stream),
            Err(error) => error,
        };
        let refused = error.kind() == std::io::ErrorKind::ConnectionRefused;
        world.tell(|ledger| {
            ledger.note(format!("client {} cannot connect: {:?}", self.client, error.kind()));
            let name = if refused { outcome::REFUSED } else { outcome::TIMED_OUT };
            ledger.count(Group::Outcome, name);
        });
        // Nobody is there to refuse: what no answer can come to takes until somebody gives up.
        assert!(!(refused && was_cut && cut()), "a link that is cut carries no refusal");
        None
    }

    fn note(&self, world: &World) -> u32 {
        let Self { client, host, node, room, .. } = *self;
        let incarnation = world.nodes[node].incarnation.get();
        let place = Place { node, incarnation, room };
        world.tell(|ledger| {
            let id = ledger.connections.len() as u32;
            let connection = Connection::new(id, client, host, place, self.speech);
            let nicks = if connection.chats() { vec![self.nick.clone()] } else { Vec::new() };
            ledger.established(Connection {
                since: self.since,
                tainted: world.fault_of_link(host, node).is_some(),
                nicks,
                ..connection.named(self.name)
            })
        })
    }

    fn request(&self, world: &World) -> Request {
        let mut path = world.setting.path(self.room);
        let mut query = Vec::new();
        if let Some(Position { epoch, offset }) = self.since {
            query.push(format!("epoch={}&offset={}", epoch.0, offset.0));
        }
        query.extend(self.name.map(|name| format!("as={name}")));
        let chats = matches!(self.speech, Speech::Line | Speech::Chat);
        if chats {
            query.push(format!("name={}", self.nick));
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        let request = format!("ws://weir.test{path}").into_client_request();
        let mut request = request.expect("a plan's path is a path");
        let headers = request.headers_mut();
        headers.insert("Sec-WebSocket-Key", HeaderValue::from_static(KEY));
        let protocol = match self.speech {
            Speech::Probe => Some(probe::SUBPROTOCOL),
            Speech::Chat => Some(chat::SUBPROTOCOL),
            Speech::Raw | Speech::Line => None,
        };
        if let Some(protocol) = protocol {
            headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_static(protocol));
        }
        if chats {
            let bearer = format!("Bearer {}", token(&self.nick, self.good_token));
            let bearer = bearer.parse().expect("a token is plain text");
            headers.insert("Authorization", bearer);
        }
        request
    }
}
