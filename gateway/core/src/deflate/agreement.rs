//! What client and server agree on, RFC 7692 §7.1: offers in, an answer out.

use std::fmt;

use super::Reach;
use crate::handshake::is_token_byte;

/// The extension's name, RFC 7692 §7.
const NAME: &[u8] = b"permessage-deflate";

/// Window bits, RFC 7692 §7.1.2.
const BITS_MAX: u8 = 15;

/// What an operator says of a route.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Compression {
    /// Messages may be deflated, each for itself, so that all members of a room share what was
    /// made once and nothing is kept for a connection.
    #[default]
    Shared,
    /// As shared; but a client's messages may refer back to those it sent before, as far as it
    /// asks to. Up to 32 KiB are kept for each such connection.
    Takeover,
    /// No message is deflated.
    Off,
}

/// What was agreed on for one connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Agreement {
    /// The window that the client asked of us, if it did: from 8 to 15.
    server_bits: Option<u8>,
    /// Whether the client's messages may refer back to those before.
    keeps_window: bool,
}

/// The header is no list of extensions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed;

impl Agreement {
    /// The first offer that can be accepted, of all headers in their order; none if there is none.
    ///
    /// Offers with parameters that are unknown, repeated or out of range are passed over
    /// (RFC 7692 §5.1 and §7.1).
    ///
    /// # Errors
    /// RFC 6455 §9.1: whatever is no list of extensions by the grammar fails the connection.
    pub fn of<'a>(
        headers: impl Iterator<Item = &'a [u8]>,
        compression: Compression,
    ) -> Result<Option<Self>, Malformed> {
        let mut agreed = None;
        for header in headers {
            let mut text = Text(header);
            while !text.is_done() {
                let offer = text.extension(compression == Compression::Takeover)?;
                if compression != Compression::Off {
                    agreed = agreed.or(offer);
                }
            }
        }
        Ok(agreed)
    }

    /// How far back what we send may refer.
    #[must_use]
    pub fn reach(self) -> Reach {
        match self.server_bits {
            None | Some(BITS_MAX) => Reach::Wide,
            Some(_) => Reach::Narrow,
        }
    }

    /// Whether the client's messages may refer back to those before.
    #[must_use]
    pub fn keeps_window(self) -> bool {
        self.keeps_window
    }

    /// The same, but what the client says is not kept.
    #[must_use]
    pub fn without_window(self) -> Self {
        Self { keeps_window: false, ..self }
    }
}

/// The value of the answer's header, RFC 7692 §7.1: we never refer back to earlier messages.
impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("permessage-deflate; server_no_context_takeover")?;
        if !self.keeps_window {
            f.write_str("; client_no_context_takeover")?;
        }
        match self.server_bits {
            Some(bits) => write!(f, "; server_max_window_bits={bits}"),
            None => Ok(()),
        }
    }
}

/// One offer's parameters, each at most once.
#[derive(Default)]
struct Offer {
    server_alone: bool,
    client_alone: bool,
    server_bits: Option<u8>,
    client_bits: bool,
}

impl Offer {
    /// Takes in a parameter; whether it is known, new and in range.
    fn take(&mut self, name: &[u8], value: Option<&[u8]>) -> bool {
        match (name, value) {
            // RFC 7692 §7.1.1.1 and §7.1.1.2.
            (b"server_no_context_takeover", None) => {
                !std::mem::replace(&mut self.server_alone, true)
            }
            (b"client_no_context_takeover", None) => {
                !std::mem::replace(&mut self.client_alone, true)
            }
            // RFC 7692 §7.1.2.1: with a value.
            (b"server_max_window_bits", Some(value)) => {
                let bits = window_bits(value);
                bits.is_some() && std::mem::replace(&mut self.server_bits, bits).is_none()
            }
            // RFC 7692 §7.1.2.2: with or without one; we read every window.
            (b"client_max_window_bits", value) => {
                let fits = value.is_none_or(|value| window_bits(value).is_some());
                fits && !std::mem::replace(&mut self.client_bits, true)
            }
            _ => false,
        }
    }
}

/// RFC 7692 §7.1.2: from 8 to 15, without leading zeros.
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// What is left of a header: read once, from left to right.
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// Passes over space and empty elements of a list; whether nothing is left.
    fn is_done(&mut self) -> bool {
        while let [b' ' | b'\t' | b',', rest @ ..] = self.0 {
            self.0 = rest;
        }
        self.0.is_empty()
    }

    /// An extension with its parameters, and the comma behind it, if any; what may be agreed on.
    fn extension(&mut self, keeps_window: bool) -> Result<Option<Agreement>, Malformed> {
        let is_known = self.token()? == NAME;
        let (mut offer, mut is_good) = (Offer::default(), true);
        while self.takes(b';') {
            let name = self.token()?;
            let mut unquoted = Vec::new();
            let value = match self.takes(b'=') {
                true => Some(self.value(&mut unquoted)?),
                false => None,
            };
            is_good &= !is_known || offer.take(name, value);
        }
        if !self.takes(b',') && !self.0.is_empty() {
            return Err(Malformed);
        }
        let Offer { client_alone, server_bits, .. } = offer;
        let keeps_window = keeps_window && !client_alone;
        Ok((is_known && is_good).then_some(Agreement { server_bits, keeps_window }))
    }

    /// Takes this byte, with space around it, if it comes next.
    fn takes(&mut self, byte: u8) -> bool {
        self.0 = self.0.trim_ascii_start();
        let Some(rest) = self.0.strip_prefix(&[byte]) else { return false };
        self.0 = rest.trim_ascii_start();
        true
    }

    fn token(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.0.iter().take_while(|byte| is_token_byte(**byte)).count();
        let (token, rest) = self.0.split_at(len);
        self.0 = rest;
        if token.is_empty() { Err(Malformed) } else { Ok(token) }
    }

    /// A token, or one in quotes, RFC 6455 §9.1.
    fn value<'b>(&mut self, unquoted: &'b mut Vec<u8>) -> Result<&'b [u8], Malformed>
    where
        'a: 'b,
    {
        let Some(mut rest) = self.0.strip_prefix(b"\"") else { return self.token() };
        loop {
            rest = match rest {
                [b'"', rest @ ..] => {
                    self.0 = rest;
                    return if unquoted.is_empty() { Err(Malformed) } else { Ok(unquoted) };
                }
                // RFC 6455 §9.1: what is in quotes is a token once it is unescaped.
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] if is_token_byte(*byte) => {
                    unquoted.push(*byte);
                    rest
                }
                _ => return Err(Malformed),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[&str], compression: Compression) -> Result<String, Malformed> {
        let headers = headers.iter().map(|header| header.as_bytes());
        let agreed = Agreement::of(headers, compression)?;
        Ok(agreed.map_or_else(String::new, |agreement| agreement.to_string()))
    }

    const SHARED: &str = "permessage-deflate; server_no_context_takeover; \
                          client_no_context_takeover";
    const KEEPS: &str = "permessage-deflate; server_no_context_takeover";

    #[test]
    fn what_browsers_and_tools_offer_is_accepted() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate;client_max_window_bits=10",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits=\"15\"",
            ", ,permessage-deflate ; client_max_window_bits = 8 ,",
            "mux; a=\"b\"; c, permessage-deflate",
        ] {
            assert_eq!(answer(&[offer], Compression::Shared).as_deref(), Ok(SHARED), "{offer}");
            assert_eq!(answer(&[offer], Compression::Off).as_deref(), Ok(""), "{offer}");
        }
    }

    #[test]
    fn a_client_keeps_its_window_where_it_may_and_wants_to() {
        let takeover = |offer| answer(&[offer], Compression::Takeover);
        assert_eq!(takeover("permessage-deflate").as_deref(), Ok(KEEPS));
        let alone = "permessage-deflate; client_no_context_takeover";
        assert_eq!(takeover(alone).as_deref(), Ok(SHARED));
    }

    #[test]
    fn the_window_that_is_asked_of_us_is_repeated() {
        for bits in 8..=15 {
            let offer = format!("permessage-deflate; server_max_window_bits={bits}");
            let expected = format!("{SHARED}; server_max_window_bits={bits}");
            assert_eq!(answer(&[&offer], Compression::Shared), Ok(expected));
            let agreed = Agreement::of([offer.as_bytes()].into_iter(), Compression::Shared);
            let reach = agreed.map(|agreed| agreed.map(Agreement::reach));
            let wide = if bits == 15 { Reach::Wide } else { Reach::Narrow };
            assert_eq!(reach, Ok(Some(wide)));
        }
    }

    #[test]
    fn offers_out_of_range_are_passed_over_and_the_next_is_looked_at() {
        let bits = ["0", "7", "16", "08", "015", "1", "99", "256", "8x", "\"7\"", "-8"];
        let bits = bits.iter().flat_map(|bits| {
            ["server", "client"].map(|side| format!("{side}_max_window_bits={bits}"))
        });
        let others = [
            "server_max_window_bits",
            "server_no_context_takeover=1",
            "client_no_context_takeover=\"true\"",
            "unknown",
            "Server_no_context_takeover",
            "client_max_window_bits; client_max_window_bits",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover; client_no_context_takeover",
            "server_max_window_bits=10; server_max_window_bits=10",
        ];
        for parameters in bits.chain(others.map(str::to_owned)) {
            let offer = format!("permessage-deflate; {parameters}");
            assert_eq!(answer(&[&offer], Compression::Shared).as_deref(), Ok(""), "{offer}");
            let two = format!("{offer}, permessage-deflate; server_max_window_bits=9");
            let expected = format!("{SHARED}; server_max_window_bits=9");
            assert_eq!(answer(&[&two], Compression::Shared), Ok(expected.clone()), "{offer}");
            let headers = [&*offer, "permessage-deflate; server_max_window_bits=9"];
            assert_eq!(answer(&headers, Compression::Shared), Ok(expected), "{offer}");
        }
    }

    #[test]
    fn what_is_no_list_of_extensions_is_malformed_whatever_it_offers() {
        for header in [
            ";",
            "permessage-deflate;",
            "permessage-deflate; =1",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=\"",
            "permessage-deflate; client_max_window_bits=\"15",
            "permessage-deflate; client_max_window_bits=\"\"",
            "permessage-deflate; client_max_window_bits=\"1 5\"",
            "permessage-deflate; client_max_window_bits=\"1\\",
            "permessage-deflate client_max_window_bits",
            "permessage-deflate, @",
            "permessage-deflate; a=1 2",
            "\"permessage-deflate\"",
            "p\u{e4}",
        ] {
            for compression in [Compression::Shared, Compression::Off] {
                assert_eq!(answer(&[header], compression), Err(Malformed), "{header}");
            }
        }
    }

    #[test]
    fn nothing_offered_is_nothing_agreed() {
        assert_eq!(answer(&[], Compression::Shared).as_deref(), Ok(""));
        assert_eq!(answer(&["", " , "], Compression::Shared).as_deref(), Ok(""));
        assert_eq!(
            answer(&["permessage-bzip2", "deflate"], Compression::Shared).as_deref(),
            Ok("")
        );
    }
}
