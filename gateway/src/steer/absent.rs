//! Steering where the kernel has no such programs, or this build does not know them.

use std::net::TcpListener;
use std::path::Path;

use gateway_core::id::ShardId;
use gateway_ebpf::abi::{self, Door, Listed};
use gateway_ebpf::{Network, Rate, Rules};
use thiserror::Error;

use super::config::Iface;
use super::{Memory, Mode, Tally};

/// Why there are no programs.
#[derive(Debug, Error)]
pub(crate) enum KernelError {
    /// They are not in this build.
    #[error("this build is without it: it takes Linux, and the feature bpf")]
    Absent,
    /// A system call failed.
    #[error("{0}: {1}")]
    System(&'static str, std::io::Error),
}

/// What programs would be built for.
#[expect(dead_code, reason = "nobody reads what nothing is built from")]
pub(crate) struct Constants {
    pub(crate) door: Door,
    pub(crate) rules: Rules,
    pub(crate) placement: abi::Placement,
    pub(crate) rate: Option<Rate>,
    pub(crate) limit_loopback: bool,
    pub(crate) debug: bool,
}

/// Programs, of which there are none.
pub(crate) enum Kernel {}

impl Kernel {
    pub(crate) fn load(_: &Constants, _: Option<&Pins>) -> Result<(Self, Memory), KernelError> {
        Err(KernelError::Absent)
    }

    pub(crate) fn hear(&self) {
        match *self {}
    }

    pub(crate) fn listen(&self, _: ShardId, _: &TcpListener) -> Result<(), KernelError> {
        match *self {}
    }

    pub(crate) fn select(&self, _: &TcpListener) -> Result<(), KernelError> {
        match *self {}
    }

    pub(crate) fn load_xdp(&self, _: u32) -> Result<&'static str, KernelError> {
        match *self {}
    }

    pub(crate) fn attach(&self, _: &str, _: &Iface) -> Result<Mode, KernelError> {
        match *self {}
    }

    pub(crate) fn take_over(
        &self,
        _: &str,
        _: &Iface,
        _: &Pins,
    ) -> Result<Option<Mode>, KernelError> {
        match *self {}
    }

    pub(crate) fn keep(&self, _: &str, _: &Iface, _: &Pins) -> Result<(), KernelError> {
        match *self {}
    }

    pub(crate) fn guard(&self, _: &[(Network, Listed)]) -> Result<(), KernelError> {
        match *self {}
    }

    pub(crate) fn tally(&self, _: &[u32]) -> Result<Tally, KernelError> {
        match *self {}
    }
}

/// A folder for links and maps, of which there are none.
pub(crate) enum Pins {}

impl Pins {
    pub(crate) fn open(_: &Path) -> Result<Self, NoPins> {
        Err(NoPins)
    }
}

/// Why nothing is pinned.
pub(crate) struct NoPins;

impl From<NoPins> for KernelError {
    fn from(NoPins: NoPins) -> Self {
        Self::Absent
    }
}

pub(crate) mod caps {
    use crate::doctor::release::Release;

    pub(crate) fn give_up(_: Option<Release>) -> std::io::Result<()> {
        Ok(())
    }

    pub(crate) fn kernel() -> Option<Release> {
        None
    }
}

pub(crate) mod queues {
    use super::{Kernel, KernelError};

    pub(crate) fn make(kernel: &Kernel, _: &[u32]) -> Result<(), KernelError> {
        match *kernel {}
    }

    pub(crate) fn mtu(_: &str) -> u32 {
        0
    }
}

pub(crate) mod sys {
    use std::net::TcpListener;

    pub(crate) fn detach(_: &TcpListener) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn attach_cbpf(_: &TcpListener, _: &[u32]) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}
