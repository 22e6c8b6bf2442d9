//! Maps that outlive the process beside its links: what was counted, who has used up its rate, and
//! where flows are served that are not where their slots say.
//!
//! Everything else belongs to one process and is made anew: tables of shards and CPUs, listeners,
//! queues, and the list of who may come.

use std::fs;
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::maps::{MapInfo, MapType};
use gateway_ebpf::Source;
use gateway_ebpf::abi::{CPUS_MAX, Counter, FLOWS_MAX, Flow, Placement, SOURCES_MAX, names};
use tracing::{info, warn};

/// What a map has to be like to be used by these programs: the loader asks nothing of a map that it
/// finds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Form {
    kind: MapType,
    key_bytes: usize,
    value_bytes: usize,
    entries: usize,
}

/// Maps that may be kept.
const KEPT: [(&str, Form); 4] = [
    (names::COUNTERS, Form::counters(Counter::COUNT)),
    (names::REDIRECTS, Form::counters(CPUS_MAX)),
    (names::SOURCES, Form::lru(size_of::<Source>(), size_of::<u64>(), SOURCES_MAX)),
    (names::FLOWS, Form::lru(size_of::<Flow>(), size_of::<u32>(), FLOWS_MAX)),
];

/// Maps of the process before, and where the next process finds those of this one.
pub(crate) struct Kept {
    folder: PathBuf,
    /// Names of those that are there, and go on.
    found: Vec<&'static str>,
    /// Names of those that are not there yet.
    missing: Vec<&'static str>,
}

impl Kept {
    /// Looks at what is in the folder, which nobody else changes meanwhile. Whatever is no map of
    /// the form that is needed is removed, and said; who uses it still has it.
    pub(crate) fn find(folder: &Path, placement: Placement) -> Self {
        let mut kept = Self { folder: folder.to_owned(), found: Vec::new(), missing: Vec::new() };
        for (name, form) in KEPT {
            let path = kept.path(name);
            // Nobody would say in it who comes and goes, so that it would soon be wrong.
            let is_idle = name == names::FLOWS && placement == Placement::Observe;
            match path.exists() {
                false if is_idle => {}
                false => kept.missing.push(name),
                true if is_idle => drop(remove(&path)),
                true if form.is_at(&path, name) => kept.found.push(name),
                true if remove(&path) => kept.missing.push(name),
                // It is in the way: this process has one that is not pinned.
                true => {}
            }
        }
        kept
    }

    /// Maps that programs are to be loaded with, and where they are.
    pub(crate) fn found(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        self.found.iter().map(|name| (*name, self.path(name)))
    }

    /// Whether flows may be in the map of the process before.
    pub(crate) fn has_flows(&self) -> bool {
        self.found.contains(&names::FLOWS)
    }

    /// Keeps the maps of an object that was loaded with those that were found: all are there now.
    pub(crate) fn keep(&self, object: &Ebpf) {
        for name in &self.missing {
            let path = self.path(name);
            let Some(map) = object.map(name) else { continue };
            if let Err(error) = map.pin(&path) {
                let pin = path.display();
                warn!(%pin, %error, "a map is not pinned: the next process begins it anew");
            }
        }
        if !self.found.is_empty() {
            let maps = self.found.join(", ");
            info!(maps, "maps of the process before go on");
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("map-{name}"))
    }
}

impl Form {
    const fn counters(entries: usize) -> Self {
        Self { kind: MapType::PerCpuArray, key_bytes: 4, value_bytes: 8, entries }
    }

    const fn lru(key_bytes: usize, value_bytes: usize, entries: u32) -> Self {
        Self { kind: MapType::LruHash, key_bytes, value_bytes, entries: entries as usize }
    }

    /// The form of a map that the kernel knows by this name; none if it has another one, or is of
    /// a type or with flags that none of ours has.
    fn of(info: &MapInfo, name: &str) -> Option<Self> {
        // What is said of a link or a program has no name there.
        if info.name() != name.as_bytes() || info.map_flags() != 0 {
            return None;
        }
        let sizes = [info.key_size(), info.value_size(), info.max_entries()];
        let [key_bytes, value_bytes, entries] = sizes.map(|size| size as usize);
        Some(Self { kind: info.map_type().ok()?, key_bytes, value_bytes, entries })
    }

    /// Whether a map of this form and name is pinned there; says what else is.
    fn is_at(self, path: &Path, name: &str) -> bool {
        let pin = path.display();
        match MapInfo::from_pin(path) {
            Ok(info) if Self::of(&info, name) == Some(self) => true,
            Ok(info) => {
                let found = Self::of(&info, name);
                warn!(%pin, ?found, wanted = ?self, "no map of the needed form: begun anew");
                false
            }
            Err(error) => {
                warn!(%pin, %error, "no map that can be used: begun anew");
                false
            }
        }
    }
}

/// Removes a pin; whether it is gone.
fn remove(path: &Path) -> bool {
    let Err(error) = fs::remove_file(path) else { return true };
    let pin = path.display();
    warn!(%pin, %error, "cannot be removed: the next process finds it again");
    false
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use aya::maps::Map;
    use gateway_ebpf::abi::Door;
    use gateway_ebpf::{Address, Rules, Strategy, UNLIMITED};

    use super::*;
    use crate::steer::error::KernelError;
    use crate::steer::object::{self, Constants};

    #[test]
    fn maps_are_kept_by_the_form_that_they_have() {
        let constants = Constants {
            door: Door { address: Address::v4(Ipv4Addr::LOCALHOST.octets()), port: 9 },
            rules: Rules { strategy: Strategy::Affinity, slack_permille: UNLIMITED },
            placement: Placement::Core,
            rate: None,
            limit_loopback: false,
            debug: false,
        };
        let object = match object::load(&constants, None) {
            Ok(object) => object,
            // Where programs are required, `tests/programs` fails.
            Err(KernelError::Permission | KernelError::Missing(_)) => return,
            Err(error) => panic!("{error}"),
        };
        for (name, form) in KEPT {
            let Some(Map::PerCpuArray(data) | Map::LruHashMap(data)) = object.map(name) else {
                panic!("{name} is another map");
            };
            let info = data.info().unwrap();
            assert_eq!(Form::of(&info, name), Some(form), "{name}");
            assert_eq!(Form::of(&info, "another"), None, "{name}");
        }
    }

    #[test]
    fn what_is_no_map_is_removed_and_begun_anew() {
        let folder = std::env::temp_dir().join(format!("weir-kept-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let wrong = folder.join("map-COUNTERS");
        fs::write(&wrong, "no map").unwrap();
        let kept = Kept::find(&folder, Placement::Core);
        assert!(!wrong.exists(), "a new map is to take its place");
        assert_eq!(kept.missing, KEPT.map(|(name, _)| name));
        assert_eq!((kept.found().count(), kept.has_flows()), (0, false));
        fs::remove_dir(folder).unwrap();
    }

    #[test]
    fn flows_that_nobody_looks_after_are_forgotten() {
        let folder = std::env::temp_dir().join(format!("weir-flows-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let flows = folder.join("map-FLOWS");
        fs::write(&flows, "").unwrap();
        let kept = Kept::find(&folder, Placement::Observe);
        assert!(!flows.exists(), "the next process would go by them");
        assert_eq!(kept.missing, [names::COUNTERS, names::REDIRECTS, names::SOURCES]);
        fs::remove_dir(folder).unwrap();
    }
}
