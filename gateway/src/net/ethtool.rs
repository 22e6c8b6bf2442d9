//! What a network device is asked through ethtool's ioctl: its driver, its queues, its offloads.
#![allow(unsafe_code, reason = "one ioctl, whose operand holds a pointer")]

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::io;
use std::os::fd::OwnedFd;

use rustix::ioctl::{Opcode, Updater, ioctl};
use rustix::net::{AddressFamily, SocketType, socket};

/// Asks a device, by its name.
const SIOCETHTOOL: Opcode = 0x8946;

const GDRVINFO: u32 = 0x03;
const GTXCSUM: u32 = 0x16;
const STXCSUM: u32 = 0x17;
const GSTRINGS: u32 = 0x1b;
const GSSET_INFO: u32 = 0x37;
const GFEATURES: u32 = 0x3a;
const GCHANNELS: u32 = 0x3c;

/// The set of strings that names features.
const FEATURE_NAMES: u32 = 4;
/// Words of a name in a set of strings.
const NAME_WORDS: usize = 8;
/// Words of `struct ethtool_drvinfo`.
const DRVINFO_WORDS: usize = 49;
/// Features that a kernel has at most; there were 62 of them in 6.18.
const FEATURES_MAX: usize = 1024;

/// A device to ask. Whoever only asks needs no privilege.
#[derive(Debug)]
pub struct Ethtool {
    socket: OwnedFd,
    name: [u8; 16],
}

/// Queues of a device: how many there are and could be. Those that receive and send are counted
/// apart from those that do one of both.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Channels {
    /// Queues that only receive.
    pub rx: u32,
    /// The most of them.
    pub rx_max: u32,
    /// Queues that receive and send.
    pub combined: u32,
    /// The most of them.
    pub combined_max: u32,
}

/// Something that a device does for the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Feature {
    /// Whether it does.
    pub on: bool,
    /// Whether that cannot be changed.
    pub fixed: bool,
}

/// `struct ifreq` with a pointer in its union, which the kernel reads as one of 24 bytes, or of 16
/// where pointers have 4.
#[repr(C)]
struct Request {
    name: [u8; 16],
    data: *mut c_void,
    rest: [usize; 3],
}

impl Ethtool {
    /// The device of that name in this network namespace, which is first asked for when something
    /// is asked of it.
    ///
    /// # Errors
    /// If the name is empty or longer than 15 bytes, or there is no socket to ask with.
    pub fn of(device: &str) -> io::Result<Self> {
        let mut name = [0; 16];
        if device.is_empty() || device.len() >= name.len() {
            let why = format!("{device:?}: a device's name has 1 to 15 bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        name[..device.len()].copy_from_slice(device.as_bytes());
        Ok(Self { socket: socket(AddressFamily::INET, SocketType::DGRAM, None)?, name })
    }

    /// The driver's name.
    ///
    /// # Errors
    /// If there is no such device, or it has no driver to name.
    pub fn driver(&self) -> io::Result<String> {
        let mut words = [0; DRVINFO_WORDS];
        words[0] = GDRVINFO;
        self.ask(&mut words)?;
        Ok(text(&words[1..=NAME_WORDS]))
    }

    /// Its queues.
    ///
    /// # Errors
    /// If there is no such device, or its driver cannot count them.
    pub fn channels(&self) -> io::Result<Channels> {
        let mut words = [0; 9];
        words[0] = GCHANNELS;
        self.ask(&mut words)?;
        let [_, rx_max, _, _, combined_max, rx, _, _, combined] = words;
        Ok(Channels { rx, rx_max, combined, combined_max })
    }

    /// All that it could do for the kernel, by the names that `ethtool -k` shows.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn features(&self) -> io::Result<BTreeMap<String, Feature>> {
        let names = self.feature_names()?;
        let blocks = names.len().div_ceil(32);
        let mut words = vec![0; 2 + 4 * blocks];
        words[0] = GFEATURES;
        words[1] = u32::try_from(blocks).expect("as many as FEATURES_MAX at most");
        self.ask(&mut words)?;
        let feature = |index: usize| {
            let block = &words[2 + index / 32 * 4..][..4];
            let is_in = |word: u32| word >> (index % 32) & 1 == 1;
            // Available, wanted, active, and what never changes.
            Feature { on: is_in(block[2]), fixed: is_in(block[3]) || !is_in(block[0]) }
        };
        let named = names.into_iter().enumerate().filter(|(_, name)| !name.is_empty());
        Ok(named.map(|(index, name)| (name, feature(index))).collect())
    }

    /// Whether it computes checksums of what is sent through it.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn tx_checksum(&self) -> io::Result<bool> {
        let mut words = [GTXCSUM, 0];
        self.ask(&mut words)?;
        Ok(words[1] != 0)
    }

    /// Has it compute checksums of what is sent through it, or leave that to the kernel.
    ///
    /// Whoever redirects packets that a veth device received by native XDP needs this off at the
    /// other end: what the packet says of its checksum is lost on that way.
    ///
    /// # Errors
    /// Without `CAP_NET_ADMIN`, or if the device cannot change it.
    pub fn set_tx_checksum(&self, on: bool) -> io::Result<()> {
        self.ask(&mut [STXCSUM, u32::from(on)])
    }

    fn feature_names(&self) -> io::Result<Vec<String>> {
        // Command, padding, and the wanted sets as a mask of 64 bits; then the answers.
        let mask = (1_u64 << FEATURE_NAMES).to_ne_bytes();
        let half =
            |at: usize| u32::from_ne_bytes([mask[at], mask[at + 1], mask[at + 2], mask[at + 3]]);
        let mut words = [GSSET_INFO, 0, half(0), half(4), 0];
        self.ask(&mut words)?;
        let count = words[4] as usize;
        if count > FEATURES_MAX {
            let why = format!("{count} features; {FEATURES_MAX} at most are understood");
            return Err(io::Error::other(why));
        }
        let mut words = vec![0; 3 + FEATURES_MAX * NAME_WORDS];
        (words[0], words[1]) = (GSTRINGS, FEATURE_NAMES);
        self.ask(&mut words)?;
        Ok(words[3..].chunks_exact(NAME_WORDS).take(count).map(text).collect())
    }

    /// Asks what the first word says; the answer takes its place.
    fn ask(&self, words: &mut [u32]) -> io::Result<()> {
        let data = words.as_mut_ptr().cast();
        let mut request = Request { name: self.name, data, rest: [0; 3] };
        // SAFETY: SIOCETHTOOL takes a `struct ifreq`, which `Request` is at least as large as. What
        // its pointer leads to is read and written according to the first word, and each caller
        // here gives as many words as that command's structure has: GDRVINFO 49, GCHANNELS 9,
        // GTXCSUM and STXCSUM 2, GSSET_INFO 5 with one set asked for, GFEATURES 2 and 4 for each
        // block that its second word counts, GSTRINGS 3 and 8 for each feature of the running
        // kernel, of which there are no more than FEATURES_MAX: that was asked right before and
        // is a constant of the kernel. `words` is borrowed for the whole call.
        let asked = unsafe { ioctl(&self.socket, Updater::<SIOCETHTOOL, _>::new(&mut request)) };
        Ok(asked?)
    }
}

/// The bytes of these words, up to the first that is zero.
fn text(words: &[u32]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_tells_its_features_by_the_names_of_ethtool() {
        let features = Ethtool::of("lo").unwrap().features().unwrap();
        // Loopback never drops a frame for its checksum, and says so to everyone.
        let checksum = features.get("rx-checksum").copied();
        assert_eq!(checksum, Some(Feature { on: true, fixed: true }), "{features:?}");
        assert!(features.contains_key("rx-gro"), "{features:?}");
    }

    #[test]
    fn what_is_not_there_or_has_no_name_is_an_error() {
        let nobody = Ethtool::of("weir-no-such").unwrap();
        assert_eq!(nobody.features().unwrap_err().raw_os_error(), Some(19), "ENODEV");
        for bad in ["", "a-name-of-16-by."] {
            let error = Ethtool::of(bad).unwrap_err();
            assert!(error.to_string().contains("1 to 15 bytes"), "{error}");
        }
    }

    #[test]
    fn a_checksum_that_is_left_as_it_is_stays_so() {
        let loopback = Ethtool::of("lo").unwrap();
        let before = loopback.tx_checksum().unwrap();
        // Refused without privilege, and where it is fixed; nothing changes in any case.
        let _ = loopback.set_tx_checksum(before);
        assert_eq!(loopback.tx_checksum().unwrap(), before);
    }
}
