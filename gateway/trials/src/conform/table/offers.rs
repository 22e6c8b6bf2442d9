//! What is offered and agreed on about permessage-deflate.

use super::super::deflate::deflated;
use super::super::opening::{Answer, Request, Route};
use super::super::script::Script;
use super::Sheet;
use crate::raw::{DEFLATED, Frame};

/// What the route of the default answers: nobody keeps a context.
const SHARED: [&str; 2] = ["server_no_context_takeover", "client_no_context_takeover"];

/// What the route answers on which the client may keep its context.
const TAKEOVER: [&str; 1] = ["server_no_context_takeover"];

/// The server's window, as it is offered and answered, and its bits.
const WINDOWS: [(&str, &str); 8] = [
    ("server_max_window_bits=8", "8"),
    ("server_max_window_bits=9", "9"),
    ("server_max_window_bits=10", "10"),
    ("server_max_window_bits=11", "11"),
    ("server_max_window_bits=12", "12"),
    ("server_max_window_bits=13", "13"),
    ("server_max_window_bits=14", "14"),
    ("server_max_window_bits=15", "15"),
];

/// Parameters that make an offer one that is passed over.
const UNACCEPTABLE: [(&str, &str); 25] = [
    ("a server's window of 7 bits", "server_max_window_bits=7"),
    ("a server's window of 16 bits", "server_max_window_bits=16"),
    ("a server's window of 0 bits", "server_max_window_bits=0"),
    ("a server's window of 1000 bits", "server_max_window_bits=1000"),
    ("a server's window with a zero before", "server_max_window_bits=08"),
    ("a server's window with a plus", "server_max_window_bits=+8"),
    ("a server's window that is negative", "server_max_window_bits=-8"),
    ("a server's window that is no number", "server_max_window_bits=ten"),
    ("a server's window without a value", "server_max_window_bits"),
    ("a client's window of 7 bits", "client_max_window_bits=7"),
    ("a client's window of 16 bits", "client_max_window_bits=16"),
    ("a client's window with a zero before", "client_max_window_bits=09"),
    ("a client's window that is no number", "client_max_window_bits=x"),
    ("a server's context with a value", "server_no_context_takeover=1"),
    ("a server's context with a word", "server_no_context_takeover=true"),
    ("a client's context with a value", "client_no_context_takeover=0"),
    ("a parameter in another case", "Server_no_context_takeover"),
    ("an unknown parameter", "x-unknown"),
    ("an unknown parameter with a value", "x-unknown=1"),
    ("a server's context twice", "server_no_context_takeover; server_no_context_takeover"),
    ("a client's context twice", "client_no_context_takeover; client_no_context_takeover"),
    ("a server's window twice", "server_max_window_bits=10; server_max_window_bits=10"),
    ("two server's windows", "server_max_window_bits=10; server_max_window_bits=11"),
    ("a client's window twice", "client_max_window_bits; client_max_window_bits"),
    ("two client's windows", "client_max_window_bits; client_max_window_bits=10"),
];

pub(super) fn put(sheet: &mut Sheet) {
    accepted(sheet);
    windows(sheet);
    passed_over(sheet);
    several(sheet);
    malformed(sheet);
    other_routes(sheet);
}

/// What was agreed on is used: a deflated message is understood.
fn works(script: Script) -> Script {
    let frame = Frame::text(deflated(b"Hello")).reserved(DEFLATED);
    script.say(&frame).text("Hello").say(&Frame::text("plain")).text("plain").bye()
}

/// Nothing was agreed on: what is deflated is an error.
fn declines(lines: &[String]) -> Script {
    declines_on(Route::Simple, lines)
}

fn declines_on(route: Route, lines: &[String]) -> Script {
    let offer =
        |request: Request, line: &String| request.and(format!("Sec-WebSocket-Extensions: {line}"));
    let script = Script::after(&lines.iter().fold(Request::to(route, 4), offer));
    let frame = Frame::text(deflated(b"Hello")).reserved(DEFLATED);
    script.say(&Frame::text("plain")).text("plain").say(&frame).closed(1002)
}

fn accepted(sheet: &mut Sheet) {
    sheet.part("RFC 7692 §7.1");
    for offer in [
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=15",
        "permessage-deflate; client_max_window_bits=\"15\"",
        "permessage-deflate; client_max_window_bits=14",
        "permessage-deflate; client_max_window_bits=9",
        "permessage-deflate; client_max_window_bits=8",
        "permessage-deflate; client_no_context_takeover; client_max_window_bits",
        "permessage-deflate;server_no_context_takeover;client_max_window_bits",
        "  permessage-deflate ; client_max_window_bits  ",
    ] {
        let script = works(Script::offering(Route::Simple, offer, &SHARED));
        sheet.case(format!("`{offer}` is agreed on"), script);
    }
}

fn windows(sheet: &mut Sheet) {
    sheet.part("RFC 7692 §7.1.2.1");
    for (parameter, bits) in WINDOWS {
        let agreed = [SHARED[0], SHARED[1], parameter];
        for offer in [
            format!("permessage-deflate; {parameter}"),
            format!("permessage-deflate; server_max_window_bits=\"{bits}\""),
            format!("permessage-deflate; client_max_window_bits; {parameter}"),
        ] {
            let script = works(Script::offering(Route::Simple, &offer, &agreed));
            sheet.case(format!("`{offer}` is answered with that window"), script);
        }
    }
}

fn passed_over(sheet: &mut Sheet) {
    sheet.part("RFC 7692 §7.1");
    for (what, parameters) in UNACCEPTABLE {
        let offer = format!("permessage-deflate; {parameters}");
        let says = format!("{what}: `{parameters}` is passed over, and nothing is agreed on");
        sheet.case(says, declines(std::slice::from_ref(&offer)));
        let offers = format!("{offer}, permessage-deflate");
        let script = works(Script::offering(Route::Simple, &offers, &SHARED));
        sheet.case(format!("{what}: the offer behind it is taken"), script);
    }
    for offer in ["x-unknown", "permessage-bzip2", "x-webkit-deflate-frame", "deflate-frame"] {
        sheet.case(format!("`{offer}` is not known"), declines(&[offer.to_owned()]));
    }
}

fn several(sheet: &mut Sheet) {
    sheet.part("RFC 7692 §5");
    let window = [SHARED[0], SHARED[1], "server_max_window_bits=10"];
    for (offers, agreed) in [
        ("x-unknown, permessage-deflate", &SHARED[..]),
        ("permessage-deflate, x-unknown; a=\"b\"; c", &SHARED),
        ("x-unknown; a=\"\\b\", permessage-deflate", &SHARED),
        (", ,permessage-deflate,", &SHARED),
        ("permessage-deflate, permessage-deflate; server_max_window_bits=10", &SHARED),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", &window),
        ("permessage-deflate; x-unknown, permessage-deflate; server_max_window_bits=10", &window),
        ("permessage-deflate; client_max_window_bits, permessage-deflate", &SHARED),
    ] {
        let script = works(Script::offering(Route::Simple, offers, agreed));
        sheet.case(format!("of `{offers}` the first that is acceptable is taken"), script);
    }
    let lines = "x-unknown\r\nSec-WebSocket-Extensions: permessage-deflate";
    let script = works(Script::offering(Route::Simple, lines, &SHARED));
    sheet.case("offers may stand in several headers", script);
    let lines = "permessage-deflate; server_max_window_bits=10\r\n\
                 Sec-WebSocket-Extensions: permessage-deflate";
    let script = works(Script::offering(Route::Simple, lines, &window));
    sheet.case("offers of an earlier header come first", script);
}

/// RFC 6455 §9.1: what is no list of extensions fails the connection.
fn malformed(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §9.1");
    for route in [Route::Simple, Route::Plain] {
        for list in [
            ";",
            "permessage-deflate;",
            "permessage-deflate; =1",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=\"\"",
            "permessage-deflate; client_max_window_bits=\"10",
            "permessage-deflate; client_max_window_bits=\"1 0\"",
            "permessage-deflate client_max_window_bits",
            "permessage-deflate, @",
            "permessage-deflate, x-unknown; a=\"b, c\"",
            "\"permessage-deflate\"",
        ] {
            let request = Request::to(route, 5).and(format!("Sec-WebSocket-Extensions: {list}"));
            let answer = Answer::Refused { status: 400, headers: &[] };
            let says = format!("`{list}` is no list of extensions, at {}: 400", route.path());
            sheet.case(says, Script::with(request.bytes(), answer));
        }
    }
}

fn other_routes(sheet: &mut Sheet) {
    sheet.part("RFC 7692 §7.1.1");
    for offer in [
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits",
    ] {
        let script = works(Script::offering(Route::Takeover, offer, &TAKEOVER));
        sheet.case(format!("the client may keep its context, offered `{offer}`"), script);
    }
    let offer = "permessage-deflate; client_no_context_takeover";
    let script = works(Script::offering(Route::Takeover, offer, &SHARED));
    sheet.case("the client may keep its context, and says that it will not", script);
    for offer in ["permessage-deflate", "permessage-deflate; client_max_window_bits"] {
        let script = declines_on(Route::Plain, &[offer.to_owned()]);
        sheet.case(format!("nothing is agreed on where compression is off: `{offer}`"), script);
    }
}
