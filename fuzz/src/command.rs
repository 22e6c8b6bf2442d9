//! What must be true of everything a client may say beside frames: paths, queries, origins,
//! credentials, extensions, and lines typed where people chat.

use gateway_core::handshake::{Query, Request};
use gateway_core::limits::Limits;
use gateway_core::route::{RouteConfig, Routes};

use crate::decoded::decoded;
use crate::deflate::check_offers;

/// Splits an input into what is said: a byte that no text has.
const SEPARATOR: u8 = 0xFF;
/// Pages that may connect, beside those of the host itself.
const LISTED: [&str; 2] = ["https://app.example", "null"];
const HOST: &str = "weir.test:8080";
/// Bytes of a token, of a room's name, and of what is decoded otherwise.
const TOKEN_BYTES_MAX: usize = 4096;
const NAME_BYTES_MAX: usize = 255;

/// Each piece says by its first byte what it is; those without such a byte are typed lines.
pub(crate) fn check(data: &[u8]) {
    let limits = Limits::default();
    let (mut query, mut lines) = (String::new(), Vec::new());
    for piece in data.split(|byte| *byte == SEPARATOR) {
        let text = String::from_utf8_lossy(piece);
        match text.strip_prefix(['?', '@', '!', '%', '{', '~']) {
            None => lines.push(text.into_owned()),
            Some(rest) => match text.as_bytes()[0] {
                b'?' => {
                    check_query(rest);
                    query = rest.to_owned();
                }
                b'@' => check_origin(rest),
                b'!' => check_token(rest),
                b'~' => check_offers(rest),
                b'%' => check_path(rest, &limits),
                _ => check_pattern(rest, &limits),
            },
        }
    }
    crate::chat::check(&query, &lines);
}

/// The first value of a name is found and decoded.
fn check_query(raw: &str) {
    let query = Query::new(raw);
    let value = first_value(raw, "name");
    assert_eq!(query.values("name").next(), value);
    let count = raw.split('&').filter(|pair| pair.split('=').next() == Some("name")).count();
    assert_eq!(query.values("name").count(), count);
    assert_eq!(query.only("name").ok(), (count < 2).then_some(value));
    let expected = value.map(|raw| decoded(&raw.replace('+', " "), NAME_BYTES_MAX).ok_or(()));
    let parameter = query.parameter("name", NAME_BYTES_MAX);
    assert_eq!(parameter.map_err(drop), expected.transpose(), "{raw:?}");
}

/// The first value of this name in a query, as it came.
pub(crate) fn first_value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| match pair.strip_prefix(name)? {
        "" => Some(""),
        rest => rest.strip_prefix('='),
    })
}

/// RFC 6454: an origin is a scheme, a host and a port, and is compared as a whole.
fn check_origin(origin: &str) {
    let listed = LISTED.map(str::to_owned);
    let head = head("/", &format!("Origin: {origin}"));
    let limits = Limits::default();
    let Ok(request) = Request::parse(head.as_bytes(), &limits) else { return };
    let said = origin.trim_matches([' ', '\t']);
    let own = ["http://", "https://"].into_iter().any(|scheme| {
        said.strip_prefix(scheme).is_some_and(|host| host.eq_ignore_ascii_case(HOST))
    });
    assert_eq!(request.comes_from(&listed), own || LISTED.contains(&said), "{origin:?}");
}

/// RFC 6750 §2.1: a token follows its scheme; what is no token is refused and not repeated.
fn check_token(value: &str) {
    let head = head("/", &format!("Authorization: {value}"));
    let limits = Limits::default();
    let Ok(request) = Request::parse(head.as_bytes(), &limits) else { return };
    let value = value.trim_matches([' ', '\t']);
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    let token = token.trim_start();
    match request.bearer() {
        Ok(None) => assert!(!scheme.eq_ignore_ascii_case("bearer"), "{value:?}"),
        Ok(Some(secret)) => {
            assert_eq!(secret.expose(), token);
            assert!(scheme.eq_ignore_ascii_case("bearer") && !token.is_empty());
            assert_eq!(format!("{secret:?}"), "Secret(…)");
        }
        Err(refusal) => {
            assert!(token.is_empty() || token.len() > TOKEN_BYTES_MAX, "{value:?}");
            assert!(token.is_empty() || !refusal.why().contains(token));
        }
    }
}

/// The routes that are built in, by the letter.
fn check_path(rest: &str, limits: &Limits) {
    let routes = Routes::default();
    let path = format!("/{rest}");
    let found =
        routes.find(&path, limits).map(|(id, name)| (routes.get(id).path().to_owned(), name));
    let found = found.map_err(|refusal| refusal.status as u16);
    assert_eq!(found, expected(&path), "{path:?}");
}

fn expected(path: &str) -> Result<(String, String), u16> {
    let raw: Vec<_> = path[1..].split('/').collect();
    if raw.len() > 3 || raw.len() == 1 && path != "/" {
        return Err(404);
    }
    let segments = raw.iter().map(|raw| decoded(raw, raw.len()).ok_or(400_u16));
    let segments = segments.collect::<Result<Vec<_>, _>>()?;
    let segments: Vec<_> = segments.iter().map(String::as_str).collect();
    let (route, name) = match segments[..] {
        [""] => ("/", ""),
        ["ws", "simple"] => ("/ws/simple", ""),
        ["ws", room] if !room.is_empty() => ("/ws/{room}", room),
        ["ws", "chat", room] if !room.is_empty() => ("/ws/chat/{room}", room),
        _ => return Err(404),
    };
    if name.len() > NAME_BYTES_MAX { Err(400) } else { Ok((route.to_owned(), name.to_owned())) }
}

/// A route that an operator may write serves the paths that it says, and no others are written.
fn check_pattern(rest: &str, limits: &Limits) {
    const NAME: &str = "a/é%{";
    let path = rest.replace("{r}", "{room}");
    let config = RouteConfig {
        path: path.clone(),
        namespace: Some("n".to_owned()),
        ..RouteConfig::default()
    };
    let routes = match Routes::new(&[config]) {
        Ok(routes) => routes,
        Err(error) => {
            assert!(!error.to_string().contains(char::is_control), "{error}");
            return;
        }
    };
    assert_eq!(routes.iter().map(|route| route.path()).collect::<Vec<_>>(), [&path]);
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let spelt = path.split('/').map(|segment| match segment {
        "{room}" => encoded(NAME),
        literal => encoded(literal),
    });
    let spelt = spelt.collect::<Vec<_>>().join("/");
    let name = if path.contains("{room}") { NAME } else { "" };
    match routes.find(&spelt, limits) {
        Ok((_, found)) => assert_eq!(found, name),
        Err(refusal) => assert!(path.contains(char::is_control), "{}", refusal.why()),
    }
}

fn head(target: &str, header: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n{header}\r\n\r\n")
}
