//! Rules of a plan, over machines of all shapes and every number of shards and workers.

use super::*;

/// Nodes with cores of so many CPUs, numbered on and on.
fn machine(nodes: &[&[usize]]) -> Machine {
    let mut next = 0..;
    let mut core = |cpus: &usize| Core { cpus: next.by_ref().take(*cpus).collect() };
    let nodes = nodes.iter().enumerate();
    let nodes = nodes
        .map(|(os_index, cores)| Node { os_index, cores: cores.iter().map(&mut core).collect() });
    Machine { nodes: nodes.collect() }
}

/// One, two, and eight nodes; with SMT, without, and in part; cut by masks.
fn machines() -> Vec<Machine> {
    let mut machines = vec![
        machine(&[&[1]]),
        machine(&[&[2]]),
        machine(&[&[1; 6]]),
        machine(&[&[2; 4]]),
        machine(&[&[1; 4], &[1; 4]]),
        machine(&[&[2; 4], &[2; 2]]),
        machine(&[&[2, 1, 2], &[1; 7]]),
        machine(&[&[1], &[4, 4]]),
        machine(&[&[1; 4][..]; 8]),
        machine(&[&[2; 2][..]; 8]),
        machine(&[&[2; 1], &[2; 5], &[1; 3], &[2; 8], &[1], &[2, 2], &[1; 6], &[2; 4]]),
    ];
    // Numbers with holes, siblings far apart, as systems number them.
    machines.push(Machine {
        nodes: vec![
            Node { os_index: 0, cores: vec![core(&[0, 8]), core(&[4, 12])] },
            Node { os_index: 3, cores: vec![core(&[1, 9]), core(&[5]), core(&[7, 15])] },
        ],
    });
    machines
}

fn core(cpus: &[usize]) -> Core {
    Core { cpus: cpus.to_vec() }
}

fn ask(shards: usize, workers: usize) -> Request {
    Request { shards: Some(shards), workers: Some(workers), ..Request::default() }
}

fn quota(cpus: f64) -> Option<Quota> {
    Some(Quota::new((cpus * 100_000.0) as u64, 100_000).unwrap())
}

fn cpus(plan: &Plan) -> Vec<usize> {
    plan.workers.iter().map(|worker| worker.cpu.unwrap()).collect()
}

/// Workers and shards of the plan per node of the machine.
fn per_node(plan: &Plan, machine: &Machine) -> Vec<(usize, usize)> {
    let of = |node: &Node| {
        let here = || plan.workers.iter().filter(|worker| worker.node == node.os_index);
        (here().count(), here().map(|worker| worker.shards.len()).sum())
    };
    machine.nodes.iter().map(of).collect()
}

/// Calls `check` with every machine, 1 to 64 shards, and every number of workers for them.
fn each(numa: &Numa, check: impl Fn(&Machine, &Plan)) {
    for machine in machines() {
        for shards in 1..=64 {
            for workers in 1..=shards {
                let request = Request { numa: numa.clone(), ..ask(shards, workers) };
                let plan = plan(&machine, &request).unwrap();
                assert_eq!((plan.shards(), plan.workers.len()), (shards, workers));
                check(&machine, &plan);
            }
        }
    }
}

#[test]
fn every_shard_has_one_worker_and_runs_differ_by_at_most_one() {
    for numa in [Numa::Auto, Numa::Off] {
        each(&numa, |_, plan| {
            let mut next = 0;
            for (index, worker) in plan.workers.iter().enumerate() {
                assert_eq!(worker.shards.start, next);
                for shard in worker.shards.clone() {
                    assert_eq!(plan.worker_of(shard), index);
                }
                next = worker.shards.end;
            }
            let runs = || plan.workers.iter().map(|worker| worker.shards.len());
            assert!(runs().min().unwrap() >= 1);
            assert!(runs().max().unwrap() - runs().min().unwrap() <= 1, "{plan:?}");
        });
    }
}

#[test]
fn a_worker_stands_on_the_node_of_its_cpu_and_nodes_are_not_mixed() {
    each(&Numa::Auto, |machine, plan| {
        for worker in &plan.workers {
            let node = machine.nodes.iter().find(|node| node.os_index == worker.node).unwrap();
            assert!(node.cores.iter().any(|core| core.cpus.contains(&worker.cpu.unwrap())));
        }
        assert!(plan.workers.is_sorted_by_key(|worker| worker.node), "{plan:?}");
    });
}

#[test]
fn nobody_shares_a_cpu_or_a_core_while_another_is_free() {
    for numa in [Numa::Auto, Numa::Off] {
        each(&numa, |machine, plan| {
            let cores = || machine.nodes.iter().flat_map(|node| &node.cores);
            let highest = cores().flat_map(|core| &core.cpus).max().unwrap();
            let mut on = vec![0; highest + 1];
            cpus(plan).into_iter().for_each(|cpu| on[cpu] += 1);
            let on_cpu: Vec<usize> =
                cores().flat_map(|core| &core.cpus).map(|&cpu| on[cpu]).collect();
            let on_core: Vec<usize> =
                cores().map(|core| core.cpus.iter().map(|&cpu| on[cpu]).sum()).collect();
            let free = |core: &usize| *core == 0;
            assert!(on_core.iter().all(|&on| on <= 1) || !on_core.iter().any(free), "{plan:?}");
            let (least, most) = (on_cpu.iter().min().unwrap(), on_cpu.iter().max().unwrap());
            assert!(most - least <= 1, "CPUs are shared evenly: {plan:?}");
            let shared = |note: &Note| matches!(note, Note::CpusShared { .. });
            assert_eq!(*most > 1, plan.notes.iter().any(shared), "{plan:?}");
            let shared = |note: &Note| matches!(note, Note::CoresShared { .. });
            let siblings = *most == 1 && on_core.iter().any(|&on| on > 1);
            assert_eq!(siblings, plan.notes.iter().any(shared), "{plan:?}");
        });
    }
}

#[test]
fn nodes_get_workers_and_shards_in_proportion_to_their_cores() {
    each(&Numa::Auto, |machine, plan| {
        let workers = plan.workers.len();
        if workers > plan.cores {
            return;
        }
        for (node, (here, shards)) in machine.nodes.iter().zip(per_node(plan, machine)) {
            let exact = workers as f64 * node.cores.len() as f64 / plan.cores as f64;
            assert!((here as f64 - exact).abs() < 1.0, "{plan:?}");
            let exact = plan.shards() as f64 * here as f64 / workers as f64;
            assert!((shards as f64 - exact).abs() < 1.0, "{plan:?}");
        }
    });
}

#[test]
fn by_default_each_core_has_a_worker_with_a_shard() {
    for machine in machines() {
        let plan = plan(&machine, &Request::default()).unwrap();
        let firsts = machine.nodes.iter().flat_map(|node| &node.cores).map(|core| core.cpus[0]);
        assert_eq!(cpus(&plan), firsts.collect::<Vec<_>>());
        assert!(plan.workers.iter().all(|worker| worker.shards.len() == 1));
        assert_eq!((plan.shards_from, plan.workers_from), (Source::Cores, Source::Cores));
        assert_eq!(plan.notes, []);
    }
}

#[test]
fn defaults_follow_the_quota_rounded_down() {
    let machine = machine(&[&[2; 4], &[2; 4]]);
    for (cpus, shards, from, warned) in [
        (0.5, 1, Source::Quota, true),
        (1.0, 1, Source::Quota, false),
        (2.5, 2, Source::Quota, false),
        (7.99, 7, Source::Quota, false),
        (8.0, 8, Source::Cores, false),
        (12.0, 8, Source::Cores, false),
    ] {
        let plan = plan(&machine, &Request { quota: quota(cpus), ..Request::default() }).unwrap();
        assert_eq!((plan.shards(), plan.workers.len()), (shards, shards), "{cpus}");
        assert_eq!((plan.shards_from, plan.workers_from), (from, from), "{cpus}");
        assert_eq!(!plan.notes.is_empty(), warned, "{cpus}");
    }
    let two = plan(&machine, &Request { quota: quota(2.5), ..Request::default() }).unwrap();
    assert_eq!(per_node(&two, &machine), [(1, 1), (1, 1)]);
}

#[test]
fn workers_follow_the_smaller_of_shards_and_cores() {
    let machine = machine(&[&[2; 2], &[2; 2]]);
    let of = |shards, quota| {
        let request = Request { shards: Some(shards), quota, ..Request::default() };
        let plan = plan(&machine, &request).unwrap();
        assert_eq!((plan.shards_from, plan.shards()), (Source::Flag, shards));
        (plan.workers.len(), plan.workers_from)
    };
    assert_eq!(of(3, None), (3, Source::Shards));
    assert_eq!(of(4, None), (4, Source::Cores));
    assert_eq!(of(9, None), (4, Source::Cores));
    assert_eq!(of(9, quota(2.5)), (2, Source::Quota));
    assert_eq!(of(1, quota(2.5)), (1, Source::Shards));
}

#[test]
fn longer_runs_are_strewn_over_the_nodes() {
    let machine = machine(&[&[1; 2], &[1; 2]]);
    let plan = plan(&machine, &ask(6, 4)).unwrap();
    let runs: Vec<_> = plan.workers.iter().map(|worker| worker.shards.clone()).collect();
    assert_eq!(runs, [0..1, 1..3, 3..4, 4..6]);
    assert_eq!(per_node(&plan, &machine), [(2, 3), (2, 3)]);
}

#[test]
fn siblings_are_taken_when_the_cores_are_and_cpus_again_after_them() {
    let machine = Machine {
        nodes: vec![
            Node { os_index: 0, cores: vec![core(&[0, 4]), core(&[1, 5])] },
            Node { os_index: 1, cores: vec![core(&[2, 6]), core(&[3, 7])] },
        ],
    };
    let of = |workers| {
        let plan = plan(&machine, &ask(16, workers)).unwrap();
        let notes: Vec<_> = plan.notes.iter().map(ToString::to_string).collect();
        (cpus(&plan), notes.join("\n"))
    };
    assert_eq!(of(4), (vec![0, 1, 2, 3], String::new()));
    let (taken, note) = of(6);
    assert_eq!(taken, [0, 1, 4, 2, 3, 6]);
    assert!(note.starts_with("6 workers on 4 physical cores: some run on SMT siblings"), "{note}");
    let (taken, note) = of(10);
    assert_eq!(taken, [0, 1, 4, 5, 0, 2, 3, 6, 7, 2]);
    assert!(note.starts_with("10 workers on 8 CPUs: some take turns on one CPU"), "{note}");
}

#[test]
fn a_wish_beyond_the_quota_is_obeyed_with_a_note() {
    let request = Request { quota: quota(2.5), ..ask(4, 3) };
    let plan = plan(&machine(&[&[1; 8]]), &request).unwrap();
    assert_eq!(plan.workers.len(), 3);
    let [note] = &plan.notes[..] else { panic!("one note: {:?}", plan.notes) };
    let text = "3 workers can use more than the cgroup's quota of 2.5 CPUs";
    assert!(note.to_string().starts_with(text), "{note}");
}

#[test]
fn off_takes_cores_by_cpu_number_but_still_says_their_nodes() {
    let machine = Machine {
        nodes: vec![
            Node { os_index: 0, cores: vec![core(&[0, 4]), core(&[2, 6])] },
            Node { os_index: 1, cores: vec![core(&[1, 5]), core(&[3, 7])] },
        ],
    };
    let request = Request { numa: Numa::Off, ..ask(6, 5) };
    let plan = plan(&machine, &request).unwrap();
    let seats: Vec<_> = plan.workers.iter().map(|worker| (worker.cpu, worker.node)).collect();
    assert_eq!(seats, [(Some(0), 0), (Some(1), 1), (Some(2), 0), (Some(3), 1), (Some(4), 0)]);
}

#[test]
fn named_nodes_are_the_only_ones_used_and_counted() {
    let machine = machine(&[&[2; 2], &[2; 3], &[2; 4]]);
    let named = |nodes: &str| Request { numa: nodes.parse().unwrap(), ..Request::default() };
    let two = plan(&machine, &named("2,0")).unwrap();
    assert_eq!((two.cores, two.shards()), (6, 6));
    assert_eq!(per_node(&two, &machine), [(2, 2), (0, 0), (4, 4)]);
    assert_eq!(plan(&machine, &named("0,2,2")).unwrap(), two, "order and repetition do not matter");
    let error = plan(&machine, &named("0,3")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "--numa: node 3 has no core that this process may use; nodes that have one: 0, 1, 2"
    );
}

#[test]
fn numa_is_written_as_it_is_read() {
    for text in ["auto", "off", "0", "0,2,7"] {
        assert_eq!(text.parse::<Numa>().unwrap().to_string(), text);
    }
    assert_eq!("-1".parse(), Ok(Numa::Auto), "as others write it");
    for bad in ["", "on", "AUTO", "0,", "1,x", "0-3", "-2", " 1"] {
        let error = bad.parse::<Numa>().unwrap_err().to_string();
        assert_eq!(error, "give auto, off, or the numbers of NUMA nodes, such as 0,2");
    }
}

#[test]
fn what_cannot_be_planned_is_told_with_a_way_out() {
    let machine = machine(&[&[2; 2]]);
    let told = |request: &Request| plan(&machine, request).unwrap_err().to_string();
    let rest = "give 1 to 1024, or leave it out for one per physical core";
    for bad in [0, 1025, usize::MAX] {
        let request = Request { shards: Some(bad), ..Request::default() };
        assert_eq!(told(&request), format!("--shards {bad}: {rest}"));
        let request = Request { workers: Some(bad), ..Request::default() };
        assert_eq!(told(&request), format!("--workers {bad}: {rest}"));
    }
    let rest = "and a worker without one has nothing to do; give --shards 5 or more, or --workers";
    assert_eq!(
        told(&ask(4, 5)),
        format!("--workers 5: more than shards (4, by flag), {rest} 4 or fewer")
    );
    let request = Request { workers: Some(5), ..Request::default() };
    let text = format!("--workers 5: more than shards (2, by cores), {rest} 2 or fewer");
    assert_eq!(told(&request), text);
    for nothing in
        [Machine::default(), Machine { nodes: vec![Node { os_index: 0, cores: vec![] }] }]
    {
        assert_eq!(plan(&nothing, &Request::default()), Err(PlanError::NoCore));
    }
}

#[test]
fn both_ends_of_the_bounds_are_planned() {
    let small = machine(&[&[2; 2]]);
    let most = plan(&small, &ask(SHARDS_MAX, SHARDS_MAX)).unwrap();
    assert_eq!((most.shards(), most.workers.len()), (SHARDS_MAX, SHARDS_MAX));
    let wide = vec![1; SHARDS_MAX + 1];
    let clamped = plan(&machine(&[&wide]), &Request::default()).unwrap();
    assert_eq!((clamped.shards(), clamped.shards_from), (SHARDS_MAX, Source::Bound));
    assert_eq!((clamped.workers.len(), clamped.workers_from), (SHARDS_MAX, Source::Shards));
}

#[test]
fn unpinned_workers_keep_their_nodes_and_shards() {
    let pinned = plan(&machine(&[&[1; 2], &[1; 2]]), &ask(6, 4)).unwrap();
    let unpinned = pinned.clone().unpinned();
    for (a, b) in pinned.workers.iter().zip(&unpinned.workers) {
        assert_eq!((a.node, &a.shards, b.cpu), (b.node, &b.shards, None));
    }
}
