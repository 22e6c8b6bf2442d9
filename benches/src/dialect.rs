//! How a server wants to be spoken to: where its rooms are, and what stands around a message.

use crate::bare::ECHO;
use crate::contestant::Play;
use crate::frames;

/// What a server's clients say and hear.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Dialect {
    /// A message is a frame, and a path a room.
    Raw,
    /// As [`Raw`](Self::Raw), but who says something and who hears it ask for different paths,
    /// and each message said is acknowledged.
    Nchan,
    /// Frames carry the lines of NATS, cut anywhere.
    Nats,
}

impl Dialect {
    /// Whether there is a way to play so.
    pub(crate) fn can_play(self, play: Play) -> bool {
        match self {
            Self::Raw => true,
            Self::Nchan | Self::Nats => play == Play::Room,
        }
    }

    /// What clients ask for who hear what is said in `room`.
    pub(crate) fn listener_path(self, room: &str) -> String {
        match self {
            Self::Raw => format!("/ws/{room}"),
            Self::Nchan => format!("/sub/{room}"),
            Self::Nats => "/".to_owned(),
        }
    }

    /// What clients ask for who say something in `room`.
    pub(crate) fn author_path(self, room: &str) -> String {
        match self {
            Self::Nchan => format!("/pub/{room}"),
            Self::Raw | Self::Nats => self.listener_path(room),
        }
    }

    /// What clients ask for who want their own messages back.
    pub(crate) fn echo_path(self) -> String {
        ECHO.to_owned()
    }

    /// Whether whoever says something is sent words that nobody counts.
    pub(crate) fn answers_authors(self) -> bool {
        self != Self::Raw
    }

    /// Appends what a client sends to say `payload` in `room`, masked with `key`.
    pub(crate) fn append_said(self, out: &mut Vec<u8>, room: &str, payload: &[u8], key: [u8; 4]) {
        match self {
            Self::Raw | Self::Nchan => frames::append_masked(out, frames::BINARY, payload, key),
            Self::Nats => {
                let line = format!("PUB {room} {}\r\n", payload.len());
                let words = [line.as_bytes(), payload, b"\r\n"].concat();
                frames::append_masked(out, frames::BINARY, &words, key);
            }
        }
    }

    /// Appends what everyone else hears then: frames, or what is in them if they may be cut.
    pub(crate) fn append_heard(self, heard: &mut Vec<u8>, room: &str, payload: &[u8]) {
        match self {
            Self::Raw | Self::Nchan => frames::append_served(heard, payload),
            Self::Nats => {
                let line = format!("MSG {room} {SUBSCRIPTION} {}\r\n", payload.len());
                heard.extend_from_slice(line.as_bytes());
                heard.extend_from_slice(payload);
                heard.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// What a client of NATS calls its only subscription.
pub(crate) const SUBSCRIPTION: &str = "1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_nats_has_its_length_before_it() {
        let mut said = Vec::new();
        Dialect::Nats.append_said(&mut said, "lobby", b"hello", [0; 4]);
        assert_eq!(&said[6..], b"PUB lobby 5\r\nhello\r\n");
        let mut heard = Vec::new();
        Dialect::Nats.append_heard(&mut heard, "lobby", b"hello");
        assert_eq!(heard, b"MSG lobby 1 5\r\nhello\r\n");
    }

    #[test]
    fn only_nchan_has_two_paths_for_a_room() {
        let paths = |dialect: Dialect| (dialect.author_path("a"), dialect.listener_path("a"));
        assert_eq!(paths(Dialect::Raw), ("/ws/a".into(), "/ws/a".into()));
        assert_eq!(paths(Dialect::Nchan), ("/pub/a".into(), "/sub/a".into()));
        assert_eq!(paths(Dialect::Nats), ("/".into(), "/".into()));
    }
}
