//! The opening handshake of RFC 6455 §4.2: an HTTP request in, an upgrade or a refusal out.

mod credentials;
mod percent;
mod proxy;
mod query;
mod request;
mod response;

use memchr::memchr_iter;

pub use self::credentials::Secret;
pub use self::percent::percent_decode;
pub use self::proxy::{PROXY_HEADER_BYTES_MAX, ProxyError, ProxyHeader, proxy_header};
pub use self::query::Query;
pub use self::request::Request;
pub use self::response::{Page, Refusal, Status, Upgrade};

/// Index after the empty line that ends a request's head, if it is there.
///
/// `from` bytes were searched before, and only what is new is searched now. A line may end
/// with a bare LF here, so that [`Request::parse`] can say what is wrong with it.
#[must_use]
pub fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    // Up to two bytes of an empty line may have been there already: its line feed comes last,
    // after the one of the line before and a carriage return.
    let start = from.saturating_sub(2).min(bytes.len());
    memchr_iter(b'\n', &bytes[start..]).find_map(|at| {
        let after = start + at + 1;
        match &bytes[after..] {
            [b'\n', ..] => Some(after + 1),
            [b'\r', b'\n', ..] => Some(after + 2),
            _ => None,
        }
    })
}

/// Whether a request, of which this is the beginning, asks for an answer without a body.
#[must_use]
pub fn asks_for_head(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HEAD ")
}

/// Whether a token may have this byte: RFC 9110 §5.6.2, and RFC 6455 §4.1, 10 names the same.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_head_is_found_wherever_the_bytes_were_cut() {
        let heads =
            ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\n\n", "\r\n\r\n", "a\n\r\n"];
        for head in heads {
            let bytes = format!("{head}\r\n\r\nframes\r\n\r\n");
            let bytes = bytes.as_bytes();
            for cut in 0..head.len() {
                assert_eq!(head_end(&bytes[..cut], 0), None, "{head:?} cut at {cut}");
                assert_eq!(head_end(bytes, cut), Some(head.len()), "{head:?} cut at {cut}");
            }
            for len in 1..head.len() {
                assert_eq!(head_end(&bytes[..len], len - 1), None, "{head:?} byte {len}");
            }
        }
    }

    #[test]
    fn what_has_no_empty_line_has_no_end() {
        for bytes in
            [&b""[..], b"\r", b"\n", b"\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r\r\n\r"]
        {
            assert_eq!(head_end(bytes, 0), None, "{bytes:?}");
            assert_eq!(head_end(bytes, bytes.len()), None, "{bytes:?}");
        }
    }
}
