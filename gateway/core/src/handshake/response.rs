//! What a request is answered: an upgrade, a page, or a refusal that says what to do.

use std::borrow::Cow;
use std::fmt;

use data_encoding::BASE64;
use sha1::{Digest as _, Sha1};

use crate::deflate::Agreement;
use crate::hit::Hit;

/// RFC 6455 §1.3: what a server appends to the key to prove that it speaks WebSocket.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Characters of a path that a refusal repeats.
const PATH_CHARS_MAX: usize = 64;

/// A valid handshake, to be answered with 101.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Upgrade {
    /// BASE64 of the 20 bytes of a SHA-1.
    accept: [u8; 28],
}

impl Upgrade {
    /// RFC 6455 §4.2.2: the key, which is taken as it came, is proved to have been read.
    pub(super) fn new(key: &[u8]) -> Self {
        let proof = Sha1::new_with_prefix(key).chain_update(GUID).finalize();
        let mut accept = [0; 28];
        BASE64.encode_mut(&proof, &mut accept);
        Self { accept }
    }

    /// Appends the response. No subprotocol and no extension is picked.
    pub fn write_response(&self, out: &mut Vec<u8>) {
        self.write_response_picking(None, out);
    }

    /// Appends the response, which picks one of the subprotocols that the client offered, or none
    /// (RFC 6455 §4.2.2, 5). No extension is picked.
    pub fn write_response_picking(&self, subprotocol: Option<&str>, out: &mut Vec<u8>) {
        self.write_response_agreeing(subprotocol, None, out);
    }

    /// As [`write_response_picking`](Self::write_response_picking), with what was agreed on of
    /// permessage-deflate (RFC 7692 §5.1).
    pub fn write_response_agreeing(
        &self,
        subprotocol: Option<&str>,
        agreement: Option<Agreement>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\n\
              Upgrade: websocket\r\n\
              Connection: Upgrade\r\n\
              Sec-WebSocket-Accept: ",
        );
        out.extend_from_slice(&self.accept);
        if let Some(name) = subprotocol {
            out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
            out.extend_from_slice(name.as_bytes());
        }
        if let Some(agreement) = agreement {
            out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
            out.extend_from_slice(agreement.to_string().as_bytes());
        }
        out.extend_from_slice(b"\r\n\r\n");
    }
}

/// The status of a refusal; `as u16` gives its number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u16)]
pub enum Status {
    /// The request breaks a rule of HTTP or of the handshake.
    BadRequest = 400,
    /// The path needs a token, and another one than was shown.
    Unauthorized = 401,
    /// A page of another origin asks.
    Forbidden = 403,
    /// Nothing is served at this path.
    NotFound = 404,
    /// The method is not GET.
    MethodNotAllowed = 405,
    /// It is no WebSocket handshake, or one of another version.
    UpgradeRequired = 426,
    /// Its source has too many connections.
    TooManyRequests = 429,
    /// The head is too long, or has too many lines.
    HeadTooLarge = 431,
    /// There is no room for another connection now.
    Unavailable = 503,
}

impl Status {
    fn reason(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::UpgradeRequired => "Upgrade Required",
            Self::TooManyRequests => "Too Many Requests",
            Self::HeadTooLarge => "Request Header Fields Too Large",
            Self::Unavailable => "Service Unavailable",
        }
    }

    /// Which bound it tells of, if nothing else is said.
    fn hit(self) -> Option<Hit> {
        match self {
            Self::BadRequest | Self::MethodNotAllowed | Self::UpgradeRequired => {
                Some(Hit::HandshakeInvalid)
            }
            Self::Unauthorized => Some(Hit::Token),
            Self::Forbidden => Some(Hit::Origin),
            Self::NotFound => Some(Hit::RoomName),
            Self::HeadTooLarge => Some(Hit::HandshakeBytes),
            // A node that is full counts whom it has no place for, and one that goes nobody.
            Self::TooManyRequests | Self::Unavailable => None,
        }
    }

    /// What its response must say beside the body.
    fn headers(self) -> &'static str {
        match self {
            // RFC 6750 §3.
            Self::Unauthorized => "WWW-Authenticate: Bearer\r\n",
            // RFC 9110 §15.5.6.
            Self::MethodNotAllowed => "Allow: GET\r\n",
            // RFC 6455 §4.4, and RFC 9110 §7.8: who sends `Upgrade` names it in `Connection`.
            Self::UpgradeRequired => {
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            }
            // How many seconds is said where the response is written.
            Self::BadRequest
            | Self::Forbidden
            | Self::NotFound
            | Self::TooManyRequests
            | Self::HeadTooLarge
            | Self::Unavailable => "",
        }
    }
}

/// A request that is not served, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// What kind of refusal.
    pub status: Status,
    /// One line without control characters.
    why: Cow<'static, str>,
    /// Which bound it tells of, if it is one.
    hit: Option<Hit>,
}

impl Refusal {
    /// 404: nothing is served at `path`.
    #[must_use]
    pub fn not_found(path: &str) -> Self {
        let mut chars = path.chars();
        let shown: String = chars.by_ref().take(PATH_CHARS_MAX).collect();
        let more = if chars.next().is_some() { "…" } else { "" };
        // `escape_debug` lets no control character through.
        let why = format!("nothing is served at {}{more}; try /ws/lobby", shown.escape_debug());
        Self::new(Status::NotFound, why)
    }

    /// 401: the path needs a bearer token and none was shown.
    #[must_use]
    pub fn no_token() -> Self {
        let why = "this path needs a bearer token; send `Authorization: Bearer TOKEN`, offer the \
                   subprotocol bearer.TOKEN beside weir.raw, or add ?access_token=TOKEN";
        Self::new(Status::Unauthorized, why)
    }

    /// 401: the token that was shown does not open this path.
    #[must_use]
    pub fn wrong_token() -> Self {
        let why = "the bearer token does not open this path; ask for another one";
        Self::new(Status::Unauthorized, why)
    }

    /// 403: pages of this origin are not let in.
    #[must_use]
    pub fn foreign_origin() -> Self {
        let why = "pages of this origin are not let in here; have the route list it in origins, \
                   or serve the page from this host";
        Self::new(Status::Forbidden, why)
    }

    /// 503: all places are taken.
    #[must_use]
    pub fn full() -> Self {
        Self::new(Status::Unavailable, "no more connections can be held now; try again later")
    }

    /// 429: the client's source has as many connections as it may have, or comes too often.
    #[must_use]
    pub fn too_many() -> Self {
        let why = "your address has too many connections, or opens them too fast; close some, or \
                   try again later";
        Self::new(Status::TooManyRequests, why)
    }

    /// 431: the head passes a bound of `Limits`.
    #[must_use]
    pub fn too_large() -> Self {
        let why = "the request's head is too large; send fewer or shorter headers";
        Self::new(Status::HeadTooLarge, why)
    }

    /// 400: `what` has more than `bytes_max` bytes.
    pub(crate) fn too_long(what: impl fmt::Display, bytes_max: usize) -> Self {
        Self::bad_request(format!("{what} is longer than {bytes_max} bytes; shorten it"))
    }

    pub(crate) fn bad_request(why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::BadRequest, why)
    }

    pub(super) fn new(status: Status, why: impl Into<Cow<'static, str>>) -> Self {
        Self { status, why: why.into(), hit: status.hit() }
    }

    /// The same, which tells of this bound.
    pub(crate) fn of(self, hit: Hit) -> Self {
        Self { hit: Some(hit), ..self }
    }

    /// Which bound it tells of, if it is one.
    #[must_use]
    pub fn hit(&self) -> Option<Hit> {
        self.hit
    }

    /// What is wrong and what to do, in one line.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Whether the same request may be served later.
    #[must_use]
    pub fn asks_to_return(&self) -> bool {
        // RFC 9110 §10.2.3 and RFC 6585 §4.
        matches!(self.status, Status::Unavailable | Status::TooManyRequests)
    }

    /// Appends the response, after which the connection is to be closed. Who may come back is
    /// asked to in a second.
    pub fn write_response(&self, out: &mut Vec<u8>) {
        self.write_response_after(1, out);
    }

    /// The same; who may come back is asked to in `retry_secs` seconds.
    pub fn write_response_after(&self, retry_secs: u32, out: &mut Vec<u8>) {
        self.write_head_after(retry_secs, out);
        out.extend_from_slice(self.why.as_bytes());
        out.push(b'\n');
    }

    /// The same without its body, whose length is said: RFC 9110 §9.3.2 has no HEAD be answered
    /// with one.
    pub fn write_head_after(&self, retry_secs: u32, out: &mut Vec<u8>) {
        let status = self.status as u16;
        let line = format!("{status} {}", self.status.reason());
        let headers = match self.asks_to_return() {
            true => &*format!("Retry-After: {retry_secs}\r\n"),
            false => self.status.headers(),
        };
        write_head(out, &line, TEXT, headers, self.why.len() + 1);
    }
}

/// What a plain `GET /` answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Page {
    /// Its media type, such as `text/html; charset=utf-8`.
    pub media_type: &'static str,
    /// The page itself.
    pub body: &'static str,
}

impl Page {
    /// Appends a response of 200 with the page, after which the connection is to be closed.
    pub fn write_response(&self, out: &mut Vec<u8>) {
        // Who upgrades the node is not to see the page of before, nor in a frame of others.
        let headers = "Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n\
                       Content-Security-Policy: frame-ancestors 'none'\r\n";
        write_head(out, "200 OK", self.media_type, headers, self.body.len());
        out.extend_from_slice(self.body.as_bytes());
    }
}

/// The media type of refusals.
const TEXT: &str = "text/plain; charset=utf-8";

/// Everything up to the body, which has `len` bytes.
fn write_head(out: &mut Vec<u8>, status: &str, media_type: &str, headers: &str, len: usize) {
    let head = format!(
        "HTTP/1.1 {status}\r\n\
         Connection: close\r\n\
         Content-Type: {media_type}\r\n\
         Content-Length: {len}\r\n\
         {headers}\r\n"
    );
    out.extend_from_slice(head.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A response's status line, header lines and body; its length is checked.
    fn read(write: impl FnOnce(&mut Vec<u8>)) -> (String, Vec<String>, String) {
        let mut out = b"before".to_vec();
        write(&mut out);
        let response = String::from_utf8(out).unwrap();
        let response = response.strip_prefix("before").expect("responses are appended");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head ends");
        let mut lines = head.split("\r\n").map(str::to_owned);
        let status = lines.next().unwrap();
        let headers: Vec<String> = lines.collect();
        if !status.contains("101") {
            assert!(headers.contains(&format!("Content-Length: {}", body.len())));
            assert!(headers.contains(&"Content-Type: text/plain; charset=utf-8".into()));
            assert!(headers.contains(&"Connection: close".into()));
        }
        (status, headers, body.to_owned())
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        // RFC 6455 §1.3.
        let upgrade = Upgrade::new(b"dGhlIHNhbXBsZSBub25jZQ==");
        let (status, headers, body) = read(|out| upgrade.write_response(out));
        assert_eq!(status, "HTTP/1.1 101 Switching Protocols");
        assert_eq!(
            headers,
            [
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            ]
        );
        assert_eq!(body, "");
    }

    #[test]
    fn exactly_the_subprotocol_that_is_picked_is_named() {
        let upgrade = Upgrade::new(b"dGhlIHNhbXBsZSBub25jZQ==");
        let lines = |picked| read(|out| upgrade.write_response_picking(picked, out)).1;
        let (none, picked) = (lines(None), lines(Some("weir.probe.v1")));
        assert_eq!(none, read(|out| upgrade.write_response(out)).1);
        assert_eq!(picked.len(), none.len() + 1);
        assert_eq!(picked[..none.len()], none);
        assert_eq!(picked[none.len()], "Sec-WebSocket-Protocol: weir.probe.v1");
    }

    #[test]
    fn a_refusal_says_what_is_needed_to_do_better() {
        let cases = [
            (Status::BadRequest, "HTTP/1.1 400 Bad Request", None),
            (Status::NotFound, "HTTP/1.1 404 Not Found", None),
            (Status::MethodNotAllowed, "HTTP/1.1 405 Method Not Allowed", Some("Allow: GET")),
            (
                Status::UpgradeRequired,
                "HTTP/1.1 426 Upgrade Required",
                Some("Sec-WebSocket-Version: 13"),
            ),
            (Status::TooManyRequests, "HTTP/1.1 429 Too Many Requests", Some("Retry-After: 1")),
            (Status::HeadTooLarge, "HTTP/1.1 431 Request Header Fields Too Large", None),
            (Status::Unavailable, "HTTP/1.1 503 Service Unavailable", Some("Retry-After: 1")),
        ];
        for (status, line, header) in cases {
            let refusal = Refusal::new(status, "do better");
            let (first, headers, body) = read(|out| refusal.write_response(out));
            assert_eq!(first, line);
            assert_eq!(body, "do better\n");
            assert!(header.is_none_or(|header| headers.contains(&header.into())), "{headers:?}");
        }
        assert_eq!(Refusal::full().status as u16, 503);
        assert_eq!(Refusal::too_many().status as u16, 429);
        assert_eq!(Refusal::too_large().status as u16, 431);
    }

    #[test]
    fn the_head_of_a_refusal_is_all_but_its_body() {
        let refusal = Refusal::full();
        let (mut head, mut whole) = (Vec::new(), Vec::new());
        refusal.write_head_after(7, &mut head);
        refusal.write_response_after(7, &mut whole);
        let body = format!("{}\n", refusal.why());
        assert_eq!(whole, [&head, body.as_bytes()].concat());
        assert!(head.ends_with(b"Retry-After: 7\r\n\r\n"));
    }

    #[test]
    fn an_upgrade_is_offered_to_who_did_not_ask_for_it() {
        let refusal = Refusal::new(Status::UpgradeRequired, "upgrade");
        let (_, headers, _) = read(|out| refusal.write_response(out));
        for header in ["Upgrade: websocket", "Connection: Upgrade"] {
            assert!(headers.contains(&header.into()), "{headers:?}");
        }
    }

    #[test]
    fn a_path_is_repeated_without_its_control_characters_and_not_at_length() {
        let refusal = Refusal::not_found("/a\r\nSet-Cookie: b\u{85}\u{202e}");
        assert!(!refusal.why().contains(char::is_control), "{:?}", refusal.why());
        assert!(refusal.why().contains(r"/a\r\nSet-Cookie"));
        let refusal = Refusal::not_found(&"/".repeat(8000));
        assert!(refusal.why().chars().count() < 150);
    }

    #[test]
    fn a_page_is_a_whole_response() {
        let page = Page { media_type: TEXT, body: "Wéir\n" };
        let (status, _, body) = read(|out| page.write_response(out));
        assert_eq!(status, "HTTP/1.1 200 OK");
        assert_eq!(body, "Wéir\n");
    }
}
