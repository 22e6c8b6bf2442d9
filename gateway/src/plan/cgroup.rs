//! The CPU time that control groups grant this process, v1 and v2.
//!
//! `/proc/self/cgroup` names the process's group in each hierarchy, `/proc/self/mountinfo` where a
//! hierarchy is mounted and from which group on. Each group from the process's own up to the
//! topmost visible one may bound it; the tightest counts. Groups that are not visible, as outside
//! of a container, cannot be read and are not counted.

use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

/// CPU time per period, of all threads together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Quota {
    /// Microseconds of CPU time in each period; above 0.
    usecs: u64,
    /// Length of a period in microseconds; above 0.
    period_usecs: u64,
}

/// Why a quota is not known.
#[derive(Debug, Error)]
pub enum QuotaError {
    /// A file is there but cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file says something that the kernel does not write.
    #[error("{} says {text:?}, which is no CPU quota", .path.display())]
    Malformed {
        /// Which one.
        path: PathBuf,
        /// What it says.
        text: String,
    },
}

/// What bounds the calling process, looked up in the file system below `root`, which is `/` but
/// for tests. None if nothing does, or the system has no control groups.
///
/// # Errors
/// If a file is there but cannot be read or makes no sense.
pub fn quota(root: &Path) -> Result<Option<Quota>, QuotaError> {
    let Some(groups) = read(&root.join("proc/self/cgroup"))? else { return Ok(None) };
    let Some(mounts) = read(&root.join("proc/self/mountinfo"))? else { return Ok(None) };
    let mut tightest: Option<Quota> = None;
    for mount in mounts.lines().filter_map(Mount::parse) {
        let groups = groups.lines().filter_map(|line| mount.version.group(line));
        for below in groups.filter_map(|group| group.strip_prefix(&mount.group).ok()) {
            // `..` leads out of what the process's namespace shows.
            if below.components().any(|part| part == Component::ParentDir) {
                continue;
            }
            for quota in mount.quotas(root, below)? {
                if tightest.is_none_or(|other| quota.is_tighter_than(other)) {
                    tightest = Some(quota);
                }
            }
        }
    }
    Ok(tightest)
}

impl Quota {
    /// A quota of `usecs` of CPU time per `period_usecs`; none if either is 0.
    #[must_use]
    pub fn new(usecs: u64, period_usecs: u64) -> Option<Self> {
        (usecs > 0 && period_usecs > 0).then_some(Self { usecs, period_usecs })
    }

    /// Whole CPUs in it, at least 1. Rounded down: a worker more than the quota carries would have
    /// the kernel pause all of them in each period, and what is left over serves the other threads.
    #[must_use]
    pub fn whole_cpus(self) -> usize {
        usize::try_from(self.usecs / self.period_usecs).unwrap_or(usize::MAX).max(1)
    }

    /// Whether that many busy threads use more than it grants.
    #[must_use]
    pub fn is_exceeded_by(self, threads: usize) -> bool {
        threads as u128 * u128::from(self.period_usecs) > u128::from(self.usecs)
    }

    fn is_tighter_than(self, other: Self) -> bool {
        u128::from(self.usecs) * u128::from(other.period_usecs)
            < u128::from(other.usecs) * u128::from(self.period_usecs)
    }
}

/// As CPUs: `2.5`.
impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = u128::from(self.usecs) * 100 / u128::from(self.period_usecs);
        // Too small to be seen in hundredths, but not nothing.
        let cpus = hundredths.max(1) as f64 / 100.0;
        write!(f, "{cpus}")
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Version {
    V1,
    V2,
}

/// A mounted hierarchy that may bound CPU time.
#[derive(Debug, Eq, PartialEq)]
struct Mount {
    version: Version,
    /// The group that is seen at `point`.
    group: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// A line of mountinfo: `ID PARENT DEVICE GROUP POINT OPTIONS [TAGS …] - TYPE SOURCE OPTIONS`.
    fn parse(line: &str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut file_system = file_system.split(' ');
        let version = match (file_system.next()?, file_system.nth(1)) {
            ("cgroup2", _) => Version::V2,
            ("cgroup", Some(options)) if has_cpu(options) => Version::V1,
            _ => return None,
        };
        let mut mount = mount.split(' ').skip(3);
        let group = unescape(mount.next()?);
        let point = unescape(mount.next()?);
        Some(Self { version, group, point })
    }

    /// The quotas of the group `below` this mount's, and of all between.
    fn quotas(&self, root: &Path, below: &Path) -> Result<Vec<Quota>, QuotaError> {
        let point = root.join(self.point.strip_prefix("/").unwrap_or(&self.point));
        let mut quotas = Vec::new();
        for group in below.ancestors() {
            quotas.extend(self.version.quota(&point.join(group))?);
        }
        Ok(quotas)
    }
}

impl Version {
    /// A line of `/proc/self/cgroup`, `ID:CONTROLLERS:GROUP`, if it is of this hierarchy.
    fn group(self, line: &str) -> Option<&Path> {
        let mut fields = line.splitn(3, ':');
        let (id, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
        let here = match self {
            Self::V1 => has_cpu(controllers),
            Self::V2 => id == "0" && controllers.is_empty(),
        };
        here.then_some(Path::new(group))
    }

    /// The quota of one group. None if it has none: the topmost group has no such files.
    fn quota(self, group: &Path) -> Result<Option<Quota>, QuotaError> {
        match self {
            Self::V1 => v1(group),
            Self::V2 => v2(&group.join("cpu.max")),
        }
    }
}

/// Whether a v1 hierarchy has the controller that bounds CPU time.
fn has_cpu(controllers: &str) -> bool {
    controllers.split(',').any(|controller| controller == "cpu")
}

/// `cpu.cfs_quota_us`: microseconds, or -1 for no bound.
fn v1(group: &Path) -> Result<Option<Quota>, QuotaError> {
    let (usecs_path, period_path) =
        (group.join("cpu.cfs_quota_us"), group.join("cpu.cfs_period_us"));
    let Some(usecs) = read(&usecs_path)? else { return Ok(None) };
    if usecs.trim().starts_with('-') {
        return Ok(None);
    }
    let Some(period) = read(&period_path)? else { return Ok(None) };
    let usecs = number(&usecs_path, &usecs, &usecs)?;
    Ok(Quota::new(usecs, number(&period_path, &period, &period)?))
}

/// `cpu.max`: `USECS PERIOD_USECS`, or `max` for no bound.
fn v2(path: &Path) -> Result<Option<Quota>, QuotaError> {
    let Some(text) = read(path)? else { return Ok(None) };
    let mut words = text.split_whitespace();
    let usecs = words.next().unwrap_or_default();
    if usecs == "max" {
        return Ok(None);
    }
    let usecs = number(path, &text, usecs)?;
    Ok(Quota::new(usecs, number(path, &text, words.next().unwrap_or_default())?))
}

/// A positive number of microseconds, found in `text`.
fn number(path: &Path, text: &str, word: &str) -> Result<u64, QuotaError> {
    word.trim().parse().ok().filter(|&number| number > 0).ok_or_else(|| QuotaError::Malformed {
        path: path.to_owned(),
        text: text.trim().to_owned(),
    })
}

/// What a file says; none if it is not there.
fn read(path: &Path) -> Result<Option<String>, QuotaError> {
    match std::fs::read(path) {
        // Names of groups may be any bytes; what is not UTF-8 is only not found then.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(QuotaError::Read { path: path.to_owned(), source }),
    }
}

/// mountinfo writes space, tab, newline and backslash as `\` and three octal digits.
fn unescape(path: &str) -> PathBuf {
    let mut parts = path.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let escaped = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped {
            Some(byte) => {
                plain.push(char::from(byte));
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    PathBuf::from(plain)
}

#[cfg(test)]
mod tests;
