//! What Weir's shards share. Today that is the census; the room registry, the rings between
//! workers and their doorbells come with rooms that span shards.
#![forbid(unsafe_code)]

pub mod census;
