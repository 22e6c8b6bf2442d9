//! A broadcast server: whatever a client sends all others hear.
//!
//! `cargo run --release --example broadcast -- -addr=":9002" -shards=32 -workers=8 -batch=32
//! -ring=2048`, then `npx wscat -c ws://localhost:9002` in two terminals. It shows handlers, a
//! registry of clients, a debug probe, and an orderly end on SIGINT or SIGTERM.
#![allow(clippy::print_stdout, reason = "an example speaks on its standard output")]

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use gateway::admin::Probes;
use gateway::cli::Cli;
use gateway::config::Config;
use gateway::handle::ConnectionId;
use gateway::server::{Server, StartError};
use gateway::signals::Signals;
use gateway_core::handler::Callbacks;
use gateway_core::route::RouteConfig;

/// The room that everyone is in.
const ROOM: &str = "everyone";

/// All who are connected. Callbacks of all shards share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry(Arc<Mutex<BTreeSet<ConnectionId>>>);

impl Registry {
    fn change(&self, change: impl FnOnce(&mut BTreeSet<ConnectionId>)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// How many there are.
    #[must_use]
    pub(crate) fn size(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// What is served at `/`. The sender does not hear itself, as the route does not include it.
fn route(clients: &Registry) -> RouteConfig {
    let (come, go) = (clients.clone(), clients.clone());
    let callbacks = Callbacks::new()
        .opened(move |client| {
            come.change(|clients| _ = clients.insert(client.id()));
            // It cannot be in too many rooms yet.
            _ = client.join(ROOM);
        })
        .message(|client, message| {
            let said = match message.text() {
                Some(text) => client.publish_text(ROOM, text),
                None => client.publish_binary(ROOM, message.bytes),
            };
            if let Err(why) = said {
                _ = client.send_text(format!("not said: {why}"));
            }
        })
        .closed(move |client, _| go.change(|clients| _ = clients.remove(&client.id())));
    RouteConfig::handled("/", "broadcast", callbacks)
}

/// Starts the server, with a probe that counts who is connected.
///
/// # Errors
/// If the address cannot be had or a thread not be made.
pub(crate) fn start(mut config: Config, probes: &Probes) -> Result<(Server, Registry), StartError> {
    let clients = Registry::default();
    config.routes = vec![route(&clients)];
    let server = Server::start(&config)?;
    let count = clients.clone();
    let registered = probes.register("active_clients", move || count.size().into());
    registered.expect("the first probe of this name");
    Ok((server, clients))
}

#[allow(dead_code, reason = "the example's test starts it itself")]
fn main() -> Result<(), Box<dyn Error>> {
    let flags = Cli::read(std::env::args_os()).serve();
    let config = flags.config(|name| std::env::var_os(name))?;
    let probes = Probes::new();
    let (mut server, clients) = start(config, &probes)?;
    println!("broadcasting on ws://{}", server.addr());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        tokio::select! {
            biased;
            signal = signals.next() => {
                println!("{signal}: saying goodbye to {} clients", clients.size());
                Ok(())
            }
            stopped = server.failed() => Err(stopped.to_string()),
        }
    })?;
    server.drain();
    let counters = server.join()?;
    println!("{} messages, {} deliveries", counters.messages, counters.deliveries);
    println!("{}", probes.read());
    Ok(())
}
