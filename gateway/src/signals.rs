//! Signals that end a node, and the one that has it read its lists again.

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask a node to end: SIGINT and SIGTERM, or Ctrl-C where there are none.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    terminate: Signal,
}

impl Signals {
    /// Catches the signals from now on. Needs a tokio runtime.
    ///
    /// # Errors
    /// If the system does not let them be caught.
    #[cfg(unix)]
    pub fn listen() -> Result<Self, String> {
        let catch = |kind| signal(kind).map_err(|error| format!("cannot catch signals: {error}"));
        let interrupt = catch(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: catch(SignalKind::terminate())? })
    }

    /// Catches Ctrl-C when waited for.
    ///
    /// # Errors
    /// Never.
    #[cfg(not(unix))]
    pub fn listen() -> Result<Self, String> {
        Ok(Self {})
    }

    /// Waits for the next signal and gives its name.
    #[cfg(unix)]
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    /// Waits for Ctrl-C.
    #[cfg(not(unix))]
    pub async fn next(&mut self) -> &'static str {
        // An error means that there will never be one.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}

/// The signal that asks a node to read again what it was started with: SIGHUP. Whoever does not
/// catch it is ended by it, as programs are whose terminal goes.
#[derive(Debug)]
pub struct Hangups {
    #[cfg(unix)]
    hangup: Signal,
}

impl Hangups {
    /// Catches the signal from now on, for as long as the process lives. Needs a tokio runtime.
    ///
    /// # Errors
    /// If the system does not let it be caught.
    #[cfg(unix)]
    pub fn listen() -> Result<Self, String> {
        let hangup = signal(SignalKind::hangup());
        Ok(Self { hangup: hangup.map_err(|error| format!("cannot catch SIGHUP: {error}"))? })
    }

    /// There is no such signal.
    ///
    /// # Errors
    /// Never.
    #[cfg(not(unix))]
    pub fn listen() -> Result<Self, String> {
        Ok(Self {})
    }

    /// Waits for the next one; several that came meanwhile are one.
    #[cfg(unix)]
    pub async fn next(&mut self) {
        // It never ends: the runtime keeps its handler.
        let _ = self.hangup.recv().await;
    }

    /// Waits for ever.
    #[cfg(not(unix))]
    pub async fn next(&mut self) {
        std::future::pending().await
    }
}
