//! XDP on a device: in the driver, in the kernel's generic path, or not, and why.

use super::super::asked::{Asked, Iface, Steer};
use super::super::facts::{Attached, Device, Facts};
use super::super::finding::{Finding, Severity};
use super::super::release::{FRAGS, Release, Since, XDP_LINK};
use super::kernel;
use gateway_ebpf::abi::names;

/// The largest packet that a page of 4 KiB holds beside what XDP and the kernel keep in it: 256 of
/// headroom, 320 of `skb_shared_info`, 14 of Ethernet and 8 of VLAN tags.
const PAGE_MTU: u32 = 3498;

/// Features that a virtio device has agreed on: whether those for received packets can be
/// switched off at run time, and those that stand in the way of XDP while they are on.
const CTRL_GUEST_OFFLOADS: u64 = 1 << 2;
const GUEST_OFFLOADS: u64 = 1 << 1 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 54 | 1 << 55;

/// Drivers that run XDP programs, and since when: the kernel's own, by their first release with it.
const NATIVE: &[(&str, Since)] = &[
    ("atlantic", (5, 19)),
    ("bnxt_en", (4, 11)),
    ("bonding", (5, 15)),
    ("ena", (5, 6)),
    ("fec", (6, 2)),
    ("gve", (6, 4)),
    ("hv_netvsc", (5, 6)),
    ("i40e", (4, 13)),
    ("ice", (5, 5)),
    ("igb", (5, 10)),
    ("igc", (5, 13)),
    ("ixgbe", (4, 12)),
    ("ixgbevf", (4, 17)),
    ("mana", (5, 17)),
    ("mlx4_en", (4, 8)),
    ("mlx5_core", (4, 9)),
    ("mvneta", (5, 5)),
    ("nfp", (4, 10)),
    ("qede", (4, 10)),
    ("sfc", (5, 5)),
    ("stmmac", (5, 13)),
    ("tun", (4, 14)),
    ("veth", (4, 19)),
    ("virtio_net", (4, 10)),
    ("vmxnet3", (6, 6)),
];

/// What a driver says to programs.
enum Native {
    Yes,
    /// Not, for this reason; this would help.
    No(String, Option<String>),
    Unknown(String),
}

/// Whether packets of the device are looked at before they cost anything.
pub(super) fn check(facts: &Facts, asked: &Asked, device: &Device) -> Option<Finding> {
    let name = device.name.as_str();
    if !device.exists {
        let why = format!("there is no device {name}");
        return Some(Finding::refused("xdp", why, "see /sys/class/net").on(name));
    }
    let finding = match asked.iface(name) {
        _ if asked.steering.steer == Steer::Off => Finding::idle("xdp", "--steer off"),
        None => unasked(facts, device),
        Some(iface) => wanted(facts, asked, device, &iface),
    };
    Some(finding.on(name))
}

/// Whether programs will be on at least one device.
pub(super) fn is_active(facts: &Facts, asked: &Asked) -> bool {
    on(facts, asked).next().is_some()
}

/// The devices that programs will be on, as far as that is known.
pub(super) fn on<'a>(
    facts: &'a Facts,
    asked: &'a Asked,
) -> impl Iterator<Item = &'a Device> + use<'a> {
    let is_on = |device: &&Device| {
        let found = check(facts, asked, device);
        let refused = found.is_some_and(|it| it.severity == Severity::Refused);
        asked.iface(&device.name).is_some() && asked.steering.steer != Steer::Off && !refused
    };
    facts.devices.iter().filter(is_on)
}

/// No device is touched unless it is named: it may be the machine's only way in.
fn unasked(facts: &Facts, device: &Device) -> Finding {
    if device.name == "lo" {
        return Finding::idle("xdp", "nothing for it to do on loopback")
            .by("--guard FILE, --limit-loopback, --placement or --steer require");
    }
    let name = &device.name;
    let why = "no device is touched unless it is named";
    match native(facts, device) {
        Native::Yes => Finding::idle("xdp", why).by(format!("--iface {name} (native)")),
        Native::No(but, _) => Finding::idle("xdp", format!("{why}; native is out: {but}"))
            .by(format!("--iface {name}:generic, if the guard is worth a slower path")),
        Native::Unknown(but) => {
            Finding::idle("xdp", format!("{why}; {but}")).by(format!("--iface {name}"))
        }
    }
}

fn wanted(facts: &Facts, asked: &Asked, device: &Device, iface: &Iface) -> Finding {
    let insists = asked.names(&device.name) || asked.steering.steer == Steer::Require;
    let cannot = |(why, help): (String, String)| {
        if insists { Finding::refused("xdp", why, help) } else { Finding::slower("xdp", why, help) }
    };
    if let Some(block) = too_old(facts, XDP_LINK).or_else(|| kernel::in_the_way(facts)) {
        return cannot(block);
    }
    if let Some(other) = &device.xdp {
        return occupied(device, other).unwrap_or_else(cannot);
    }
    match native(facts, device) {
        Native::Yes => Finding::active("xdp", "native, in the driver"),
        Native::Unknown(why) if iface.generic => {
            Finding::active("xdp", format!("native is tried, then generic; {why}"))
        }
        Native::No(why, _) if iface.generic => {
            Finding::active("xdp", format!("generic, behind the driver: {why}"))
        }
        Native::Unknown(why) => Finding::unknown("xdp", format!("native is tried; {why}")),
        Native::No(why, help) => {
            let other = format!("--iface {}:generic, which costs more", device.name);
            let help = help.map_or_else(|| other.clone(), |help| format!("{help}; or {other}"));
            cannot((why, help))
        }
    }
}

/// What it means that a program is on the device already; an error if it is somebody else's.
fn occupied(device: &Device, other: &Attached) -> Result<Finding, (String, String)> {
    let id = other.program;
    let name = other.name.as_deref().unwrap_or("of unknown name");
    if [names::STEER, names::STEER_FRAGS].contains(&name) {
        let mode = if other.generic { "generic" } else { "native" };
        let why = format!("{mode}: program {id} ({name}) of a Weir that runs is on it");
        return Ok(Finding::active("xdp", why));
    }
    let why = format!("program {id} ({name}) is on it already, and there can be one (EBUSY)");
    Err((why, format!("end what put it there, or: ip link set dev {} xdp off", device.name)))
}

/// Whether the device's driver runs programs.
fn native(facts: &Facts, device: &Device) -> Native {
    let Some(driver) = device.driver.as_deref() else {
        return Native::Unknown("the device names no driver".to_owned());
    };
    if driver == "loopback" {
        return Native::No("loopback runs no programs natively".to_owned(), None);
    }
    let Some((_, since)) = NATIVE.iter().find(|(name, _)| *name == driver) else {
        return Native::Unknown(format!("whether {driver} runs programs natively is not known"));
    };
    if let Some((why, help)) = too_old(facts, *since) {
        return Native::No(format!("{driver}: {why}"), Some(help));
    }
    if device.virtio.is_some_and(is_held) {
        let why =
            "virtio_net's receive offloads cannot be switched off here, and native needs that";
        let help = "have the host offer VIRTIO_NET_F_CTRL_GUEST_OFFLOADS";
        return Native::No(why.to_owned(), Some(help.to_owned()));
    }
    mtu(facts.kernel, device)
}

/// Whether a virtio device joins packets or leaves checksums out for good.
fn is_held(features: u64) -> bool {
    features & CTRL_GUEST_OFFLOADS == 0 && features & GUEST_OFFLOADS != 0
}

/// Whether a packet fits in a page, or the kernel has programs for those that do not.
fn mtu(kernel: Option<Release>, device: &Device) -> Native {
    match device.mtu {
        Some(mtu) if mtu > PAGE_MTU && kernel.is_some_and(|kernel| !kernel.has(FRAGS)) => {
            let why = format!("packets of {mtu} bytes take more than a page, which needs 5.18");
            let help = format!("ip link set dev {} mtu {PAGE_MTU}", device.name);
            Native::No(why, Some(help))
        }
        _ => Native::Yes,
    }
}

fn too_old(facts: &Facts, (major, minor): Since) -> Option<(String, String)> {
    let kernel = facts.kernel.filter(|kernel| !kernel.has((major, minor)))?;
    let why = format!("Linux {kernel} is older than {major}.{minor}");
    Some((why, format!("a kernel of {major}.{minor} or later")))
}
