//! Weir as a library: a node in a program, with routes of its own and a hand on it.
//!
//! ```
//! use gateway::config::Config;
//! use gateway::handle::{Content, To};
//! use gateway::server::Server;
//! use gateway_core::close::CloseCode;
//! use gateway_core::handler::Callbacks;
//! use gateway_core::middleware::RateLimit;
//! use gateway_core::route::RouteConfig;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Callbacks run within a shard's turn: they do no I/O and do not wait.
//! let callbacks = Callbacks::new()
//!     .opened(|client| _ = client.join("lobby"))
//!     .message(|client, message| {
//!         let said = message.text().unwrap_or("something that is no text");
//!         _ = client.publish_text("lobby", said);
//!     })
//!     .closed(|client, reason| println!("{} has gone: {}", client.id(), reason.name()));
//! // At most 20 messages a second, 40 at once, and 1008 for who is 5 s beyond that.
//! let rate = RateLimit::new(20, 40, 5)?;
//! let mut config = Config::default();
//! config.addr.set_port(0);
//! config.routes.push(RouteConfig::handled("/app/{room}", "app", callbacks).with(rate));
//!
//! let server = Server::start(&config)?;
//! println!("listening on ws://{}", server.addr());
//! // Cheap to clone, and good on any thread.
//! let handle = server.handle();
//! handle.publish(&handle.room("app", "lobby")?, Content::text("hello"))?;
//! handle.send_text(To::Everyone, "all of you")?;
//! handle.close(To::User("eve".into()), CloseCode::POLICY, "out")?;
//! server.drain();
//! server.join()?;
//! # Ok(())
//! # }
//! ```

pub mod admin;
pub mod auth;
mod balance;
pub mod cli;
mod clock;
pub mod config;
pub mod doctor;
mod draw;
pub mod guard;
pub mod handle;
pub mod local;
pub mod logging;
pub mod machine;
pub mod middleware;
pub mod net;
mod node;
mod orders;
pub mod others;
pub mod plan;
mod proxy;
mod roster;
pub mod sequencer;
pub mod server;
pub mod shard;
pub mod signals;
pub mod sources;
pub mod steer;
pub mod turn;
mod worker;
