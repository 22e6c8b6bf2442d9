//! A frame as XDP shows it, for the parser that the host runs too.

use aya_ebpf::programs::XdpContext;
use gateway_ebpf::Packet;

/// The bytes of the frame that a program was called for.
pub(crate) struct Frame<'a>(pub(crate) &'a XdpContext);

impl Packet for Frame<'_> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let at = self.0.data() + offset;
        if at + N > self.0.data_end() {
            return None;
        }
        // SAFETY: the kernel's verifier admits this read only because the line above compared its
        // end with the packet's; bytes have no alignment and any of their values is valid.
        Some(unsafe { *(at as *const [u8; N]) })
    }
}
