//! How each encoding says a message: appended to a chunk, which is the only copy.

use crate::chunk::Chunk;
use crate::encoding::Encoding;
use crate::frame::Opcode;
use crate::message::{Meta, Words};
use crate::position::Epoch;

impl Encoding {
    /// Appends a message to what is said; `json` is how those who read JSON do.
    #[inline]
    pub(crate) fn push(
        self,
        chunk: &mut Chunk,
        epoch: Epoch,
        meta: &Meta,
        words: Words<'_>,
        json: &[u8],
    ) {
        match (self, words) {
            (Self::Chat, _) => chunk.push_frame(Opcode::Text, json),
            (Self::Raw | Self::Line, Words::Bytes(bytes)) => {
                chunk.push_frame(meta.kind.opcode(), bytes)
            }
            (Self::Raw | Self::Line, Words::Body(body)) => {
                chunk.push_body(meta.kind.opcode(), body.clone())
            }
            #[cfg(feature = "probe")]
            (Self::Probe, words) => {
                let (prev, offset) = (meta.prev, meta.offset);
                chunk.push_prefixed(crate::probe::MESSAGE_HEADER_BYTES, words, |out| {
                    crate::probe::message_header(out, epoch, prev, offset, meta.kind);
                });
            }
        }
        #[cfg(not(feature = "probe"))]
        let _ = epoch;
    }

    /// Whether it says a message's bytes as they are, so that they can be shared.
    pub(crate) fn is_verbatim(self) -> bool {
        match self {
            Self::Raw | Self::Line => true,
            Self::Chat => false,
            #[cfg(feature = "probe")]
            Self::Probe => true,
        }
    }

    /// Whether members that read it understand a text frame beside messages.
    pub(crate) fn reads_text(self) -> bool {
        match self {
            Self::Raw | Self::Line | Self::Chat => true,
            #[cfg(feature = "probe")]
            Self::Probe => false,
        }
    }

    /// Whether members that read it show that they are there.
    pub(crate) fn shows(self) -> bool {
        match self {
            Self::Raw | Self::Line | Self::Chat => false,
            #[cfg(feature = "probe")]
            Self::Probe => true,
        }
    }
}
