//! The machine as a plan sees it: NUMA nodes, their cores, and the CPUs that may be used.

/// What there is to plan with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Machine {
    /// Nodes that have cores, ascending by their number.
    pub nodes: Vec<Node>,
}

/// A NUMA node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    /// The system's number for it.
    pub os_index: usize,
    /// Its cores, neighbours beside each other.
    pub cores: Vec<Core>,
}

/// A physical core.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Core {
    /// Its CPUs that may be used, ascending by the system's numbers: several with SMT.
    pub cpus: Vec<usize>,
}

impl Machine {
    /// This machine, restricted to `allowed` CPUs. Without the feature `numa`, or where hwloc
    /// sees nothing, [`Machine::flat`].
    #[must_use]
    pub fn read(allowed: &[usize]) -> Self {
        #[cfg(all(target_os = "linux", not(weir_portable), feature = "numa"))]
        match hwlocality::Topology::new() {
            Ok(topology) => return hwloc::machine(&topology, allowed),
            Err(error) => {
                tracing::warn!(%error, "hwloc sees nothing: NUMA nodes and SMT are not known");
            }
        }
        Self::flat(allowed)
    }

    /// A machine of which only CPUs are known: each is taken for a core, all on node 0.
    #[must_use]
    pub fn flat(cpus: &[usize]) -> Self {
        let cores: Vec<_> = cpus.iter().map(|&cpu| Core { cpus: vec![cpu] }).collect();
        let node = (!cores.is_empty()).then_some(Node { os_index: 0, cores });
        Self { nodes: node.into_iter().collect() }
    }
}

#[cfg(all(target_os = "linux", not(weir_portable), feature = "numa"))]
pub(super) mod hwloc {
    use std::collections::{BTreeMap, BTreeSet};

    use hwlocality::Topology;
    use hwlocality::object::TopologyObject;
    use hwlocality::object::types::ObjectType;

    use super::{Core, Machine, Node};

    /// What is left of `topology` when only `allowed` CPUs count.
    pub(crate) fn machine(topology: &Topology, allowed: &[usize]) -> Machine {
        let mut left: BTreeSet<usize> = allowed.iter().copied().collect();
        let mut nodes: BTreeMap<usize, Vec<Core>> = BTreeMap::new();
        let mut add = |cpus: Vec<usize>| {
            if let Some(&first) = cpus.first() {
                nodes.entry(node_of(topology, first)).or_default().push(Core { cpus });
            }
        };
        for core in topology.objects_with_type(ObjectType::Core) {
            add(cpus(core).filter(|cpu| left.remove(cpu)).collect());
        }
        // Some virtual machines hide their cores: each CPU that belongs to none is one.
        left.into_iter().for_each(|cpu| add(vec![cpu]));
        let nodes = nodes.into_iter().map(|(os_index, cores)| Node { os_index, cores });
        Machine { nodes: nodes.collect() }
    }

    /// The node nearest to a CPU: of those it belongs to the one with the fewest CPUs, since
    /// memory without CPUs of its own may hang on a whole package; of equals the first, since
    /// high-bandwidth memory is numbered behind the ordinary.
    fn node_of(topology: &Topology, cpu: usize) -> usize {
        let nodes = topology.objects_with_type(ObjectType::NUMANode);
        let around = nodes.filter(|node| cpus(node).any(|other| other == cpu));
        let nearest = around.min_by_key(|node| (cpus(node).count(), node.os_index()));
        nearest.and_then(TopologyObject::os_index).unwrap_or(0)
    }

    fn cpus(object: &TopologyObject) -> impl Iterator<Item = usize> {
        let cpus = object.cpuset().into_iter();
        cpus.flat_map(|set| set.iter_set().map(usize::from).collect::<Vec<_>>())
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::plan::{Plan, Request, plan};

        fn read(description: &str, allowed: impl IntoIterator<Item = usize>) -> Machine {
            let builder = Topology::builder().from_synthetic(description).unwrap();
            machine(&builder.build().unwrap(), &allowed.into_iter().collect::<Vec<_>>())
        }

        /// Number of the node, and the CPUs of its cores.
        fn shape(machine: &Machine) -> Vec<(usize, Vec<&[usize]>)> {
            let nodes = machine.nodes.iter();
            let cores = nodes.clone().map(|node| node.cores.iter().map(|core| &core.cpus[..]));
            nodes.zip(cores).map(|(node, cores)| (node.os_index, cores.collect())).collect()
        }

        fn default_plan(machine: &Machine) -> Plan {
            plan(machine, &Request::default()).unwrap()
        }

        /// CPU and node of each worker.
        fn seats(plan: &Plan) -> Vec<(usize, usize)> {
            plan.workers.iter().map(|worker| (worker.cpu.unwrap(), worker.node)).collect()
        }

        #[test]
        fn one_node_with_and_without_siblings() {
            let plain = read("node:1 core:4 pu:1", 0..4);
            assert_eq!(shape(&plain), [(0, vec![&[0][..], &[1], &[2], &[3]])]);
            let smt = read("node:1 core:2 pu:2", 0..4);
            assert_eq!(shape(&smt), [(0, vec![&[0, 1][..], &[2, 3]])]);
            assert_eq!(seats(&default_plan(&smt)), [(0, 0), (2, 0)]);
        }

        #[test]
        fn two_nodes_with_siblings_numbered_last_as_linux_does() {
            let description = "node:2 core:2 pu:2(indexes=0,4,1,5,2,6,3,7)";
            let machine = read(description, 0..8);
            let (left, right) = (vec![&[0, 4][..], &[1, 5]], vec![&[2, 6][..], &[3, 7]]);
            assert_eq!(shape(&machine), [(0, left), (1, right)]);
            assert_eq!(seats(&default_plan(&machine)), [(0, 0), (1, 0), (2, 1), (3, 1)]);
        }

        #[test]
        fn eight_nodes_each_get_their_part() {
            let machine = read("package:2 node:4 core:8 pu:2", 0..128);
            let plan = default_plan(&machine);
            assert_eq!((plan.cores, plan.shards()), (64, 64));
            for node in 0..8 {
                assert_eq!(plan.workers.iter().filter(|worker| worker.node == node).count(), 8);
            }
            let request = Request { shards: Some(16), ..Request::default() };
            let nodes = crate::plan::plan(&machine, &request).unwrap();
            let nodes: Vec<_> = nodes.workers.iter().map(|worker| worker.node).collect();
            assert_eq!(nodes, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]);
        }

        #[test]
        fn a_mask_may_cut_a_node_in_half_or_away() {
            let description = "node:2 core:4 pu:2";
            let half = read(description, 4..16);
            assert_eq!(half.nodes.iter().map(|node| node.cores.len()).collect::<Vec<_>>(), [2, 4]);
            assert_eq!(default_plan(&half).shards(), 6);
            let away = read(description, 8..16);
            assert_eq!(away.nodes.iter().map(|node| node.os_index).collect::<Vec<_>>(), [1]);
            assert!(seats(&default_plan(&away)).iter().all(|&(cpu, node)| cpu >= 8 && node == 1));
            let request = Request { numa: "0".parse().unwrap(), ..Request::default() };
            let error = plan(&away, &request).unwrap_err().to_string();
            assert!(error.ends_with("nodes that have one: 1"), "{error}");
        }

        #[test]
        fn a_mask_may_leave_one_sibling_of_a_core() {
            let machine = read("node:1 core:3 pu:2", [1, 2, 3]);
            assert_eq!(shape(&machine), [(0, vec![&[1][..], &[2, 3]])]);
            assert_eq!(seats(&default_plan(&machine)), [(1, 0), (2, 0)]);
        }

        #[test]
        fn without_cores_each_cpu_is_one() {
            let machine = read("node:2 pu:2", 0..4);
            assert_eq!(shape(&machine), [(0, vec![&[0][..], &[1]]), (1, vec![&[2][..], &[3]])]);
        }

        #[test]
        fn memory_that_hangs_on_a_package_takes_no_core_from_its_nodes() {
            let machine = read("package:2 [numa(memory=1GB)] group:2 [numa] core:2 pu:1", 0..8);
            let cores: Vec<_> = machine.nodes.iter().map(|node| node.cores.len()).collect();
            assert_eq!(cores, [2, 2, 2, 2]);
        }

        #[test]
        fn this_machine_shows_just_the_cpus_allowed() {
            let allowed = crate::machine::allowed_cpus();
            let machine = Machine::read(&allowed);
            let cores = machine.nodes.iter().flat_map(|node| &node.cores);
            let mut cpus: Vec<_> = cores.flat_map(|core| core.cpus.clone()).collect();
            cpus.sort_unstable();
            assert_eq!(cpus, allowed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_machine_takes_each_cpu_for_a_core() {
        let cores = vec![Core { cpus: vec![2] }, Core { cpus: vec![5] }];
        assert_eq!(Machine::flat(&[2, 5]).nodes, [Node { os_index: 0, cores }]);
        assert_eq!(Machine::flat(&[]), Machine::default());
    }
}
