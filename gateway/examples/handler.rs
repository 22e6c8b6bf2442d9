//! A handler with middleware of its own: a counter that people share, room by room.
//!
//! `cargo run --example handler`, then `npx wscat -c ws://localhost:9002/count/apples` in two
//! terminals: `+3` and `-1` change the number, which everyone there is told. It shows a handler
//! that is a type, state that shards share, a layer of one's own, a rate limit, and a thread that
//! speaks from outside.
#![allow(clippy::print_stdout, reason = "an example speaks on its standard output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway::config::Config;
use gateway::server::{Server, StartError};
use gateway::signals::Signals;
use gateway_core::close::CloseCode;
use gateway_core::handler::{Client, Handler};
use gateway_core::middleware::{Context, Message, Middleware, Next, RateLimit, Verdict};
use gateway_core::route::RouteConfig;

/// What is counted, by room. Each shard has a clone, all of which share the numbers.
#[derive(Clone, Debug, Default)]
struct Counter(Arc<Mutex<BTreeMap<String, i64>>>);

impl Counter {
    fn add(&self, room: &str, change: i64) -> i64 {
        let mut numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = numbers.entry(room.to_owned()).or_default();
        *number = number.saturating_add(change);
        *number
    }
}

impl Handler for Counter {
    fn opened(&mut self, client: &mut Client<'_>) {
        let room = client.room();
        if let Err(why) = client.join(room) {
            return client.close(CloseCode::POLICY, why.to_string());
        }
        _ = client.send_text(format!("{room}: {}", self.add(room, 0)));
    }

    fn message(&mut self, client: &mut Client<'_>, message: Message<'_>) {
        let room = client.room();
        let change = message.text().and_then(|text| text.trim().parse().ok());
        let said = match change {
            Some(change) => {
                let number = self.add(room, change);
                client.publish_text(room, format!("{room}: {number}"))
            }
            None => client.send_text("a whole number, such as +3 or -1"),
        };
        if let Err(why) = said {
            client.close(CloseCode::TRY_LATER, why.to_string());
        }
    }
}

/// Lets people write numbers as words. A layer is one type …
#[derive(Clone, Debug)]
struct Words;

impl Middleware for Words {
    fn handle(
        &mut self,
        context: &mut Context<'_>,
        message: Message<'_>,
        next: Next<'_, '_>,
    ) -> Verdict {
        let number = match message.text().map(str::trim) {
            Some("one") => "1",
            Some("two") => "2",
            Some("a dozen") => "12",
            _ => return next.run(context, message),
        };
        next.run(context, Message::of_text(number))
    }
}

/// Starts the server.
///
/// # Errors
/// If the address cannot be had or a thread not be made.
pub(crate) fn start(mut config: Config) -> Result<Server, StartError> {
    let rate = RateLimit::new(20, 40, 5).expect("the rate makes sense");
    let mut route = RouteConfig::handled("/count/{room}", "count", Counter::default())
        .with(rate)
        // … and one line.
        .with(Words);
    route.includes_sender = true;
    config.routes = vec![route];
    Server::start(&config)
}

#[allow(dead_code, reason = "the example's test starts it itself")]
fn main() -> Result<(), Box<dyn Error>> {
    let server = start(Config::default())?;
    println!("counting on ws://{}/count/{{room}}", server.addr());
    let handle = server.handle();
    // Anyone may speak to everyone, from any thread.
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(60));
            if handle.broadcast("still counting").is_err() {
                return;
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signal = runtime.block_on(async { Ok::<_, String>(Signals::listen()?.next().await) })?;
    println!("{signal}: saying goodbye");
    server.drain();
    server.join()?;
    Ok(())
}
