//! The emulated machine: QEMU without any help of the processor, and its console to talk over.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The most that a start may take, and an answer: two busy cores emulate four.
const BOOT_MAX: Duration = Duration::from_secs(180);
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Memory of each node, in MiB.
const NODE_MIB: u32 = 512;

/// What the kernel is told. Pages stay where they were first touched: otherwise it would move
/// those to where they are used, and hide that they were in the wrong place. Nor does it judge the
/// emulated clock, which a busy machine makes late.
const APPEND: &str = "console=ttyS0 loglevel=1 rdinit=/init panic=-1 mitigations=off \
                      numa_balancing=disable no_timer_check nowatchdog tsc=reliable";

/// A guest that runs; ended with this value, however that goes.
#[derive(Debug)]
pub(super) struct Guest {
    machine: Child,
    console: ChildStdin,
    lines: Receiver<String>,
}

/// What QEMU is told: two sockets, each a NUMA node of two CPUs with its own memory, and a network
/// device with a queue pair for each CPU.
fn args(kernel: &Path, initramfs: &Path, tap: &str) -> Vec<String> {
    let [kernel, initramfs] = [kernel, initramfs].map(|path| path.to_string_lossy());
    let memory = |node| format!("memory-backend-ram,id=memory{node},size={NODE_MIB}M");
    let numa = |node, cpus| format!("node,nodeid={node},cpus={cpus},memdev=memory{node}");
    let line = format!(
        "-machine q35 -accel tcg,thread=multi -cpu max -smp 4,sockets=2,cores=2 -m {}M \
         -object {} -object {} -numa {} -numa {} -nodefaults -display none -no-reboot \
         -serial stdio -netdev tap,id=net,ifname={tap},script=no,downscript=no,vhost=off,queues=4 \
         -device virtio-net-pci,netdev=net,mq=on,vectors=10",
        2 * NODE_MIB,
        memory(0),
        memory(1),
        numa(0, "0-1"),
        numa(1, "2-3"),
    );
    let mut args: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    // Paths and the kernel's line may have spaces.
    args.extend(["-kernel", &kernel, "-initrd", &initramfs, "-append", APPEND].map(str::to_owned));
    args
}

impl Guest {
    /// Starts it and waits until it listens to its console. All that it says goes to `log` too.
    ///
    /// # Errors
    /// If QEMU cannot be started, or the guest is not ready in time.
    pub(super) fn boot(kernel: &Path, initramfs: &Path, tap: &str, log: File) -> Result<Self> {
        let mut machine = Command::new("qemu-system-x86_64")
            .args(args(kernel, initramfs, tap))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start qemu-system-x86_64")?;
        let console = machine.stdin.take().expect("it is piped");
        let lines = lines(machine.stdout.take().expect("it is piped"), log);
        let mut guest = Self { machine, console, lines };
        guest.wait_for("@ready", BOOT_MAX, |_| {}).context("the guest does not start")?;
        Ok(guest)
    }

    /// Says a line to the guest's first program; gives the lines of its answer.
    ///
    /// # Errors
    /// If there is none in time.
    pub(super) fn ask(&mut self, line: &str) -> Result<Vec<String>> {
        writeln!(self.console, "{line}")?;
        self.console.flush()?;
        let asked = || format!("the guest does not answer to {line:?}");
        let verb = line.split(' ').next().unwrap_or(line);
        self.wait_for(&format!("@begin {verb}"), ANSWER_MAX, |_| {}).with_context(asked)?;
        let mut answer = Vec::new();
        let keep = |line: &str| answer.extend(content(line).map(str::to_owned));
        self.wait_for("@end", ANSWER_MAX, keep).with_context(asked)?;
        Ok(answer)
    }

    /// Has it power off, and waits for that.
    ///
    /// # Errors
    /// If it does not.
    pub(super) fn off(mut self) -> Result<()> {
        writeln!(self.console, "off")?;
        self.console.flush()?;
        let until = now() + ANSWER_MAX;
        while now() < until {
            if self.machine.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("the guest does not power off")
    }

    /// Reads up to a line with this mark.
    fn wait_for(&mut self, mark: &str, limit: Duration, mut keep: impl FnMut(&str)) -> Result<()> {
        let until = now() + limit;
        loop {
            let left = until.saturating_duration_since(now());
            let line = self.lines.recv_timeout(left);
            let line = line.with_context(|| format!("no {mark:?} on its console"))?;
            if line == mark {
                return Ok(());
            }
            keep(&line);
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.machine.kill();
        let _ = self.machine.wait();
    }
}

/// What a line of an answer says; others are the kernel's.
fn content(line: &str) -> Option<&str> {
    line.strip_prefix("= ").or_else(|| (line == "=").then_some(""))
}

/// Lines of the console as they come, without what a terminal adds.
fn lines(stdout: ChildStdout, mut log: File) -> Receiver<String> {
    let (tell, told) = channel();
    thread::spawn(move || {
        let mut console = BufReader::new(stdout).split(b'\n');
        while let Some(Ok(line)) = console.next() {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            // Nobody misses a log that cannot be written, nor lines that nobody waits for.
            let _ = writeln!(log, "{line}");
            let _ = tell.send(line);
        }
    });
    told
}

#[expect(clippy::disallowed_methods, reason = "a limit to real time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_emulated_and_has_two_nodes_and_four_queues() {
        let args = args(Path::new("/my cache/vmlinuz"), Path::new("initramfs"), "tap7");
        let line = args.join(" ");
        assert!(line.contains("-accel tcg,thread=multi") && !line.contains("kvm"), "{line}");
        assert!(line.contains("-numa node,nodeid=1,cpus=2-3,memdev=memory1"), "{line}");
        assert!(line.contains("-m 1024M") && line.contains("size=512M"), "{line}");
        assert!(line.contains("ifname=tap7") && line.contains("queues=4"), "{line}");
        let value = |flag| args.iter().skip_while(|arg| *arg != flag).nth(1).map(String::as_str);
        assert_eq!(value("-kernel"), Some("/my cache/vmlinuz"), "one word, be it with spaces");
        assert_eq!(value("-append"), Some(APPEND));
    }

    #[test]
    fn only_lines_of_the_answer_are_kept() {
        let lines = ["= 7f00 default anon=1", "=", "[   3.1] virtio_net virtio0", "= "];
        let kept: Vec<_> = lines.iter().filter_map(|line| content(line)).collect();
        assert_eq!(kept, ["7f00 default anon=1", "", ""]);
    }
}
