//! Debug probes: values that any module lets an operator see, by name.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, json};
use thiserror::Error;

pub use serde_json::Value;

/// Probes of a node: each answer asks them all, and a page of more would not be read.
const PROBES_MAX: usize = 256;

/// Bytes of a name: a line of a terminal holds it beside its value.
const NAME_BYTES_MAX: usize = 64;

type Probe = Arc<dyn Fn() -> Value + Send + Sync>;

/// The probes of a node. Registering one costs nothing until somebody looks.
#[derive(Default)]
pub struct Probes {
    /// Locked to add and to list, never while a probe is asked.
    probes: Mutex<BTreeMap<String, Probe>>,
}

/// Why a probe was not registered.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ProbeError {
    /// Another one has the name.
    #[error("there is a probe {0:?} already")]
    Taken(String),
    /// It does not read well.
    #[error("{0:?} names no probe: 1 to {NAME_BYTES_MAX} of a-z, 0-9, '_' and '.'")]
    Name(String),
    /// There are too many.
    #[error("there are {PROBES_MAX} probes already")]
    Full,
}

impl Probes {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows what `probe` gives under this name. It is asked on the thread of whoever looks, must
    /// not wait, and may panic: then it is shown as an error and harms nobody.
    ///
    /// # Errors
    /// If the name is taken, or not 1 to 64 of `a-z`, `0-9`, `_` and `.`, or the 257th.
    pub fn register(
        &self,
        name: &str,
        probe: impl Fn() -> Value + Send + Sync + 'static,
    ) -> Result<(), ProbeError> {
        let plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.');
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(ProbeError::Name(name.to_owned()));
        }
        let mut probes = self.lock();
        if probes.contains_key(name) {
            return Err(ProbeError::Taken(name.to_owned()));
        }
        if probes.len() == PROBES_MAX {
            return Err(ProbeError::Full);
        }
        probes.insert(name.to_owned(), Arc::new(probe));
        Ok(())
    }

    /// Asks all of them; gives an object with a member for each, in the order of their names.
    #[must_use]
    pub fn read(&self) -> Value {
        let probes: Vec<_> =
            self.lock().iter().map(|(name, probe)| (name.clone(), Arc::clone(probe))).collect();
        let values = probes.into_iter().map(|(name, probe)| (name, ask(&probe)));
        Value::Object(values.collect::<Map<_, _>>())
    }

    /// Nothing panics while it is locked, so it is sound whoever held it.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Probe>> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}

/// What it gives, or that it panicked. It is not looked into again, so what it left half-done
/// within itself is its own matter.
fn ask(probe: &Probe) -> Value {
    panic::catch_unwind(AssertUnwindSafe(|| probe()))
        .unwrap_or_else(|payload| json!({ "error": panicked(&*payload) }))
}

fn panicked(payload: &(dyn Any + Send)) -> String {
    let said = payload.downcast_ref::<&str>().copied();
    let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    said.map_or_else(|| "the probe panicked".to_owned(), |why| format!("the probe panicked: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_asked_each_time_and_shown_by_name() {
        let probes = Probes::new();
        let asked = std::sync::atomic::AtomicU32::new(0);
        let count = move || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed).into();
        probes.register("rings.depth", || json!([1, { "worker": "two" }])).unwrap();
        probes.register("asked", count).unwrap();
        let shown = |asked| json!({ "asked": asked, "rings.depth": [1, { "worker": "two" }] });
        assert_eq!([probes.read(), probes.read()], [shown(0), shown(1)]);
    }

    #[test]
    fn a_name_is_given_once_and_reads_well() {
        let probes = Probes::new();
        probes.register("rooms", || json!(1)).unwrap();
        let taken = Err(ProbeError::Taken("rooms".to_owned()));
        assert_eq!(probes.register("rooms", || json!(2)), taken);
        for name in ["", "Rooms", "a b", "käse", &"x".repeat(NAME_BYTES_MAX + 1)] {
            let refused = Err(ProbeError::Name(name.to_owned()));
            assert_eq!(probes.register(name, || json!(3)), refused);
        }
        assert_eq!(probes.read(), json!({ "rooms": 1 }), "the first one stays");
    }

    #[test]
    fn there_is_room_for_so_many() {
        let probes = Probes::new();
        for index in 0..PROBES_MAX {
            probes.register(&index.to_string(), || Value::Null).unwrap();
        }
        assert_eq!(probes.register("more", || Value::Null), Err(ProbeError::Full));
    }

    #[test]
    fn a_probe_that_panics_harms_nobody() {
        let probes = Probes::new();
        probes.register("a", || panic!("no such {}", "thing")).unwrap();
        probes.register("b", || json!(2)).unwrap();
        let shown = json!({ "a": { "error": "the probe panicked: no such thing" }, "b": 2 });
        assert_eq!([probes.read(), probes.read()], [shown.clone(), shown]);
    }

    #[test]
    fn a_probe_may_register_another() {
        let probes = Arc::new(Probes::new());
        let same = Arc::clone(&probes);
        let add = move || json!(same.register("later", || json!(2)).is_ok());
        probes.register("add", add).unwrap();
        assert_eq!(probes.read(), json!({ "add": true }));
        assert_eq!(probes.read(), json!({ "add": false, "later": 2 }));
    }
}
