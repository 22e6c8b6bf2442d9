//! Who is denied and who is allowed, whatever its source has: prefixes of a file, which may change
//! while the node serves.
//!
//! A look costs a shard one atomic load beside the look itself: each has the table that it saw
//! last, and takes the next one when there is one. Whoever changes the list makes the whole table
//! first and then shows it, so that every newcomer is judged by the old list or by the new one, and
//! none by a part of both. Only newcomers are judged: who is served stays, whatever the list
//! becomes.

mod prefixes;
mod table;
mod watch;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway_ebpf::Network;
use serde_json::json;
use thiserror::Error;
use tracing::warn;

use self::table::Table;
use self::watch::Shown;
use crate::admin::{ProbeError, Probes};

pub use self::prefixes::{GUARD_BYTES_MAX, PREFIXES_MAX, PrefixError, Prefixes};
pub(crate) use self::watch::Watch;

/// What becomes of a newcomer whose address a prefix has. The longest prefix decides; who is in
/// none is let in like everyone.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Verdict {
    /// It is reset unread, or closed unanswered if a proxy speaks for it.
    Deny,
    /// It is let in, and what one source may have does not bound it.
    Allow,
}

impl Verdict {
    /// As it stands in a file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
}

/// A table somewhere else that is to say the same, such as the kernel's, so that who is denied
/// costs less. The node judges everyone itself too, so nothing depends on it.
pub trait GuardTable: Send {
    /// Has exactly these prefixes from now on, none of them twice, shorter ones first. Newcomers
    /// meanwhile are to be judged by the old prefixes or by the new ones.
    ///
    /// # Errors
    /// If that is not so. It is asked again, for all of them, at the next change.
    fn replace(&self, prefixes: &[(Network, Verdict)]) -> io::Result<()>;
}

/// How many prefixes there are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Of those who are denied.
    pub deny: usize,
    /// Of those who are allowed.
    pub allow: usize,
}

/// Why the list was not changed.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum GuardError {
    /// There is nothing to read again.
    #[error("there is no file to read again; start with --guard FILE")]
    NoFile,
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] PrefixError),
    /// Nothing more fits.
    #[error("there are {PREFIXES_MAX} prefixes, which is the most; remove or join some")]
    Full,
}

/// The list of a node. Shards look at it, operators change it.
pub struct Guard {
    file: Option<PathBuf>,
    /// Whom no bound of a source holds, whatever the list says.
    exempt: Vec<Network>,
    /// Held by whoever changes something, for as long as that takes; never by a shard.
    list: Mutex<List>,
    shown: Arc<Shown>,
}

#[derive(Default)]
struct List {
    prefixes: Prefixes,
    /// Changes since the start, and files that could not be used.
    changes: u64,
    refused: u64,
    /// Who else is told.
    others: Vec<Box<dyn GuardTable>>,
    /// Tables elsewhere that did not take what they were told.
    failures: u64,
}

impl Guard {
    /// Without a file, and without any prefix until one is named.
    #[must_use]
    pub fn new() -> Self {
        Self { file: None, exempt: Vec::new(), list: Mutex::default(), shown: Arc::default() }
    }

    /// With the prefixes of a file.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn open(file: &Path) -> Result<Self, PrefixError> {
        Ok(Self { file: Some(file.to_owned()), ..Self::from(Prefixes::read(file)?) })
    }

    /// Tells other tables that these are allowed too, unless they are denied: the node itself lets
    /// them in by other lists of its own.
    #[must_use]
    pub(crate) fn exempting(mut self, networks: impl IntoIterator<Item = Network>) -> Self {
        self.exempt.extend(networks);
        self
    }

    /// Reads the file again. What was changed since then by [`set`](Self::set) and
    /// [`remove`](Self::remove) is forgotten. Needs some milliseconds for each ten thousand lines.
    ///
    /// # Errors
    /// If there is no file, or it cannot be used: then everything stays as it is.
    pub fn reload(&self) -> Result<Counts, GuardError> {
        let file = self.file.as_ref().ok_or(GuardError::NoFile)?;
        // Whoever reads first is to be heard first.
        let mut list = self.lock();
        let prefixes = Prefixes::read(file).inspect_err(|_| list.refused += 1)?;
        Ok(self.replace(&mut list, prefixes))
    }

    /// Has a prefix say this, whatever it said before, until the next [`reload`](Self::reload) or
    /// the node's end.
    ///
    /// # Errors
    /// If it is one more than [`PREFIXES_MAX`].
    pub fn set(&self, network: Network, verdict: Verdict) -> Result<Counts, GuardError> {
        let mut list = self.lock();
        let mut prefixes = list.prefixes.clone();
        prefixes.0.insert(network, verdict);
        if prefixes.0.len() > PREFIXES_MAX {
            return Err(GuardError::Full);
        }
        Ok(self.replace(&mut list, prefixes))
    }

    /// Has a prefix say nothing any more, until the next [`reload`](Self::reload); `None` if it
    /// said nothing: longer and shorter ones are others.
    #[must_use]
    pub fn remove(&self, network: Network) -> Option<Counts> {
        let mut list = self.lock();
        let mut prefixes = list.prefixes.clone();
        prefixes.0.remove(&network)?;
        Some(self.replace(&mut list, prefixes))
    }

    /// Tells another table too, from now on; first of all what holds now.
    pub fn attach(&self, table: Box<dyn GuardTable>) {
        let mut list = self.lock();
        let prefixes = self.told(&list.prefixes);
        list.failures += u64::from(!tell(&*table, &prefixes));
        list.others.push(table);
    }

    /// What an address would be told now. Shards do not ask here.
    #[must_use]
    pub fn verdict(&self, ip: IpAddr) -> Option<Verdict> {
        self.watch().verdict(ip)
    }

    /// How many prefixes there are now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts()
    }

    /// Shows in `/probes` how many there are, and what became of changes.
    ///
    /// # Errors
    /// If there is a probe `guard` already.
    pub fn register(self: &Arc<Self>, probes: &Probes) -> Result<(), ProbeError> {
        let guard = Arc::clone(self);
        probes.register("guard", move || {
            let list = guard.lock();
            let Counts { deny, allow } = list.counts();
            json!({
                "deny": deny,
                "allow": allow,
                "changes": list.changes,
                "refused_files": list.refused,
                "tables": list.others.len(),
                "table_failures": list.failures,
            })
        })
    }

    fn replace(&self, list: &mut List, prefixes: Prefixes) -> Counts {
        self.shown.show(Table::new(prefixes.iter()));
        if !list.others.is_empty() {
            let all = self.told(&prefixes);
            let failed = list.others.iter().filter(|table| !tell(&***table, &all)).count();
            list.failures += failed as u64;
        }
        list.prefixes = prefixes;
        list.changes += 1;
        list.counts()
    }

    /// What another table is to say, shorter prefixes first: the list, and that who is exempt is
    /// allowed, where the list does not deny it.
    fn told(&self, prefixes: &Prefixes) -> Vec<(Network, Verdict)> {
        let mut all = prefixes.clone();
        for network in &self.exempt {
            // What the list says of longer prefixes within it decides for those anyway.
            if prefixes.around(*network) != Some(Verdict::Deny) {
                all.0.entry(*network).or_insert(Verdict::Allow);
            }
        }
        all.iter().collect()
    }

    /// What another table would be told now: for one that is to have it before it is asked.
    pub(crate) fn for_others(&self) -> Vec<(Network, Verdict)> {
        self.told(&self.lock().prefixes)
    }

    /// A shard's view of it.
    pub(crate) fn watch(&self) -> Watch {
        Watch::new(Arc::clone(&self.shown))
    }

    /// What a panic left half done is a count at most.
    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    fn counts(&self) -> Counts {
        let deny = self.prefixes.iter().filter(|(_, verdict)| *verdict == Verdict::Deny).count();
        Counts { deny, allow: self.prefixes.iter().len() - deny }
    }
}

/// Whether another table took what it was told.
fn tell(table: &dyn GuardTable, prefixes: &[(Network, Verdict)]) -> bool {
    let told = table.replace(prefixes);
    let failed = |error: &io::Error| {
        warn!(
            %error,
            "the kernel's list of prefixes stays as it was; the node itself goes by the new one"
        );
    };
    told.inspect_err(failed).is_ok()
}

/// With these prefixes, and without a file.
impl From<Prefixes> for Guard {
    fn from(prefixes: Prefixes) -> Self {
        let guard = Self::new();
        guard.replace(&mut guard.lock(), prefixes);
        guard
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = self.counts();
        f.debug_struct("Guard").field("file", &self.file).field("counts", &counts).finish()
    }
}

#[cfg(test)]
mod tests;
