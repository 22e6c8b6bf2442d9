//! More threads than loom can hold, in random schedules that are the same in each run.
//!
//! Shuttle changes threads at each operation on what they share, uniformly or by PCT, which
//! changes priorities at few random points. It sees operations in one order for all: what weaker
//! ones may show is loom's matter. Each promise is run by both, from fixed seeds; beside it stands
//! a twin that breaks one rule, and that must be found out.
//!
//! A failure prints its schedule. `WEIR_SCHEDULE`, with that as its value, has a test run by that
//! schedule alone.

mod census;
mod load;
mod mailbox;
mod mesh;
mod rooms;
mod shown;
mod standings;

use std::any::Any;
use std::env;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::{Config, FailurePersistence, Runner};

const SEED: u64 = 0x5eed;
/// Points at which PCT changes priorities. A lost wake-up needs two or three.
const DEPTH: usize = 3;
/// How often a twin may pass before its rule is in vain.
const TWIN_SCHEDULES: usize = 5_000;

/// Rules of which one is broken.
macro_rules! twin {
    ($name:ident: $rule:ident = false) => {
        #[derive(Debug)]
        struct $name;

        impl crate::rules::Rules for $name {
            const $rule: bool = false;
        }
    };
}
use twin;

/// Runs a model that must hold in so many schedules of each kind.
fn holds(name: &str, schedules: usize, model: impl Fn() + Copy + Send + Sync + 'static) {
    if let Ok(schedule) = env::var("WEIR_SCHEDULE") {
        return shuttle::replay(model, &schedule);
    }
    for (kind, scheduler) in kinds(schedules) {
        say(&format!("{name}: {schedules} schedules, {kind}"));
        run(scheduler, FailurePersistence::Print, model);
    }
}

/// Runs a twin that must fail with this complaint, in schedules of one kind at least.
fn is_found_out(name: &str, complaint: &str, twin: impl Fn() + Copy + Send + Sync + 'static) {
    let runs = Arc::new(AtomicUsize::new(0));
    for (kind, scheduler) in kinds(TWIN_SCHEDULES) {
        let counted = Arc::clone(&runs);
        runs.store(0, Ordering::Relaxed);
        let found = catch_unwind(AssertUnwindSafe(|| {
            run(scheduler, FailurePersistence::None, move || {
                counted.fetch_add(1, Ordering::Relaxed);
                twin();
            });
        }));
        let Err(panic) = found else { continue };
        let text = panic_text(&*panic);
        assert!(text.contains(complaint), "{name} failed otherwise: {text}");
        let runs = runs.load(Ordering::Relaxed);
        return say(&format!("{name}: found out in schedule {runs}, {kind}"));
    }
    panic!("{name}: its rule is in vain");
}

fn kinds(schedules: usize) -> [(&'static str, Box<dyn Scheduler + Send>); 2] {
    [
        ("PCT", Box::new(PctScheduler::new_from_seed(SEED, DEPTH, schedules))),
        ("random", Box::new(RandomScheduler::new_from_seed(SEED, schedules))),
    ]
}

fn run(
    scheduler: Box<dyn Scheduler + Send>,
    persistence: FailurePersistence,
    model: impl Fn() + Send + Sync + 'static,
) {
    let mut config = Config::new();
    config.failure_persistence = persistence;
    Runner::new(scheduler, config).run(model);
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default()
}

/// Past the test harness, which would keep it to itself.
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("standard error is open");
}

/// A thread that sleeps until its waker is called; for ever if it never is, which shuttle reports.
struct Sleeper {
    bell: Arc<Bell>,
    waker: Waker,
}

#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().expect("nobody panics") = true;
        self.changed.notify_one();
    }
}

impl Sleeper {
    fn new() -> Self {
        let bell = Arc::new(Bell::default());
        Self { waker: Arc::clone(&bell).into(), bell }
    }

    fn sleep(&self) {
        let mut rung = self.bell.rung.lock().expect("nobody panics");
        while !*rung {
            rung = self.bell.changed.wait(rung).expect("nobody panics");
        }
        *rung = false;
    }
}

#[test]
#[ignore = "fails on purpose; the test below runs it"]
fn a_twin_that_fails() {
    holds("mailbox, twin", TWIN_SCHEDULES, mailbox::twin_that_rings_with_the_lock);
}

/// By the schedule that a failure prints, the same fails again, in another process too.
#[test]
fn a_schedule_that_failed_fails_again() {
    let fails = |schedule: Option<&str>| {
        let mut twin = Command::new(env::current_exe().unwrap());
        twin.args(["shuffled::a_twin_that_fails", "--exact", "--ignored", "--nocapture"]);
        let output = twin.envs(schedule.map(|it| ("WEIR_SCHEDULE", it))).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let deadlock =
        |said: &str| said.lines().find(|line| line.contains("deadlock!")).map(str::to_owned);
    let said = fails(None);
    let schedule = said.split('"').nth(1).expect("a schedule is printed");
    assert!(deadlock(&said).is_some());
    assert_eq!(deadlock(&fails(Some(schedule.trim()))), deadlock(&said));
}
