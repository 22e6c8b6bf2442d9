//! Links that outlive the process, in a folder of a BPF file system: XDP goes on when it ends, and
//! the next process takes each device over in one step, so that no packet passes unjudged, with the
//! maps that are [kept](super::kept) beside them.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::{XdpLink, XdpLinkId};
use aya::programs::{ProgramError, Xdp};
use gateway_ebpf::abi::Placement;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open, statfs};
use rustix::io::Errno;
use thiserror::Error;
use tracing::{info, warn};

use super::error::KernelError;
use super::kept::Kept;

/// What is pinned and how it is called: a successor that knows another layout keeps its own beside
/// this one.
const LAYOUT: &str = "v1";

/// What `statfs(2)` says of a BPF file system.
const BPF_FS_MAGIC: u32 = 0xcafe_4a11;

/// Why nothing can be pinned there.
#[derive(Debug, Error)]
pub(crate) enum PinError {
    /// It is a folder like any other.
    #[error(
        "{0} is not in a BPF file system; mount one (mount -t bpf bpf /sys/fs/bpf) and give a \
         folder in it"
    )]
    Elsewhere(PathBuf),
    /// It cannot be made, or looked at.
    #[error("{0}: {1}")]
    Folder(PathBuf, io::Error),
}

/// The folder, locked: no two processes change what is in it at a time.
pub(crate) struct Pins {
    folder: PathBuf,
    /// The lock ends with it.
    _lock: OwnedFd,
}

impl Pins {
    /// Makes the folder if it is not there, and waits until nobody else changes it.
    ///
    /// # Errors
    /// If nothing can be pinned there.
    pub(crate) fn open(folder: &Path) -> Result<Self, PinError> {
        let wrong = |error| PinError::Folder(folder.to_owned(), error);
        let ours = folder.join(LAYOUT);
        fs::create_dir_all(&ours).map_err(wrong)?;
        let system = statfs(&ours).map_err(|error| wrong(error.into()))?;
        // Its width differs between architectures; the magic has 32 bits.
        if system.f_type as u32 != BPF_FS_MAGIC {
            let _ = fs::remove_dir(&ours);
            return Err(PinError::Elsewhere(folder.to_owned()));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let lock = open(&ours, flags, Mode::empty()).map_err(|error| wrong(error.into()))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| wrong(error.into()))?;
        Self::say_others(folder);
        Ok(Self { folder: ours, _lock: lock })
    }

    /// The maps of the process before that programs which place packets so can go on with.
    pub(crate) fn maps(&self, placement: Placement) -> Kept {
        Kept::find(&self.folder, placement)
    }

    /// Has a program take a device over from whoever pinned its link here; nothing if nobody did.
    ///
    /// # Errors
    /// What the kernel refused.
    pub(crate) fn take_over(
        &self,
        device: &str,
        program: &mut Xdp,
    ) -> Result<Option<XdpLinkId>, KernelError> {
        let path = self.path(device);
        if !path.exists() {
            return Ok(None);
        }
        let broken = |error: &dyn std::fmt::Display| {
            let path = path.display();
            KernelError::Other(format!("{path} is not a link of ours: {error}; remove it"))
        };
        let pinned = PinnedLink::from_pin(&path).map_err(|error| broken(&error))?;
        let link = XdpLink::try_from(FdLink::from(pinned)).map_err(|error| broken(&error))?;
        match program.attach_to_link(link) {
            Ok(link) => {
                info!(device, pin = %path.display(), "XDP taken over from the process before");
                Ok(Some(link))
            }
            Err(error) if is_dead(&error) => {
                warn!(device, %error, "the link of the process before is dead: made anew");
                fs::remove_file(&path).map_err(|error| broken(&error))?;
                Ok(None)
            }
            Err(error) => Err(KernelError::program(error)),
        }
    }

    /// Keeps a device's link when this process ends.
    ///
    /// # Errors
    /// What the kernel refused.
    pub(crate) fn keep(
        &self,
        device: &str,
        program: &mut Xdp,
        link: XdpLinkId,
    ) -> Result<PinnedLink, KernelError> {
        let link = program.take_link(link).map_err(KernelError::program)?;
        let kept = |error: &dyn std::fmt::Display| KernelError::Other(format!("pinning: {error}"));
        let link = FdLink::try_from(link).map_err(|error| kept(&error))?;
        link.pin(self.path(device)).map_err(|error| kept(&error))
    }

    fn path(&self, device: &str) -> PathBuf {
        self.folder.join(link_name(device))
    }

    /// Somebody of another layout was here, and what is theirs goes on.
    fn say_others(folder: &Path) {
        let Ok(others) = fs::read_dir(folder) else { return };
        for other in others.filter_map(Result::ok).filter(|other| other.file_name() != LAYOUT) {
            let path = other.path();
            let path = path.display();
            warn!(%path, "pinned by another version and left alone; remove it when that has ended");
        }
    }
}

/// What a device's link is called. A BPF file system takes no dots, as devices of VLANs have them,
/// and no device's name has a colon.
fn link_name(device: &str) -> String {
    format!("link-{}", device.replace('.', ":"))
}

/// Whether a link's device has gone; one of the same name is another one.
fn is_dead(error: &ProgramError) -> bool {
    let ProgramError::SyscallError(error) = error else { return false };
    Errno::from_io_error(&error.io_error) == Some(Errno::NOLINK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vlan_has_a_name_that_the_file_system_takes_and_no_other_device_has() {
        assert_eq!(link_name("eth0"), "link-eth0");
        assert_eq!(link_name("bond0.7"), "link-bond0:7");
        assert_ne!(link_name("bond0.7"), link_name("bond0-7"));
    }

    #[test]
    fn a_folder_elsewhere_is_refused_with_what_to_do_and_left_as_it_was() {
        let folder = std::env::temp_dir().join(format!("weir-pin-{}", std::process::id()));
        let Err(error) = Pins::open(&folder) else { panic!("nothing can be pinned there") };
        assert!(error.to_string().contains("mount -t bpf"), "{error}");
        assert!(fs::read_dir(&folder).unwrap().next().is_none(), "nothing of ours is left in it");
        fs::remove_dir(folder).unwrap();
    }
}
