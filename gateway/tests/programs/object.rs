//! Maps and programs of the object are what the host takes them for.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::{Map, MapData, MapType};
use gateway_ebpf::abi::{
    self, CPUS_MAX, Counter, Cpu, Flow, GROUPS, Group, SHARDS_MAX, SLOTS, Shard, Total, Word, names,
};
use gateway_ebpf::{Network, Source};

use crate::kernel::{Setup, open, possible_cpus};

/// Type, bytes of a key, bytes of a value, entries.
type Form = (MapType, usize, usize, usize);

/// What the host expects of each map.
fn expected() -> BTreeMap<&'static str, Form> {
    let array = |bytes, entries| (MapType::Array, 4, bytes, entries);
    let counters = |entries| (MapType::PerCpuArray, 4, 8, entries);
    let guard = (MapType::LpmTrie, size_of::<Network>(), 4, abi::GUARD_MAX as usize);
    let lru = |key, value, entries: u32| (MapType::LruHash, key, value, entries as usize);
    BTreeMap::from([
        (names::SHARDS, array(size_of::<Shard>(), SHARDS_MAX)),
        (names::TOTAL, array(size_of::<Total>(), 1)),
        (names::CPUS, array(size_of::<Cpu>(), CPUS_MAX)),
        (names::GROUPS, array(size_of::<Group>(), GROUPS)),
        (names::SLOTS, array(size_of::<Word>(), SLOTS)),
        // A value is a descriptor.
        (names::LISTENERS, (MapType::ReuseportSockArray, 4, 4, SHARDS_MAX)),
        // As many as there are CPUs: the kernel refuses a map of more.
        (names::QUEUES, (MapType::CpuMap, 4, 8, possible_cpus() as usize)),
        (names::GUARDS[0], guard),
        (names::GUARDS[1], guard),
        (names::SOURCES, lru(size_of::<Source>(), 8, abi::SOURCES_MAX)),
        (names::FLOWS, lru(size_of::<Flow>(), 4, abi::FLOWS_MAX)),
        (names::COUNTERS, counters(Counter::COUNT)),
        (names::REDIRECTS, counters(CPUS_MAX)),
    ])
}

#[test]
fn maps_are_as_the_host_takes_them_and_there_are_no_others() {
    let Some(object) = open(Setup::default()) else { return };
    // Beside ours there are those of constants, and of the log.
    let ours = |name: &str| !name.starts_with('.') && name != "AYA_LOGS";
    let found: BTreeMap<_, _> =
        object.maps().filter(|(name, _)| ours(name)).map(|(name, map)| (name, form(map))).collect();
    assert_eq!(found, expected());
}

#[test]
fn programs_have_the_names_that_the_host_asks_for() {
    let Some(object) = open(Setup::default()) else { return };
    let found: BTreeSet<_> = object.programs().map(|(name, _)| name).collect();
    assert_eq!(found, BTreeSet::from([names::STEER, names::STEER_FRAGS, names::SELECT]));
}

fn form(map: &Map) -> Form {
    let info = data(map).info().unwrap();
    let sizes = [info.key_size(), info.value_size(), info.max_entries()];
    let [key, value, entries] = sizes.map(|size| size as usize);
    (info.map_type().unwrap(), key, value, entries)
}

fn data(map: &Map) -> &MapData {
    #[expect(clippy::wildcard_enum_match_arm, reason = "there are many, and few are ours")]
    match map {
        Map::Array(data)
        | Map::CpuMap(data)
        | Map::LpmTrie(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::ReusePortSockArray(data) => data,
        _ => panic!("no map of ours: {map:?}"),
    }
}
