//! Seats for workers: CPUs in the order in which a group of cores gives them away.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::{Core, Machine, Numa, PlanError};

/// A CPU and the node it belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Seat {
    pub(super) cpu: usize,
    pub(super) node: usize,
}

/// Cores that are chosen from together: those of one NUMA node, or all if nodes are ignored.
#[derive(Debug)]
pub(super) struct Group {
    /// The first CPU of each core, then the second of each that has one, and so on.
    seats: Vec<Seat>,
    /// How many cores have a first CPU, a second, and so on. Never ascends.
    ranks: Vec<usize>,
}

/// The groups that `numa` means, each with at least one core, and at least one of them.
pub(super) fn groups(machine: &Machine, numa: &Numa) -> Result<Vec<Group>, PlanError> {
    let named = match numa {
        Numa::Nodes(nodes) => Some(nodes),
        Numa::Auto | Numa::Off => None,
    };
    let mut nodes = Vec::new();
    for node in &machine.nodes {
        let cores = node.cores.iter().filter(|core| !core.cpus.is_empty());
        let cores: Vec<_> = cores.map(|core| (node.os_index, core)).collect();
        if !cores.is_empty() {
            nodes.push((node.os_index, cores));
        }
    }
    if let Some(named) = named {
        check_named(named, &nodes.iter().map(|&(index, _)| index).collect::<Vec<_>>())?;
        nodes.retain(|(index, _)| named.contains(index));
    }
    if nodes.is_empty() {
        return Err(PlanError::NoCore);
    }
    let nodes = nodes.into_iter().map(|(_, cores)| cores);
    Ok(if *numa == Numa::Off {
        let mut cores: Vec<_> = nodes.flatten().collect();
        cores.sort_by_key(|(_, core)| core.cpus[0]);
        vec![Group::new(&cores)]
    } else {
        nodes.map(|cores| Group::new(&cores)).collect()
    })
}

fn check_named(named: &BTreeSet<usize>, existing: &[usize]) -> Result<(), PlanError> {
    match named.iter().find(|node| !existing.contains(node)) {
        Some(&node) => Err(PlanError::UnknownNode { node, existing: existing.to_vec() }),
        None => Ok(()),
    }
}

/// Seats for `workers`, group by group. No rank is begun in any group before the one above it is
/// taken in all of them, so nobody shares a core while another core is free.
pub(super) fn take(groups: &[Group], workers: usize) -> Vec<Seat> {
    let deepest = groups.iter().map(|group| group.ranks.len()).max().unwrap_or(0);
    let mut taken = vec![0; groups.len()];
    let mut left = workers;
    for rank in (0..deepest).cycle() {
        let free: Vec<_> = groups.iter().map(|group| group.at_rank(rank)).collect();
        let now = left.min(free.iter().sum());
        for (taken, share) in taken.iter_mut().zip(apportion(now, &free)) {
            *taken += share;
        }
        left -= now;
        if left == 0 {
            break;
        }
    }
    let each = groups.iter().zip(taken);
    each.flat_map(|(group, taken)| group.seats.iter().cycle().take(taken)).copied().collect()
}

impl Group {
    fn new(cores: &[(usize, &Core)]) -> Self {
        let deepest = cores.iter().map(|(_, core)| core.cpus.len()).max().unwrap_or(0);
        let mut seats = Vec::new();
        let mut ranks = Vec::with_capacity(deepest);
        for rank in 0..deepest {
            let before = seats.len();
            seats.extend(
                cores
                    .iter()
                    .filter_map(|&(node, core)| core.cpus.get(rank).map(|&cpu| Seat { cpu, node })),
            );
            ranks.push(seats.len() - before);
        }
        Self { seats, ranks }
    }

    pub(super) fn cores(&self) -> usize {
        self.at_rank(0)
    }

    pub(super) fn cpus(&self) -> usize {
        self.seats.len()
    }

    fn at_rank(&self, rank: usize) -> usize {
        self.ranks.get(rank).copied().unwrap_or(0)
    }
}

/// Splits `seats` in proportion to `weights`, whose sum is at least as large: whole shares first,
/// what is left to the largest remainders, the first of equals. No share exceeds its weight.
fn apportion(seats: usize, weights: &[usize]) -> Vec<usize> {
    let total = weights.iter().sum::<usize>().max(1);
    let mut shares: Vec<_> = weights.iter().map(|weight| seats * weight / total).collect();
    let left = seats - shares.iter().sum::<usize>();
    let mut order: Vec<_> = (0..weights.len()).collect();
    order.sort_by_key(|&index| Reverse(seats * weights[index] % total));
    for index in order.into_iter().take(left) {
        shares[index] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_proportional_and_never_exceed_their_weight() {
        assert_eq!(apportion(3, &[4, 4]), [2, 1]);
        assert_eq!(apportion(4, &[2, 6]), [1, 3]);
        assert_eq!(apportion(1, &[1, 7]), [0, 1]);
        assert_eq!(apportion(0, &[0, 0]), [0, 0]);
        for (a, b, c) in
            (0..7).flat_map(|a| (0..7).flat_map(move |b| (0..7).map(move |c| (a, b, c))))
        {
            let weights = [a, b, c];
            for seats in 0..=a + b + c {
                let shares = apportion(seats, &weights);
                assert_eq!(shares.iter().sum::<usize>(), seats);
                for (share, weight) in shares.iter().zip(weights) {
                    assert!(*share <= weight, "{seats} over {weights:?}: {shares:?}");
                    let (exact, total) = (seats * weight, (a + b + c).max(1));
                    assert!(share * total < exact + total, "{shares:?}");
                    assert!(exact < (share + 1) * total, "{shares:?}");
                }
            }
        }
    }
}
