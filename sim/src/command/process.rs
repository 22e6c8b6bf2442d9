//! A process that makes runs: it is asked, it answers in the same order, and if it dies or hangs
//! instead, that is an answer too.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::select;
use tokio::time::{Instant, sleep_until, timeout};

use super::answer::{Answer, Broken, How, read};
use super::job::Job;

/// The longest that a run may take: hundreds of times what the slowest takes in a debug build.
pub(crate) const RUN_MAX: Duration = Duration::from_secs(120);
/// Lines of what a process said at last that are kept for when it dies.
const LINES_MAX: usize = 20;
/// Time for a dead process's last words to be read.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

/// How such a process is started.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// How long a run may take.
    pub(crate) run_max: Duration,
}

impl Launch {
    /// This program once more.
    pub(crate) fn this() -> io::Result<Self> {
        let args = vec!["--child".to_owned()];
        Ok(Self { program: std::env::current_exe()?, args, run_max: RUN_MAX })
    }
}

/// A process and what it has not answered yet.
pub(crate) struct Process {
    launch: Launch,
    alive: Alive,
    /// Asked and not answered, in order.
    asked: VecDeque<Job>,
    /// The last of them, that a process which was just started has not been handed yet.
    unhanded: usize,
    /// Since when the first of them is at work.
    since: Instant,
}

struct Alive {
    child: Child,
    jobs: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    words: Lines<BufReader<ChildStderr>>,
    said: VecDeque<String>,
    /// It has closed what it says such words on.
    silent: bool,
}

impl Process {
    pub(crate) fn start(launch: &Launch) -> io::Result<Self> {
        let alive = Alive::start(launch)?;
        let (launch, asked) = (launch.clone(), VecDeque::new());
        Ok(Self { launch, alive, asked, unhanded: 0, since: Instant::now() })
    }

    pub(crate) async fn ask(&mut self, job: Job) {
        if self.asked.is_empty() {
            self.since = Instant::now();
        }
        self.asked.push_back(job);
        self.unhanded += 1;
        self.hand().await;
    }

    async fn hand(&mut self) {
        while self.unhanded > 0 {
            self.alive.hand(&self.asked[self.asked.len() - self.unhanded]).await;
            self.unhanded -= 1;
        }
    }

    pub(crate) fn owes(&self) -> bool {
        !self.asked.is_empty()
    }

    /// The processor time and the answer to the first job that it owes one for. Nothing is lost
    /// if this is dropped before.
    ///
    /// # Errors
    /// If a process that died cannot be started again.
    pub(crate) async fn answer(&mut self) -> io::Result<(u64, Answer)> {
        self.hand().await;
        let until = self.since + self.launch.run_max;
        let heard = loop {
            // Answers first: what is said beside them belongs to later runs or to none.
            select! {
                biased;
                line = self.alive.answers.next_line() => break line.ok().flatten(),
                word = self.alive.words.next_line(), if !self.alive.silent => {
                    self.alive.keep(word.ok().flatten());
                }
                () = sleep_until(until) => {
                    let what = format!("no end after {} s", self.launch.run_max.as_secs_f64());
                    return self.again(How::Hung, what);
                }
            }
        };
        match heard.as_deref().map(read) {
            Some(Some(answer)) => {
                self.asked.pop_front();
                self.since = Instant::now();
                self.alive.said.clear();
                Ok(answer)
            }
            Some(None) => {
                let what = format!("the process said {}", heard.unwrap_or_default());
                self.again(How::Died, what)
            }
            None => {
                let status = self.alive.ended().await?;
                self.again(How::Died, format!("the process of the run ended ({status})"))
            }
        }
    }

    /// Ends the process, if it has not ended, and starts another one for the jobs after this.
    fn again(&mut self, how: How, what: String) -> io::Result<(u64, Answer)> {
        // It may have ended by itself.
        let _ = self.alive.child.start_kill();
        let lines = self.alive.said.drain(..).collect();
        self.alive = Alive::start(&self.launch)?;
        self.asked.pop_front();
        self.unhanded = self.asked.len();
        self.since = Instant::now();
        Ok((0, Err(Broken { how, what, hash: 0, lines })))
    }
}

impl Alive {
    fn start(launch: &Launch) -> io::Result<Self> {
        let mut command = Command::new(&launch.program);
        command.args(&launch.args).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A signal typed at a terminal is for the parent, which wants the answers under way.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn()?;
        let jobs = child.stdin.take().expect("it is a pipe");
        let answers = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
        let words = BufReader::new(child.stderr.take().expect("it is a pipe")).lines();
        Ok(Self { child, jobs, answers, words, said: VecDeque::new(), silent: false })
    }

    /// Who has died does not take it; its end is heard instead of an answer.
    async fn hand(&mut self, job: &Job) {
        let _ = self.jobs.write_all(format!("{job}\n").as_bytes()).await;
    }

    fn keep(&mut self, word: Option<String>) {
        self.silent = word.is_none();
        if self.said.len() == LINES_MAX {
            self.said.pop_front();
        }
        self.said.extend(word);
    }

    /// Its status, after its last words.
    async fn ended(&mut self) -> io::Result<std::process::ExitStatus> {
        let rest = async {
            while !self.silent {
                let word = self.words.next_line().await;
                self.keep(word.ok().flatten());
            }
        };
        let _ = timeout(LAST_WORDS_MAX, rest).await;
        self.child.wait().await
    }
}
