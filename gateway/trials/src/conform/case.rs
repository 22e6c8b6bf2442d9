//! A case: what is said to a gateway, and what must come back.

use std::fmt;

use clap::ValueEnum;

use super::opening::Opening;
use super::payload::Payload;

/// What cases are about, in the order in which they are numbered.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub enum Group {
    /// Lengths, and where a stream is cut.
    Framing,
    /// Pings and pongs.
    Pings,
    /// Reserved bits.
    Reserved,
    /// Opcodes, known and reserved.
    Opcodes,
    /// Messages in fragments.
    Fragments,
    /// Text that is UTF-8, or is not.
    Utf8,
    /// Large messages, and those that are too large.
    Sizes,
    /// The closing handshake.
    Closing,
    /// Masking keys.
    Masking,
    /// The opening handshake.
    Handshake,
    /// What is offered and agreed on about compression.
    Offers,
    /// Compressed messages.
    Deflate,
}

impl Group {
    /// Its name, as `--group` takes it.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().expect("no group is hidden").get_name().to_owned()
    }

    /// The first number of its cases.
    fn number(self) -> usize {
        self as usize + 1
    }
}

/// The number of a case: its group's, its part's and its own, such as `6.2.17`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Id {
    pub(super) group: Group,
    pub(super) part: usize,
    pub(super) number: usize,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.group.number(), self.part, self.number)
    }
}

/// One case of the table.
#[derive(Clone, Debug)]
pub struct Case {
    pub(super) id: Id,
    pub(super) section: &'static str,
    pub(super) says: String,
    pub(super) opening: Opening,
    pub(super) steps: Vec<Step>,
}

impl Case {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// What it is about.
    #[must_use]
    pub fn group(&self) -> Group {
        self.id.group
    }

    /// The rule behind it, such as `RFC 6455 §5.2`.
    #[must_use]
    pub fn section(&self) -> &str {
        self.section
    }

    /// What is tried and what becomes of it, in a sentence.
    #[must_use]
    pub fn says(&self) -> &str {
        &self.says
    }
}

/// How bytes that follow each other are cut into writes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Cut {
    /// Not at all.
    #[default]
    Whole,
    /// Into pieces of so many bytes.
    Pieces(usize),
}

/// What is done next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// These bytes are said.
    Say(Vec<u8>, Cut),
    /// A message is said, which is made only then.
    Tell(Message, Cut),
    /// Nothing more is said.
    HangUp,
    /// This must come, and nothing before it.
    Hear(Expected),
}

/// Whether a message is text or binary.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Text,
    Binary,
}

/// A message to be said.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) payload: Payload,
    /// Bytes of its fragments; one frame if there is no such number.
    pub(super) fragment_bytes: Option<usize>,
    /// Whether it is deflated, by itself.
    pub(super) deflated: bool,
}

/// What must come back.
#[derive(Clone, Debug)]
pub(super) enum Expected {
    /// A message with these bytes, in as many frames as the server likes, compressed or not.
    Message(Kind, Payload),
    /// The same, compressed.
    Deflated(Kind, Payload),
    /// The same, as it is.
    Plain(Kind, Payload),
    /// A pong of these bytes.
    Pong(Vec<u8>),
    /// A close frame with one of these codes; 1005 stands for one without a code.
    Close(Vec<u16>),
    /// The end of the stream, without a reset.
    End,
    /// The end of the stream or a reset.
    Gone,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Binary => "binary",
        })
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(kind, payload) => write!(f, "{kind} {payload}"),
            Self::Deflated(kind, payload) => write!(f, "deflated {kind} {payload}"),
            Self::Plain(kind, payload) => write!(f, "plain {kind} {payload}"),
            Self::Pong(bytes) => write!(f, "a pong {}", Payload::Bytes(bytes.clone())),
            Self::Close(codes) => {
                let codes: Vec<_> = codes.iter().map(u16::to_string).collect();
                write!(f, "a close frame {}", codes.join(" or "))
            }
            Self::End => f.write_str("the end of the stream"),
            Self::Gone => f.write_str("the end of the stream, or a reset"),
        }
    }
}
