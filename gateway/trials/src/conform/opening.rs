//! How a case begins: a request, and how it must be answered.

use data_encoding::BASE64;

use super::case::Cut;

/// Payload bytes of a message on the routes that say how many they take.
pub(super) const SHORT_BYTES_MAX: usize = 1 << 20;

/// Payload bytes of a message on `/ws/simple`.
pub(super) const LONG_BYTES_MAX: usize = 32 << 20;

/// An echo that the gateway serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Route {
    /// Compressed without a context on either side; messages of up to 32 MiB.
    Simple,
    /// Compressed, and the client may keep its context; messages of up to 1 MiB.
    Takeover,
    /// Not compressed; messages of up to 1 MiB.
    Plain,
}

impl Route {
    pub(super) const ALL: [Self; 3] = [Self::Simple, Self::Takeover, Self::Plain];

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Simple => "/ws/simple",
            Self::Takeover => "/ws/takeover",
            Self::Plain => "/ws/plain",
        }
    }

    /// What the gateway's file says of it.
    pub(super) fn compression(self) -> &'static str {
        match self {
            Self::Simple => "shared",
            Self::Takeover => "takeover",
            Self::Plain => "off",
        }
    }

    pub(super) fn message_bytes_max(self) -> usize {
        match self {
            Self::Simple => LONG_BYTES_MAX,
            Self::Takeover | Self::Plain => SHORT_BYTES_MAX,
        }
    }
}

/// A request and its answer.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    pub(super) request: Vec<u8>,
    pub(super) cut: Cut,
    pub(super) answer: Answer,
}

/// How a request must be answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// By 101.
    Switched {
        /// What the request had, for the proof that it was read.
        key: String,
        /// What is picked of those that were offered.
        subprotocol: Option<&'static str>,
        /// The parameters of permessage-deflate, in any order, if it is agreed on.
        deflate: Option<Vec<&'static str>>,
    },
    /// By this status and headers that have these values, after which the stream ends.
    Refused { status: u16, headers: &'static [(&'static str, &'static str)] },
}

/// A request to be changed before it is sent.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) first: String,
    pub(super) headers: Vec<String>,
    pub(super) key: String,
}

impl Request {
    /// What a client sends that knows no more than RFC 6455. Its key is made of `seed`.
    pub(super) fn to(route: Route, seed: usize) -> Self {
        let key = BASE64.encode(&(seed as u128).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
        let headers = [
            "Host: localhost:8080",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            &format!("Sec-WebSocket-Key: {key}"),
        ];
        Self {
            first: format!("GET {} HTTP/1.1", route.path()),
            headers: headers.map(str::to_owned).to_vec(),
            key,
        }
    }

    /// With another first line.
    pub(super) fn first(self, first: impl Into<String>) -> Self {
        Self { first: first.into(), ..self }
    }

    /// With one more line.
    pub(super) fn and(mut self, header: impl Into<String>) -> Self {
        self.headers.push(header.into());
        self
    }

    /// Without the lines of this name.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|line| line.split_once(':').is_none_or(|(known, _)| known != name));
        self
    }

    /// With this line instead of those of the same name.
    ///
    /// # Panics
    /// If it is no header.
    pub(super) fn with(self, header: &str) -> Self {
        let name = header.split_once(':').expect("a header has a name").0;
        self.without(name).and(header)
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        format!("{}\r\n{}\r\n\r\n", self.first, self.headers.join("\r\n")).into_bytes()
    }
}
