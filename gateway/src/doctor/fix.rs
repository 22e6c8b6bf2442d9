//! The one thing that `weir doctor --fix` changes: RPS of a named device with a single queue.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use super::cpus::Cpus;
use super::facts::Device;
use super::finding::Severity;

/// What became of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fix {
    /// The device deals its packets out now.
    Set {
        /// Which device.
        device: String,
        /// The file that says so.
        path: String,
        /// What it said before.
        old: String,
        /// What it says now.
        new: String,
    },
    /// There was nothing to be done.
    Left {
        /// Which device.
        device: String,
        /// Why.
        why: String,
    },
    /// It could not be done.
    Denied {
        /// Which device.
        device: String,
        /// What the system said.
        why: String,
        /// What somebody who may do it would type.
        command: String,
    },
}

/// Has a device with a single receive queue deal its packets out to `cpus`, below `root`.
///
/// Nothing else is ever changed, and a device with several queues is left as it is: its driver
/// spreads packets better than RPS does.
#[must_use]
pub fn fix(root: &Path, device: &Device, cpus: &Cpus) -> Fix {
    let name = device.name.clone();
    let left = |why: &str| Fix::Left { device: device.name.clone(), why: why.to_owned() };
    if cpus.len() < 2 {
        return left("there are not two pinned workers to deal packets out to");
    }
    let queue = match &device.receive[..] {
        _ if !device.exists => return left("there is no such device"),
        _ if device.is_soft() => return left("packets arrive on the CPU of who sends them"),
        [queue] => queue,
        queues => return left(&format!("it has {} receive queues", queues.len())),
    };
    let Some(before) = &queue.rps else { return left("the kernel has no RPS") };
    if before == cpus {
        return left("RPS deals its packets out to the workers' CPUs already");
    }
    let path = format!("sys/class/net/{name}/queues/{}/rps_cpus", queue.name);
    let (old, new) = (before.mask(), cpus.mask());
    match write(&root.join(&path), &new) {
        Ok(()) => Fix::Set { device: name, path: format!("/{path}"), old, new },
        Err(error) => {
            let command = format!("echo {new} | sudo tee /{path}");
            Fix::Denied { device: name, why: error.to_string(), command }
        }
    }
}

fn write(path: &Path, mask: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(path)?;
    // The kernel takes a mask in one write.
    file.write_all(format!("{mask}\n").as_bytes())
}

impl Fix {
    /// What it means that it went so.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Set { .. } | Self::Left { .. } => Severity::Fine,
            Self::Denied { .. } => Severity::Refused,
        }
    }
}

/// What was done, and the line that undoes it; or what to type.
impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set { device, path, old, new } => {
                writeln!(f, "{device}: RPS was {old} and is {new} now; to undo that:")?;
                write!(f, "  echo {old} > {path}")
            }
            Self::Left { device, why } => write!(f, "{device}: nothing changed: {why}"),
            Self::Denied { device, why, command } => {
                writeln!(f, "{device}: nothing changed: {why}; type:")?;
                write!(f, "  {command}")
            }
        }
    }
}
