//! What an attack is: whom it costs what, and what should come of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result};

use super::outcome::{Outcome, Seen};
use super::target::Target;
use crate::Weir;

/// How an attack goes.
pub(super) type Run = fn(Target) -> Pin<Box<dyn Future<Output = Result<Seen>>>>;

/// One attack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attack {
    /// What it is called.
    pub(super) name: &'static str,
    /// What it would cost whom, in a sentence.
    pub(super) about: &'static str,
    /// How much of it there is.
    pub(super) pace: &'static str,
    /// Bounds that must be hit, by their names in `weir_limit_hits_total`.
    pub(super) limits: &'static [&'static str],
    /// Outcomes that an attacker may have. The first must come.
    pub(super) outcomes: &'static [Outcome],
    /// What memory may grow by meanwhile, if that is what the attack is against.
    pub(super) growth_max: Option<u64>,
    /// How the gateway is set up for it.
    pub(super) setting: Setting,
    pub(super) run: Run,
    /// Looks into the log and the metrics afterwards.
    pub(super) inspect: fn(log: &str, metrics: &str, seen: &mut Seen),
}

/// What a gateway is started with beside [`ROUTES`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// Lines of `[limits]`.
    pub(super) limits: &'static str,
    pub(super) flags: &'static [&'static str],
    /// Descriptors that it may have open once the honest clients are there.
    pub(super) descriptors: Option<u64>,
    /// Whether ordinary visitors come first.
    pub(super) warms: bool,
    /// Bytes of an honest message, if they matter.
    pub(super) payload_bytes: Option<usize>,
    /// The least time that the attack needs.
    pub(super) phase: Duration,
}

/// The token that opens guarded routes; wherever it is seen, somebody has let it out.
pub(super) const CANARY: &str = "canary-5f2d8c1e7ab94630";

/// What every attack finds.
const ROUTES: &str = r#"
[[route]]
path = "/honest/{room}"
namespace = "honest"

[[route]]
path = "/ws/{room}"
namespace = "ws"

[[route]]
path = "/ws/simple"
kind = "echo"

[[route]]
path = "/guarded/{room}"
namespace = "guarded"
auth = "bearer"
origins = ["https://app.example"]

[[route]]
path = "/rated/{room}"
namespace = "rated"
middleware = ["rate-limit"]
rate_limit = { per_sec = 20, burst = 40, debt_secs = 1 }

[[route]]
path = "/kept"
kind = "echo"
compression = "takeover"

[[route]]
path = "/logged/{room}"
namespace = "logged"
middleware = ["log", "metrics"]
"#;

/// Nothing special.
pub(super) const PLAIN: Setting = Setting {
    limits: "",
    flags: &[],
    descriptors: None,
    warms: true,
    payload_bytes: None,
    phase: Duration::ZERO,
};

/// An attack to which others are the exception.
pub(super) const COMMON: Attack = Attack {
    name: "",
    about: "",
    pace: "",
    limits: &[],
    outcomes: &[],
    growth_max: None,
    setting: PLAIN,
    run: |_| Box::pin(async { Ok(Seen::default()) }),
    inspect: |_, _, _| {},
};

impl Setting {
    /// Starts the gateway at `path` with this.
    ///
    /// # Errors
    /// If it does not start.
    pub(super) fn start(&self, path: &Path) -> Result<Weir> {
        let file = ConfigFile::write(&format!("{ROUTES}\n[limits]\n{}\n", self.limits))?;
        let config = file.0.to_str().context("the temporary directory has no UTF-8 name")?;
        let flags = ["--config", config, "--token", CANARY, "--admin-key", CANARY];
        Weir::start(path, &[&flags, self.flags].concat())
    }
}

/// A file that is gone when it was read.
struct ConfigFile(PathBuf);

impl ConfigFile {
    fn write(text: &str) -> Result<Self> {
        let name = format!("weir-attack-{}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for ConfigFile {
    fn drop(&mut self) {
        // What is left in the temporary directory harms nobody.
        let _ = fs::remove_file(&self.0);
    }
}
