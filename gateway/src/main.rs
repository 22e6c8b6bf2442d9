//! The `weir` binary: flags in, a node, signals, an exit code.

mod malloc;

use std::convert::Infallible;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};

use clap::CommandFactory;
use clap::error::ErrorKind;
use gateway::admin::{Admin, AdminConfig, AdminKey, Probes, Readiness, stats, watch};
use gateway::cli::{Cli, Doctor};
use gateway::config::{AdminAddr, Config};
use gateway::guard::{Counts, Guard};
use gateway::server::Server;
use gateway::{doctor, logging, signals};
use gateway_core::counters::Counters;
use gateway_core::event::CloseReason;
use gateway_core::hit::Hit;
use gateway_core::route::{Auth, Routes};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

// Who serves anybody cannot fail on purpose: no release build can, but the profile `campaign`,
// which simulations are built with.
const _: () = assert!(
    !gateway_faults::ENABLED || cfg!(debug_assertions),
    "build weir with `--release`: the profile `campaign` is for sim"
);

/// What a shell reports for a program ended by SIGINT.
const EXIT_SECOND_SIGNAL: i32 = 130;

fn main() -> ExitCode {
    // Bad usage ends here with clap's message and exit code 2.
    let cli = Cli::read(std::env::args_os());
    if let Some(doctor) = cli.doctor() {
        return diagnose(doctor);
    }
    let flags = cli.serve();
    let config = match flags.config(|name| std::env::var_os(name)) {
        Ok(config) => config,
        Err(why) => Cli::command().error(ErrorKind::ValueValidation, why).exit(),
    };
    logging::start(flags.log_format, flags.debug);
    malloc::give_back();
    match serve(&config, flags.watch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            error!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Tells what there would be, and how bad that is.
fn diagnose(flags: &Doctor) -> ExitCode {
    let asked = match flags.asked(|name| std::env::var_os(name)) {
        Ok(asked) => asked,
        Err(why) => Cli::command().error(ErrorKind::ValueValidation, why).exit(),
    };
    let mut out = std::io::stdout().lock();
    match doctor::run(Path::new("/"), &doctor::Live, &asked, flags.options(), &mut out) {
        Ok(code) => code.into(),
        // Nobody reads on; what was found is as bad as it is, but nobody was told.
        Err(_) => ExitCode::from(doctor::Severity::Refused.exit_code()),
    }
}

/// Serves until a signal or an order, then says goodbye to everyone.
fn serve(config: &Config, watches: bool) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    // Signals are caught before the first client can come.
    let mut signals = runtime.block_on(async { signals::Signals::listen() })?;
    let hangups = runtime.block_on(async { hangups(config) })?;
    let mut server = Server::start(config).map_err(|error| error.to_string())?;
    if let Err(error) = malloc::start_thread() {
        warn!(%error, "memory that is free is given back only by shards that are awake");
    }
    let guard = Arc::clone(server.guard());
    let readiness = Arc::new(Readiness::starting());
    let (order, ordered) = oneshot::channel();
    let admin = start_admin(config, &server, &readiness, order)?;
    let watching = watches.then(|| watch(&server));
    warn_of_closed_routes(config);
    readiness.serve();
    announce(config, &server, admin.as_ref());
    let signal = runtime.block_on(async {
        tokio::select! {
            biased;
            signal = signals.next() => Ok(signal),
            stopped = server.failed() => Err(stopped.to_string()),
            Ok(()) = ordered => Ok("POST /drain"),
            never = reread(hangups, &guard) => match never {},
        }
    })?;
    readiness.drain();
    let (connections, drain_secs) = (server.census().live(), config.limits.drain_secs);
    info!(signal, connections, drain_secs, "draining; a second signal exits at once");
    server.drain();
    std::thread::spawn(move || {
        let signal = runtime.block_on(signals.next());
        error!(signal, "exiting at once");
        std::process::exit(EXIT_SECOND_SIGNAL);
    });
    let counters = server.join().map_err(|stopped| stopped.to_string())?;
    drop(watching);
    // Until now it said that the node drains.
    drop(admin);
    say_goodbye(&counters);
    Ok(())
}

/// The signals to read something again, if there is something: without, they end the process.
fn hangups(config: &Config) -> Result<Option<signals::Hangups>, String> {
    config.sources.guard.is_some().then(signals::Hangups::listen).transpose()
}

/// Reads the guard's file again at each signal.
async fn reread(hangups: Option<signals::Hangups>, guard: &Guard) -> Infallible {
    let Some(mut hangups) = hangups else { return std::future::pending().await };
    loop {
        hangups.next().await;
        match guard.reload() {
            Ok(Counts { deny, allow }) => info!(signal = "SIGHUP", deny, allow, "guard read again"),
            Err(error) => error!(signal = "SIGHUP", %error, "the guard stays as it is"),
        }
    }
}

/// The listener for operators, unless it is off, or nobody asked for it and it cannot be had.
fn start_admin(
    config: &Config,
    server: &Server,
    readiness: &Arc<Readiness>,
    order: oneshot::Sender<()>,
) -> Result<Option<Admin>, String> {
    let Some(AdminAddr { addr, asked }) = config.admin else { return Ok(None) };
    let given = config.admin_key.as_ref().map(|key| key.expose().to_owned());
    let made = given.is_none();
    let key = given.map_or_else(AdminKey::generate, AdminKey::given);
    let key = key.map_err(|error| error.to_string())?;
    let shown = made.then(|| key.expose().to_owned());
    let probes = Arc::new(Probes::new());
    stats::register(&probes, &server.stats()).map_err(|error| error.to_string())?;
    server.guard().register(&probes).map_err(|error| error.to_string())?;
    let admin = Admin::start(AdminConfig {
        addr,
        key,
        probes,
        readiness: Arc::clone(readiness),
        stats: server.stats(),
        guard: Arc::clone(server.guard()),
        shards: Some(server.shards_handle()),
        // Nobody hears it if a signal came first.
        drain: Box::new(move || _ = order.send(())),
    });
    match admin {
        Ok(admin) => {
            if let Some(key) = shown {
                info!(addr = %admin.addr(), key, "admin; this key is not shown again");
            }
            Ok(Some(admin))
        }
        Err(error) if asked => Err(error.to_string()),
        Err(error) => {
            warn!(%error, "no admin listener; give another --admin, or --admin off");
            Ok(None)
        }
    }
}

/// Prints a line each second until it is dropped.
fn watch(server: &Server) -> mpsc::Sender<()> {
    let (stop, stopped) = mpsc::channel();
    let stats = server.stats();
    std::thread::spawn(move || {
        // A terminal that is gone is nothing to die of.
        let _ = watch::run(move || stats(), std::io::stderr(), &stopped);
    });
    stop
}

fn warn_of_closed_routes(config: &Config) {
    // The table was checked when the node started.
    let Ok(routes) = Routes::new(&config.routes) else { return };
    let closed = routes.iter().filter(|route| route.auth == Auth::Bearer);
    let closed: Vec<_> = closed.map(|route| route.path()).collect();
    if config.token.is_none() && config.auth.is_none() && !closed.is_empty() {
        warn!(routes = closed.join(" "), "refusing everyone there until a --token is given");
    }
}

/// Lines on stdout, for scripts that asked for port 0; everything else is on stderr.
fn announce(config: &Config, server: &Server, admin: Option<&Admin>) {
    let addr = server.addr();
    let max_connections = server.max_connections();
    let instance = config.instance.as_deref();
    info!(%addr, max_connections, instance, version = env!("CARGO_PKG_VERSION"), "listening");
    for shard in server.serving() {
        if let Some(addr) = server.shard_addr(shard) {
            info!(%shard, %addr, "listening for one shard");
        }
    }
    if !config.sources.proxies.is_empty() {
        let networks = &config.sources.proxies;
        info!(?networks, "clients come by these proxies only with a PROXY header");
    }
    if let Some(file) = &config.sources.guard {
        let Counts { deny, allow } = server.guard().counts();
        info!(file = %file.display(), deny, allow, "guard");
    }
    let mut out = std::io::stdout();
    // A closed stdout is nothing to die of.
    let _ = writeln!(out, "listening on ws://{addr}");
    if let Some(admin) = admin {
        let _ = writeln!(out, "admin on http://{}", admin.addr());
    }
}

fn say_goodbye(counters: &Counters) {
    for (name, count) in CloseReason::NAMES.iter().zip(counters.closed) {
        if count > 0 {
            info!(reason = name, connections = count, "closed");
        }
    }
    for (limit, hits) in Hit::NAMES.iter().zip(counters.hits) {
        if hits > 0 {
            info!(limit, hits, "limit hit");
        }
    }
    info!(
        accepted = counters.accepted,
        opened = counters.opened,
        closed = counters.closed_total(),
        cut = counters.cut,
        moved = counters.moved_in,
        passed = counters.passed,
        messages = counters.messages,
        deliveries = counters.deliveries,
        dropped = counters.dropped,
        panics = counters.panics,
        slowed = counters.slowed,
        orders = counters.orders,
        gaps = counters.gaps,
        "drained"
    );
}
