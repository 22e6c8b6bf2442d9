//! A contestant whose clients have a descriptor table of their own: a process may not have as many
//! as two crowds need.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, unshare};

use crate::contestant::Plays;
use crate::cost::Cost;

/// How long a contestant is left alone at most: less than servers wait for an answer to a ping.
const PATIENCE: Duration = Duration::from_secs(8);

/// What is asked of the thread: burst and times.
type Turn = (usize, usize);

/// A contestant on a thread of its own. Only one of them is at work at a time.
pub(crate) struct Apart {
    name: &'static str,
    /// Gone when the contestant is to end.
    turns: Option<Sender<Turn>>,
    costs: Receiver<Result<Cost>>,
    thread: Option<JoinHandle<()>>,
}

impl Apart {
    /// Makes the contestant on its thread, which stays where this one is pinned.
    ///
    /// # Errors
    /// If it cannot be made, or not have descriptors of its own.
    pub(crate) fn new<P: Plays>(
        name: &'static str,
        make: impl FnOnce() -> Result<P> + Send + 'static,
    ) -> Result<Self> {
        let (turns, asked) = channel::<Turn>();
        let (tell, costs) = channel();
        let thread = std::thread::spawn(move || {
            let own = unshare(CloneFlags::CLONE_FILES).context("no descriptor table of its own");
            let mut contestant = match own.and_then(|()| make()) {
                Ok(contestant) => contestant,
                Err(error) => return drop(tell.send(Err(error))),
            };
            // Nobody is left to be told if the other end is gone.
            let _ = tell.send(Ok(Cost::default()));
            let mut fault = None;
            loop {
                match asked.recv_timeout(PATIENCE) {
                    Ok((burst, times)) => {
                        let ran = fault.take().map_or_else(|| contestant.run(burst, times), Err);
                        let _ = tell.send(ran);
                    }
                    // Its clients are to answer pings while others take long.
                    Err(RecvTimeoutError::Timeout) => {
                        fault = fault.or_else(|| contestant.run(1, 1).err());
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        });
        let apart = Self { name, turns: Some(turns), costs, thread: Some(thread) };
        apart.cost()?;
        Ok(apart)
    }

    fn cost(&self) -> Result<Cost> {
        self.costs.recv().with_context(|| format!("{}: its thread ended", self.name))?
    }
}

impl Plays for Apart {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, burst: usize, times: usize) -> Result<Cost> {
        let turns = self.turns.as_ref().expect("it is there until it is dropped");
        turns.send((burst, times)).with_context(|| format!("{}: its thread ended", self.name))?;
        self.cost()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        drop(self.turns.take());
        if let Some(thread) = self.thread.take() {
            // What it had to say it has said.
            let _ = thread.join();
        }
    }
}
