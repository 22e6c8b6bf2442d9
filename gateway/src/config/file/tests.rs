//! What a file may say, and how each mistake is told.

use std::path::Path;

use gateway_core::deflate::Compression;
use gateway_core::hub::MemberPolicy;
use gateway_core::log::Retention;
use gateway_core::route::{Auth, Kind, RouteConfig};

use super::*;
use crate::middleware::{Commands, Log, RateLimit};

/// A configuration with what the file says.
fn config(text: &str) -> Config {
    let mut config = Config::default();
    FileConfig::parse(Path::new("weir.toml"), text).expect(text).apply(&mut config);
    assert_eq!(config.check(), Ok(()), "{text}");
    config
}

/// Routes have no equality: what they are made of is shown.
fn shown(routes: &[RouteConfig]) -> String {
    format!("{routes:#?}")
}

fn told(text: &str) -> String {
    FileConfig::parse(Path::new("weir.toml"), text).expect_err(text).to_string()
}

#[test]
fn an_empty_file_changes_nothing() {
    for text in ["", "# nothing\n", "[limits]\n", "\u{feff}"] {
        let config = config(text);
        assert_eq!(shown(&config.routes), shown(&Routes::builtin()));
        assert_eq!((config.limits, config.namespaces), (Limits::default(), Vec::new()));
    }
}

#[test]
fn routes_of_the_file_replace_all_that_are_built_in() {
    let text = r#"
        [[route]]
        path = "/feed/{room}"
        namespace = "feed"
        auth = "bearer"
        origins = ["https://app.example"]
        compression = "takeover"
        include_sender = true
        policy = "lossy"
        message_bytes_max = "64KiB"

        [[route]]
        path = "/talk/{room}"
        namespace = "talk"
        kind = "chat"

        [[route]]
        path = "/back"
        kind = "echo"
        message_bytes_max = 1_000
    "#;
    let feed = RouteConfig {
        path: "/feed/{room}".to_owned(),
        namespace: Some("feed".to_owned()),
        kind: Kind::Room,
        auth: Auth::Bearer,
        origins: vec!["https://app.example".to_owned()],
        compression: Compression::Takeover,
        includes_sender: true,
        member_policy: Some(MemberPolicy::Lossy),
        message_bytes_max: Some(64 << 10),
        ..RouteConfig::default()
    };
    let talk = RouteConfig {
        path: "/talk/{room}".to_owned(),
        namespace: Some("talk".to_owned()),
        kind: Kind::Chat,
        ..RouteConfig::default()
    }
    .with(Commands);
    let back = RouteConfig {
        path: "/back".to_owned(),
        kind: Kind::Echo,
        message_bytes_max: Some(1000),
        ..RouteConfig::default()
    };
    assert_eq!(shown(&config(text).routes), shown(&[feed, talk, back]));
}

#[test]
fn each_policy_has_its_name() {
    for (name, policy) in [
        ("close", MemberPolicy::Close),
        ("gap", MemberPolicy::Gap),
        ("latest", MemberPolicy::Latest),
        ("lossy", MemberPolicy::Lossy),
    ] {
        let text = format!("[[route]]\npath = '/'\nnamespace = 'a'\npolicy = '{name}'");
        assert_eq!(config(&text).routes[0].member_policy, Some(policy));
    }
}

#[test]
fn middleware_is_listed_from_the_outermost_one() {
    let text = r#"
        [[route]]
        path = "/talk/{room}"
        namespace = "talk"
        kind = "chat"
        middleware = ["log", "metrics", "rate-limit", "commands"]
        rate_limit = { per_sec = 50, burst = 100, debt_secs = 0 }

        [[route]]
        path = "/plain/{room}"
        namespace = "plain"
        kind = "chat"
        middleware = []
    "#;
    let config = config(text);
    let chat = |path: &str, namespace: &str| RouteConfig {
        path: path.to_owned(),
        namespace: Some(namespace.to_owned()),
        kind: Kind::Chat,
        ..RouteConfig::default()
    };
    let talk = chat("/talk/{room}", "talk")
        .with(Log)
        .with(config.route_metrics.layer("/talk/{room}"))
        .with(RateLimit::new(50, 100, 0).expect("it can be kept"))
        .with(Commands);
    assert_eq!(shown(&config.routes), shown(&[talk, chat("/plain/{room}", "plain")]));
    let counts = config.route_metrics.read();
    assert_eq!(counts.iter().map(|count| &*count.route).collect::<Vec<_>>(), ["/talk/{room}"]);
}

#[test]
fn a_mistake_in_middleware_is_told_with_its_line() {
    let room = "[[route]]\npath = '/a'\nnamespace = 'a'\n";
    let rate = "middleware = ['rate-limit']\nrate_limit =";
    for (rest, error) in [
        (
            "middleware = ['log',\n'gzip']",
            "5: route 1: middleware has \"gzip\"; write \"log\", \"metrics\", \"rate-limit\" or \
             \"commands\"",
        ),
        ("middleware = ['log',\n'log']", "5: route 1: middleware has \"log\" twice; remove one"),
        ("middleware = 'log'", "4: route 1: middleware is a text; write a list of \"log\", "),
        ("middleware = [7]", "4: route 1: one of middleware is a number; write \"log\", "),
        (
            "middleware = ['log',\n'commands']",
            "5: route 1: middleware has \"commands\", which speak of names and of who is there, \
             and only a chat knows them; remove it, or write kind = \"chat\"",
        ),
        (
            "\nmiddleware = ['rate-limit']",
            "5: route 1: middleware has \"rate-limit\" and no rate; write rate_limit = { per_sec = \
             50, burst = 100, debt_secs = 5 }",
        ),
        (
            "\nrate_limit = { per_sec = 1, burst = 1, debt_secs = 1 }",
            "5: route 1: rate_limit does nothing without its middleware; add \"rate-limit\" to",
        ),
        (
            &format!("{rate} 50"),
            "5: route 1: rate_limit is a number; write { per_sec = 50, burst = 100, debt_secs = ",
        ),
        (
            &format!("{rate} {{ per_sec = 1, burst = 1 }}"),
            "5: route 1.rate_limit: a rate has all of per_sec, burst and debt_secs; write those",
        ),
        (
            &format!("{rate} {{ per_sec = 0, burst = 1, debt_secs = 1 }}"),
            "5: route 1.rate_limit: per_sec is 0; write 1 to 1000000",
        ),
        (
            &format!("{rate} {{ per_sec = 1, burst = 1000001, debt_secs = 1 }}"),
            "5: route 1.rate_limit: burst is 1000001; write 1 to 1000000",
        ),
        (
            &format!("{rate} {{ per_sec = 1, burst = 1, debt_secs = 3601 }}"),
            "5: route 1.rate_limit: debt_secs is 3601; write 0 to 3600 seconds",
        ),
        (
            &format!("{rate} {{ per_min = 1, burst = 1, debt_secs = 1 }}"),
            "5: route 1.rate_limit: there is no key \"per_min\"; remove it, or write one of",
        ),
    ] {
        let told = told(&format!("{room}{rest}\n"));
        assert!(told.starts_with(&format!("weir.toml:{error}")), "{rest}: {told}");
        assert!(!told.contains('\n'), "an error is a line: {told}");
    }
}

#[test]
fn namespaces_may_be_those_that_are_built_in() {
    let text = r#"
        [[namespace]]
        name = "chat"
        history_messages = 100
        history_bytes = "1MiB"
        history_secs = 300

        [[namespace]]
        name = "root"
        presence = true
    "#;
    let history = Retention { messages_max: 100, bytes_max: 1 << 20, age_secs: 300 };
    let chat = NamespaceConfig { name: "chat".to_owned(), history, presence: false };
    let root =
        NamespaceConfig { name: "root".to_owned(), presence: true, ..NamespaceConfig::default() };
    assert_eq!(config(text).namespaces, [chat, root]);
}

#[test]
fn limits_that_are_not_named_stay() {
    let limits = config("[limits]\nping_secs = 0\noutbox_bytes_max = '2MiB'").limits;
    let mut expected = Limits::default();
    (expected.ping_secs, expected.outbox_bytes_max) = (0, 2 << 20);
    assert_eq!(limits, expected);
    let limits = config("[limits.transit]\nage_secs = 7").limits;
    assert_eq!(limits.transit, Retention { age_secs: 7, ..Limits::default().transit });
}

#[test]
fn bounds_of_sources_are_limits_and_who_has_none_is_named() {
    let expected = SourceConfig {
        connections_max: 7,
        rate: 0,
        burst: 3,
        known_max: 99,
        loopback: true,
        exempt: vec!["10.0.0.0/8".parse().unwrap()],
        proxies: vec!["192.0.2.7".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        guard: Some("/etc/weir/guard".into()),
    };
    let text = r#"
        [limits]
        source_connections_max = 7
        source_rate = 0
        source_burst = 3
        sources_max = 99
        [sources]
        limit_loopback = true
        exempt = ["10.0.0.0/8"]
        proxy_from = ["192.0.2.7", "2001:db8::/32"]
        guard = "/etc/weir/guard"
    "#;
    assert_eq!(config(text).sources, expected);
    assert_eq!(config("[sources]\n").sources, SourceConfig::default());
}

/// A field that is added to the limits is forgotten in no file: each default is written, and read
/// as another value.
#[test]
fn every_limit_can_be_set() {
    let shown = format!("{:#?}", Limits::default());
    let (mut text, mut transit) = ("[limits]\n".to_owned(), "[limits.transit]\n".to_owned());
    for line in shown.lines() {
        let Some((key, value)) = line.trim().trim_end_matches(',').split_once(": ") else {
            continue;
        };
        let Ok(value) = value.parse::<u64>() else { continue };
        let table = if line.starts_with("        ") { &mut transit } else { &mut text };
        // One default is the most that there may be.
        let other = if key == "connections_max" { value - 1 } else { value + 1 };
        *table += &format!("{key} = {other}\n");
    }
    let read = format!("{:#?}", config(&(text + &transit)).limits);
    assert_eq!(shown.lines().count(), read.lines().count());
    for (before, after) in shown.lines().zip(read.lines()).filter(|(line, _)| line.contains(": ")) {
        assert_eq!(before == after, before.ends_with('{'), "{before}");
    }
}

#[test]
fn a_mistake_in_a_route_is_told_with_its_line() {
    let room = "[[route]]\npath = '/a'\nnamespace = 'a'\n";
    for (rest, error) in [
        ("pathh = '/'", "4: route 1: there is no key \"pathh\"; remove it, or write one of path, "),
        ("kind = 'rom'", "4: route 1: kind is \"rom\"; write \"room\", \"chat\" or \"echo\""),
        ("kind = 3", "4: route 1: kind is a number; write \"room\", \"chat\" or \"echo\""),
        ("auth = 'basic'", "4: route 1: auth is \"basic\"; write \"none\" or \"bearer\""),
        ("policy = 'drop'", "4: route 1: policy is \"drop\"; write \"close\", \"gap\", "),
        ("origins = 'https://a.example'", "4: route 1: origins is a text; write a list of texts"),
        (
            "compression = 'on'",
            "4: route 1: compression is \"on\"; write \"shared\", \"takeover\" or \"off\"",
        ),
        ("origins = [1]", "4: route 1: one of origins is a number; write a text in quotes"),
        ("origins = ['a.example']", "1: route 1: route \"/a\": its origin \"a.example\" is none"),
        ("include_sender = 'yes'", "4: route 1: include_sender is a text; write true or false"),
        (
            "message_bytes_max = 0",
            "4: route 1: message_bytes_max is 0; write 1 to 33554432 bytes, such as 65536 or \
             \"64KiB\"",
        ),
        ("message_bytes_max = -1", "4: route 1: message_bytes_max is -1; write 1 to"),
        ("message_bytes_max = '64KB'", "4: route 1: message_bytes_max is \"64KB\"; write 1 to"),
        ("message_bytes_max = 1.5", "4: route 1: message_bytes_max is 1.5; write 1 to"),
        (
            "message_bytes_max = 9\n[limits]\nmessage_bytes_max = 8",
            "4: route 1: message_bytes_max is 9; write 1 to 8 bytes",
        ),
        ("message_bytes_max = []", "4: route 1: message_bytes_max is a list; write 1 to"),
        ("message_bytes_max = '2GiB'", "4: route 1: message_bytes_max is \"2GiB\"; write 1 to"),
        ("\n[[route]]\nkind = 'echo'", "5: route 2: path is missing; write path = "),
        ("[[route]]\npath = 'b'\nkind = 'echo'", "4: route 2: route \"b\": its path must begin"),
        (
            "[[route]]\npath = '/a'\nkind = 'echo'",
            "4: route 2: route \"/a\": another route has the same path; remove one",
        ),
        (
            "[[route]]\npath = '/b'\nnamespace = 'a'\nauth = 'bearer'",
            "4: route 2: route \"/b\": another route opens namespace \"a\" with another auth",
        ),
        ("[[route]]\npath = '/b'", "4: route 2: route \"/b\": a room needs a namespace"),
        ("path = '/b'", "4: duplicate key"),
        ("kind = room", "4: "),
        ("kind = 'room", "4: "),
    ] {
        let told = told(&format!("{room}{rest}\n"));
        assert!(told.starts_with(&format!("weir.toml:{error}")), "{rest}: {told}");
        assert!(!told.contains('\n'), "an error is a line: {told}");
    }
}

#[test]
fn a_mistake_elsewhere_is_told_with_its_line() {
    for (text, error) in [
        ("\nroutes = 1", "2: there is no key \"routes\"; remove it, or write one of route, names"),
        ("token = 's3cret'", "1: there is no key \"token\""),
        ("[route]\npath = '/'", "1: route is a table; write [[route]]"),
        ("route = ['/']", "1: route is a text; write [[route]]"),
        ("[[limits]]", "1: limits is a list; write [limits]"),
        ("[limits]\ntransit = 3", "2: limits: transit is a number; write [limits.transit]"),
        ("[limits]\nping_sec = 3", "2: limits: there is no key \"ping_sec\"; remove it, or write"),
        ("[limits]\nping_secs = 86401", "2: limits: ping_secs is 86401; write 0 to 86400 seconds"),
        ("[limits]\nping_secs = '1m'", "2: limits: ping_secs is \"1m\"; write 0 to 86400 seconds"),
        ("[limits]\nping_secs = 1.5", "2: limits: ping_secs is 1.5; write 0 to 86400 seconds"),
        ("[limits]\nping_secs = 07:32:00", "2: limits: ping_secs is a date or a time; write 0 to"),
        ("[limits]\nsource_burst = 0", "2: limits: source_burst is 0; write 1 to 16777216"),
        ("[limits]\nsources_max = 0", "2: limits: sources_max is 0; write 1 to 4194304"),
        ("[sources]\nguard = ['a']", "2: sources: guard is a list; write a text"),
        ("[sources]\nproxies = []", "2: sources: there is no key \"proxies\"; remove it, or write"),
        ("[sources]\nproxy_from = '::1'", "2: sources: proxy_from is a text; write a list of"),
        (
            "[sources]\nproxy_from = ['::1', '10.0.0.1/8']",
            "2: sources: proxy_from has \"10.0.0.1/8\": the address goes on behind",
        ),
        ("[sources]\nexempt = ['lb']", "2: sources: exempt has \"lb\": no IP address; write"),
        ("[limits]\nconnections_max = 0", "2: limits: connections_max is 0; write 1 to 1048576"),
        (
            "[limits.transit]\nage_secs = 0",
            "2: limits.transit: age_secs is 0; write 1 to 86400 seconds",
        ),
        (
            "\n[limits]\ninbound_bytes_max = '4GiB'",
            "2: limits: inbound_bytes_max, message_bytes_max, turn_bytes_max, read_bytes_max, \
             handler_bytes_max and inflated_turn_bytes_max must stay below 4 GiB together",
        ),
        ("[[namespace]]\npresence = true", "1: namespace 1: name is missing; write name = "),
        ("[[namespace]]\nname = 'wss'", "2: namespace 1: no route opens \"wss\"; write the name"),
        (
            "[[namespace]]\nname = 'ws'\n[[namespace]]\nname = 'ws'",
            "4: namespace 2: \"ws\" is there twice; remove one",
        ),
        (
            "[[namespace]]\nname = 'ws'\nhistory_messages = 5",
            "1: namespace 1: a history has all of history_messages, history_bytes and history_secs",
        ),
        (
            "[[namespace]]\nname = 'ws'\nhistory_messages = 0",
            "3: namespace 1: history_messages is 0; write 1 to 1048576",
        ),
        (
            "[[namespace]]\nname = 'ws'\nhistory_secs = 9999999",
            "3: namespace 1: history_secs is 9999999; write 1 to 2592000 seconds",
        ),
    ] {
        let told = told(text);
        assert!(told.starts_with(&format!("weir.toml:{error}")), "{text}: {told}");
        assert!(!told.contains("s3cret") && !told.contains('\n'), "{told}");
    }
}

#[test]
fn the_first_of_many_routes_that_makes_no_sense_is_found() {
    let many = |bad: usize| {
        let route = |index: usize| {
            let index = if index == bad { 0 } else { index };
            format!("[[route]]\npath = '/{index}'\nkind = 'echo'\n")
        };
        (0..100).map(route).collect::<String>()
    };
    assert_eq!(config(&many(0)).routes.len(), 100);
    for bad in [1, 42, 99] {
        let line = 3 * bad + 1;
        let error = format!("weir.toml:{line}: route {}: route \"/0\": another", bad + 1);
        assert!(told(&many(bad)).starts_with(&error), "{bad}");
    }
}
