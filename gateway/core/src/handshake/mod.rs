//! The opening handshake of RFC 6455 §4.2: an HTTP request in, an upgrade or a refusal out.

mod credentials;
mod request;
mod response;

use memchr::memchr_iter;

pub use self::credentials::Secret;
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

/// Percent-decodes one segment of a path, RFC 3986 §2.1, up to `bytes_max` bytes of result.
///
/// # Errors
/// 400 for a bad escape, and for a result that is too long, is not UTF-8, or holds a control
/// character.
pub fn decode_segment(raw: &str, bytes_max: usize) -> Result<String, Refusal> {
    let mut decoded = Vec::with_capacity(raw.len().min(bytes_max));
    let mut rest = raw.as_bytes();
    while let Some((&byte, mut after)) = rest.split_first() {
        let byte = if byte == b'%' { unescape(&mut after)? } else { byte };
        if decoded.len() == bytes_max {
            let why = format!("a segment of the path is longer than {bytes_max} bytes; shorten it");
            return Err(Refusal::bad_request(why));
        }
        decoded.push(byte);
        rest = after;
    }
    let Ok(segment) = String::from_utf8(decoded) else {
        return Err(Refusal::bad_request("a segment of the path is not UTF-8 when decoded"));
    };
    if segment.contains(char::is_control) {
        return Err(Refusal::bad_request("a segment of the path has a control character"));
    }
    Ok(segment)
}

/// Takes the two digits that follow a percent sign.
fn unescape(rest: &mut &[u8]) -> Result<u8, Refusal> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    if let [high, low, after @ ..] = *rest
        && let (Some(high), Some(low)) = (digit(*high), digit(*low))
    {
        *rest = after;
        return Ok((high << 4 | low) as u8);
    }
    Err(Refusal::bad_request("a `%` in the path is not followed by two hex digits; write it %25"))
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

    #[test]
    fn segments_are_decoded() {
        for (raw, decoded) in [
            ("", ""),
            ("lobby", "lobby"),
            ("caf%C3%A9", "café"),
            ("caf%c3%a9", "café"),
            ("a+b%20c%2Fd%25", "a+b c/d%"),
            ("é", "é"),
        ] {
            assert_eq!(decode_segment(raw, 255).as_deref(), Ok(decoded), "{raw}");
        }
    }

    #[test]
    fn segments_that_are_no_names_are_refused() {
        for (raw, word) in [
            ("%", "hex"),
            ("a%2", "hex"),
            ("%GG", "hex"),
            ("%+1", "hex"),
            ("%\u{e9}1", "hex"),
            ("%FF", "UTF-8"),
            ("%C3", "UTF-8"),
            ("%00", "control"),
            ("a%0Ab", "control"),
            ("%7F", "control"),
            ("%C2%85", "control"),
        ] {
            let refusal = decode_segment(raw, 255).expect_err(raw);
            assert_eq!(refusal.status, Status::BadRequest);
            assert!(refusal.why().contains(word), "{raw}: {}", refusal.why());
        }
    }

    #[test]
    fn a_segment_is_bounded_by_what_it_decodes_to() {
        assert_eq!(decode_segment("%C3%A9", 2).as_deref(), Ok("é"));
        assert_eq!(decode_segment("abc", 3).as_deref(), Ok("abc"));
        let refusal = decode_segment("abcd", 3).expect_err("too long");
        assert!(refusal.why().contains("3 bytes"));
    }
}
