//! The bounds that a client can run into, by name: what is counted when one of them is hit.

/// A bound that was hit. [`Counters::hits`](crate::counters::Counters::hits) has a row for each.
///
/// Which field of [`Limits`](crate::limits::Limits) it is, and what happens then, stands in
/// `gateway/docs/limits.md`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Hit {
    /// The head of a request is too long: 431.
    HandshakeBytes,
    /// A request has too many headers: 431.
    HandshakeHeaders,
    /// A request was not complete, or its answer not known, in time: cut, or 503.
    HandshakeSecs,
    /// A request is no handshake: 400, 405 or 426.
    HandshakeInvalid,
    /// A page of a foreign origin: 403.
    Origin,
    /// No token, or one that opens nothing: 401.
    Token,
    /// A path that names no room, or a room by a name that none may have: 400 or 404.
    RoomName,
    /// A message is too long: 1009.
    MessageBytes,
    /// A message is too long when it is inflated: 1009.
    InflatedBytes,
    /// What was sent becomes too much too fast when it is inflated: read from more slowly.
    InflateRate,
    /// Unfinished requests and messages fill their memory: 503 or 1013.
    InboundBytes,
    /// A message was not complete in time: 1008.
    MessageSecs,
    /// Too many pings and pongs: 1008.
    ControlRate,
    /// Too many fragments without a byte in one message: 1008.
    FrameRate,
    /// The protocol was broken: 1002; or that of the subprotocol: 1008.
    Protocol,
    /// Text is not UTF-8: 1007.
    Utf8,
    /// More messages than the route's rate allows: 1008.
    MessageRate,
    /// A member owes too much: 1013.
    OutboxBytes,
    /// All members of a shard owe too much: who owes most hears 1013, or is cut.
    ShardOutboxBytes,
    /// All echoes of a shard owe too much: none is read from.
    EchoOutboxBytes,
    /// No goodbye came in time: cut.
    CloseSecs,
    /// No answer to a ping came in time: 1008.
    PongSecs,
    /// All places are taken: 503.
    Connections,
    /// So many hear that all places are taken that no more can: reset.
    Refusals,
    /// A connection is in as many rooms as it may be: it is not put into another one.
    Rooms,
    /// The homes of rooms do not keep up: 503.
    CommandsWaiting,
    /// A source has as many connections as it may have: 429.
    SourceConnections,
    /// A source connects too often, or nearly so and chance was against it: 429, or reset.
    SourceRate,
    /// An operator has denied an address: reset, or closed if a proxy speaks for it.
    Denied,
    /// A trusted proxy does not say for whom it speaks: closed.
    ProxyHeader,
    /// Descriptors are short: accepting pauses.
    Descriptors,
}

impl Hit {
    /// How many there are.
    pub const COUNT: usize = Self::NAMES.len();

    /// All names, in the order of [`index`](Self::index): stable, for metrics.
    pub const NAMES: [&'static str; 31] = [
        "handshake_bytes",
        "handshake_headers",
        "handshake_secs",
        "handshake_invalid",
        "origin",
        "token",
        "room_name",
        "message_bytes",
        "inflated_bytes",
        "inflate_rate",
        "inbound_bytes",
        "message_secs",
        "control_rate",
        "frame_rate",
        "protocol",
        "utf8",
        "message_rate",
        "outbox_bytes",
        "shard_outbox_bytes",
        "echo_outbox_bytes",
        "close_secs",
        "pong_secs",
        "connections",
        "refusals",
        "rooms",
        "commands_waiting",
        "source_connections",
        "source_rate",
        "denied",
        "proxy_header",
        "descriptors",
    ];

    /// Which row of the counters this is.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// A stable name for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hit_has_its_own_name() {
        assert_eq!(Hit::Descriptors.index() + 1, Hit::COUNT, "the last one has the last name");
        for (hit, name) in [
            (Hit::HandshakeBytes, "handshake_bytes"),
            (Hit::RoomName, "room_name"),
            (Hit::InboundBytes, "inbound_bytes"),
            (Hit::Utf8, "utf8"),
            (Hit::EchoOutboxBytes, "echo_outbox_bytes"),
            (Hit::Connections, "connections"),
            (Hit::SourceRate, "source_rate"),
            (Hit::Denied, "denied"),
        ] {
            assert_eq!(hit.name(), name);
        }
        let mut names = Hit::NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Hit::COUNT);
    }
}
