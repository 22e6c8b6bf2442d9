//! Quotas found in trees laid out like those of real systems.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const V2: &str = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
const V1: &str = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";

/// A file system in a temporary directory, removed with the test.
struct Tree(PathBuf);

impl Tree {
    fn new(group: &str, mounts: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("weir-cgroup-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let tree = Self(std::env::temp_dir().join(name));
        tree.with("proc/self/cgroup", group).with("proc/self/mountinfo", mounts)
    }

    fn with(self, path: &str, text: &str) -> Self {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn v1(self, group: &str, usecs: &str, period: &str) -> Self {
        let group = format!("sys/fs/cgroup/cpu,cpuacct{group}");
        self.with(&format!("{group}/cpu.cfs_quota_us"), usecs)
            .with(&format!("{group}/cpu.cfs_period_us"), period)
    }

    fn v2(self, group: &str, max: &str) -> Self {
        self.with(&format!("sys/fs/cgroup{group}/cpu.max"), max)
    }

    fn quota(&self) -> Option<Quota> {
        quota(&self.0).unwrap()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn of(usecs: u64, period_usecs: u64) -> Option<Quota> {
    Some(Quota::new(usecs, period_usecs).unwrap())
}

#[test]
fn v2_says_microseconds_and_period() {
    let tree = |max| Tree::new("0::/weir\n", V2).v2("/weir", max);
    assert_eq!(tree("250000 100000\n").quota(), of(250_000, 100_000));
    assert_eq!(tree("5000 10000\n").quota(), of(5_000, 10_000));
    assert_eq!(tree("max 100000\n").quota(), None);
}

#[test]
fn v1_says_them_in_two_files() {
    let tree = |usecs| {
        Tree::new("5:cpuset:/elsewhere\n4:cpu,cpuacct:/weir\n", V1).v1("/weir", usecs, "100000\n")
    };
    assert_eq!(tree("50000\n").quota(), of(50_000, 100_000));
    assert_eq!(tree("-1\n").quota(), None);
}

#[test]
fn the_tightest_ancestor_counts() {
    let v2 = |own, parent, top| {
        let tree = Tree::new("0::/a/b/c\n", V2);
        tree.v2("/a/b/c", own).v2("/a/b", parent).v2("/a", top).quota()
    };
    assert_eq!(v2("max 100000", "150000 100000", "max 100000"), of(150_000, 100_000));
    assert_eq!(v2("400000 100000", "max 100000", "20000 10000"), of(20_000, 10_000));
    assert_eq!(v2("100000 100000", "150000 100000", "400000 100000"), of(100_000, 100_000));

    let v1 = |own, parent| {
        let tree = Tree::new("4:cpu:/a/b\n", V1).v1("/a/b", own, "100000").v1("/", "-1", "100000");
        tree.v1("/a", parent, "50000").quota()
    };
    assert_eq!(v1("-1", "100000"), of(100_000, 50_000));
    assert_eq!(v1("150000", "100000"), of(150_000, 100_000));
    assert_eq!(v1("-1", "-1"), None);
}

#[test]
fn a_sibling_does_not_count() {
    let tree = Tree::new("0::/a/b\n", V2).v2("/a/b", "max 100000").v2("/a/c", "1000 100000");
    assert_eq!(tree.v2("/b", "1000 100000").quota(), None);
}

#[test]
fn in_a_container_the_mount_starts_at_its_group() {
    let seen = "30 24 0:26 /docker/f00 /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
    let tree = Tree::new("0::/docker/f00/weir\n", seen).v2("", "300000 100000");
    assert_eq!(tree.quota(), of(300_000, 100_000));
    assert_eq!(tree.v2("/weir", "200000 100000").quota(), of(200_000, 100_000));
}

#[test]
fn what_is_not_visible_is_not_counted() {
    for group in ["0::/docker/other\n", "0::/docker/f00/../other\n", "0::/../out\n"] {
        let seen = "30 24 0:26 /docker/f00 /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        let tree = Tree::new(group, seen).v2("", "100000 100000").v2("/other", "1000 100000");
        assert_eq!(tree.quota(), None, "{group}");
    }
    let tree = Tree::new("0::/../out\n", V2).v2("", "100000 100000").v2("/out", "1000 100000");
    assert_eq!(tree.quota(), None);
}

#[test]
fn in_a_mixed_system_the_tighter_hierarchy_counts() {
    let mounts = format!(
        "23 1 8:1 / / rw - ext4 /dev/sda rw\n{V1}33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup \
         cgroup rw,cpuset\n41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    );
    let tree = |max| {
        let tree = Tree::new("4:cpu,cpuacct:/old\n3:cpuset:/\n0::/new\n", &mounts);
        tree.v1("/old", "200000", "100000").v2("/new", max).quota()
    };
    assert_eq!(tree("max 100000"), of(200_000, 100_000));
    assert_eq!(tree("300000 100000"), of(200_000, 100_000));
    assert_eq!(tree("100000 100000"), of(100_000, 100_000));
}

#[test]
fn names_may_hold_colons_and_spaces() {
    let mounts = r"30 24 0:26 / /sys/fs/cgroup/a\040b\134 rw - cgroup2 cgroup2 rw";
    let tree = Tree::new("0::/unit:1/x y\n", mounts);
    let tree = tree.with(r"sys/fs/cgroup/a b\/unit:1/x y/cpu.max", "70000 100000");
    assert_eq!(tree.quota(), of(70_000, 100_000));
    assert_eq!(unescape(r"\9\04"), Path::new(r"\9\04"), "no octal digits, too few");
}

#[test]
fn nothing_there_is_no_quota() {
    let tree = Tree::new("0::/weir\n", V2);
    assert_eq!(tree.quota(), None, "no file in any group");
    assert_eq!(quota(&tree.0.join("nowhere")).unwrap(), None, "no /proc");
    assert_eq!(Tree::new("", V2).quota(), None);
    assert_eq!(Tree::new("0::/weir\n", "").quota(), None);
    assert_eq!(Tree::new("broken\n4:cpu\n", "broken - cgroup2\n- cgroup\n").quota(), None);
}

#[test]
fn nonsense_is_an_error_that_names_the_file() {
    for max in ["", "many 100000", "100000", "100000 0", "0 100000", "-5 100000"] {
        let error = quota(&Tree::new("0::/weir\n", V2).v2("/weir", max).0).unwrap_err().to_string();
        assert!(error.contains("weir/cpu.max says"), "{error}");
        assert!(error.ends_with(&format!("{max:?}, which is no CPU quota")), "{error}");
    }
    for (usecs, period, file) in
        [("x", "100000", "cpu.cfs_quota_us"), ("50000", "", "cpu.cfs_period_us")]
    {
        let tree = Tree::new("4:cpu:/weir\n", V1).v1("/weir", usecs, period);
        let error = quota(&tree.0).unwrap_err().to_string();
        assert!(error.contains(file), "{error}");
    }
    let tree = Tree::new("0::/weir\n", V2).with("sys/fs/cgroup/weir/cpu.max/in", "a directory");
    let error = quota(&tree.0).unwrap_err().to_string();
    assert!(error.starts_with("cannot read") && error.contains("cpu.max"), "{error}");
}

#[test]
fn whole_cpus_are_rounded_down_but_never_to_none() {
    for (usecs, whole, shown) in [
        (50_000, 1, "0.5"),
        (100_000, 1, "1"),
        (199_999, 1, "1.99"),
        (250_000, 2, "2.5"),
        (800_000, 8, "8"),
        (1, 1, "0.01"),
    ] {
        let quota = Quota::new(usecs, 100_000).unwrap();
        assert_eq!((quota.whole_cpus(), quota.to_string().as_str()), (whole, shown));
    }
    let quota = Quota::new(250_000, 100_000).unwrap();
    assert!(quota.is_exceeded_by(3) && !quota.is_exceeded_by(2));
    assert_eq!((Quota::new(0, 1), Quota::new(1, 0)), (None, None));
}

#[test]
fn this_process_has_a_quota_or_none_but_no_error() {
    quota(Path::new("/")).unwrap();
}
