//! Connections of trusted proxies that have not said yet whom they speak for.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use gateway_core::handshake::{PROXY_HEADER_BYTES_MAX, ProxyError, ProxyHeader, proxy_header};
use gateway_core::slot::Slot;
use gateway_ebpf::{Address, Network};

/// Who is believed to speak for others, and what was read of headers that are not whole.
///
/// A header is at most 536 bytes, and the time that a request has includes it.
#[derive(Debug, Default)]
pub(crate) struct Heralds {
    trusted: Arc<[Network]>,
    awaited: BTreeMap<Slot, Vec<u8>>,
}

/// What bytes made of a header.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Heard {
    /// More are needed.
    Part,
    /// It is whole, and the request begins at this index of them.
    Whole { header: ProxyHeader, rest: usize },
}

impl Heralds {
    pub(crate) fn new(trusted: Arc<[Network]>) -> Self {
        Self { trusted, awaited: BTreeMap::new() }
    }

    /// Whether a peer must say whom it speaks for.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        let peer = Address::from(peer);
        self.trusted.iter().any(|network| network.contains(peer))
    }

    /// A connection begins with a header.
    pub(crate) fn expect(&mut self, slot: Slot) {
        self.awaited.insert(slot, Vec::new());
    }

    /// Whether a connection has not said its header yet.
    pub(crate) fn awaits(&self, slot: Slot) -> bool {
        !self.awaited.is_empty() && self.awaited.contains_key(&slot)
    }

    /// The connection has gone, whatever it said.
    pub(crate) fn forget(&mut self, slot: Slot) {
        if !self.awaited.is_empty() {
            self.awaited.remove(&slot);
        }
    }

    /// Takes in what came from a connection that is awaited. After anything but a part it is not.
    ///
    /// # Errors
    /// If it is no header.
    pub(crate) fn hear(&mut self, slot: Slot, bytes: &[u8]) -> Result<Heard, ProxyError> {
        let mut said = self.awaited.remove(&slot).expect("only who is awaited is heard");
        let before = said.len();
        let room = PROXY_HEADER_BYTES_MAX - before;
        said.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let Some(header) = proxy_header(&said)? else {
            assert!(said.len() < PROXY_HEADER_BYTES_MAX, "no header is longer");
            self.awaited.insert(slot, said);
            return Ok(Heard::Part);
        };
        // It was not whole before.
        Ok(Heard::Whole { header, rest: header.len - before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heralds() -> Heralds {
        let trusted = ["10.0.0.0/8", "::1"].map(|text| text.parse().expect("a network"));
        Heralds::new(trusted.into())
    }

    #[test]
    fn only_the_networks_named_are_trusted() {
        let heralds = heralds();
        for (peer, trusted) in
            [("10.9.8.7", true), ("::1", true), ("127.0.0.1", false), ("2001:db8::1", false)]
        {
            assert_eq!(heralds.trusts(peer.parse().expect("an address")), trusted, "{peer}");
        }
        assert!(!Heralds::default().trusts("10.9.8.7".parse().expect("an address")));
    }

    #[test]
    fn the_request_begins_behind_the_header_however_both_were_cut() {
        let header = "PROXY TCP4 192.0.2.7 198.51.100.1 8080 80\r\n";
        let all = format!("{header}GET / HTTP/1.1\r\n");
        for cut in 0..header.len() {
            let mut heralds = heralds();
            heralds.expect(Slot(3));
            assert_eq!(heralds.hear(Slot(3), &all.as_bytes()[..cut]), Ok(Heard::Part));
            let heard = heralds.hear(Slot(3), &all.as_bytes()[cut..]);
            let Ok(Heard::Whole { header: found, rest }) = heard else { panic!("{heard:?}") };
            assert_eq!(found.client, Some("192.0.2.7:8080".parse().expect("an address")));
            assert_eq!(rest, header.len() - cut);
            assert!(!heralds.awaits(Slot(3)));
        }
    }

    #[test]
    fn who_says_something_else_or_goes_is_not_awaited_any_more() {
        let mut heralds = heralds();
        for slot in [Slot(1), Slot(2)] {
            heralds.expect(slot);
        }
        assert_eq!(heralds.hear(Slot(1), b"GET / HTTP/1.1\r\n"), Err(ProxyError::Missing));
        heralds.forget(Slot(2));
        assert!(!heralds.awaits(Slot(1)) && !heralds.awaits(Slot(2)));
        heralds.forget(Slot(2));
    }
}
