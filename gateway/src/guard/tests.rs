//! A list that changes, and who is told.

use std::fs;

use super::*;
use crate::draw::Draw;

fn network(text: &str) -> Network {
    text.parse().expect("a network")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A file that is there while the test runs.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weir-guard-{name}-{}", std::process::id()));
        fs::write(&path, text).expect("a file can be written");
        Self(path)
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).expect("a file can be written");
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Remembers what it was told, or fails.
#[derive(Clone, Default)]
struct Elsewhere(Arc<Mutex<(bool, Vec<Vec<String>>)>>);

impl Elsewhere {
    fn fails(&self, fails: bool) {
        self.0.lock().expect("no test panics with it").0 = fails;
    }

    fn told(&self) -> Vec<String> {
        self.0.lock().expect("no test panics with it").1.last().cloned().unwrap_or_default()
    }
}

impl GuardTable for Elsewhere {
    fn replace(&self, prefixes: &[(Network, Verdict)]) -> io::Result<()> {
        let mut state = self.0.lock().expect("no test panics with it");
        if state.0 {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let line =
            |(network, verdict): &(Network, Verdict)| format!("{} {network}", verdict.name());
        state.1.push(prefixes.iter().map(line).collect());
        Ok(())
    }
}

#[test]
fn a_file_is_read_again_and_a_bad_one_changes_nothing() {
    let file = File::new("again", "deny 10.0.0.0/8\nallow 10.0.0.1");
    let guard = Guard::open(&file.0).expect("it is right");
    assert_eq!(guard.counts(), Counts { deny: 1, allow: 1 });
    file.write("deny 10.0.0.0/8\nblock ::1");
    let wrong = guard.reload().expect_err("it is wrong").to_string();
    assert!(wrong.contains(":2: \"block\" is no verdict"), "{wrong}");
    assert_eq!(guard.verdict(ip("10.0.0.1")), Some(Verdict::Allow));
    file.write("deny 11.0.0.0/8");
    assert_eq!(guard.reload(), Ok(Counts { deny: 1, allow: 0 }));
    assert_eq!(guard.verdict(ip("10.0.0.1")), None);
    assert_eq!(guard.verdict(ip("11.0.0.1")), Some(Verdict::Deny));
    fs::remove_file(&file.0).expect("it was there");
    assert!(guard.reload().expect_err("it has gone").to_string().contains("no such file"));
    assert_eq!(guard.verdict(ip("11.0.0.1")), Some(Verdict::Deny));
}

#[test]
fn what_is_said_at_run_time_holds_until_the_file_is_read_again() {
    let file = File::new("until", "deny 10.0.0.0/8");
    let guard = Guard::open(&file.0).expect("it is right");
    assert_eq!(guard.set(network("10.1.0.0/16"), Verdict::Allow), Ok(Counts { deny: 1, allow: 1 }));
    assert_eq!(guard.set(network("10.0.0.0/8"), Verdict::Allow), Ok(Counts { deny: 0, allow: 2 }));
    assert_eq!(guard.remove(network("10.0.0.0/8")), Some(Counts { deny: 0, allow: 1 }));
    assert_eq!(guard.remove(network("10.0.0.0/9")), None, "it said nothing");
    assert_eq!(guard.verdict(ip("10.2.0.0")), None);
    assert_eq!(guard.verdict(ip("10.1.0.0")), Some(Verdict::Allow));
    assert_eq!(guard.reload(), Ok(Counts { deny: 1, allow: 0 }));
    assert_eq!(guard.verdict(ip("10.1.0.0")), Some(Verdict::Deny));
}

#[test]
fn without_a_file_there_is_nothing_to_read_again() {
    let guard = Guard::new();
    assert_eq!(guard.reload(), Err(GuardError::NoFile));
    assert_eq!(guard.set(network("::1"), Verdict::Deny), Ok(Counts { deny: 1, allow: 0 }));
    assert_eq!(guard.verdict(ip("::1")), Some(Verdict::Deny));
}

#[test]
fn a_full_list_takes_no_other_prefix() {
    let nth = |n: usize| std::net::Ipv4Addr::from(n as u32);
    let all: String = (0..PREFIXES_MAX).map(|n| format!("deny {}\n", nth(n))).collect();
    let file = File::new("full", &all);
    let guard = Guard::open(&file.0).expect("it is right");
    assert_eq!(guard.set(network("::1"), Verdict::Deny), Err(GuardError::Full));
    assert_eq!(guard.verdict(ip("::1")), None);
    let known = network("0.0.0.7");
    let counts = Counts { deny: PREFIXES_MAX - 1, allow: 1 };
    assert_eq!(guard.set(known, Verdict::Allow), Ok(counts), "it is no other one");
}

#[test]
fn another_table_is_told_of_those_who_are_exempt_unless_they_are_denied() {
    let file = File::new("exempt", "deny 10.0.0.0/8\ndeny 11.1.0.0/16\nallow 10.9.0.0/16");
    let exempt = ["10.1.0.0/16", "11.0.0.0/8", "10.9.8.7", "10.0.0.0/8", "::1"].map(network);
    let guard = Guard::open(&file.0).expect("it is right").exempting(exempt);
    let elsewhere = Elsewhere::default();
    guard.attach(Box::new(elsewhere.clone()));
    let told = [
        "deny 10.0.0.0/8",
        "allow 11.0.0.0/8",
        "allow 10.9.0.0/16",
        "deny 11.1.0.0/16",
        "allow ::1/128",
        "allow 10.9.8.7/32",
    ];
    assert_eq!(elsewhere.told(), told);
    assert_eq!(guard.counts(), Counts { deny: 2, allow: 1 }, "the list is what it was");
    assert!(guard.remove(network("10.0.0.0/8")).is_some());
    assert!(elsewhere.told().contains(&"allow 10.1.0.0/16".to_owned()), "not denied any more");
}

/// Some networks of IPv4 that lie within each other and side by side, each once.
fn networks(draw: &mut Draw) -> Vec<Network> {
    let mut networks: Vec<_> = (0..draw.below(20))
        .map(|_| {
            let bits = draw.below(33);
            let few = (draw.word() & 0xC000_0003) | 0x0A00_0000;
            let first = few & u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            Network::new(IpAddr::from(first.to_be_bytes()), bits).expect("nothing is behind it")
        })
        .collect();
    networks.sort_unstable();
    networks.dedup();
    networks
}

#[test]
fn another_table_judges_as_the_node_does_by_its_list_and_by_who_is_exempt() {
    for seed in 0..300 {
        let mut draw = Draw::new(seed);
        let exempt = networks(&mut draw);
        let verdicts = [Verdict::Deny, Verdict::Allow];
        let prefixes = networks(&mut draw);
        let prefixes = prefixes.into_iter().map(|it| (it, verdicts[draw.below(2) as usize]));
        let guard = Guard::from(Prefixes(prefixes.collect())).exempting(exempt.iter().copied());
        let elsewhere = Elsewhere::default();
        guard.attach(Box::new(elsewhere.clone()));
        let told = elsewhere.told().join("\n");
        let other =
            Guard::from(Prefixes::parse(Path::new("told"), told.as_bytes()).expect("lines"));
        let said: Vec<_> = guard.lock().prefixes.iter().map(|(network, _)| network).collect();
        for network in said.iter().chain(&exempt) {
            for end in [network.first(), network.last()] {
                let is_exempt = exempt.iter().any(|it| it.contains(end));
                let by_node =
                    guard.verdict(end.into()).or_else(|| is_exempt.then_some(Verdict::Allow));
                assert_eq!(other.verdict(end.into()), by_node, "seed {seed}: {end:?}");
            }
        }
    }
}

#[test]
fn another_table_is_told_everything_and_may_fail() {
    let file = File::new("told", "deny 10.0.0.0/8");
    let guard = Arc::new(Guard::open(&file.0).expect("it is right"));
    let (elsewhere, probes) = (Elsewhere::default(), Probes::new());
    guard.register(&probes).expect("it is the only one");
    guard.attach(Box::new(elsewhere.clone()));
    assert_eq!(elsewhere.told(), ["deny 10.0.0.0/8"]);
    let _ = guard.set(network("::1"), Verdict::Allow);
    assert_eq!(elsewhere.told(), ["deny 10.0.0.0/8", "allow ::1/128"]);
    elsewhere.fails(true);
    assert!(guard.remove(network("10.0.0.0/8")).is_some());
    assert_eq!(guard.verdict(ip("10.0.0.1")), None, "the node goes by what it was told");
    assert_eq!(elsewhere.told(), ["deny 10.0.0.0/8", "allow ::1/128"]);
    let shown = probes.read()["guard"].clone();
    assert_eq!([&shown["tables"], &shown["table_failures"], &shown["changes"]], [1, 1, 3]);
    elsewhere.fails(false);
    let _ = guard.reload();
    assert_eq!(elsewhere.told(), ["deny 10.0.0.0/8"], "all of it, whatever it missed");
}
