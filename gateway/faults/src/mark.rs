//! Moments that have to come in a campaign, or it has not tried what it is for.

use crate::listed::listed;

listed! {
    /// A moment that counts.
    pub enum Mark {
        /// A shard was told that the home it spoke to is not there.
        NotHome = "a home that was not there",
        /// Members were told that something is lost for them.
        GapTold = "a gap was told",
    }
}
