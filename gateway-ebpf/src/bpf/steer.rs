//! The XDP program: looks at each frame before the kernel makes a packet of it.

use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use core::hint::black_box;
use gateway_ebpf::parse;

use crate::frame::Frame;

/// Parses the frame and passes it on.
#[xdp]
pub(crate) fn steer(ctx: XdpContext) -> u32 {
    // Nothing uses the verdict yet; unseen by the compiler, the parser would be left out.
    let _ = black_box(parse(&Frame(&ctx)).is_ok());
    XDP_PASS
}
