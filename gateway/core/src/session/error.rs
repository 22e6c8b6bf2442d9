//! How a client can break the protocol, with what it is told.

use std::fmt;

use crate::close::CloseCode;
use crate::hit::Hit;
use crate::utf8::NotUtf8;

/// How a client broke the protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set though no extension was negotiated.
    ReservedBits,
    /// A reserved opcode.
    UnknownOpcode,
    /// A control frame without the final bit.
    FragmentedControl,
    /// A control frame with more than 125 bytes.
    LongControl,
    /// A frame without a masking key.
    Unmasked,
    /// A length in more bytes than it needs.
    PaddedLength,
    /// A length of 2⁶³ bytes or more.
    NegativeLength,
    /// A continuation without a message before it.
    NothingToContinue,
    /// A new message before the last one's end.
    Unfinished,
    /// A close frame with half a code, or one that is never sent.
    CloseCode,
    /// Text, or the reason in a close frame, that is not UTF-8.
    NotUtf8,
    /// A message longer than is accepted.
    TooBig,
    /// A message that is longer than is accepted once it is inflated.
    InflatesTooBig,
    /// A message that says it is deflated and is not.
    NotDeflate,
    /// More fragments without a byte in one message than are accepted.
    EmptyFragments,
    /// A message that is none of the connection's subprotocol.
    Adapter,
}

impl ProtocolError {
    /// The close code that tells the client: 1002, 1007, 1008 or 1009.
    #[must_use]
    pub fn code(self) -> CloseCode {
        match self {
            Self::NotUtf8 | Self::NotDeflate => CloseCode::INVALID,
            Self::TooBig | Self::InflatesTooBig => CloseCode::TOO_BIG,
            Self::Adapter | Self::EmptyFragments => CloseCode::POLICY,
            Self::ReservedBits
            | Self::UnknownOpcode
            | Self::FragmentedControl
            | Self::LongControl
            | Self::Unmasked
            | Self::PaddedLength
            | Self::NegativeLength
            | Self::NothingToContinue
            | Self::Unfinished
            | Self::CloseCode => CloseCode::PROTOCOL,
        }
    }

    /// Which bound it is.
    #[must_use]
    pub fn hit(self) -> Hit {
        match self {
            Self::NotUtf8 => Hit::Utf8,
            Self::TooBig => Hit::MessageBytes,
            Self::InflatesTooBig => Hit::InflatedBytes,
            Self::EmptyFragments => Hit::FrameRate,
            Self::Adapter
            | Self::NotDeflate
            | Self::ReservedBits
            | Self::UnknownOpcode
            | Self::FragmentedControl
            | Self::LongControl
            | Self::Unmasked
            | Self::PaddedLength
            | Self::NegativeLength
            | Self::NothingToContinue
            | Self::Unfinished
            | Self::CloseCode => Hit::Protocol,
        }
    }

    /// What is wrong, short enough for a close frame.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::ReservedBits => "reserved bits are set",
            Self::UnknownOpcode => "unknown opcode",
            Self::FragmentedControl => "control frame is fragmented",
            Self::LongControl => "control frame is longer than 125 bytes",
            Self::Unmasked => "frame is not masked",
            Self::PaddedLength => "payload length is not in its shortest form",
            Self::NegativeLength => "payload length has its highest bit set",
            Self::NothingToContinue => "continuation without a message",
            Self::Unfinished => "new message before the end of the last",
            Self::CloseCode => "close frame without a legal code",
            Self::NotUtf8 => "text is not UTF-8",
            Self::Adapter => "message is none of the subprotocol",
            Self::TooBig => "message is too big",
            Self::InflatesTooBig => "message is too big once inflated",
            Self::NotDeflate => "message cannot be inflated",
            Self::EmptyFragments => "too many empty fragments",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for ProtocolError {}

impl From<NotUtf8> for ProtocolError {
    fn from(_: NotUtf8) -> Self {
        Self::NotUtf8
    }
}
