//! The `weir` binary: flags in, a node, signals, an exit code.

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use gateway::cli::Cli;
use gateway::config::Config;
use gateway::server::Server;
use gateway::{logging, signals};
use gateway_core::counters::Counters;
use gateway_core::event::CloseReason;
use tracing::{error, info};

/// What a shell reports for a program ended by SIGINT.
const EXIT_SECOND_SIGNAL: i32 = 130;

fn main() -> ExitCode {
    // Bad usage ends here with clap's message and exit code 2.
    let flags = Cli::parse().serve();
    let config = match flags.config() {
        Ok(config) => config,
        Err(why) => Cli::command().error(ErrorKind::ValueValidation, why).exit(),
    };
    logging::start(flags.log_format, flags.debug);
    match serve(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            error!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal, then says goodbye to everyone.
fn serve(config: &Config) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    // Signals are caught before the first client can come.
    let mut signals = runtime.block_on(async { signals::Signals::listen() })?;
    let mut server = Server::start(config).map_err(|error| error.to_string())?;
    announce(&server);
    let signal = runtime.block_on(async {
        tokio::select! {
            biased;
            signal = signals.next() => Ok(signal),
            stopped = server.failed() => Err(stopped.to_string()),
        }
    })?;
    info!(signal, connections = server.census().live(), "draining; a second signal exits at once");
    server.drain();
    std::thread::spawn(move || {
        let signal = runtime.block_on(signals.next());
        error!(signal, "exiting at once");
        std::process::exit(EXIT_SECOND_SIGNAL);
    });
    let counters = server.join().map_err(|stopped| stopped.to_string())?;
    say_goodbye(&counters);
    Ok(())
}

/// One line on stdout, for scripts that asked for port 0; everything else is on stderr.
fn announce(server: &Server) {
    let addr = server.addr();
    let max_connections = server.max_connections();
    info!(%addr, max_connections, version = env!("CARGO_PKG_VERSION"), "listening");
    // A closed stdout is nothing to die of.
    let _ = writeln!(std::io::stdout(), "listening on ws://{addr}");
}

fn say_goodbye(counters: &Counters) {
    for (name, count) in CloseReason::NAMES.iter().zip(counters.closed) {
        if count > 0 {
            info!(reason = name, connections = count, "closed");
        }
    }
    info!(
        accepted = counters.accepted,
        opened = counters.opened,
        closed = counters.closed_total(),
        cut = counters.cut,
        moved = counters.moved_in,
        messages = counters.messages,
        deliveries = counters.deliveries,
        dropped = counters.dropped,
        gaps = counters.gaps,
        "drained"
    );
}
