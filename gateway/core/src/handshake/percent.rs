//! Percent-decoding, RFC 3986 §2.1, of what names something in a request's target.

use std::borrow::Cow;
use std::fmt;

use super::response::Refusal;

/// Decodes `raw` to at most `bytes_max` bytes: most have no escape and are borrowed. Messages call
/// it `what`, and never repeat it.
///
/// # Errors
/// 400 for a bad escape, and for a result that is too long, is not UTF-8, or holds a control
/// character.
pub fn percent_decode(
    raw: &str,
    what: impl fmt::Display,
    bytes_max: usize,
) -> Result<Cow<'_, str>, Refusal> {
    if raw.len() <= bytes_max && raw.bytes().all(stands_for_itself) {
        return Ok(Cow::Borrowed(raw));
    }
    decode(raw, what, bytes_max).map(Cow::Owned)
}

/// Whether it is neither an escape, nor a control character or a part of one.
fn stands_for_itself(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'%'
}

fn decode(raw: &str, what: impl fmt::Display, bytes_max: usize) -> Result<String, Refusal> {
    let refuse = |why: fmt::Arguments<'_>| Err(Refusal::bad_request(why.to_string()));
    let mut decoded = Vec::with_capacity(raw.len().min(bytes_max));
    let mut rest = raw.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let unescaped = if byte == b'%' { unescape(after) } else { Some((byte, after)) };
        let Some((byte, after)) = unescaped else {
            let why = "is not followed by two hex digits; write it %25";
            return refuse(format_args!("a `%` in {what} {why}"));
        };
        if decoded.len() == bytes_max {
            return Err(Refusal::too_long(what, bytes_max));
        }
        decoded.push(byte);
        rest = after;
    }
    match String::from_utf8(decoded) {
        Err(_) => refuse(format_args!("{what} is not UTF-8 when decoded")),
        Ok(text) if text.contains(char::is_control) => {
            refuse(format_args!("{what} has a control character"))
        }
        Ok(text) => Ok(text),
    }
}

/// What two digits after a percent sign stand for, and what follows them.
fn unescape(digits: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [high, low, after @ ..] = digits else { return None };
    Some(((digit(*high)? << 4 | digit(*low)?) as u8, after))
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    fn decode(raw: &str, bytes_max: usize) -> Result<String, Refusal> {
        percent_decode(raw, "the name", bytes_max).map(Cow::into_owned)
    }

    #[test]
    fn escapes_are_decoded_and_nothing_else() {
        for (raw, decoded) in [
            ("", ""),
            ("lobby", "lobby"),
            ("caf%C3%A9", "café"),
            ("caf%c3%a9", "café"),
            ("a+b%20c%2Fd%25", "a+b c/d%"),
            ("é", "é"),
        ] {
            assert_eq!(decode(raw, 255).as_deref(), Ok(decoded), "{raw}");
        }
    }

    #[test]
    fn what_names_nothing_is_refused_and_not_repeated() {
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
            let refusal = decode(&format!("s3cret{raw}"), 255).expect_err(raw);
            assert_eq!(refusal.status, Status::BadRequest);
            assert!(refusal.why().contains(word), "{raw}: {}", refusal.why());
            assert!(refusal.why().contains("the name"), "{raw}: {}", refusal.why());
            assert!(!refusal.why().contains("s3cret"), "{raw}: {}", refusal.why());
        }
    }

    #[test]
    fn the_bound_is_on_what_it_decodes_to() {
        assert_eq!(decode("%C3%A9", 2).as_deref(), Ok("é"));
        assert_eq!(decode("abc", 3).as_deref(), Ok("abc"));
        let refusal = decode("abcd", 3).expect_err("too long");
        assert_eq!(refusal.why(), "the name is longer than 3 bytes; shorten it");
    }
}
