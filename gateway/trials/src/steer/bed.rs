//! Two network namespaces with a cable between them: clients in one, gateways in the other.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::sweeper::Sweeper;
use super::tools;

/// The device at both ends of the cable.
pub(super) const DEVICE: &str = "weir0";
/// Client addresses of each family: enough that a hash of them falls on every shard.
pub(super) const SOURCES: u16 = 32;

/// Beds that this process has made, so that each has names of its own.
static MADE: AtomicU32 = AtomicU32::new(0);

/// Where names of namespaces live.
const NAMES: &str = "/run/netns";

/// Whether connections are made over IPv4 or IPv6.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Family {
    V4,
    V6,
}

/// What kind of cable there is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cable {
    /// The gateway's end takes native XDP.
    Native,
    /// The gateway's end has fewer queues than the clients', with which veth refuses native XDP:
    /// only generic is left, as on a device whose driver knows no other.
    Generic,
}

/// One side of the cable.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Clients,
    Gateway,
}

/// Namespaces, cable, addresses and a folder; all of it is gone when this is dropped, and when
/// this process ends in whatever way.
#[derive(Debug)]
pub(super) struct Bed {
    names: [String; 2],
    folder: PathBuf,
    sweeper: Sweeper,
}

impl Family {
    pub(super) const ALL: [Self; 2] = [Self::V4, Self::V6];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }

    /// Where the gateway is.
    pub(super) fn gateway(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(10, 77, 0, 1).into(),
            Self::V6 => Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1).into(),
        }
    }

    /// A client's address, from 0 to [`SOURCES`]; over IPv6 each is in a /64 of its own.
    pub(super) fn source(self, index: u16) -> IpAddr {
        let [_, host] = (index % SOURCES + 1).to_be_bytes();
        match self {
            Self::V4 => Ipv4Addr::new(10, 77, 1, host).into(),
            Self::V6 => Ipv6Addr::new(0xfd77, 0, 0, host.into(), 0, 0, 0, 2).into(),
        }
    }

    /// All client addresses.
    pub(super) fn sources(self) -> Vec<IpAddr> {
        (0..SOURCES).map(|index| self.source(index)).collect()
    }

    /// Bits that both sides share.
    fn prefix(self) -> u8 {
        match self {
            Self::V4 => 16,
            Self::V6 => 48,
        }
    }
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Clients => Self::Gateway,
            Self::Gateway => Self::Clients,
        }
    }

    fn addresses(self, family: Family) -> Vec<IpAddr> {
        match self {
            Self::Clients => family.sources(),
            Self::Gateway => vec![family.gateway()],
        }
    }

    /// The hardware address of its device.
    fn mac(self) -> &'static str {
        match self {
            Self::Clients => "02:00:00:00:00:0a",
            Self::Gateway => "02:00:00:00:00:0b",
        }
    }
}

impl Bed {
    /// Makes it, with names that no other process uses.
    ///
    /// # Errors
    /// If the system refuses; nothing is left behind then.
    pub(super) fn make(cable: Cable) -> Result<Self> {
        let (id, number) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let names = ["a", "b"].map(|side| format!("weir-{id}-{number}{side}"));
        let folder = std::env::temp_dir().join(format!("weir-{id}-{number}"));
        fs::create_dir(&folder)
            .with_context(|| format!("cannot make a folder of its own, {}", folder.display()))?;
        let sweeper = Sweeper::start(&names, &folder)?;
        let bed = Self { names, folder, sweeper };
        bed.build(cable)?;
        Ok(bed)
    }

    fn build(&self, kind: Cable) -> Result<()> {
        let [clients, gateway] = &self.names;
        tools::run("ip", &["netns", "add", clients])?;
        tools::run("ip", &["netns", "add", gateway])?;
        let many = thread::available_parallelism()?.get().max(2).to_string();
        let received = if kind == Cable::Native { &many } else { "1" };
        let [own, other] = [Side::Clients, Side::Gateway].map(Side::mac);
        let mut cable = vec!["-n", clients, "link", "add", DEVICE, "address", own];
        cable.extend(["numtxqueues", &many, "numrxqueues", &many, "type", "veth", "peer"]);
        cable.extend(["name", DEVICE, "address", other, "netns", gateway]);
        cable.extend(["numtxqueues", &many, "numrxqueues", received]);
        tools::run("ip", &cable)?;
        for side in [Side::Clients, Side::Gateway] {
            self.dress(side)?;
        }
        // A frame that native XDP redirects has lost the word that its checksum is still to be
        // made, and is dropped as broken: so the clients' side makes it.
        tools::run("ip", &["netns", "exec", clients, "ethtool", "-K", DEVICE, "tx", "off"])?;
        Ok(())
    }

    /// Gives one side its addresses, and takes it up.
    fn dress(&self, side: Side) -> Result<()> {
        let other = side.other();
        let mut orders = format!("link set lo up\nlink set {DEVICE} up\n");
        for family in Family::ALL {
            let prefix = family.prefix();
            for address in side.addresses(family) {
                // Nobody else is there to have the same address, so none is asked.
                let nodad = if address.is_ipv6() { "nodad" } else { "" };
                orders += &format!("addr add {address}/{prefix} dev {DEVICE} {nodad}\n");
            }
            // What waits for an address to be found is sent by the CPU that finds it, and a
            // connection begun that way would come from another CPU than its client's.
            let (mac, known) = (other.mac(), format!("dev {DEVICE} nud permanent"));
            for address in other.addresses(family) {
                orders += &format!("neigh add {address} lladdr {mac} {known}\n");
            }
        }
        tools::feed("ip", &["-n", self.name(side), "-batch", "-"], &orders)?;
        Ok(())
    }

    /// What `ip netns` calls a side.
    pub(super) fn name(&self, side: Side) -> &str {
        match side {
            Side::Clients => &self.names[0],
            Side::Gateway => &self.names[1],
        }
    }

    /// A folder that is removed with it.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Does something on a side, on a thread of its own.
    ///
    /// # Errors
    /// If the side cannot be entered, and what `work` says.
    ///
    /// # Panics
    /// If `work` does.
    pub(super) fn on<T: Send>(
        &self,
        side: Side,
        work: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        let name = self.name(side);
        let there = || {
            enter(name)?;
            work()
        };
        thread::scope(|scope| scope.spawn(there).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Sets one of the system's variables on a side, as `sysctl` names it with slashes.
    ///
    /// # Errors
    /// If the system refuses.
    pub(super) fn set(&self, side: Side, variable: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{variable}");
        self.on(side, || fs::write(&path, value).with_context(|| format!("cannot write {path}")))
    }

    /// Segments on the gateway's side that were dropped for their checksum.
    ///
    /// # Errors
    /// If the system does not say.
    pub(super) fn broken_segments(&self) -> Result<u64> {
        let snmp =
            self.on(Side::Gateway, || Ok(fs::read_to_string("/proc/thread-self/net/snmp")?))?;
        column(&snmp, "Tcp:", "InCsumErrors").context("the system counts no broken segments")
    }

    /// Segments that clients have said once more.
    ///
    /// # Errors
    /// If the system does not say.
    pub(super) fn said_again(&self) -> Result<u64> {
        let snmp =
            self.on(Side::Clients, || Ok(fs::read_to_string("/proc/thread-self/net/snmp")?))?;
        column(&snmp, "Tcp:", "RetransSegs").context("the system counts nothing said again")
    }

    /// Takes all of it away, and looks whether something is left.
    ///
    /// # Errors
    /// Names what is left.
    pub(super) fn remove(mut self) -> Result<()> {
        self.sweeper.sweep()?;
        let left = self.left()?;
        ensure!(left.is_empty(), "left behind: {}", left.join(", "));
        Ok(())
    }

    fn left(&self) -> Result<Vec<String>> {
        let mut left: Vec<_> = self.names.iter().map(|name| format!("{NAMES}/{name}")).collect();
        left.push(self.folder.display().to_string());
        left.retain(|path| Path::new(path).exists());
        // The cable goes with its namespaces, unless one is kept alive by somebody in it.
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let folder = self.folder.display().to_string();
        left.extend(mounts.lines().filter(|line| line.contains(&folder)).map(str::to_owned));
        let devices = tools::run("ip", &["-o", "link", "show"])?;
        left.extend(devices.lines().filter(|line| line.contains(DEVICE)).map(str::to_owned));
        Ok(left)
    }
}

/// Takes the calling thread to a namespace, for good.
fn enter(name: &str) -> Result<()> {
    let path = format!("{NAMES}/{name}");
    let file = File::open(&path).with_context(|| format!("no namespace {path}"))?;
    match move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)) {
        Ok(()) => Ok(()),
        Err(error) => bail!("cannot enter {name}: {error}"),
    }
}

/// A number of `/proc/net/snmp`: under `title` in the lines that begin with `row`.
fn column(snmp: &str, row: &str, title: &str) -> Option<u64> {
    let mut rows = snmp.lines().filter(|line| line.starts_with(row));
    let at = rows.next()?.split_whitespace().position(|word| word == title)?;
    rows.next()?.split_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_address_is_one_of_its_own() {
        for family in Family::ALL {
            let sources = family.sources();
            assert!(!sources.contains(&family.gateway()));
            let mut known = sources.clone();
            known.sort();
            known.dedup();
            assert_eq!(known.len(), usize::from(SOURCES));
            assert_eq!(family.source(SOURCES), sources[0], "they come round");
        }
    }

    #[test]
    fn a_column_is_found_by_its_title() {
        let snmp = "Ip: A\nIp: 1\nTcp: InErrs OutRsts InCsumErrors\nTcp: 5 6 7\n";
        assert_eq!(column(snmp, "Tcp:", "InCsumErrors"), Some(7));
        assert_eq!(column(snmp, "Tcp:", "Else"), None);
        assert_eq!(column("", "Tcp:", "InErrs"), None);
    }
}
