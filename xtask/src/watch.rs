//! A command that may not take for ever: a test that hangs becomes a failure that says so.

use std::fs;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often it is looked whether the command has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Waits for the command's end, for so long at most; then ends it with all that it started.
///
/// # Errors
/// If it took longer, or cannot be waited for.
pub(crate) fn wait(mut child: Child, limit: Duration) -> Result<ExitStatus> {
    let started = now();
    while started.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(LOOK.min(limit));
    }
    end(child.id());
    child.kill()?;
    child.wait()?;
    bail!("ended after {} minutes, the most that it may take", limit.as_secs_f32() / 60.0);
}

/// Ends whatever this process started, the youngest first. Where the system does not tell, that
/// ends by itself, or not.
fn end(parent: u32) {
    for child in children(parent) {
        end(child);
        // One that has ended meanwhile is none to end.
        let _ = Command::new("kill").args(["-KILL", &child.to_string()]).status();
    }
}

/// What any thread of a process has started: the system lists children by thread, and each test
/// has one of its own.
fn children(parent: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{parent}/task"));
    let lists = threads.into_iter().flatten().flatten();
    let lists = lists.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let ids = lists.flat_map(|list| list.split_whitespace().map(str::parse).collect::<Vec<_>>());
    ids.flatten().collect()
}

#[expect(clippy::disallowed_methods, reason = "a limit to real time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_command_that_ends_in_time_tells_how() {
        let child = Command::new("false").spawn().expect("it is there");
        let status = wait(child, Duration::from_secs(60)).expect("it ends");
        assert_eq!(status.code(), Some(1));
    }

    /// Only what the first thread had started was once ended, so nodes under test lived on.
    #[test]
    fn what_any_thread_has_started_is_known() {
        let (told, tell) = (mpsc::channel(), mpsc::channel::<()>());
        let thread = thread::spawn(move || {
            let child = Command::new("sleep").arg("600").spawn().expect("it is there");
            told.0.send(child).expect("somebody listens");
            let _ = tell.1.recv();
        });
        let mut child = told.1.recv().expect("it was started");
        let known = children(std::process::id());
        child.kill().expect("it has not ended");
        child.wait().expect("it is ours");
        drop(tell.0);
        thread.join().expect("it waits for nothing else");
        assert!(known.contains(&child.id()), "{known:?}");
    }

    #[test]
    fn a_command_that_hangs_is_ended_with_what_it_started() {
        let mut shell = Command::new("sh");
        let script = "sleep 600 & sleep 600 & echo begun; wait";
        let shell = shell.args(["-c", script]).stdout(Stdio::piped());
        let mut child = shell.spawn().expect("it is there");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        // What it starts is there when the wait begins, however long that takes.
        let mut line = String::new();
        output.read_line(&mut line).expect("it can be read");
        assert_eq!(line, "begun\n");
        let error = wait(child, Duration::from_millis(200)).expect_err("it hangs");
        assert!(error.to_string().contains("the most that it may take"), "{error}");
        // All who held the pipe have gone, or this would wait for ten minutes.
        assert_eq!(output.read(&mut [0]).expect("it can be read"), 0);
    }
}
