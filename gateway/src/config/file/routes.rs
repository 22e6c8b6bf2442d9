//! `[[route]]` and `[[namespace]]`: what is served, and what is kept of its rooms.

use gateway_core::deflate::Compression;
use gateway_core::hub::MemberPolicy;
use gateway_core::limits::Limits;
use gateway_core::log::Retention;
use gateway_core::route::{Auth, Kind, RouteConfig, Routes};

use super::super::{HISTORY_BYTES_MAX, HISTORY_MESSAGES_MAX, HISTORY_SECS_MAX, NamespaceConfig};
use super::middleware::Layered;
use super::table::{Table, Unit, Wrong};

const KINDS: [(&str, Kind); 3] = [("room", Kind::Room), ("chat", Kind::Chat), ("echo", Kind::Echo)];
const AUTHS: [(&str, Auth); 2] = [("none", Auth::None), ("bearer", Auth::Bearer)];
const COMPRESSIONS: [(&str, Compression); 3] = [
    ("shared", Compression::Shared),
    ("takeover", Compression::Takeover),
    ("off", Compression::Off),
];
const POLICIES: [(&str, MemberPolicy); 4] = [
    ("close", MemberPolicy::Close),
    ("gap", MemberPolicy::Gap),
    ("latest", MemberPolicy::Latest),
    ("lossy", MemberPolicy::Lossy),
];

/// The routes of the file, which make sense together; none if it has none.
pub(super) fn routes(document: &Table<'_>, limits: &Limits) -> Result<Option<Vec<Layered>>, Wrong> {
    let tables = document.tables("route")?;
    if tables.is_empty() {
        return Ok(None);
    }
    let layered = tables.iter().map(|table| route(table, limits)).collect::<Result<Vec<_>, _>>()?;
    let routes: Vec<_> = layered.iter().map(|layered| layered.route.clone()).collect();
    if Routes::new(&routes).is_err() {
        // Nothing after it can mend a route, so the first one that makes no sense is found by
        // halving.
        let lengths: Vec<_> = (1..=routes.len()).collect();
        let good = lengths.partition_point(|&length| Routes::new(&routes[..length]).is_ok());
        let error = Routes::new(&routes[..=good]).expect_err("together they make no sense");
        return Err(tables[good].wrong(error));
    }
    Ok(Some(layered))
}

fn route(table: &Table<'_>, limits: &Limits) -> Result<Layered, Wrong> {
    table.knows(&[
        "path",
        "namespace",
        "kind",
        "auth",
        "origins",
        "compression",
        "include_sender",
        "policy",
        "message_bytes_max",
        "middleware",
        "rate_limit",
    ])?;
    let route = RouteConfig {
        path: table.needed_text("path")?.to_owned(),
        namespace: table.text("namespace")?.map(str::to_owned),
        kind: table.choice("kind", &KINDS)?.unwrap_or_default(),
        auth: table.choice("auth", &AUTHS)?.unwrap_or_default(),
        origins: table.texts("origins")?,
        compression: table.choice("compression", &COMPRESSIONS)?.unwrap_or_default(),
        includes_sender: table.flag("include_sender")?.unwrap_or_default(),
        member_policy: table.choice("policy", &POLICIES)?,
        message_bytes_max: table.number(
            "message_bytes_max",
            1..=limits.message_bytes_max as u64,
            Unit::Bytes,
        )?,
        ..RouteConfig::default()
    };
    Layered::of(table, route)
}

/// The namespaces of the file, each of which is opened by a route and named once.
pub(super) fn namespaces(
    document: &Table<'_>,
    routes: &Routes,
) -> Result<Vec<NamespaceConfig>, Wrong> {
    let mut namespaces: Vec<NamespaceConfig> = Vec::new();
    for table in document.tables("namespace")? {
        let namespace = namespace(&table)?;
        let name = &namespace.name;
        if routes.namespace(name).is_none() {
            let why = format!("no route opens {name:?}; write the name that a route has");
            return Err(table.wrong_at("name", why));
        }
        if namespaces.iter().any(|known| known.name == *name) {
            return Err(table.wrong_at("name", format!("{name:?} is there twice; remove one")));
        }
        namespaces.push(namespace);
    }
    Ok(namespaces)
}

fn namespace(table: &Table<'_>) -> Result<NamespaceConfig, Wrong> {
    table.knows(&["name", "history_messages", "history_bytes", "history_secs", "presence"])?;
    Ok(NamespaceConfig {
        name: table.needed_text("name")?.to_owned(),
        history: history(table)?,
        presence: table.flag("presence")?.unwrap_or_default(),
    })
}

/// Three bounds, or none of them: with one that is left out nothing would be kept, unsaid.
fn history(table: &Table<'_>) -> Result<Retention, Wrong> {
    let messages_max =
        table.number("history_messages", 1..=HISTORY_MESSAGES_MAX.into(), Unit::Pieces)?;
    let bytes_max = table.number("history_bytes", 1..=HISTORY_BYTES_MAX as u64, Unit::Bytes)?;
    let age_secs = table.number("history_secs", 1..=HISTORY_SECS_MAX.into(), Unit::Seconds)?;
    match (messages_max, bytes_max, age_secs) {
        (Some(messages_max), Some(bytes_max), Some(age_secs)) => {
            Ok(Retention { messages_max, bytes_max, age_secs })
        }
        (None, None, None) => Ok(Retention::default()),
        _ => Err(table.wrong(
            "a history has all of history_messages, history_bytes and history_secs; write those \
             that are missing, or none",
        )),
    }
}
