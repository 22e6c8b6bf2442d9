//! An HTTP response, read by the letter.

use data_encoding::BASE64;
use sha1::{Digest as _, Sha1};

/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Bytes of a body. No refusal is longer.
const BODY_BYTES_MAX: usize = 1 << 20;

/// What a server answers a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    /// Such as 101.
    pub status: u16,
    /// Names and values in their order, without space around values.
    pub headers: Vec<(String, String)>,
    /// What follows, if it says how long it is.
    pub body: Vec<u8>,
}

impl Response {
    /// Reads a head that ends with its empty line.
    ///
    /// # Errors
    /// How it is malformed.
    pub(super) fn parse(head: &[u8]) -> Result<Self, String> {
        let told = || format!("no head of a response: {:?}", String::from_utf8_lossy(head));
        let head = str::from_utf8(head).map_err(|_| told())?;
        let mut lines = head.strip_suffix("\r\n\r\n").ok_or_else(told)?.split("\r\n");
        let first = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
        let status = first.and_then(|line| line.split_once(' ')).ok_or_else(told)?.0;
        let status = status.parse().map_err(|_| told())?;
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_name = !name.is_empty() && !name.contains(char::is_whitespace);
            is_name.then(|| (name.to_owned(), value.trim().to_owned()))
        });
        let headers = headers.collect::<Option<_>>().ok_or_else(told)?;
        Ok(Self { status, headers, body: Vec::new() })
    }

    /// The values of all headers of this name, which is compared in any case.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// The value of the one header of this name; nothing if there is none, or more than one.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut values = self.values(name);
        let value = values.next();
        if values.next().is_some() { None } else { value }
    }

    /// The length of its body; none if it does not say, as a 101 does not.
    pub(super) fn body_bytes(&self) -> Result<Option<usize>, String> {
        let Some(value) = self.value("Content-Length") else { return Ok(None) };
        match value.parse() {
            Ok(len) if len <= BODY_BYTES_MAX => Ok(Some(len)),
            _ => Err(format!("a body of {value:?} bytes")),
        }
    }
}

/// RFC 6455 §4.2.2, 5.4: what proves that a server has read this key.
#[must_use]
pub fn accept_of(key: &str) -> String {
    BASE64.encode(&Sha1::new_with_prefix(key).chain_update(GUID).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_proved() {
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn headers_are_found_in_any_case_and_one_that_is_twice_is_none() {
        let head = b"HTTP/1.1 426 Upgrade Required\r\nA: b \r\nc:d\r\na:e\r\n\r\n";
        let response = Response::parse(head).unwrap();
        assert_eq!(response.status, 426);
        assert_eq!(response.values("A").collect::<Vec<_>>(), ["b", "e"]);
        assert_eq!((response.value("C"), response.value("a")), (Some("d"), None));
        assert_eq!(response.body_bytes(), Ok(None));
    }

    #[test]
    fn what_is_no_response_is_told() {
        for head in [
            "HTTP/1.0 101 Switching Protocols\r\n\r\n",
            "HTTP/1.1 101\r\n\r\n",
            "HTTP/1.1 many things\r\n\r\n",
            "HTTP/1.1 101 Fine\r\nno header\r\n\r\n",
            "HTTP/1.1 101 Fine\r\nA : b\r\n\r\n",
            "HTTP/1.1 101 Fine\r\n",
        ] {
            assert!(Response::parse(head.as_bytes()).is_err(), "{head:?}");
        }
        let endless = b"HTTP/1.1 400 Bad\r\nContent-Length: 99999999\r\n\r\n";
        assert!(Response::parse(endless).unwrap().body_bytes().is_err());
    }
}
