//! What the admin listener answers, route by route.

use std::cell::Cell;
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use tracing::info;

use super::guard::{self, Order};
use super::stats::Source;
use super::{AdminConfig, AdminKey, Probes, Readiness, Standing, metrics, shards};
use crate::guard::Guard;
use crate::server::Shards;

/// Bytes of a request body. No route has a use for one; a client's library may send some.
const BODY_BYTES_MAX: u64 = 64 << 10;

const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";
const SEC_FETCH_SITE: &str = "sec-fetch-site";

pub(super) type Answer = Response<Full<Bytes>>;

/// Why a request is not done.
pub(super) enum Refusal {
    /// Nothing is there.
    NotFound,
    /// Something is there, for other methods.
    Method(&'static str),
    /// A page of another origin asks.
    CrossOrigin,
    /// The key is missing or wrong.
    Key,
    /// The body is too long.
    TooLarge,
    /// The body broke off.
    Body,
    /// It names a shard, or a way to remove one, that is none.
    Shard(&'static str),
    /// A shard is not added or removed.
    Unchanged(StatusCode, String),
}

/// What there is.
#[derive(Clone, Copy)]
enum Route {
    Healthz,
    Readyz,
    Probes,
    Metrics,
    Drain,
    Guard(Order),
    Shards,
    Shard,
}

/// Where all admin clients are answered, on the admin's thread.
pub(super) struct Desk {
    key: AdminKey,
    probes: Arc<Probes>,
    readiness: Arc<Readiness>,
    stats: Source,
    guard: Arc<Guard>,
    shards: Option<Shards>,
    /// Taken by the drain that is ordered here.
    drain: Cell<Option<Box<dyn FnOnce() + Send>>>,
}

impl Desk {
    pub(super) fn new(config: AdminConfig) -> Self {
        let AdminConfig { addr: _, key, probes, readiness, stats, guard, shards, drain } = config;
        let drain = Cell::new(Some(drain));
        Self { key, probes, readiness, stats, guard, shards, drain }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Answer {
        self.answer_or_refuse(request).await.unwrap_or_else(refused)
    }

    async fn answer_or_refuse(&self, request: Request<Incoming>) -> Result<Answer, Refusal> {
        let route = Route::of(request.uri().path()).ok_or(Refusal::NotFound)?;
        route.check_method(request.method())?;
        if request.body().size_hint().lower() > BODY_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        Ok(match route {
            Route::Healthz => answer(StatusCode::OK, TEXT, "ok\n"),
            Route::Readyz => self.readyz(),
            Route::Probes => answer(StatusCode::OK, JSON, self.probes.read().to_string() + "\n"),
            Route::Metrics => {
                let stats = (self.stats)();
                let text = metrics::render(&stats, self.readiness.standing());
                answer(StatusCode::OK, metrics::CONTENT_TYPE, text)
            }
            Route::Drain => {
                self.check_right(request.headers())?;
                read_through(request.into_body()).await?;
                self.drain()
            }
            Route::Guard(order) => {
                self.check_right(request.headers())?;
                let query = request.uri().query().unwrap_or_default().to_owned();
                read_through(request.into_body()).await?;
                match guard::change(order, query, Arc::clone(&self.guard)).await {
                    Ok(counts) => answer(StatusCode::OK, JSON, counts.to_string() + "\n"),
                    Err((status, why)) => answer(status, TEXT, why + "\n"),
                }
            }
            Route::Shards if request.method() == Method::POST => {
                self.check_right(request.headers())?;
                let shards = self.shards()?.clone();
                read_through(request.into_body()).await?;
                shards::add(shards).await?
            }
            Route::Shards => shards::list(self.shards()?),
            Route::Shard => {
                self.check_right(request.headers())?;
                let order = shards::Removing::read(request.uri())?;
                read_through(request.into_body()).await?;
                order.carry_out(self.shards()?)?
            }
        })
    }

    fn shards(&self) -> Result<&Shards, Refusal> {
        self.shards.as_ref().ok_or(Refusal::NotFound)
    }

    fn readyz(&self) -> Answer {
        let unready = StatusCode::SERVICE_UNAVAILABLE;
        match self.readiness.standing() {
            Standing::Starting => answer(unready, TEXT, "starting\n"),
            Standing::Serving => answer(StatusCode::OK, TEXT, "ready\n"),
            Standing::Draining => answer(unready, TEXT, "draining\n"),
        }
    }

    fn drain(&self) -> Answer {
        let first = self.readiness.drain();
        match self.drain.take().filter(|_| first) {
            Some(drain) => {
                info!("a drain was ordered by the admin listener");
                drain();
                answer(StatusCode::ACCEPTED, TEXT, "draining\n")
            }
            None => answer(StatusCode::ACCEPTED, TEXT, "draining already\n"),
        }
    }

    /// For whatever changes state. Pages are refused first, key or not: no page of ours asks, and
    /// another must not learn whether it has guessed the key.
    fn check_right(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let same_site = |site: &HeaderValue| site == "same-origin" || site == "none";
        if headers.contains_key(ORIGIN) || !headers.get_all(SEC_FETCH_SITE).iter().all(same_site) {
            return Err(Refusal::CrossOrigin);
        }
        let key = bearer(headers).ok_or(Refusal::Key)?;
        if self.key.is(key) { Ok(()) } else { Err(Refusal::Key) }
    }
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/healthz" => Self::Healthz,
            "/readyz" => Self::Readyz,
            "/probes" => Self::Probes,
            "/metrics" => Self::Metrics,
            "/drain" => Self::Drain,
            shards::PATH => Self::Shards,
            path if shards::id_of(path).is_some() => Self::Shard,
            _ => return Order::of(path).map(Self::Guard),
        })
    }

    fn check_method(self, method: &Method) -> Result<(), Refusal> {
        let (fits, allowed) = match self {
            Self::Healthz | Self::Readyz | Self::Probes | Self::Metrics => {
                (method == Method::GET || method == Method::HEAD, "GET, HEAD")
            }
            Self::Drain | Self::Guard(_) => (method == Method::POST, "POST"),
            Self::Shards => {
                let reads = method == Method::GET || method == Method::HEAD;
                (reads || method == Method::POST, "GET, HEAD, POST")
            }
            Self::Shard => (method == Method::DELETE, "DELETE"),
        };
        if fits { Ok(()) } else { Err(Refusal::Method(allowed)) }
    }
}

/// The token of the one `Authorization: Bearer …` header; RFC 6750 §2.1.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// Reads a body to its end and keeps nothing of it.
async fn read_through(mut body: Incoming) -> Result<(), Refusal> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::Body)?;
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        if bytes > BODY_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
    }
    Ok(())
}

fn refused(refusal: Refusal) -> Answer {
    let (status, why, header) = match refusal {
        Refusal::Unchanged(status, why) => return unchanged(status, why),
        Refusal::Shard(why) => (StatusCode::BAD_REQUEST, why, None),
        Refusal::NotFound => (StatusCode::NOT_FOUND, "nothing is here\n", None),
        Refusal::Method(allowed) => {
            (StatusCode::METHOD_NOT_ALLOWED, "not by this method\n", Some((ALLOW, allowed)))
        }
        Refusal::CrossOrigin => (StatusCode::FORBIDDEN, "not for pages of other origins\n", None),
        Refusal::Key => {
            let header = (WWW_AUTHENTICATE, "Bearer realm=\"weir admin\"");
            (StatusCode::UNAUTHORIZED, "this needs the admin key\n", Some(header))
        }
        Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too long\n", None),
        Refusal::Body => (StatusCode::BAD_REQUEST, "the body broke off\n", None),
    };
    let mut answer = answer(status, TEXT, why);
    if let Some((name, value)) = header {
        set(&mut answer, name, value);
    }
    answer
}

/// Says why a shard was not added or removed; what may be tried again is asked for again.
fn unchanged(status: StatusCode, why: String) -> Answer {
    let mut answer = answer(status, TEXT, why + "\n");
    if status == StatusCode::SERVICE_UNAVAILABLE {
        set(&mut answer, RETRY_AFTER, "1");
    }
    answer
}

/// Never kept, never guessed at, and never readable for a page of another origin.
pub(super) fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    set(&mut answer, CONTENT_TYPE, kind);
    set(&mut answer, CACHE_CONTROL, "no-store");
    set(&mut answer, X_CONTENT_TYPE_OPTIONS, "nosniff");
    answer
}

fn set(answer: &mut Answer, name: HeaderName, value: &'static str) {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
}
