//! What a client and a hub have agreed on about messages that are deflated, RFC 7692 §7.1.

use gateway_core::deflate::Compression;

/// What an input of a target asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Agreed {
    /// Whether a client's messages may be deflated.
    pub(crate) deflates: bool,
    /// Whether they may refer back to those before.
    pub(crate) keeps_window: bool,
    /// Of what members are sent, from 8 to 15.
    pub(crate) window_bits: u8,
    /// What the operator says of the route.
    pub(crate) compression: Compression,
}

impl Agreed {
    /// As [`session`](crate::session) describes it.
    pub(crate) fn of(byte: u8) -> Self {
        let compression = match byte & 3 {
            0 => Compression::Off,
            1 => Compression::Shared,
            _ => Compression::Takeover,
        };
        let (deflates, keeps_window) = (byte & 3 != 0, byte & 3 == 2);
        Self { deflates, keeps_window, window_bits: 8 + (byte >> 2 & 7), compression }
    }

    /// What clients offer: what is not to be agreed on they offer in vain.
    pub(crate) fn offer(self) -> String {
        let alone = match self.compression {
            Compression::Takeover if !self.keeps_window => "; client_no_context_takeover",
            Compression::Takeover | Compression::Shared | Compression::Off => "",
        };
        format!("permessage-deflate; server_max_window_bits={}{alone}", self.window_bits)
    }

    /// The extension that the answer names.
    pub(crate) fn answer(self) -> Option<String> {
        let alone = if self.keeps_window { "" } else { "; client_no_context_takeover" };
        let bits = self.window_bits;
        self.deflates.then(|| {
            format!(
                "permessage-deflate; server_no_context_takeover{alone}; \
                 server_max_window_bits={bits}"
            )
        })
    }

    /// Bytes of the longest distance in what members are sent.
    pub(crate) fn reach_max(self) -> usize {
        1 << self.window_bits
    }
}
