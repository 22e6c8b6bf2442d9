//! Every order in which small scenarios can happen.

use std::collections::BTreeMap;

use super::world::{Step, World};

struct Frame {
    node: u32,
    steps: Vec<Step>,
    next: usize,
}

/// The states that were met, and how they lead to each other.
#[derive(Default)]
struct Graph {
    /// By fingerprint.
    known: BTreeMap<u64, u32>,
    ways: Vec<u128>,
    edges: Vec<(u32, u32)>,
    rests: Vec<u32>,
}

/// The steps that led to where the world is; printed if it is dropped before all were taken back.
struct Trail(Vec<Frame>);

impl Trail {
    fn steps(&self) -> impl Iterator<Item = Step> {
        self.0.iter().filter(|frame| frame.next > 0).map(|frame| frame.steps[frame.next - 1])
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            eprintln!("by these steps: {:?}", self.steps().take(200).collect::<Vec<_>>());
        }
    }
}

/// Takes every step wherever it is possible, but does not go on twice from the same state.
///
/// The ways from the first state to one at rest, at least: those that go round in circles, as
/// when a shard looks for a home that is still on its way, are not counted.
pub(super) fn explore(states_max: usize, make: impl Fn() -> World) -> u128 {
    let mut graph = Graph::default();
    let mut trail = Trail(Vec::new());
    let mut world = make();
    trail.0.extend(graph.arrive(&mut world).1);
    let mut stale = false;
    while let Some(frame) = trail.0.last_mut() {
        let node = frame.node;
        if frame.next == frame.steps.len() {
            trail.0.pop();
            if let Some(parent) = trail.0.last() {
                graph.ways[parent.node as usize] += graph.ways[node as usize];
            }
            stale = true;
            continue;
        }
        frame.next += 1;
        let step = frame.steps[frame.next - 1];
        if std::mem::take(&mut stale) {
            world = make();
            let count = trail.0.len();
            trail.steps().take(count - 1).for_each(|step| world.take(step));
        }
        world.take(step);
        let (found, frame) = graph.arrive(&mut world);
        graph.edges.push((node, found));
        match frame {
            Some(frame) => trail.0.push(frame),
            None => {
                graph.ways[node as usize] += graph.ways[found as usize];
                stale = true;
            }
        }
        assert!(graph.ways.len() <= states_max, "the scenario is too large");
    }
    graph.check_that_all_come_to_rest();
    graph.ways[0]
}

impl Graph {
    /// The node of the world's state, and what to try from there if it is new.
    fn arrive(&mut self, world: &mut World) -> (u32, Option<Frame>) {
        let new = u32::try_from(self.ways.len()).expect("scenarios are small");
        let node = *self.known.entry(world.fingerprint()).or_insert(new);
        if node < new {
            return (node, None);
        }
        let steps = world.enabled_with_scripts();
        self.ways.push(0);
        if steps.is_empty() {
            self.ways[node as usize] = 1;
            self.rests.push(node);
            world.wind_up();
            return (node, None);
        }
        (node, Some(Frame { node, steps, next: 0 }))
    }

    /// No state is a trap: from each one the world can come to rest.
    fn check_that_all_come_to_rest(&self) {
        let mut before = vec![Vec::new(); self.ways.len()];
        self.edges.iter().for_each(|&(from, to)| before[to as usize].push(from));
        let mut reached = vec![false; self.ways.len()];
        let mut open = self.rests.clone();
        while let Some(node) = open.pop() {
            if !std::mem::replace(&mut reached[node as usize], true) {
                open.extend(&before[node as usize]);
            }
        }
        let trapped = reached.iter().filter(|&&reached| !reached).count();
        assert_eq!(trapped, 0, "from {trapped} states the world never comes to rest");
    }
}
