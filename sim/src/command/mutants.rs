//! Each deliberate fault, the world and the promise that are to find it, and on which seed they do.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use gateway_faults::Mutant;
use sim::mutants::{Entry, SEEDS_MAX, TWINS, Twin, all};

use super::answer::{Broken, How};
use super::job::Job;
use super::process::{Launch, Process};

/// Searches for all of them, or for one.
///
/// # Errors
/// If a process cannot be started, or the file of the twins not be read.
pub(crate) async fn run(one: Option<Mutant>, twins: Option<&Path>) -> io::Result<ExitCode> {
    let asked = all().into_iter().filter(|entry| one.is_none_or(|one| one == entry.mutant));
    let entries = RefCell::new(asked.collect::<VecDeque<_>>());
    let rows = RefCell::new(Vec::new());
    // Each core looks for one at a time.
    tokio::try_join!(search_all(&entries, &rows), search_all(&entries, &rows))?;
    let mut rows = rows.into_inner();
    rows.sort_by_key(|row| row.entry.mutant);
    println!("{}", Row::HEAD);
    rows.iter().for_each(|row| println!("{row}"));
    let mut missed: Vec<_> =
        rows.iter().filter(|row| !row.is_found()).map(|row| row.entry.mutant.name()).collect();
    let mut count = rows.len();
    if let Some(file) = twins {
        missed.extend(tell_twins(&fs::read_to_string(file)?));
        count += TWINS.len();
    } else if one.is_none() {
        println!("{} more are loom's to find: `cargo xtask sim --mutants` asks it", TWINS.len());
    }
    println!("{} of {count} found", count - missed.len());
    if !missed.is_empty() {
        println!("NOT FOUND: {}", missed.join(", "));
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn search_all(
    entries: &RefCell<VecDeque<Entry>>,
    rows: &RefCell<Vec<Row>>,
) -> io::Result<()> {
    let mut process = Process::start(&Launch::this()?)?;
    loop {
        let Some(entry) = entries.borrow_mut().pop_front() else { return Ok(()) };
        let row = search(&mut process, entry).await?;
        rows.borrow_mut().push(row);
    }
}

/// Looks at one seed after another until the fault breaks the promise that it is said to break.
async fn search(process: &mut Process, entry: Entry) -> io::Result<Row> {
    let mut others = Vec::new();
    for seed in 1..=SEEDS_MAX {
        let clean = Job::new(entry.world, seed);
        process.ask(Job { mutant: Some(entry.mutant), ..clean.clone() }).await;
        let (_, answer) = process.answer().await?;
        let Err(broken) = answer else { continue };
        if !is_by(&entry, broken.how) {
            others.push((seed, broken));
            continue;
        }
        process.ask(clean).await;
        // A seed on which Weir fails anyhow says nothing about the fault.
        let unfaulted = process.answer().await?.1.err();
        return Ok(Row { entry, death: Some((seed, broken)), others, unfaulted });
    }
    Ok(Row { entry, death: None, others, unfaulted: None })
}

/// Whether a run that broke so broke the fault's promise. Where Weir's own code finds an invariant
/// broken before the checker does, no promise is named.
fn is_by(entry: &Entry, how: How) -> bool {
    match how {
        How::Promise(promise) => promise == entry.promise,
        How::Itself => true,
        How::Died | How::Hung | How::Disagreed => false,
    }
}

/// What came of the search for one.
struct Row {
    entry: Entry,
    /// The seed that found it, and what that broke.
    death: Option<(u64, Broken)>,
    /// Seeds that broke something else before.
    others: Vec<(u64, Broken)>,
    /// What that seed breaks without the fault.
    unfaulted: Option<Broken>,
}

impl Row {
    const HEAD: &str = "fault                  world    promise           seed  what was said";

    fn is_found(&self) -> bool {
        self.death.is_some() && self.unfaulted.is_none()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entry: Entry { mutant, world, promise }, death, others, unfaulted } = self;
        let (mutant, world, promise) = (mutant.name(), world.name(), promise.to_string());
        write!(f, "{mutant:22} {world:8} {promise:17} ")?;
        match death {
            Some((seed, broken)) => write!(f, "{seed:>4}  {}", broken.what)?,
            None => write!(f, "   -  not within {SEEDS_MAX} seeds")?,
        }
        if let Some((seed, broken)) = others.first() {
            write!(f, " (seed {seed} before: {})", broken.sentence())?;
        }
        if let Some(broken) = unfaulted {
            write!(f, " (BUT WITHOUT THE FAULT, TOO: {})", broken.sentence())?;
        }
        Ok(())
    }
}

/// The rows of what loom was asked; which it did not find.
fn tell_twins(said: &str) -> Vec<&'static str> {
    let mut missed = Vec::new();
    for Twin { name, test, promise } in TWINS {
        let found = passed(said, test);
        let promise = promise.to_string();
        let what = if found { "loom finds it" } else { "NOT FOUND" };
        println!("{name:22} loom     {promise:17}    -  {what}: {test}");
        if !found {
            missed.push(name);
        }
    }
    missed
}

/// Whether a test passed, by what cargo said.
fn passed(said: &str, test: &str) -> bool {
    said.lines().any(|line| {
        let words: Vec<_> = line.split(' ').collect();
        matches!(words[..], ["test", name, "...", "ok"] if name.ends_with(test))
    })
}

#[cfg(test)]
mod tests {
    use sim::promise::Promise;

    use super::*;

    fn row(death: Option<How>) -> Row {
        let entry = all()[0];
        let broken = |how| Broken { how, what: "it broke".into(), hash: 0, lines: Vec::new() };
        let death = death.map(|how| (7, broken(how)));
        Row { entry, death, others: Vec::new(), unfaulted: None }
    }

    #[test]
    fn a_fault_is_found_by_its_promise_or_by_weirs_own_invariants() {
        let entry = all()[0];
        let other = Promise::ALL.into_iter().find(|promise| *promise != entry.promise);
        assert!(is_by(&entry, How::Promise(entry.promise)) && is_by(&entry, How::Itself));
        for how in [How::Promise(other.expect("there are ten")), How::Hung, How::Died] {
            assert!(!is_by(&entry, how), "{how:?}");
        }
    }

    #[test]
    fn a_row_says_who_found_it_or_that_nobody_did() {
        let found = row(Some(How::Itself));
        assert!(found.is_found() && found.to_string().ends_with("   7  it broke"), "{found}");
        let missed = row(None);
        assert!(!missed.is_found() && missed.to_string().contains("not within 500"), "{missed}");
    }

    #[test]
    fn a_seed_that_fails_without_the_fault_finds_nothing() {
        let unfaulted = row(Some(How::Itself)).death.map(|(_, broken)| broken);
        let vain = Row { unfaulted, ..row(Some(How::Itself)) };
        assert!(!vain.is_found() && vain.to_string().contains("WITHOUT THE FAULT"), "{vain}");
    }

    #[test]
    fn loom_found_what_its_test_says() {
        let said = "running 2 tests\n\
                    test explored::ring::twin_a ... ok\n\
                    test explored::ring::twin_b ... FAILED\n";
        assert!(passed(said, "ring::twin_a"));
        assert!(!passed(said, "ring::twin_b") && !passed(said, "ring::twin_c"));
        assert_eq!(tell_twins("").len(), TWINS.len());
    }
}
