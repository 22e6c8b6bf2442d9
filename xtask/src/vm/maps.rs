//! Where a process's memory is, by NUMA node: the kernel's `numa_maps`.

use std::collections::BTreeMap;

/// Bytes of anonymous memory, by node.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Memory(BTreeMap<usize, u64>);

impl Memory {
    /// Sums up the mappings that no file is behind: heaps and stacks. Where the kernel does not
    /// tell a page's size it is 4 KiB.
    pub(super) fn read<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut bytes = BTreeMap::new();
        for line in lines {
            let words: Vec<_> = line.split_whitespace().skip(2).collect();
            if words.iter().any(|word| word.starts_with("file=")) {
                continue;
            }
            let value = |name| words.iter().find_map(|word| word.strip_prefix(name));
            let size = value("kernelpagesize_kB=").and_then(|size| size.parse().ok());
            let size = size.unwrap_or(4_u64) * 1024;
            for (node, pages) in words.iter().filter_map(|word| pages(word)) {
                *bytes.entry(node).or_default() += pages * size;
            }
        }
        Self(bytes)
    }

    /// Bytes on a node.
    pub(super) fn on(&self, node: usize) -> u64 {
        self.0.get(&node).copied().unwrap_or(0)
    }

    /// Bytes on all nodes.
    pub(super) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// By how much each node has more than `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let nodes = self.0.iter();
        Self(nodes.map(|(&node, bytes)| (node, bytes.saturating_sub(before.on(node)))).collect())
    }
}

/// Node and pages in a word such as `N1=20`.
fn pages(word: &str) -> Option<(usize, u64)> {
    let (node, pages) = word.strip_prefix('N')?.split_once('=')?;
    Some((node.parse().ok()?, pages.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "\
        55d0c0000000 default file=/weir mapped=40 active=0 N0=30 N1=10 kernelpagesize_kB=4\n\
        55d0c1000000 default heap anon=3 dirty=3 active=0 N0=2 N1=1 kernelpagesize_kB=4\n\
        7f0000000000 default anon=1 dirty=1 N1=1 kernelpagesize_kB=2048\n\
        7f1000000000 default\n\
        7ffc00000000 default stack anon=2 dirty=2 N0=2";

    #[test]
    fn anonymous_pages_are_summed_by_node_in_their_size() {
        let memory = Memory::read(BEFORE.lines());
        assert_eq!((memory.on(0), memory.on(1)), (4 * 4096, 4096 + (2 << 20)));
        assert_eq!(memory.on(7), 0, "a node without any");
        assert_eq!(memory.total(), 5 * 4096 + (2 << 20));
    }

    #[test]
    fn growth_is_by_node_and_never_negative() {
        let before = Memory::read(BEFORE.lines());
        let after = Memory::read(["7f0000000000 default anon=9 dirty=9 N0=9 N1=0"]);
        let growth = after.since(&before);
        assert_eq!((growth.on(0), growth.on(1)), (5 * 4096, 0));
    }
}
