//! What keeps the kernel's programs from being loaded or attached, in words that say what to do.

use std::io;

use aya::EbpfError;
use aya::maps::MapError;
use aya::maps::xdp::XdpMapError;
use aya::programs::{ProgramError, SkReuseportError, XdpError};
use rustix::io::Errno;
use thiserror::Error;

use super::pin::PinError;

/// Why a rung of the ladder cannot be had.
#[derive(Debug, Error)]
pub(crate) enum KernelError {
    /// The kernel does not let this process.
    #[error(
        "not permitted: it takes CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (or root), and bpf(2) must \
         not be filtered by the container"
    )]
    Permission,
    /// The kernel is too old, or built without it.
    #[error("this kernel does not have it: {0}; Linux 5.15 and later do")]
    Missing(String),
    /// The device's driver runs no program, or not as the device is set now.
    #[error("the driver of {0} takes no native XDP: {1}; --iface {0}:generic tries behind it")]
    NotNative(String, String),
    /// There is no such device.
    #[error("there is no device {0} in this network namespace; `ip link` names them")]
    NoDevice(String),
    /// Another program is there, and the kernel allows one.
    #[error(
        "{device} has an XDP program already: {occupant}; end what attached it, or leave {device} \
         out"
    )]
    Busy {
        /// The device.
        device: String,
        /// Its program, as far as the kernel tells.
        occupant: String,
    },
    /// The verifier refused a program: a fault of ours, or of this kernel.
    #[error("the kernel's verifier refused a program: {0}")]
    Verifier(String),
    /// The object lacks something: it is not the one that this binary was made for.
    #[error("the programs' object has no {0}; build it again: cargo xtask ebpf")]
    Object(&'static str),
    /// Links cannot be kept where they were to be.
    #[error("--pin: {0}")]
    Pin(#[from] PinError),
    /// A system call failed otherwise.
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
    /// The loader failed otherwise.
    #[error("{0}")]
    Other(String),
}

impl KernelError {
    /// Of loading the object.
    pub(crate) fn load(error: EbpfError) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "only some say more than their text")]
        match error {
            EbpfError::MapError(error) => Self::map("maps", error),
            EbpfError::ProgramError(error) => Self::program(error),
            other => Self::Other(other.to_string()),
        }
    }

    /// Of a map.
    pub(crate) fn map(what: &'static str, error: MapError) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "only some say more than their text")]
        match error {
            MapError::CreateError { io_error, .. } => Self::system(what, io_error),
            MapError::SyscallError(error) => Self::system(what, error.io_error),
            other => Self::Other(format!("{what}: {other}")),
        }
    }

    /// Of the map of queues.
    pub(crate) fn queues(error: XdpMapError) -> Self {
        match error {
            XdpMapError::MapError(error) => Self::map("a CPU's queue", error),
            other @ XdpMapError::ChainedProgramNotSupported => Self::Other(other.to_string()),
        }
    }

    /// Of loading or attaching a program.
    pub(crate) fn program(error: ProgramError) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "only some say more than their text")]
        match error {
            ProgramError::LoadError { io_error, verifier_log } => {
                Self::verifier(&verifier_log.to_string(), io_error)
            }
            ProgramError::SyscallError(error) => Self::system(error.call, error.io_error),
            ProgramError::SkReuseportError(SkReuseportError::SetsockoptError {
                option,
                io_error,
            }) => Self::system(option, io_error),
            ProgramError::XdpError(XdpError::NetlinkError(error)) => Self::Other(error.to_string()),
            ProgramError::UnknownInterface { name } => Self::NoDevice(name),
            other => Self::Other(other.to_string()),
        }
    }

    /// The verifier has no errno of its own for what only some may do.
    fn verifier(log: &str, error: io::Error) -> Self {
        let unprivileged = log.contains("prohibited for !root");
        if log.trim().is_empty() || unprivileged {
            return Self::system("bpf(BPF_PROG_LOAD)", error);
        }
        Self::Verifier(last_lines(log))
    }

    fn system(call: &'static str, error: io::Error) -> Self {
        Self::refusal(&error).unwrap_or(Self::System(call, error))
    }

    fn refusal(error: &io::Error) -> Option<Self> {
        match Errno::from_io_error(error)? {
            Errno::PERM | Errno::ACCESS => Some(Self::Permission),
            Errno::NOSYS => Some(Self::Missing("bpf(2)".to_owned())),
            _ => None,
        }
    }

    /// What the system said, if it was a system call that failed.
    pub(crate) fn errno(&self) -> Option<Errno> {
        match self {
            Self::System(_, error) => Errno::from_io_error(error),
            Self::Permission => Some(Errno::PERM),
            Self::Missing(_)
            | Self::NotNative(..)
            | Self::NoDevice(_)
            | Self::Busy { .. }
            | Self::Verifier(_)
            | Self::Object(_)
            | Self::Pin(_)
            | Self::Other(_) => None,
        }
    }
}

/// They say why.
fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.trim().lines().collect();
    lines[lines.len().saturating_sub(6)..].join(" | ")
}
