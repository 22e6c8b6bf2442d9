//! What a local node is made with: all that others take from the system or the command line.

use std::sync::Arc;

use gateway_core::hub;
use gateway_registry::census::Capacity;

use crate::auth::{Auth, OneToken};
use crate::config::{BATCH_DEFAULT, BalanceConfig, RING_DEFAULT, SourceConfig};
use crate::guard::Guard;
use crate::sequencer::Sequencer;

/// What a [`LocalNode`](super::LocalNode) is made with.
#[derive(Clone)]
#[non_exhaustive]
pub struct LocalConfig {
    /// Workers, each a task; from 1 to the number of shards. Default 2.
    pub workers: u16,
    /// Shards at the start, dealt to the workers in runs. Default 4.
    pub shards: u16,
    /// Shards that there may ever be: no id is used twice. Default 68.
    pub shards_max: u16,
    /// What hubs are made with. Its seed decides all that chance does in the node; `shard` is each
    /// shard's own, and `sequencing` follows from whether there is a sequencer. Default: the hub's.
    pub hub: hub::Config,
    /// How many connections there may be. Default 65,536, on each shard and on all.
    pub capacity: Capacity,
    /// Envelopes that a ring holds, at least 2. Default [`RING_DEFAULT`].
    pub ring: usize,
    /// Members served per slice of a flush, and envelopes taken from the mesh at a time. Default
    /// [`BATCH_DEFAULT`].
    pub batch: usize,
    /// How newcomers are spread over shards. Default: who accepts them serves them, with slack.
    pub balance: BalanceConfig,
    /// What one source may have. Default: whatever it can get. With more sources than `known_max`
    /// it is no matter of the seed which of them are forgotten.
    pub sources: SourceConfig,
    /// Who is denied and who is allowed. Default: nobody is either.
    pub guard: Arc<Guard>,
    /// Who is let in where a route asks for a token. Default: nobody.
    pub auth: Arc<dyn Auth>,
    /// Who gives messages their places, if homes do not. Default: homes do.
    pub sequencer: Option<Arc<dyn Sequencer>>,
}

impl Default for LocalConfig {
    fn default() -> Self {
        let mut sources = SourceConfig::default();
        (sources.connections_max, sources.rate) = (0, 0);
        Self {
            workers: 2,
            shards: 4,
            shards_max: 68,
            hub: hub::Config::default(),
            capacity: Capacity { total_max: 65_536, shard_max: 65_536 },
            ring: RING_DEFAULT,
            batch: BATCH_DEFAULT,
            balance: BalanceConfig::default(),
            sources,
            guard: Arc::new(Guard::new()),
            auth: Arc::new(OneToken::default()),
            sequencer: None,
        }
    }
}
