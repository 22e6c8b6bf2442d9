//! The ladder: from the best rung down to the one that can be had, each said once.

use std::fmt;
use std::net::{SocketAddr, TcpListener};

use gateway_core::id::ShardId;
use gateway_ebpf::abi::{self, Door, Listed};
use gateway_ebpf::{Address, Network, Rate, Rules, Strategy};
use socket2::SockRef;
use thiserror::Error;
use tracing::{info, warn};

#[cfg(not(all(target_os = "linux", not(weir_portable), feature = "bpf")))]
use super::absent::{Constants, Kernel, KernelError, Pins, caps, queues, sys};
use super::config::{Iface, Placement, Selector, Steer, SteerConfig, placement_name};
use super::{Memory, Mode, State, Steered};
#[cfg(all(target_os = "linux", not(weir_portable), feature = "bpf"))]
use super::{caps, error::KernelError, kernel::Kernel, object::Constants, pin::Pins, queues, sys};
use crate::doctor::release::INCOMING_CPU;
use crate::{doctor, plan};

/// The ladder, the best first. All of them serve the same clients with the same results.
const RUNGS: [Selector; 4] =
    [Selector::Program, Selector::IncomingCpu, Selector::Cbpf, Selector::Hash];

/// Steering was required, and cannot be had.
#[derive(Debug, Error)]
#[error("{what} cannot be had: {why}")]
pub struct SteerError {
    what: String,
    why: String,
}

/// What steering is prepared for.
pub(crate) struct Request<'a> {
    pub(crate) config: &'a SteerConfig,
    /// Where clients come in: with the port that was bound.
    pub(crate) addr: SocketAddr,
    pub(crate) rules: Rules,
    /// How often a source may come.
    pub(crate) rate: Option<Rate>,
    /// Whether this machine's own addresses have a rate too.
    pub(crate) limit_loopback: bool,
    /// Whether there is a list of who may come.
    pub(crate) guarded: bool,
    /// That list, with who is exempt: XDP goes by it from its first packet on.
    pub(crate) prefixes: &'a [(Network, Listed)],
    pub(crate) workers: &'a [plan::Worker],
    /// Shards that there will ever be.
    pub(crate) shards_max: usize,
}

/// One of the group's listeners, in the order in which they were bound.
pub(crate) struct Listener<'a> {
    pub(crate) shard: ShardId,
    /// The CPU that it is turned on, if it is always the same.
    pub(crate) cpu: Option<u32>,
    pub(crate) on: &'a TcpListener,
}

/// A node's steering, as long as it serves.
pub(crate) struct Steering {
    config: SteerConfig,
    kernel: Option<Kernel>,
    /// Why there is none.
    without: String,
    state: State,
    /// CPUs that packets may be sent to.
    cpus: Vec<u32>,
}

impl Steering {
    /// Loads the programs and puts XDP on its devices, as far as that is asked for and can be had.
    /// Until records are written to the memory, all packets pass where they arrive.
    ///
    /// # Errors
    /// If something that is required cannot be had.
    pub(crate) fn prepare(request: &Request<'_>) -> Result<(Self, Memory), SteerError> {
        let nodes = request.workers.iter().map(|worker| worker.node + 1).max().unwrap_or(1);
        let own = || Memory::own(request.shards_max, nodes);
        let mut steering = Self {
            config: request.config.clone(),
            kernel: None,
            without: "with --steer off no programs are loaded; give --steer auto".to_owned(),
            state: State {
                rung: Selector::Hash,
                devices: Vec::new(),
                placement: abi::Placement::Observe,
            },
            cpus: request.cpus(),
        };
        let devices = request.devices();
        if !request.asks_kernel(&devices) {
            return Ok((steering, own()));
        }
        let mut placement = request.placement(&devices);
        let pins = steering.pins()?;
        loop {
            let constants = request.constants(placement);
            let (kernel, memory) = match Kernel::load(&constants, pins.as_ref()) {
                Ok(loaded) => loaded,
                Err(why) => {
                    steering.refuse("the kernel's programs", &why)?;
                    steering.without = why.to_string();
                    return Ok((steering, own()));
                }
            };
            if !devices.is_empty()
                && let Err(why) = kernel.guard(request.prefixes)
            {
                steering.refuse("the kernel's list of prefixes", &why)?;
            }
            steering.put_on(&kernel, &devices, placement, pins.as_ref())?;
            if !devices.is_empty() && steering.state.devices.is_empty() {
                // The chooser of listeners relies on where packets are sent.
                if placement != abi::Placement::Observe {
                    placement = abi::Placement::Observe;
                    continue;
                }
            }
            steering.state.placement = placement;
            steering.kernel = Some(kernel);
            return Ok((steering, memory));
        }
    }

    /// Has the best rung that can be had choose among these listeners, which listen and whose
    /// shards are in the records, and gives up what only this took.
    ///
    /// # Errors
    /// If something that is required cannot be had.
    pub(crate) fn attach(&mut self, listeners: &[Listener<'_>]) -> Result<(), SteerError> {
        self.state.rung = self.climb(listeners)?;
        if self.config.gives_up_capabilities
            && let Err(error) = caps::give_up(caps::kernel())
        {
            warn!(%error, "capabilities for steering are kept");
        }
        // Its thread has what this one has.
        if let Some(kernel) = &self.kernel {
            kernel.hear();
        }
        let State { rung, placement, .. } = &self.state;
        let (selector, xdp) = (rung.name(), self.state.xdp());
        info!(selector, xdp, placement = placement_name(*placement), "steering");
        Ok(())
    }

    /// A shard more listens; said before the records name it.
    pub(crate) fn listen(&self, listener: &Listener<'_>) {
        let put = match (self.state.rung, &self.kernel) {
            (Selector::Program, Some(kernel)) => kernel.listen(listener.shard, listener.on),
            (Selector::IncomingCpu, _) => follow_cpu(listener),
            _ => Ok(()),
        };
        if let Err(error) = put {
            let shard = listener.shard;
            warn!(%shard, %error, "the kernel finds this shard only by its hash");
        }
    }

    /// Whether listeners are chosen as the strategy wants it, all shards considered.
    pub(crate) fn decides(&self) -> bool {
        self.state.rung == Selector::Program
    }

    /// Where on the ladder the node stands.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Where the node stands, and what the programs have counted.
    pub(crate) fn look(&self, strategy: Strategy) -> Steered {
        let tally = self.kernel.as_ref().and_then(|kernel| kernel.tally(&self.cpus).ok());
        Steered { state: self.state.clone(), strategy, tally }
    }

    /// Has XDP drop whoever asks for a connection from where it is not to; without XDP, nothing.
    ///
    /// # Errors
    /// What the kernel refused: the list before counts.
    pub(crate) fn guard(&self, prefixes: &[(Network, Listed)]) -> Result<(), String> {
        match &self.kernel {
            Some(kernel) if !self.state.devices.is_empty() => {
                kernel.guard(prefixes).map_err(|error| error.to_string())
            }
            _ => Ok(()),
        }
    }

    /// The folder of pins, which no other process changes until it is dropped.
    fn pins(&self) -> Result<Option<Pins>, SteerError> {
        match self.config.pin.as_deref().map(Pins::open).transpose() {
            Ok(pins) => Ok(pins),
            Err(why) => self.refuse("pinning", &KernelError::from(why)).map(|()| None),
        }
    }

    fn put_on(
        &mut self,
        kernel: &Kernel,
        devices: &[Iface],
        placement: abi::Placement,
        pins: Option<&Pins>,
    ) -> Result<(), SteerError> {
        if devices.is_empty() {
            return Ok(());
        }
        if placement != abi::Placement::Observe
            && let Err(why) = queues::make(kernel, &self.cpus)
        {
            return self.refuse("queues for CPUs", &why);
        }
        let mtu_max = devices.iter().map(|iface| queues::mtu(&iface.name)).max();
        let program = match kernel.load_xdp(mtu_max.unwrap_or_default()) {
            Ok(program) => program,
            Err(why) => return self.refuse("XDP", &why),
        };
        for iface in devices {
            match put(kernel, program, iface, pins) {
                Ok(mode) => {
                    info!(device = iface.name, mode = mode.name(), program, "XDP attached");
                    self.state.devices.push((iface.name.clone(), mode));
                }
                Err(why) => self.refuse(&format!("XDP on {}", iface.name), &why)?,
            }
        }
        Ok(())
    }

    fn climb(&self, listeners: &[Listener<'_>]) -> Result<Selector, SteerError> {
        let (rungs, only): (&[_], _) = match (self.config.steer, self.config.selector) {
            (Steer::Off, Selector::Auto) => (&[Selector::Hash], true),
            (Steer::Auto, Selector::Auto) => (&RUNGS, false),
            (Steer::Require, Selector::Auto) => (&[Selector::Program], true),
            (_, named) => (&[named], true),
        };
        for &rung in rungs {
            match self.try_rung(rung, listeners) {
                Ok(()) => {
                    self.leave_program(rung, listeners);
                    return Ok(rung);
                }
                Err(why) if only => return Err(required(rung.name(), &why)),
                Err(why) => info!(selector = rung.name(), why, "not to be had: one rung down"),
            }
        }
        unreachable!("the last rung is always there")
    }

    fn try_rung(&self, rung: Selector, listeners: &[Listener<'_>]) -> Result<(), String> {
        let Some(first) = listeners.first() else { return Ok(()) };
        match rung {
            Selector::Program => {
                let kernel = self.kernel.as_ref().ok_or(&self.without)?;
                let select = || {
                    let mut all = listeners.iter();
                    all.try_for_each(|one| kernel.listen(one.shard, one.on))?;
                    kernel.select(first.on)
                };
                select().map_err(|error: KernelError| error.to_string())
            }
            Selector::IncomingCpu => {
                let kernel = caps::kernel();
                if !kernel.is_some_and(|it| it.has(INCOMING_CPU)) {
                    let named =
                        kernel.map_or_else(|| "this kernel".to_owned(), |it| format!("Linux {it}"));
                    return Err(format!("{named} does not obey it: Linux 6.2 and later do"));
                }
                let pinned = listeners.iter().all(|listener| listener.cpu.is_some());
                pinned.then_some(()).ok_or("workers are not pinned")?;
                let mut all = listeners.iter();
                all.try_for_each(follow_cpu).map_err(|error| error.to_string())
            }
            Selector::Cbpf => {
                let cpus = listeners.iter().map(|listener| listener.cpu.ok_or("not pinned"));
                let cpus: Vec<_> = cpus.collect::<Result<_, _>>()?;
                sys::attach_cbpf(first.on, &cpus).map_err(|error| error.to_string())
            }
            Selector::Hash | Selector::Auto => Ok(()),
        }
    }

    /// Who takes over without a program of its own ends that of the process before, which would go
    /// on choosing among that one's listeners.
    fn leave_program(&self, rung: Selector, listeners: &[Listener<'_>]) {
        let (Some(first), Some(_)) = (listeners.first(), &self.config.pin) else { return };
        if matches!(rung, Selector::IncomingCpu | Selector::Hash) && sys::detach(first.on).is_ok() {
            info!("the selector of the process before is detached");
        }
    }

    /// Something cannot be had: the end, if it is required.
    fn refuse(&self, what: &str, why: &KernelError) -> Result<(), SteerError> {
        if self.config.steer == Steer::Require {
            return Err(required(what, &why.to_string()));
        }
        warn!(%why, "{what} cannot be had; serving without");
        Ok(())
    }
}

impl fmt::Debug for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steering").field("state", &self.state).finish_non_exhaustive()
    }
}

/// Puts the program on a device: in the place of the process before, or anew.
fn put(
    kernel: &Kernel,
    program: &str,
    iface: &Iface,
    pins: Option<&Pins>,
) -> Result<Mode, KernelError> {
    let Some(pins) = pins else { return kernel.attach(program, iface) };
    if let Some(mode) = kernel.take_over(program, iface, pins)? {
        return Ok(mode);
    }
    let mode = kernel.attach(program, iface)?;
    kernel.keep(program, iface, pins)?;
    Ok(mode)
}

fn required(what: &str, why: &str) -> SteerError {
    SteerError { what: what.to_owned(), why: why.to_owned() }
}

fn follow_cpu(listener: &Listener<'_>) -> Result<(), KernelError> {
    let Some(cpu) = listener.cpu else { return Ok(()) };
    let set = SockRef::from(listener.on).set_cpu_affinity(cpu as usize);
    set.map_err(|error| KernelError::System("SO_INCOMING_CPU", error))
}

impl Request<'_> {
    /// Devices that XDP is for: those that were named; or loopback, if clients come from there and
    /// there is something to do. A program that only counts would cost each packet its time.
    fn devices(&self) -> Vec<Iface> {
        let SteerConfig { steer, ifaces, placement, .. } = self.config;
        let of_use = self.guarded
            || (self.limit_loopback && self.rate.is_some())
            || *steer == Steer::Require
            || matches!(placement, Placement::Node | Placement::Core);
        if *steer == Steer::Off {
            return Vec::new();
        }
        if ifaces.is_empty() && of_use && self.addr.ip().is_loopback() {
            return vec![Iface { name: "lo".to_owned(), generic: true }];
        }
        ifaces.clone()
    }

    fn asks_kernel(&self, devices: &[Iface]) -> bool {
        let selects = matches!(self.config.selector, Selector::Auto | Selector::Program);
        self.config.steer != Steer::Off && (selects || !devices.is_empty())
    }

    fn placement(&self, devices: &[Iface]) -> abi::Placement {
        if devices.is_empty() {
            return abi::Placement::Observe;
        }
        let names: Vec<_> = devices.iter().map(|iface| iface.name.as_str()).collect();
        self.config.placement.decide(|| doctor::moves_to_nodes(&names, self.workers))
    }

    fn constants(&self, placement: abi::Placement) -> Constants {
        let (address, port) = (Address::from(self.addr.ip()), self.addr.port());
        Constants {
            door: Door { address, port },
            rules: self.rules,
            placement,
            rate: self.rate,
            limit_loopback: self.limit_loopback,
            debug: self.config.debug,
        }
    }

    fn cpus(&self) -> Vec<u32> {
        let cpus = self.workers.iter().filter_map(|worker| worker.cpu);
        let mut cpus: Vec<_> = cpus.filter_map(|cpu| u32::try_from(cpu).ok()).collect();
        cpus.sort_unstable();
        cpus.dedup();
        cpus
    }
}
