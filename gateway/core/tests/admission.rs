//! Who is let in to which route, and what a route makes of those who are.

mod world;

use gateway_core::event::{CloseReason, Event};
use gateway_core::hub::MemberPolicy;
use gateway_core::route::{RouteConfig, Routes};
use gateway_core::slot::Slot;
use world::{TOKEN, World, close_code, masked, text};

const CHAT: &str = "/ws/chat/lobby";

/// An upgrade request with more headers.
fn request(path: &str, headers: &str) -> Vec<u8> {
    let mut request = world::request(path);
    request.truncate(request.len() - 2);
    [&request[..], headers.as_bytes(), b"\r\n"].concat()
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn knock(world: &mut World, request: &[u8]) -> Slot {
    let slot = world.accept();
    world.raw(slot, request);
    world.settle();
    slot
}

/// Who comes with this request, and what it is answered.
fn answer(world: &mut World, request: &[u8]) -> (Slot, String) {
    let slot = knock(world, request);
    let got = std::mem::take(&mut world.wire(slot).got);
    (slot, String::from_utf8(got).expect("a response is text"))
}

fn chatter(world: &mut World) -> Slot {
    let (slot, answer) = answer(world, &request(CHAT, &bearer(TOKEN)));
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    slot
}

#[test]
fn no_head_is_answered_with_a_body() {
    let mut world = World::new();
    let head = |path: &str, more: &str| format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n");
    let endless = "x".repeat(9 << 10);
    for (asked, status) in [
        (head("/ws/lobby", ""), 405),
        (head("/", ""), 405),
        (head("/nowhere", ""), 404),
        (head("/ws/lobby", "Host: b\r\n"), 400),
        (format!("HEAD /{endless}"), 431),
    ] {
        let (_, got) = answer(&mut world, asked.as_bytes());
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{asked}: {got}");
        let (lines, body) = got.split_once("\r\n\r\n").expect("a head ends");
        assert_eq!(body, "", "{asked}");
        let len = lines.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        assert!(len.is_some_and(|len| len != "0"), "what a GET would hear has a length: {lines}");
    }
    let (_, got) = answer(&mut world, b"POST /ws/lobby HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(got.ends_with("only GET opens a WebSocket connection\n"), "{got}");
}

#[test]
fn a_token_opens_the_door_wherever_it_is_shown() {
    let mut world = World::new();
    let subprotocol = format!("Sec-WebSocket-Protocol: weir.raw, bearer.{TOKEN}\r\n");
    for (path, headers, picks) in [
        (CHAT.to_owned(), bearer(TOKEN), false),
        (CHAT.to_owned(), subprotocol, true),
        (format!("{CHAT}?access_token={TOKEN}"), String::new(), false),
    ] {
        let (_, answer) = answer(&mut world, &request(&path, &headers));
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert_eq!(answer.contains("Sec-WebSocket-Protocol: weir.raw\r\n"), picks, "{answer}");
        assert!(!answer.contains(TOKEN), "a token is never said back: {answer}");
    }
}

#[test]
fn pages_of_strangers_are_kept_from_what_takes_credentials() {
    let listed = |origins: &[&str]| {
        let mut routes = Routes::builtin();
        let origins: Vec<_> = origins.iter().map(|&origin| origin.to_owned()).collect();
        routes.iter_mut().for_each(|route| route.origins.clone_from(&origins));
        World::serving(&routes)
    };
    let (own, app, other) = ("http://weir.test", "https://app.example", "https://evil.example");
    let says = |origin: &str| format!("Origin: {origin}\r\n");
    let twice = says(app) + &says(app);
    // Which of: no origin, its own host, the one that may be listed, a stranger, null, two.
    let origins = [String::new(), says(own), says(app), says(other), says("null"), twice];
    for (listed_origins, path, let_in) in [
        (&[][..], CHAT, [true, true, false, false, false, false]),
        (&[app][..], CHAT, [true, true, true, false, false, false]),
        (&["*"][..], CHAT, [true; 6]),
        (&[][..], "/ws/lobby", [true; 6]),
        (&[app][..], "/ws/lobby", [true, true, true, false, false, false]),
        (&["null"][..], "/ws/simple", [true, true, false, false, true, false]),
    ] {
        let mut world = listed(listed_origins);
        for (origin, let_in) in origins.iter().zip(let_in) {
            let (_, answer) = answer(&mut world, &request(path, &(bearer(TOKEN) + origin)));
            let status = if let_in { "HTTP/1.1 101 " } else { "HTTP/1.1 403 Forbidden" };
            assert!(answer.starts_with(status), "{listed_origins:?} {path} {origin}: {answer}");
            assert!(let_in || answer.contains("origins"), "what to do: {answer}");
        }
    }
}

#[test]
fn an_origin_is_the_hosts_own_only_if_all_of_it_is() {
    let mut world = World::new();
    for (origin, let_in) in [
        ("https://weir.test", true),
        ("http://WEIR.test", true),
        ("http://weir.test:80", false),
        ("http://weir.test.evil.example", false),
        ("http://evil.example/weir.test", false),
        ("http://user@weir.test", false),
        ("weir.test", false),
        ("ftp://weir.test", false),
        ("", false),
    ] {
        let headers = bearer(TOKEN) + &format!("Origin: {origin}\r\n");
        let (_, answer) = answer(&mut world, &request(CHAT, &headers));
        assert_eq!(answer.starts_with("HTTP/1.1 101 "), let_in, "{origin}: {answer}");
    }
}

#[test]
fn who_has_no_token_or_another_hears_401_and_what_to_do() {
    let mut world = World::new();
    for (headers, told) in [(String::new(), "Authorization: Bearer"), (bearer("x"), "another")] {
        let (slot, answer) = answer(&mut world, &request(CHAT, &headers));
        assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answer}");
        assert!(answer.contains("WWW-Authenticate: Bearer\r\n") && answer.contains(told));
        world.end(slot);
        assert_eq!(world.wire(slot).released, Some(CloseReason::Answered(401)));
    }
    world.assert_empty();
}

#[test]
fn a_room_behind_another_route_is_another_room() {
    let mut world = World::new();
    let ann = chatter(&mut world);
    let [bob] = world.connect_all("/ws/lobby");
    world.say(bob, "hi");
    world.settle();
    assert!(world.heard(ann).is_empty());
}

#[test]
fn who_chats_hears_itself_and_who_does_not_is_spared() {
    let mut world = World::new();
    let (ann, bob) = (chatter(&mut world), chatter(&mut world));
    world.say(ann, "hello");
    world.settle();
    assert_eq!((world.heard(ann), world.heard(bob)), (vec![text("hello")], vec![text("hello")]));
    let [cat, dan] = world.connect_all("/ws/lobby");
    world.say(cat, "hello");
    world.settle();
    assert_eq!((world.heard(cat), world.heard(dan)), (vec![], vec![text("hello")]));
    // Also who is alone.
    world.end(bob);
    world.say(ann, "anyone?");
    world.settle();
    assert_eq!(world.heard(ann), [text("anyone?")]);
}

#[test]
fn what_came_while_somebody_was_asked_is_understood_when_it_is_let_in() {
    let mut world = World::new();
    let bob = chatter(&mut world);
    world.ponders = true;
    let mut words = request(CHAT, &bearer(TOKEN));
    words.extend(masked(0x81, b"early"));
    let ann = knock(&mut world, &words);
    world.raw(ann, &masked(0x81, b"bird"));
    world.settle();
    assert!(world.wire(ann).got.is_empty() && world.heard(bob).is_empty());
    world.decide();
    assert_eq!(world.heard(bob), [text("early"), text("bird")]);
}

#[test]
fn an_answer_that_comes_too_late_meets_nobody() {
    let mut world = World::new();
    world.ponders = true;
    let late = knock(&mut world, &request(CHAT, &bearer(TOKEN)));
    world.pass_secs(30);
    let got = std::mem::take(&mut world.wire(late).got);
    assert!(got.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&got));
    world.decide();
    assert!(world.wire(late).got.is_empty());
    let gone = knock(&mut world, &request(CHAT, &bearer(TOKEN)));
    let now = world.now;
    world.hub.handle(now, Event::Broken { slot: gone });
    world.effects();
    world.decide();
    assert_eq!(world.wire(gone).released, Some(CloseReason::Reset));
    world.assert_empty();
}

#[test]
fn who_waits_to_be_let_in_hears_that_the_node_goes() {
    let mut world = World::new();
    world.ponders = true;
    let ann = knock(&mut world, &request(CHAT, &bearer(TOKEN)));
    let now = world.now;
    world.hub.handle(now, Event::Drain);
    world.settle();
    assert!(world.wire(ann).got.starts_with(b"HTTP/1.1 503 "));
    world.decide();
    world.end(ann);
    world.assert_empty();
}

#[test]
fn a_route_has_a_message_limit_of_its_own() {
    let mut routes = Routes::builtin();
    routes[1].message_bytes_max = Some(10);
    let mut world = World::serving(&routes);
    let [ann, bob] = world.connect_all("/ws/lobby");
    let [cat, dan] = world.connect_all("/");
    for (author, listener) in [(ann, bob), (cat, dan)] {
        world.say(author, "0123456789");
        world.settle();
        assert_eq!(world.heard(listener), [text("0123456789")]);
        world.say(author, "0123456789a");
        world.settle();
    }
    assert_eq!(world.heard(ann).iter().map(close_code).collect::<Vec<_>>(), [Some(1009)]);
    assert_eq!(world.heard(dan), [text("0123456789a")]);
}

#[test]
fn a_route_has_a_policy_of_its_own_for_slow_members() {
    let mut routes = Routes::builtin();
    routes[1].member_policy = Some(MemberPolicy::Lossy);
    let mut world = World::serving(&routes);
    let path = |slow: &str| (slow.to_owned(), slow.to_owned());
    for (path, policy) in [(path("/ws/lobby").0, true), (path("/").0, false)] {
        let [ann] = world.connect_all(&path);
        world.window = 200;
        let [slow] = world.connect_all(&path);
        world.window = usize::MAX;
        world.wire(slow).window = 0;
        for n in 0..1_000 {
            world.say(ann, &format!("{n:064}"));
            world.settle();
        }
        let released = world.wire(slow).released.is_none();
        world.read_more(slow, usize::MAX);
        let closes = world.heard(slow).iter().filter_map(close_code).collect::<Vec<_>>();
        assert_eq!((released, closes.is_empty()), (true, policy), "{path}: {closes:?}");
    }
    assert!(world.hub.counters().dropped > 0);
}

#[test]
fn an_echo_may_ask_for_a_token_too() {
    let mut routes = Routes::builtin();
    routes[3] = RouteConfig { auth: gateway_core::route::Auth::Bearer, ..routes[3].clone() };
    let mut world = World::serving(&routes);
    world.ponders = true;
    let mut words = request("/ws/simple", &bearer(TOKEN));
    words.extend(masked(0x81, b"back"));
    let ann = knock(&mut world, &words);
    world.decide();
    let got = std::mem::take(&mut world.wire(ann).got);
    let at = got.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a response");
    assert_eq!(world::frames(&got[at + 4..]).0, [text("back")]);
}
