//! What the kernel tells about a network device through rtnetlink: the XDP program on it.

use std::io;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netdevice, recv, sendto,
    socket_with,
};

const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;

/// Length, type, flags, sequence number, port.
const HEADER_BYTES: usize = 16;
/// `struct ifinfomsg`.
const LINK_BYTES: usize = 16;
/// Length and type of an attribute.
const ATTRIBUTE_BYTES: usize = 4;
/// What a link's description takes at most; statistics and queues' names included.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The attribute that tells of XDP, and those within it.
const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_ID: u16 = 4;
/// In the generic path.
const XDP_ATTACHED_SKB: u8 = 2;
/// Types of attributes have two flags on top.
const TYPE_MASK: u16 = 0x3fff;

/// A program that is on a device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attached {
    /// Its id in the kernel; 0 if several are there, in several modes.
    pub program: u32,
    /// Whether it runs in the kernel's generic path.
    pub generic: bool,
}

/// The XDP program on the device of that name in this network namespace. Needs no privilege.
///
/// # Errors
/// If there is no such device, or no netlink.
pub fn xdp(device: &str) -> io::Result<Option<Attached>> {
    let kind = SocketType::RAW;
    let socket = socket_with(AddressFamily::NETLINK, kind, SocketFlags::CLOEXEC, None)?;
    let index = netdevice::name_to_index(&socket, device)?;
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(&socket, &question(index), SendFlags::empty(), &kernel)?;
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    let (bytes, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    attached(&answer[..bytes])
}

fn question(index: u32) -> Vec<u8> {
    let mut question = Vec::with_capacity(HEADER_BYTES + LINK_BYTES);
    question.extend(((HEADER_BYTES + LINK_BYTES) as u32).to_ne_bytes());
    question.extend(RTM_GETLINK.to_ne_bytes());
    question.extend(NLM_F_REQUEST.to_ne_bytes());
    // Sequence number and port: there is one question, and the kernel knows who asks.
    question.extend([0; 8]);
    // Family and kind of the link.
    question.extend([0; 4]);
    question.extend(index.to_ne_bytes());
    // Flags, and which of them change.
    question.extend([0; 8]);
    question
}

/// What the kernel's answer says of XDP.
fn attached(answer: &[u8]) -> io::Result<Option<Attached>> {
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "rtnetlink's answer is cut");
    match u16_at(answer, 4).ok_or_else(strange)? {
        RTM_NEWLINK => {}
        NLMSG_ERROR => {
            let error = u32_at(answer, HEADER_BYTES).ok_or_else(strange)?;
            return Err(io::Error::from_raw_os_error(error.cast_signed().wrapping_neg()));
        }
        kind => return Err(io::Error::other(format!("rtnetlink answers with {kind}"))),
    }
    let attributes = answer.get(HEADER_BYTES + LINK_BYTES..).ok_or_else(strange)?;
    let Some(xdp) = find(attributes, IFLA_XDP) else { return Ok(None) };
    let mode = find(xdp, IFLA_XDP_ATTACHED).and_then(|value| value.first().copied());
    let Some(mode) = mode.filter(|&mode| mode != 0) else { return Ok(None) };
    let program = find(xdp, IFLA_XDP_PROG_ID).and_then(|value| u32_at(value, 0)).unwrap_or(0);
    Ok(Some(Attached { program, generic: mode == XDP_ATTACHED_SKB }))
}

/// The value of the first attribute of this type.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (bytes, kind) = (usize::from(u16_at(attributes, 0)?), u16_at(attributes, 2)?);
        let value = attributes.get(ATTRIBUTE_BYTES..bytes)?;
        if kind & TYPE_MASK == wanted {
            return Some(value);
        }
        // Each begins at a multiple of four.
        attributes = attributes.get(bytes.next_multiple_of(4)..)?;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let bytes = u16::try_from(ATTRIBUTE_BYTES + value.len()).unwrap();
        let mut attribute = [bytes.to_ne_bytes(), kind.to_ne_bytes()].concat();
        attribute.extend(value);
        attribute.resize(attribute.len().next_multiple_of(4), 0);
        attribute
    }

    fn answer(kind: u16, rest: &[u8]) -> Vec<u8> {
        let mut answer = vec![0; HEADER_BYTES];
        answer[4..6].copy_from_slice(&kind.to_ne_bytes());
        answer.extend(rest);
        answer
    }

    fn link(attributes: &[Vec<u8>]) -> Vec<u8> {
        answer(RTM_NEWLINK, &[vec![0; LINK_BYTES], attributes.concat()].concat())
    }

    #[test]
    fn a_program_is_found_among_other_attributes() {
        let name = attribute(3, b"eth0\0");
        for (mode, generic) in [(1, false), (2, true), (3, false)] {
            let inner = [attribute(2, &[mode]), attribute(4, &609_u32.to_ne_bytes())].concat();
            let found = attached(&link(&[name.clone(), attribute(IFLA_XDP | 0x8000, &inner)]));
            assert_eq!(found.unwrap(), Some(Attached { program: 609, generic }));
        }
        assert_eq!(attached(&link(&[name, attribute(43, &attribute(2, &[0]))])).unwrap(), None);
        assert_eq!(attached(&link(&[])).unwrap(), None);
    }

    #[test]
    fn no_answer_is_too_short_or_too_strange_to_be_read() {
        let inner = [attribute(2, &[1]), attribute(4, &7_u32.to_ne_bytes())].concat();
        let whole = link(&[attribute(43, &inner)]);
        for end in 0..whole.len() {
            // Whatever it says: it is an error, no program, or one of which not all was told.
            let said = attached(&whole[..end]);
            assert_ne!(said.ok().flatten(), Some(Attached { program: 7, generic: false }), "{end}");
        }
        let loops = [vec![0; LINK_BYTES], vec![0; 64]].concat();
        assert_eq!(attached(&answer(RTM_NEWLINK, &loops)).unwrap(), None, "lengths of zero end it");
        let refused = attached(&answer(NLMSG_ERROR, &(-19_i32).to_ne_bytes())).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(19));
        assert!(attached(&answer(99, &[])).unwrap_err().to_string().contains("99"));
    }

    #[test]
    fn the_kernel_answers_about_loopback_and_not_about_nobody() {
        xdp("lo").unwrap();
        assert_eq!(xdp("weir-no-such").unwrap_err().raw_os_error(), Some(19), "ENODEV");
    }
}
