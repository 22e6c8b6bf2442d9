//! The kernel's side of steering: maps and programs that live as long as this does.

use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aya::Ebpf;
use aya::maps::lpm_trie::Key;
use aya::maps::{CpuMap, LpmTrie, Map, MapData, PerCpuArray, ReusePortSockArray};
use aya::programs::links::PinnedLink;
use aya::programs::xdp::XdpLinkId;
use aya::programs::{SkReuseport, Xdp, XdpMode};
use gateway_core::id::ShardId;
use gateway_ebpf::Network;
use gateway_ebpf::abi::{Counter, GUARD_MAX, Listed, names};
use rustix::io::Errno;
use tracing::warn;

use super::config::Iface;
use super::error::KernelError;
use super::memory::{Block, Memory};
use super::object::{self, Constants};
use super::pin::Pins;
use super::says;
use super::{Mode, Tally};

/// Packets that wait for a CPU at most: the next ones are lost, as on a network card's own queue.
const QUEUE_PACKETS: u32 = 2048;

/// From this on a frame may not fit into one page, so that the driver needs a program for several.
const MTU_OF_ONE_BUFFER: u32 = 3498;

/// Programs and maps of a node.
pub(crate) struct Kernel {
    parts: Mutex<Parts>,
    /// Whoever reads what the programs say, once it was asked for.
    reader: Mutex<Option<says::Reader>>,
}

struct Parts {
    object: Ebpf,
    listeners: ReusePortSockArray<MapData>,
    counters: PerCpuArray<MapData, u64>,
    redirects: PerCpuArray<MapData, u64>,
    guards: [LpmTrie<MapData, [u8; 16], u32>; 2],
    total: Block<gateway_ebpf::abi::Total>,
    /// What the programs say, until somebody reads it.
    says: Option<says::Unread>,
    links: Vec<XdpLinkId>,
    pinned: Vec<PinnedLink>,
}

impl Kernel {
    /// Has the kernel make the maps, and keeps with the pins those that the next process is to go
    /// on with; those of the process before are taken from there.
    ///
    /// # Errors
    /// What it refused.
    pub(crate) fn load(
        constants: &Constants,
        pins: Option<&Pins>,
    ) -> Result<(Self, Memory), KernelError> {
        let kept = pins.map(|pins| pins.maps(constants.placement));
        let mut object = object::load(constants, kept.as_ref())?;
        let memory = object::memory(&object)?;
        // Before XDP is on a device: it looks slots up for packets that are under way already.
        memory.vacate();
        let total = object::total(&object)?;
        if let Some(kept) = &kept {
            kept.keep(&object);
            // The process before may add to them until its device is taken over.
            total[0].flows.set(kept.has_flows().into());
        }
        let says = says::Unread::of(&mut object)?;
        let parts = Parts {
            listeners: take(&mut object, names::LISTENERS)?,
            counters: take(&mut object, names::COUNTERS)?,
            redirects: take(&mut object, names::REDIRECTS)?,
            guards: [take(&mut object, names::GUARDS[0])?, take(&mut object, names::GUARDS[1])?],
            total,
            says: Some(says),
            links: Vec::new(),
            pinned: Vec::new(),
            object,
        };
        Ok((Self { parts: Mutex::new(parts), reader: Mutex::new(None) }, memory))
    }

    /// Has a thread read what the programs say, from their start on. It is started here and not
    /// before, since it keeps whatever capabilities this one has.
    pub(crate) fn hear(&self) {
        if let Some(says) = self.lock().says.take() {
            *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = says::Reader::start(says);
        }
    }

    /// Puts a shard's listener where the program finds it; the kernel takes it away when it is
    /// closed.
    ///
    /// # Errors
    /// What the kernel refused: the listener is in no group, or does not listen.
    pub(crate) fn listen(&self, shard: ShardId, on: &TcpListener) -> Result<(), KernelError> {
        let listener = Raw(on.as_raw_fd());
        let set = self.lock().listeners.set(shard.0.into(), &listener, 0);
        set.map_err(|error| KernelError::map("a listener's place", error))
    }

    /// Has the program choose among the listeners of this one's group, from now on and as long as
    /// one of them is open.
    ///
    /// # Errors
    /// What the kernel refused.
    pub(crate) fn select(&self, among: &TcpListener) -> Result<(), KernelError> {
        let mut parts = self.lock();
        let program = parts.object.program_mut(names::SELECT);
        let program = program.ok_or(KernelError::Object(names::SELECT))?;
        let program: &mut SkReuseport = program.try_into().map_err(KernelError::program)?;
        program.load().map_err(KernelError::program)?;
        program.attach(among).map_err(KernelError::program)
    }

    /// Makes a queue for each of these CPUs, and a thread that serves it; gives the map's number,
    /// which is in the threads' names.
    ///
    /// # Errors
    /// What the kernel refused.
    pub(crate) fn queue(&self, cpus: impl Iterator<Item = u32>) -> Result<u32, KernelError> {
        let mut parts = self.lock();
        let map = parts.object.map_mut(names::QUEUES).ok_or(KernelError::Object(names::QUEUES))?;
        let Map::CpuMap(data) = &*map else { return Err(KernelError::Object(names::QUEUES)) };
        let number = data.info().map(|info| info.id());
        let number = number.map_err(|error| KernelError::map(names::QUEUES, error))?;
        let mut queues =
            CpuMap::try_from(map).map_err(|error| KernelError::map(names::QUEUES, error))?;
        for cpu in cpus {
            queues.set(cpu, QUEUE_PACKETS, None, 0).map_err(KernelError::queues)?;
        }
        Ok(number)
    }

    /// Loads the XDP program for frames of devices with these MTUs: one of the two, since programs
    /// of both kinds cannot share queues.
    ///
    /// # Errors
    /// What the kernel refused.
    pub(crate) fn load_xdp(&self, mtu_max: u32) -> Result<&'static str, KernelError> {
        let name = match mtu_max > MTU_OF_ONE_BUFFER {
            true => names::STEER_FRAGS,
            false => names::STEER,
        };
        let mut parts = self.lock();
        parts.xdp(name)?.load().map_err(KernelError::program)?;
        Ok(name)
    }

    /// Attaches the program to a device, as far down as its modes allow.
    ///
    /// # Errors
    /// Why the last mode tried cannot be had.
    pub(crate) fn attach(&self, program: &str, iface: &Iface) -> Result<Mode, KernelError> {
        // Which has no driver.
        if iface.name == "lo" && iface.generic {
            return self.attach_as(program, iface, Mode::Generic);
        }
        match self.attach_as(program, iface, Mode::Native) {
            Err(KernelError::NotNative(device, why)) if iface.generic => {
                warn!(device, why, "no native XDP by its driver: trying behind it");
                self.attach_as(program, iface, Mode::Generic)
            }
            other => other,
        }
    }

    /// Has the program take a device over from the process that pinned its link; whether one had.
    ///
    /// # Errors
    /// What the kernel refused.
    pub(crate) fn take_over(
        &self,
        program: &str,
        iface: &Iface,
        pins: &Pins,
    ) -> Result<Option<Mode>, KernelError> {
        let mut parts = self.lock();
        let Some(link) = pins.take_over(&iface.name, parts.xdp(program)?)? else {
            return Ok(None);
        };
        parts.links.push(link);
        let generic = says::attached(&iface.name).is_some_and(|attached| attached.generic);
        Ok(Some(if generic { Mode::Generic } else { Mode::Native }))
    }

    /// Keeps a device's link, which was attached last, when this process ends.
    ///
    /// # Errors
    /// What the kernel refused.
    pub(crate) fn keep(
        &self,
        program: &str,
        iface: &Iface,
        pins: &Pins,
    ) -> Result<(), KernelError> {
        let mut parts = self.lock();
        let Some(link) = parts.links.pop() else { return Ok(()) };
        let pinned = pins.keep(&iface.name, parts.xdp(program)?, link)?;
        parts.pinned.push(pinned);
        Ok(())
    }

    fn attach_as(&self, program: &str, iface: &Iface, mode: Mode) -> Result<Mode, KernelError> {
        let flags = match mode {
            Mode::Native => XdpMode::Driver,
            Mode::Generic => XdpMode::Skb,
        };
        let mut parts = self.lock();
        let attached = parts.xdp(program)?.attach(&iface.name, flags);
        let link = attached.map_err(|error| of_device(error, iface, mode))?;
        parts.links.push(link);
        Ok(mode)
    }

    /// Replaces all prefixes at once: the table that does not count is filled, and then counts.
    ///
    /// # Errors
    /// If there are too many, or what the kernel refused: the others still count then.
    pub(crate) fn guard(&self, prefixes: &[(Network, Listed)]) -> Result<(), KernelError> {
        if prefixes.len() > GUARD_MAX as usize {
            return Err(KernelError::Other(format!(
                "{} prefixes, and the kernel's table has room for {GUARD_MAX}",
                prefixes.len()
            )));
        }
        let mut parts = self.lock();
        let Parts { guards, total, .. } = &mut *parts;
        let counts = &total[0].guard;
        let next = 1 - counts.get().min(1);
        let table = &mut guards[next as usize];
        let refused = |error| KernelError::map("a guard table", error);
        let old: Vec<_> = table.keys().collect::<Result<_, _>>().map_err(refused)?;
        old.iter().try_for_each(|key| table.remove(key)).map_err(refused)?;
        for (network, listed) in prefixes {
            let (bits, octets) = (network.bits(), network.first().octets());
            table.insert(&Key::new(bits, octets), *listed as u32, 0).map_err(refused)?;
        }
        counts.set(next);
        Ok(())
    }

    /// What the programs have counted, over all CPUs.
    ///
    /// # Errors
    /// What the kernel refused.
    pub(crate) fn tally(&self, cpus: &[u32]) -> Result<Tally, KernelError> {
        let parts = self.lock();
        let refused = |error| KernelError::map("counters", error);
        let sum = |map: &PerCpuArray<MapData, u64>, place: u32| {
            map.get(&place, 0).map(|values| values.iter().sum()).map_err(refused)
        };
        let places = (0..).take(Counter::COUNT);
        let counters = places.map(|place| sum(&parts.counters, place)).collect::<Result<_, _>>()?;
        let redirect = |&cpu: &u32| Ok((cpu, sum(&parts.redirects, cpu)?));
        let redirects: Result<_, KernelError> = cpus.iter().map(redirect).collect();
        let redirects = redirects?;
        Ok(Tally { counters, redirects })
    }

    /// Nothing panics while it is locked that leaves it half changed.
    fn lock(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parts {
    fn xdp(&mut self, name: &str) -> Result<&mut Xdp, KernelError> {
        let program = self.object.program_mut(name).ok_or(KernelError::Object("XDP program"))?;
        program.try_into().map_err(KernelError::program)
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // Before the map that it reads is closed.
        drop(self.reader.get_mut().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// A descriptor, for who asks for nothing else of a socket.
struct Raw(std::os::fd::RawFd);

impl AsRawFd for Raw {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0
    }
}

fn take<T: TryFrom<Map, Error = aya::maps::MapError>>(
    object: &mut Ebpf,
    name: &'static str,
) -> Result<T, KernelError> {
    let map = object.take_map(name).ok_or(KernelError::Object(name))?;
    T::try_from(map).map_err(|error| KernelError::map(name, error))
}

fn of_device(error: aya::programs::ProgramError, iface: &Iface, mode: Mode) -> KernelError {
    let error = KernelError::program(error);
    let device = iface.name.clone();
    match error.errno() {
        Some(Errno::BUSY | Errno::EXIST) => {
            let occupant = says::occupant(&device);
            KernelError::Busy { device, occupant }
        }
        // The last two are veth's, with too few queues, and of a device whose frames are too large.
        Some(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOTSUP | Errno::NOSPC | Errno::RANGE)
            if mode == Mode::Native =>
        {
            KernelError::NotNative(device, refusal(&error))
        }
        _ => error,
    }
}

/// Which of the reasons a driver has, as far as its number tells.
fn refusal(error: &KernelError) -> String {
    match error.errno() {
        Some(Errno::OPNOTSUPP) => "it has none".to_owned(),
        Some(Errno::RANGE) => "frames are too large for it; lower the MTU".to_owned(),
        Some(Errno::NOSPC) => "it has too few queues; ethtool -L gives it more".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use gateway_ebpf::abi::{Door, Placement, Word};
    use gateway_ebpf::{Address, NOBODY, Rules, Strategy, UNLIMITED};

    use super::*;

    /// Maps once were all zeros until shards were written to them: packets that came meanwhile,
    /// as when a device is taken over, went to CPU 0, and each flow was remembered as an exception.
    #[test]
    fn programs_that_are_loaded_send_no_packet_anywhere_before_shards_serve() {
        let constants = Constants {
            door: Door { address: Address::v4(Ipv4Addr::LOCALHOST.octets()), port: 9 },
            rules: Rules { strategy: Strategy::Affinity, slack_permille: UNLIMITED },
            placement: Placement::Core,
            rate: None,
            limit_loopback: false,
            debug: false,
        };
        let (_kernel, memory) = match Kernel::load(&constants, None) {
            Ok(loaded) => loaded,
            // Where programs are required, `tests/programs` fails.
            Err(KernelError::Permission | KernelError::Missing(_)) => return,
            Err(error) => panic!("{error}"),
        };
        assert!(memory.slots.iter().map(Word::number).all(|shard| shard == NOBODY));
    }

    #[test]
    fn a_driver_that_refuses_is_asked_for_its_reason() {
        let said = |number| {
            let error = std::io::Error::from_raw_os_error(number);
            let error = aya::sys::SyscallError { call: "bpf_link_create", io_error: error };
            let iface = Iface { name: "eth0".to_owned(), generic: false };
            of_device(error.into(), &iface, Mode::Native).to_string()
        };
        assert!(said(libc::EOPNOTSUPP).contains("eth0 takes no native XDP: it has none"));
        assert!(said(libc::ERANGE).contains("lower the MTU"));
        assert!(said(libc::ENOSPC).contains("too few queues"));
        assert!(said(libc::EINVAL).contains("Invalid argument"));
    }
}
