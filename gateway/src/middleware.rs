//! What is done around each message of a route: the chain of the core, and the layers that only a
//! node can have, since they tell the world outside.
//!
//! A route is given its layers by [`RouteConfig::with`], the outermost first, or by name in the
//! file of `--config`. Each shard has layers of its own, so that none needs a lock:
//!
//! ```
//! use gateway::config::Config;
//! use gateway::middleware::{Log, Middleware, Context, Message, Next, RateLimit, Verdict};
//! use gateway_core::route::RouteConfig;
//!
//! /// Lets nobody shout.
//! #[derive(Clone, Debug)]
//! struct Quiet;
//!
//! impl Middleware for Quiet {
//!     fn handle(
//!         &mut self,
//!         context: &mut Context<'_>,
//!         message: Message<'_>,
//!         next: Next<'_, '_>,
//!     ) -> Verdict {
//!         let Some(text) = message.text() else { return next.run(context, message) };
//!         next.run(context, Message::of_text(&text.to_lowercase()))
//!     }
//! }
//!
//! let mut config = Config::default();
//! let route = RouteConfig {
//!     path: "/library/{room}".to_owned(),
//!     namespace: Some("library".to_owned()),
//!     ..RouteConfig::default()
//! };
//! config.routes = vec![
//!     route
//!         .with(Log)
//!         .with(config.route_metrics.layer("/library/{room}"))
//!         .with(RateLimit::new(5, 10, 2)?)
//!         .with(Quiet),
//! ];
//! config.check()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A layer that panics costs its connection a 1011 and nobody else anything: [`Log`] and
//! [`Metrics`] around it tell the message as `panicked`.
//!
//! [`RouteConfig::with`]: gateway_core::route::RouteConfig::with

mod log;
mod metrics;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

pub use gateway_core::middleware::{
    Commands, Context, Layer, Message, Middleware, Next, RateLimit, RateLimitError, Verdict,
};

pub use log::Log;
pub use metrics::{Metrics, RouteCount, RouteMetrics};

/// Which of [`OUTCOMES`] it is if a layer further in, or the handler, panics.
const PANICKED: usize = Verdict::NAMES.len();

/// What may come of a message: the names of verdicts, and `panicked`.
const OUTCOMES: [&str; PANICKED + 1] = {
    let mut outcomes = ["panicked"; PANICKED + 1];
    let mut index = 0;
    while index < PANICKED {
        outcomes[index] = Verdict::NAMES[index];
        index += 1;
    }
    outcomes
};

/// What those further in decide. Which of [`OUTCOMES`] that is, `tell` is told even if they panic.
fn told(
    context: &mut Context<'_>,
    message: Message<'_>,
    next: Next<'_, '_>,
    tell: impl FnOnce(&Context<'_>, usize),
) -> Verdict {
    // Whoever catches the panic for good asks for no more of what they were doing than we do.
    let asked = catch_unwind(AssertUnwindSafe(|| next.run(context, message)));
    tell(context, asked.as_ref().map_or(PANICKED, Verdict::index));
    asked.unwrap_or_else(|panic| resume_unwind(panic))
}
