//! Steering: the kernel gives each connection to the shard that will serve it, as far as it can be
//! had; every rung of the ladder down to plain listeners serves the same clients.
//!
//! Follow a node's start: `Steering::prepare` loads the programs, puts XDP on its devices and
//! gives the memory that records of who serves are written to; when all shards are in these
//! records and listen, `Steering::attach` has the best rung choose among their listeners.
//! Nothing here is ever asked again for a connection: the programs read what shards write.

mod config;
mod guards;
mod ladder;
mod memory;
mod tally;

#[cfg(all(target_os = "linux", not(weir_portable), feature = "bpf"))]
mod caps;
#[cfg(all(target_os = "linux", not(weir_portable), feature = "bpf"))]
mod error;
#[cfg(all(target_os = "linux", not(weir_portable), feature = "bpf"))]
mod kept;
#[cfg(all(target_os = "linux", not(weir_portable), feature = "bpf"))]
mod kernel;
#[cfg(all(target_os = "linux", not(weir_portable), feature = "bpf"))]
mod mapped;
#[cfg(all(target_os = "linux", not(weir_portable), feature = "bpf"))]
mod object;
#[cfg(all(target_os = "linux", not(weir_portable), feature = "bpf"))]
mod pin;
#[cfg(all(target_os = "linux", not(weir_portable), feature = "bpf"))]
mod queues;
#[cfg(all(target_os = "linux", not(weir_portable), feature = "bpf"))]
mod says;
#[cfg(all(target_os = "linux", not(weir_portable), feature = "bpf"))]
mod sys;

#[cfg(not(all(target_os = "linux", not(weir_portable), feature = "bpf")))]
mod absent;

pub use self::config::{
    IdleError, Iface, IfaceError, Placement, Selector, Steer, SteerConfig, placement_name,
};
pub(crate) use self::guards::{Guards, listed};
pub use self::ladder::SteerError;
pub(crate) use self::ladder::{Listener, Request, Steering};
pub(crate) use self::memory::{Memory, Mirrored};
pub use self::tally::{Mode, State, Steered, Tally};
