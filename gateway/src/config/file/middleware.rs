//! `middleware` and `rate_limit` of a `[[route]]`: what is done around its messages.

use std::sync::Arc;

use gateway_core::route::{Kind, RouteConfig};

use super::table::{Table, Unit, Wrong};
use crate::middleware::{Commands, Layer, Log, RateLimit, RouteMetrics};

/// Messages a second, and at once, that a file may allow: more than a core receives.
const RATE_MAX: u64 = 1_000_000;
/// Seconds that somebody may be beyond a rate: whole minutes of patience are for sources.
const DEBT_SECS_MAX: u64 = 3600;

/// Layers by their names.
const NAMES: [(&str, Name); 4] = [
    ("log", Name::Log),
    ("metrics", Name::Metrics),
    ("rate-limit", Name::RateLimit),
    ("commands", Name::Commands),
];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Name {
    Log,
    Metrics,
    RateLimit,
    Commands,
}

/// A route of the file, whose layers are made when it is known where they count.
#[derive(Clone, Debug)]
pub(super) struct Layered {
    pub(super) route: RouteConfig,
    layers: Vec<Wanted>,
}

/// A layer that is to be made.
#[derive(Clone, Debug)]
enum Wanted {
    Log,
    Metrics,
    RateLimit(RateLimit),
    Commands,
}

impl Layered {
    /// The route with what its table says of middleware.
    pub(super) fn of(table: &Table<'_>, route: RouteConfig) -> Result<Self, Wrong> {
        let names = names(table, route.kind)?;
        let rate_limit = rate_limit(table, &names)?;
        let layer = |name| match name {
            Name::Log => Wanted::Log,
            Name::Metrics => Wanted::Metrics,
            Name::RateLimit => {
                Wanted::RateLimit(rate_limit.clone().expect("it is there if it is listed"))
            }
            Name::Commands => Wanted::Commands,
        };
        let layers = names.into_iter().map(layer).collect();
        Ok(Self { route, layers })
    }

    /// The route with its layers, which count there.
    pub(super) fn counting(self, metrics: &RouteMetrics) -> RouteConfig {
        let Self { mut route, layers } = self;
        let path = &route.path;
        let layer = |wanted| -> Arc<dyn Layer> {
            match wanted {
                Wanted::Log => Arc::new(Log),
                Wanted::Metrics => Arc::new(metrics.layer(path)),
                Wanted::RateLimit(limit) => Arc::new(limit),
                Wanted::Commands => Arc::new(Commands),
            }
        };
        route.middleware = layers.into_iter().map(layer).collect();
        route
    }
}

/// The layers that the table lists, each once, or those that such a route has without a list.
fn names(table: &Table<'_>, kind: Kind) -> Result<Vec<Name>, Wrong> {
    let Some(names) = table.choices("middleware", &NAMES)? else {
        let chats = kind == Kind::Chat;
        return Ok(if chats { vec![Name::Commands] } else { Vec::new() });
    };
    let listed = names.iter().find(|(_, name)| *name == Name::Commands);
    if let Some((at, _)) = listed.filter(|_| kind != Kind::Chat) {
        let why = "middleware has \"commands\", which speak of names and of who is there, and only \
                   a chat knows them; remove it, or write kind = \"chat\"";
        return Err(table.wrong_where(*at, why));
    }
    Ok(names.into_iter().map(|(_, name)| name).collect())
}

/// The rate, which is there if and only if the list has its layer.
fn rate_limit(table: &Table<'_>, names: &[Name]) -> Result<Option<RateLimit>, Wrong> {
    const EXAMPLE: &str = "rate_limit = { per_sec = 50, burst = 100, debt_secs = 5 }";
    let listed = names.contains(&Name::RateLimit);
    let Some(rate) = table.inline("rate_limit", &EXAMPLE["rate_limit = ".len()..])? else {
        let missing = format!("middleware has \"rate-limit\" and no rate; write {EXAMPLE}");
        return if listed { Err(table.wrong_at("middleware", missing)) } else { Ok(None) };
    };
    if !listed {
        let why = "rate_limit does nothing without its middleware; add \"rate-limit\" to \
                   middleware, or remove it";
        return Err(table.wrong_at("rate_limit", why));
    }
    rate.knows(&["per_sec", "burst", "debt_secs"])?;
    let per_sec = rate.number("per_sec", 1..=RATE_MAX, Unit::Pieces)?;
    let burst = rate.number("burst", 1..=RATE_MAX, Unit::Pieces)?;
    let debt_secs = rate.number("debt_secs", 0..=DEBT_SECS_MAX, Unit::Seconds)?;
    let (Some(per_sec), Some(burst), Some(debt_secs)) = (per_sec, burst, debt_secs) else {
        let why = "a rate has all of per_sec, burst and debt_secs; write those that are missing";
        return Err(rate.wrong(why));
    };
    RateLimit::new(per_sec, burst, debt_secs).map(Some).map_err(|error| rate.wrong(error))
}
