//! Two processes that make the same runs: what both say is said once, and where they differ, that
//! is a failure of its own.

use std::collections::VecDeque;
use std::io;

use tokio::select;

use super::answer::{Answer, Broken, How};
use super::job::Job;
use super::process::{Launch, Process};

/// Two processes and the jobs that they have in common.
pub(crate) struct Pairs {
    sides: [Side; 2],
    /// Asked of both and not told, in order.
    jobs: VecDeque<Job>,
}

struct Side {
    process: Process,
    answers: VecDeque<(u64, Answer)>,
}

/// A run that both made.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) job: Job,
    /// The processor time of both together, in nanoseconds.
    pub(crate) cpu_nanos: u64,
    pub(crate) answer: Answer,
}

impl Pairs {
    pub(crate) fn start(launch: &Launch) -> io::Result<Self> {
        let side = || {
            let process = Process::start(launch)?;
            Ok::<_, io::Error>(Side { process, answers: VecDeque::new() })
        };
        Ok(Self { sides: [side()?, side()?], jobs: VecDeque::new() })
    }

    pub(crate) async fn ask(&mut self, job: Job) {
        for side in &mut self.sides {
            side.process.ask(job.clone()).await;
        }
        self.jobs.push_back(job);
    }

    /// Jobs that are asked and not told.
    pub(crate) fn waiting(&self) -> impl ExactSizeIterator<Item = &Job> {
        self.jobs.iter()
    }

    /// What came of the next job, once both have made it. Nothing is lost if this is dropped.
    ///
    /// # Errors
    /// If a process cannot be started.
    ///
    /// # Panics
    /// If nothing was asked.
    pub(crate) async fn told(&mut self) -> io::Result<Told> {
        let [one, other] = &mut self.sides;
        while one.answers.is_empty() || other.answers.is_empty() {
            select! {
                biased;
                answer = one.process.answer(), if one.process.owes() => {
                    one.answers.push_back(answer?);
                }
                answer = other.process.answer(), if other.process.owes() => {
                    other.answers.push_back(answer?);
                }
            }
        }
        let job = self.jobs.pop_front().expect("a job was asked of both");
        let (cpu, answer) = one.answers.pop_front().expect("the one has answered");
        let (other_cpu, other_answer) = other.answers.pop_front().expect("so has the other");
        let answer = together(&job, answer, other_answer);
        Ok(Told { job, cpu_nanos: cpu + other_cpu, answer })
    }
}

/// What two processes say of one run.
fn together(job: &Job, one: Answer, other: Answer) -> Answer {
    let cut_short = |answer: &Answer| {
        answer.as_ref().is_err_and(|broken| matches!(broken.how, How::Died | How::Hung))
    };
    match (one, other) {
        // Last words may differ; that it came to no end does not.
        (one, other) if cut_short(&one) && cut_short(&other) => one,
        (one, other) if one == other => one,
        (one, other) => Err(disagreed(job, &one, &other)),
    }
}

fn disagreed(job: &Job, one: &Answer, other: &Answer) -> Broken {
    let what = format!("the two processes disagree on seed {} of {}", job.seed, job.world);
    let mut lines = vec![format!("one: {}", said(one)), format!("the other: {}", said(other))];
    if let (Ok(one), Ok(other)) = (one, other) {
        let differ = one.tally.iter().filter(|(of, count)| other.tally.get(of) != Some(count));
        lines.extend(differ.map(|((group, name), count)| {
            let others = other.tally.get(&(*group, name.clone())).copied().unwrap_or(0);
            format!("{group}, {name}: {count} and {others}")
        }));
    }
    Broken { how: How::Disagreed, what, hash: 0, lines }
}

fn said(answer: &Answer) -> String {
    match answer {
        Ok(numbers) => format!(
            "hash={:016x} events={} actions={} virtual={} ns",
            numbers.hash, numbers.events, numbers.actions, numbers.nanos
        ),
        Err(broken) => format!("hash={:016x} {}", broken.hash, broken.sentence()),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Duration;

    use sim::worlds::World;

    use super::*;

    /// Answers each job by these lines of a shell, in which `$job` is what is asked.
    fn fake(body: &str) -> Launch {
        let script = format!("while read -r job; do {body}; done");
        let args = vec!["-c".to_owned(), script];
        Launch { program: "sh".into(), args, run_max: Duration::from_secs(20) }
    }

    fn tell(launch: &Launch, seeds: u64) -> Vec<Told> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let mut pairs = Pairs::start(launch).expect("a shell starts");
            for seed in 1..=seeds {
                pairs.ask(Job::new(World::Mesh, seed)).await;
            }
            let mut told = Vec::new();
            while pairs.waiting().len() > 0 {
                told.push(pairs.told().await.expect("a shell starts"));
            }
            told
        })
    }

    const HONEST: &str = r"set -- $job; printf '7\tkept\t%s\t1\t2\t3\tfaults:cuts=4\n' $2";

    #[test]
    fn two_that_agree_are_one_answer() {
        let told = tell(&fake(HONEST), 3);
        let hashes = told.iter().map(|told| told.answer.as_ref().expect("kept").hash);
        assert_eq!(hashes.collect::<Vec<_>>(), [1, 2, 3]);
        assert!(told.iter().all(|told| told.cpu_nanos == 14));
    }

    #[test]
    fn one_that_lies_is_found_by_its_seed() {
        // The number of the process stands in the hash of the second run.
        let lies = format!(
            "case $job in *2) printf '7\\tkept\\t%s\\t1\\t2\\t3\\n' $$;; *) {HONEST};; esac"
        );
        let told = tell(&fake(&lies), 3);
        assert!(told[0].answer.is_ok() && told[2].answer.is_ok());
        let broken = told[1].answer.as_ref().expect_err("they differ");
        assert_eq!(broken.how, How::Disagreed);
        assert_eq!(broken.what, "the two processes disagree on seed 2 of mesh");
        assert!(broken.lines[0].starts_with("one: hash="), "{broken:?}");
    }

    #[test]
    fn one_that_lies_about_a_count_only_is_found_too() {
        let lies = r"printf '7\tkept\t1\t1\t2\t3\tfaults:cuts=%s\n' $$";
        let told = tell(&fake(lies), 1);
        let broken = told[0].answer.as_ref().expect_err("they differ");
        assert!(broken.lines[2].starts_with("faults, cuts: "), "{broken:?}");
    }

    #[test]
    fn a_process_that_dies_is_an_answer_and_the_next_job_has_another_one() {
        let dies = format!("case $job in *2) echo alas >&2; kill -9 $$;; *) {HONEST};; esac");
        let told = tell(&fake(&dies), 3);
        assert!(told[0].answer.is_ok() && told[2].answer.is_ok());
        let broken = told[1].answer.as_ref().expect_err("it died");
        assert_eq!(
            (broken.how, broken.lines.as_slice()),
            (How::Died, ["alas".to_owned()].as_slice())
        );
        assert!(broken.what.contains("signal: 9"), "{broken:?}");
    }

    #[test]
    fn a_run_without_an_end_is_an_answer_and_the_next_job_has_another_process() {
        let hangs = format!("case $job in *2) sleep 1000;; *) {HONEST};; esac");
        let launch = Launch { run_max: Duration::from_secs(2), ..fake(&hangs) };
        let told = tell(&launch, 3);
        assert!(told[0].answer.is_ok() && told[2].answer.is_ok());
        let broken = told[1].answer.as_ref().expect_err("it came to no end");
        assert_eq!((broken.how, broken.what.as_str()), (How::Hung, "no end after 2 s"));
    }

    #[test]
    fn words_that_are_no_answer_are_not_taken_for_one() {
        let told = tell(&fake("echo hello"), 1);
        let broken = told[0].answer.as_ref().expect_err("no answer");
        assert_eq!(broken.what, "the process said hello");
    }
}
