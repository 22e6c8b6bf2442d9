//! A client's upgrade request: its path, and the checks of RFC 6455 §4.2.1.

use std::fmt;

use httparse::{EMPTY_HEADER, Header};
use memchr::memchr_iter;

use super::is_token_byte;
use super::query::Query;
use super::response::{Refusal, Status, Upgrade};
use crate::deflate::{Agreement, Compression, Malformed};
use crate::hit::Hit;
use crate::limits::Limits;

const INCOMPLETE: &str = "the request does not end with its first empty line";

/// A well-formed HTTP request without its body, if it has one.
pub struct Request<'a> {
    method: &'a str,
    target: &'a str,
    /// The digit after `HTTP/1.`.
    minor: u8,
    headers: Vec<Header<'a>>,
}

/// Without headers and query, which have tokens.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, path) = (self.method, self.path());
        f.debug_struct("Request").field("method", &method).field("path", &path).finish()
    }
}

impl<'a> Request<'a> {
    /// Reads a request's head, which ends with its empty line.
    ///
    /// # Errors
    /// 431 if it passes `handshake_bytes_max` or `handshake_headers_max`, 400 if it is not HTTP
    /// by the letter: what others may read in another way is not read at all.
    pub fn parse(head: &'a [u8], limits: &Limits) -> Result<Self, Refusal> {
        let lines = check_lines(head)?;
        // All lines but the request's and the empty one.
        let headers_max = lines.saturating_sub(2);
        if head.len() > limits.handshake_bytes_max {
            return Err(Refusal::too_large());
        }
        if headers_max > limits.handshake_headers_max {
            return Err(Refusal::too_large().of(Hit::HandshakeHeaders));
        }
        let mut headers = vec![EMPTY_HEADER; headers_max];
        let mut parsed = httparse::Request::new(&mut headers);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(len)) if len == head.len() => {}
            Ok(_) => return Err(Refusal::bad_request(INCOMPLETE)),
            Err(error) => return Err(malformed(error)),
        }
        let (Some(method), Some(target), Some(minor)) =
            (parsed.method, parsed.path, parsed.version)
        else {
            unreachable!("a complete request has all parts of its first line");
        };
        let headers_len = parsed.headers.len();
        headers.truncate(headers_len);
        let request = Self { method, target, minor, headers };
        request.check_host()?;
        request.check_target()?;
        Ok(request)
    }

    /// The path, as it came, without the query.
    #[must_use]
    pub fn path(&self) -> &'a str {
        let local = local_part(self.target);
        match local.split_once('?').map_or(local, |(path, _)| path) {
            // RFC 9110 §4.2.3: an empty path is the root.
            "" => "/",
            path => path,
        }
    }

    /// What follows the first question mark.
    #[must_use]
    pub fn query(&self) -> Query<'a> {
        Query::new(local_part(self.target).split_once('?').map_or("", |(_, query)| query))
    }

    /// Whether the method is GET.
    #[must_use]
    pub fn is_get(&self) -> bool {
        self.method == "GET"
    }

    /// Whether the client wants to speak WebSocket.
    #[must_use]
    pub fn wants_upgrade(&self) -> bool {
        // RFC 6455 §4.2.1, 3 and 4: both are lists of tokens in any case.
        self.has_token("Upgrade", "websocket") && self.has_token("Connection", "upgrade")
    }

    /// Whether a page may have asked for this (RFC 6455 §4.2.1, 7 and §10.2): one of this very
    /// host, one of `listed`, which are compared letter by letter, or no page at all, since only
    /// browsers say an Origin. Two of them are nobody's.
    #[must_use]
    pub fn comes_from(&self, listed: &[String]) -> bool {
        let mut origins = self.values("Origin");
        let Some(origin) = origins.next() else { return true };
        if origins.next().is_some() {
            return false;
        }
        let own = self.host().is_some_and(|host| {
            let authority =
                [&b"http://"[..], b"https://"].map(|scheme| origin.strip_prefix(scheme));
            authority.into_iter().flatten().any(|own| own.eq_ignore_ascii_case(host))
        });
        own || listed.iter().any(|known| known.as_bytes() == origin)
    }

    /// The subprotocols that the client offers, in its order of preference.
    ///
    /// RFC 6455 §11.3.4: the header may come several times and is one list then. Elements that are
    /// empty are passed over (RFC 9110 §5.6.1.2), and so are those that are no tokens, which
    /// RFC 6455 §4.2.2 leaves to the server: only a name that is served, letter by letter, is
    /// ever picked, so what else stands there can do no harm.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'a str> {
        self.values("Sec-WebSocket-Protocol")
            .flat_map(|list| list.split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|name| !name.is_empty() && name.iter().copied().all(is_token_byte))
            .filter_map(|name| std::str::from_utf8(name).ok())
    }

    /// What of permessage-deflate is agreed on, of all that the client offers (RFC 7692 §5.1).
    /// Other extensions are passed over.
    ///
    /// # Errors
    /// 400 if what it offers is no list of extensions: RFC 6455 §9.1.
    pub fn agreement(&self, compression: Compression) -> Result<Option<Agreement>, Refusal> {
        let offers = self.values("Sec-WebSocket-Extensions");
        Agreement::of(offers, compression).map_err(|Malformed| {
            Refusal::bad_request(
                "Sec-WebSocket-Extensions is malformed; send a list of tokens with parameters, \
                 as in `permessage-deflate; client_max_window_bits`",
            )
        })
    }

    /// The handshake, if the request is a valid one. Headers that do not belong to it are
    /// ignored.
    ///
    /// # Errors
    /// 405, 426 or 400 with the first rule of RFC 6455 §4.2.1 that it breaks.
    pub fn upgrade(&self) -> Result<Upgrade, Refusal> {
        // RFC 6455 §4.2.1, 1: a GET of HTTP/1.1 or higher.
        if !self.is_get() {
            let why = "only GET opens a WebSocket connection";
            return Err(Refusal::new(Status::MethodNotAllowed, why));
        }
        if !self.wants_upgrade() {
            let why = "this path speaks WebSocket; connect with a WebSocket client, which sends \
                       `Upgrade: websocket` and `Connection: Upgrade`";
            return Err(Refusal::new(Status::UpgradeRequired, why));
        }
        if self.minor == 0 {
            let why = "HTTP/1.0 cannot be upgraded; use HTTP/1.1, in proxies on the way too";
            return Err(Refusal::bad_request(why));
        }
        self.check_version()?;
        self.check_no_body()?;
        Ok(Upgrade::new(self.key()?))
    }

    /// Whom the request is for, perhaps with a port. RFC 9112 §3.2.2: a target that names it
    /// outranks the Host header.
    fn host(&self) -> Option<&'a [u8]> {
        match split_authority(self.target) {
            Some((authority, _)) => Some(authority.as_bytes()),
            None => self.values("Host").next(),
        }
    }

    /// RFC 9112 §3.2: a request of HTTP/1.1 names its host, and none does so twice.
    fn check_host(&self) -> Result<(), Refusal> {
        let mut hosts = self.values("Host");
        match (hosts.next(), hosts.next()) {
            (Some(_), Some(_)) => Err(Refusal::bad_request("there are several Host headers")),
            (None | Some([]), None) if self.minor > 0 => {
                Err(Refusal::bad_request("the Host header is missing or empty"))
            }
            _ => Ok(()),
        }
    }

    /// RFC 9112 §3.2: a fragment is for the client alone.
    fn check_target(&self) -> Result<(), Refusal> {
        if self.target.contains('#') {
            return Err(Refusal::bad_request("a `#` is in the request's target; write it %23"));
        }
        Ok(())
    }

    /// RFC 6455 §4.2.1, 6 and §4.4: version 13, or to be told so.
    fn check_version(&self) -> Result<(), Refusal> {
        let mut versions = self.values("Sec-WebSocket-Version");
        match (versions.next(), versions.next()) {
            (Some(b"13"), None) => Ok(()),
            _ => {
                let why =
                    "only version 13 of WebSocket is spoken; send `Sec-WebSocket-Version: 13`";
                Err(Refusal::new(Status::UpgradeRequired, why))
            }
        }
    }

    /// What follows the head is frames, so nothing else may.
    fn check_no_body(&self) -> Result<(), Refusal> {
        let has_length = self.values("Content-Length").any(|length| length != b"0");
        if has_length || self.values("Transfer-Encoding").next().is_some() {
            let why = "a WebSocket handshake has no body; send neither Content-Length nor \
                       Transfer-Encoding";
            return Err(Refusal::bad_request(why));
        }
        Ok(())
    }

    /// RFC 6455 §4.2.1, 5: a key that stands for 16 bytes, once (§11.3.1).
    fn key(&self) -> Result<&'a [u8], Refusal> {
        let mut keys = self.values("Sec-WebSocket-Key");
        match (keys.next(), keys.next()) {
            (Some(key), None) if is_key(key) => Ok(key),
            (None, _) => Err(Refusal::bad_request("the Sec-WebSocket-Key header is missing")),
            (_, Some(_)) => {
                Err(Refusal::bad_request("there are several Sec-WebSocket-Key headers"))
            }
            (Some(_), None) => {
                Err(Refusal::bad_request("Sec-WebSocket-Key is not 16 bytes in base64"))
            }
        }
    }

    /// Whether one of the lists under this name has the token, both in any case.
    fn has_token(&self, name: &str, token: &str) -> bool {
        let is_it = |item: &[u8]| item.eq_ignore_ascii_case(token.as_bytes());
        self.values(name).any(|value| {
            // Most lists are this very token.
            is_it(value) || value.split(|byte| *byte == b',').any(|item| is_it(item.trim_ascii()))
        })
    }

    /// The values of all headers of this name, without space around them.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let named =
            self.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value.trim_ascii())
    }
}

/// Counts the lines. Each ends with CR LF, none continues the one before, the last is empty.
fn check_lines(head: &[u8]) -> Result<usize, Refusal> {
    let mut lines = 0;
    for at in memchr_iter(b'\n', head) {
        lines += 1;
        // RFC 9112 §2.2 lets a server take a bare LF; what proxies make of one differs.
        if at == 0 || head[at - 1] != b'\r' {
            return Err(Refusal::bad_request("a line ends with a bare LF; end it with CR LF"));
        }
        // RFC 9112 §5.2.
        if matches!(head.get(at + 1), Some(b' ' | b'\t')) {
            return Err(Refusal::bad_request("a header is folded over two lines; unfold it"));
        }
    }
    if !head.ends_with(b"\r\n\r\n") {
        return Err(Refusal::bad_request(INCOMPLETE));
    }
    Ok(lines)
}

fn malformed(error: httparse::Error) -> Refusal {
    use httparse::Error;
    Refusal::bad_request(match error {
        Error::HeaderName => "the name of a header is malformed",
        Error::HeaderValue => "the value of a header has a control character",
        Error::NewLine => "a line does not end with CR LF",
        Error::Token | Error::Status => "the request's first line is malformed",
        Error::Version => "the version of HTTP is neither 1.1 nor 1.0",
        Error::TooManyHeaders => return Refusal::too_large().of(Hit::HandshakeHeaders),
    })
}

/// RFC 9112 §3.2.2: the path and query of a target that may name scheme and host before them.
fn local_part(target: &str) -> &str {
    split_authority(target).map_or(target, |(_, local)| local)
}

/// The host, and the path and query, of a target that names a scheme before them.
fn split_authority(target: &str) -> Option<(&str, &str)> {
    if target.starts_with('/') {
        return None;
    }
    let (scheme, rest) = target.split_once("://")?;
    let known = ["http", "https", "ws", "wss"];
    let known = known.iter().any(|known| scheme.eq_ignore_ascii_case(known));
    known.then(|| rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())))
}

/// Whether this is base64 of 16 bytes.
///
/// The bits that the last digit has too many may be anything: in the example of RFC 6455 §4.1
/// they are not zero.
fn is_key(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    /// What a client sends that knows no more than the RFC.
    fn plain() -> Vec<String> {
        [
            "Host: localhost:8080",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// The plain request with this header in place of those of the same name, if it has a value.
    fn with(header: &str) -> Vec<String> {
        let (name, value) = header.split_once(':').unwrap();
        let mut lines = plain();
        lines.retain(|line| line.split_once(':').unwrap().0 != name);
        if !value.is_empty() {
            lines.push(header.to_owned());
        }
        lines
    }

    /// The plain request and these headers.
    fn and(headers: &[&str]) -> Vec<String> {
        plain().into_iter().chain(headers.iter().map(|&header| header.to_owned())).collect()
    }

    fn head(first: &str, lines: &[String]) -> String {
        format!("{first}\r\n{}\r\n\r\n", lines.join("\r\n"))
    }

    fn upgrade_of(head: &str) -> Result<Upgrade, Refusal> {
        Request::parse(head.as_bytes(), &Limits::default())?.upgrade()
    }

    fn upgrade(lines: &[String]) -> Result<Upgrade, Refusal> {
        upgrade_of(&head("GET /ws/lobby HTTP/1.1", lines))
    }

    /// The refusal, which has this status and says this word.
    #[track_caller]
    fn assert_refused(outcome: Result<Upgrade, Refusal>, status: u16, word: &str) {
        let refusal = outcome.expect_err("a refusal");
        assert_eq!(refusal.status as u16, status, "{}", refusal.why());
        assert!(refusal.why().contains(word), "{:?} has no {word:?}", refusal.why());
        assert!(!refusal.why().contains(char::is_control), "{:?}", refusal.why());
    }

    fn target_of(target: &str) -> (String, String) {
        let head = head(&format!("GET {target} HTTP/1.1"), &plain());
        let request = Request::parse(head.as_bytes(), &Limits::default()).unwrap();
        (request.path().to_owned(), request.query().0.to_owned())
    }

    #[test]
    fn what_browsers_tools_and_proxies_send_is_accepted() {
        let expected = Upgrade::new(KEY.as_bytes());
        let firefox = and(&[
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Accept: */*",
            "Origin: http://localhost:8000",
            "Sec-WebSocket-Extensions: permessage-deflate",
            "Sec-WebSocket-Protocol: chat, superchat",
            "Sec-Fetch-Mode: websocket",
            "Cookie: name=caf\u{e9}",
            "Pragma: no-cache",
        ]);
        let node = [
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
            "Host: localhost:8080",
        ];
        let shouting = plain().into_iter().map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            let value = if name.contains("Key") { value.into() } else { value.to_uppercase() };
            format!("{}:{value}", name.to_uppercase())
        });
        let cases = [
            ("plain", plain()),
            ("firefox", firefox),
            ("node", node.map(str::to_owned).to_vec()),
            ("shouting", shouting.collect()),
            ("token list", with("Connection: keep-alive, Upgrade")),
            ("token list without spaces", with("Connection:keep-alive,upgrade")),
            ("several Connection headers", and(&["Connection: keep-alive"])),
            ("several protocols offered", with("Upgrade: h2c, WebSocket")),
            ("space around values", with("Sec-WebSocket-Version: \t13 \t")),
            ("no body said aloud", and(&["Content-Length: 0"])),
            ("proxy", and(&["X-Forwarded-For: 192.0.2.1", "Via: 1.1 proxy"])),
            ("empty header", and(&["X-Empty:"])),
        ];
        for (name, lines) in cases {
            assert_eq!(upgrade(&lines), Ok(expected.clone()), "{name}");
        }
    }

    #[test]
    fn headers_of_the_handshake_are_needed_as_they_are_said() {
        for (header, status, word) in [
            ("Host:", 400, "Host"),
            ("Host: ", 400, "Host"),
            ("Upgrade:", 426, "WebSocket"),
            ("Upgrade: websockets", 426, "WebSocket"),
            ("Upgrade: h2c", 426, "WebSocket"),
            ("Connection:", 426, "WebSocket"),
            ("Connection: keep-alive", 426, "WebSocket"),
            ("Connection: no-upgrade", 426, "WebSocket"),
            ("Sec-WebSocket-Version:", 426, "13"),
            ("Sec-WebSocket-Version: 8", 426, "13"),
            ("Sec-WebSocket-Version: 13, 8", 426, "13"),
            ("Sec-WebSocket-Version: 013", 426, "13"),
            ("Sec-WebSocket-Key:", 400, "missing"),
            ("Sec-WebSocket-Key: ", 400, "16 bytes"),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ", 400, "16 bytes"),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQA=", 400, "16 bytes"),
            ("Sec-WebSocket-Key: SGVsbG8sIHdvcmxkIQ==", 400, "16 bytes"),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j_Q==", 400, "16 bytes"),
        ] {
            assert_refused(upgrade(&with(header)), status, word);
        }
    }

    #[test]
    fn what_may_be_said_once_is_refused_twice() {
        for (header, status, word) in [
            ("host: other", 400, "several Host"),
            ("Sec-WebSocket-Version: 13", 426, "13"),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", 400, "several Sec-WebSocket-Key"),
        ] {
            assert_refused(upgrade(&and(&[header])), status, word);
        }
    }

    #[test]
    fn a_handshake_with_a_body_is_refused() {
        for header in ["Content-Length: 5", "Content-Length: x", "Transfer-Encoding: chunked"] {
            assert_refused(upgrade(&and(&[header])), 400, "no body");
        }
    }

    #[test]
    fn the_key_in_the_rfcs_text_is_a_key() {
        // RFC 6455 §4.1: 16 bytes from 0x01 to 0x10, with bits to spare that are not zero.
        assert!(upgrade(&with("Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC==")).is_ok());
    }

    #[test]
    fn other_methods_and_versions_are_refused() {
        for (first, status, word) in [
            ("POST /ws/lobby HTTP/1.1", 405, "GET"),
            ("HEAD /ws/lobby HTTP/1.1", 405, "GET"),
            ("get /ws/lobby HTTP/1.1", 405, "GET"),
            ("CONNECT localhost:80 HTTP/1.1", 405, "GET"),
            ("GET /ws/lobby HTTP/1.0", 400, "HTTP/1.0"),
            ("GET /ws/lobby HTTP/2.0", 400, "version"),
            ("GET /ws/lobby", 400, "first line"),
            ("GET /ws/ lobby HTTP/1.1", 400, "version"),
            ("GET  /ws/lobby HTTP/1.1", 400, "first line"),
            ("GET /ws/lobby#a HTTP/1.1", 400, "%23"),
            ("", 400, "first line"),
            ("\u{16}\u{3}\u{1}", 400, "first line"),
        ] {
            assert_refused(upgrade_of(&head(first, &plain())), status, word);
        }
    }

    #[test]
    fn what_others_may_read_in_another_way_is_refused() {
        let whole = head("GET / HTTP/1.1", &plain());
        for (head, word) in [
            (whole.replace("\r\n", "\n"), "bare LF"),
            (whole.replacen("\r\nUpgrade", "\nUpgrade", 1), "bare LF"),
            (whole.replacen("\r\n\r\n", "\r\n\n", 1), "bare LF"),
            (whole.replacen("Upgrade: web", "Upgrade:\r\n web", 1), "folded"),
            (whole.replacen("Upgrade: web", "Upgrade:\r\n\tweb", 1), "folded"),
            (whole.replacen("Host:", " Host:", 1), "folded"),
            (whole.replacen("Host:", "Host :", 1), "name of a header"),
            (whole.replacen("Host:", "Ho\u{e9}st:", 1), "name of a header"),
            (whole.replacen("Host:", ":", 1), "name of a header"),
            (whole.replacen("localhost", "local\0host", 1), "value of a header"),
            (whole.replacen("localhost", "local\rhost", 1), "value of a header"),
            ("\r\n\r\n".into(), "first empty line"),
            (whole.trim_end().into(), "first empty line"),
            (format!("{whole}more"), "first empty line"),
            (format!("{whole}GET / HTTP/1.1\r\n\r\n"), "first empty line"),
        ] {
            assert_refused(upgrade_of(&head), 400, word);
        }
    }

    #[test]
    fn an_empty_line_before_the_request_is_passed_over() {
        let late = format!("\r\n{}", head("GET / HTTP/1.1", &plain()));
        assert!(upgrade_of(&late).is_ok());
    }

    #[test]
    fn the_head_is_bounded_in_bytes_and_lines() {
        let limits = Limits::default();
        let lines_max = limits.handshake_headers_max - plain().len();
        let mut lines = and(&vec!["X: y"; lines_max]);
        assert!(upgrade(&lines).is_ok());
        lines.push("X: y".into());
        assert_refused(upgrade(&lines), 431, "fewer");

        let bytes = head("GET /ws/lobby HTTP/1.1", &and(&["X: "])).len();
        let fill = |bytes: usize| upgrade(&and(&[&format!("X: {}", "y".repeat(bytes))]));
        assert!(fill(limits.handshake_bytes_max - bytes).is_ok());
        assert_refused(fill(limits.handshake_bytes_max - bytes + 1), 431, "shorter");
    }

    #[test]
    fn targets_are_reduced_to_path_and_query() {
        for (target, path, query) in [
            ("/", "/", ""),
            ("/ws/lobby", "/ws/lobby", ""),
            ("/ws/lobby?a=b?c", "/ws/lobby", "a=b?c"),
            ("/?", "/", ""),
            ("//ws", "//ws", ""),
            ("/a://b/c", "/a://b/c", ""),
            ("http://localhost:8080/ws/lobby?x", "/ws/lobby", "x"),
            ("WS://localhost/ws/lobby", "/ws/lobby", ""),
            ("wss://localhost", "/", ""),
            ("https://localhost?x=/y", "/", "x=/y"),
            ("ftp://localhost/ws", "ftp://localhost/ws", ""),
            ("*", "*", ""),
        ] {
            assert_eq!(target_of(target), (path.to_owned(), query.to_owned()), "{target}");
        }
    }

    fn offered(headers: &[&str]) -> Vec<String> {
        let head = head("GET / HTTP/1.1", &and(headers));
        let request = Request::parse(head.as_bytes(), &Limits::default()).unwrap();
        assert!(request.upgrade().is_ok(), "an offer spoils no handshake");
        request.subprotocols().map(str::to_owned).collect()
    }

    #[test]
    fn subprotocols_are_one_list_in_the_clients_order() {
        assert_eq!(offered(&[]), [""; 0]);
        let once = ["Sec-WebSocket-Protocol: weir.probe.v1"];
        assert_eq!(offered(&once), ["weir.probe.v1"]);
        let twice =
            ["Sec-WebSocket-Protocol: b,\ta ,  c", "X: y", "sec-websocket-protocol:d", "Y: z"];
        assert_eq!(offered(&twice), ["b", "a", "c", "d"]);
        let marks = "!#$%&'*+-.^_`|~09azAZ";
        assert_eq!(offered(&[&format!("Sec-WebSocket-Protocol: {marks}")]), [marks]);
    }

    #[test]
    fn what_names_no_subprotocol_is_passed_over_and_its_neighbours_are_not() {
        for (list, names) in [
            ("", &[][..]),
            (",", &[]),
            (" , ,a,,", &["a"]),
            ("a b, c", &["c"]),
            ("\"a\", b", &["b"]),
            ("\"a, b, c\"", &["b"]),
            ("a/b, a=b, a;b, (a), <a>, a@b, a:b, a\\b, [a], a?b, {a}, c", &["c"]),
            ("caf\u{e9}, b", &["b"]),
        ] {
            let header = format!("Sec-WebSocket-Protocol: {list}");
            assert_eq!(offered(&[&header]), names, "{list}");
        }
    }

    #[test]
    fn who_wants_no_upgrade_is_known_before_anything_else_is_checked() {
        let head = "GET / HTTP/1.0\r\n\r\n";
        let request = Request::parse(head.as_bytes(), &Limits::default()).unwrap();
        assert!(request.is_get() && !request.wants_upgrade());
    }
}
