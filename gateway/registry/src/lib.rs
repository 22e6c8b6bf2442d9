//! What Weir's shards share, and nothing else is shared.
//!
//! - [`census`]: how many connections each shard holds, within the node's and the shard's limit
//! - [`rooms`]: which shard is home to a room, under which term
//! - [`mesh`]: how workers speak to each other, over one [`ring`] per pair and class
//! - [`mailbox`]: how those who are not workers speak to a shard
//! - [`doorbell`]: how a worker that sleeps hears of it
//! - [`standings`]: which shards serve or leave, and who is on the way to them
//! - [`ending`]: when a node that drains is over
//! - [`shown`]: what changes seldom and everyone looks at
//! - [`load`]: how much waits to be done, of what may
//!
//! No structure here knows what it carries, waits for I/O or reads a clock. Shards turn without
//! waiting for each other: rings and mailboxes refuse when they are full, and only the room
//! registry takes locks that another shard may hold, briefly, off the path of messages.
//!
//! With `--cfg weir_loom` the tests explore the interleavings of each structure, and of a broken
//! twin of it that must be found out; see [`rules`]. With `--cfg weir_shuttle` more threads than
//! that can hold run in random schedules that can be repeated.
#![deny(unsafe_code)]

pub mod census;
pub mod doorbell;
pub mod ending;
pub mod ids;
pub mod load;
pub mod mailbox;
pub mod mesh;
#[allow(unsafe_code, reason = "slots are written and read without a lock")]
pub mod ring;
pub mod rooms;
pub mod rules;
pub mod shown;
pub mod standings;

mod bits;
mod padded;
mod sync;

#[cfg(test)]
#[cfg(weir_loom)]
mod explored;

#[cfg(test)]
#[cfg(weir_shuttle)]
mod shuffled;

#[cfg(test)]
#[cfg(weir_tsan)]
mod raced;
