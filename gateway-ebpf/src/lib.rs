//! What Weir's kernel programs and the host share: the same source runs in both.
//!
//! Here are the packet parser, a pure function of a frame's bytes that the host tests without
//! privilege; the address form that keys of shared maps use, and who counts as one source; the
//! token bucket that says how often a source may come, and the chance that decides
//! when little of it is left; the [verdict](judge) on whoever asks
//! for a connection; the [records](abi) both sides share, and the [choice](choose) of a shard over
//! them. The programs themselves, in `src/bpf`, are thin glue around these functions.
//!
//! Rules that the kernel's verifier sets for everything here:
//!
//! - **One load per header.** Several small loads at computed offsets let the compiler turn
//!   `packet + offset + 4 > end` into `packet + offset > end - 4`, and the verifier prohibits
//!   arithmetic on the packet's end. So a header is loaded whole, then indexed by constants.
//! - **Every loop has a constant bound**, and what lies beyond it is a named [`Skip`].
//! - **Every offset has a bound** that follows from the bytes read, see [`HEADERS_BYTES_MAX`].
//! - **Nothing that can panic or calls a function** is left of [`parse`] once it is optimised.
//! - **Pass on doubt.** A `Skip` is counted and the packet goes on to the kernel, which judges it.
#![no_std]
#![forbid(unsafe_code)]

pub mod abi;
mod address;
mod admit;
mod bucket;
mod choose;
#[cfg(test)]
mod draw;
pub mod hash;
mod network;
mod packet;
pub mod slots;
mod source;
mod verdict;

pub use address::Address;
pub use admit::{Admit, admit};
pub use bucket::{Bucket, Rate};
pub use choose::{
    Ask, Choice, How, NOBODY, Rules, SCAN_MAX, SLACK_MIN, Strategy, Tables, UNLIMITED, choose,
};
pub use network::{Network, NetworkError};
pub use packet::{
    Flags, HEADERS_BYTES_MAX, IPV6_EXTENSIONS_MAX, Packet, Segment, Skip, VLAN_TAGS_MAX, parse,
};
pub use source::Source;
pub use verdict::{Verdict, is_opening, judge};
