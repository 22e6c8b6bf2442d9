//! Collects what a crowd of clients is to receive, without the server noticing.
//!
//! The load sleeps and then reads what is there. Clients that wait in a poller would be woken
//! by each send, and the kernel bills a wake-up on loopback to the one who sends.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::client::{Client, Expected};
use crate::machine;

/// How long the load sleeps at a time.
const PAUSE: Duration = Duration::from_micros(100);

/// How long a message may take to reach everyone.
const DELIVERY_WAIT: Duration = Duration::from_secs(10);

/// A message may be a little longer than expected, so that too many bytes are seen at once.
const SCRATCH_BYTES: usize = 1 << 20;

/// What collecting needs and keeps.
pub(crate) struct Sweep {
    /// Indices of clients that do not have everything yet.
    missing: Vec<usize>,
    scratch: Vec<u8>,
}

impl Sweep {
    pub(crate) fn new() -> Self {
        Self { missing: Vec::new(), scratch: vec![0; SCRATCH_BYTES] }
    }

    /// Waits until each client has received what is expected, and nothing else.
    ///
    /// # Errors
    /// Says how many deliveries were lost, or what came instead.
    pub(crate) fn collect(&mut self, clients: &mut [Client], expected: &Expected) -> Result<()> {
        let deadline = machine::now() + DELIVERY_WAIT;
        self.missing.clear();
        self.missing.extend(0..clients.len());
        while let Some(&last) = self.missing.last() {
            std::thread::sleep(PAUSE);
            let late = machine::now() > deadline;
            // Servers mostly serve in the order of arrival: while the last one has nothing, the
            // others' sockets are better left to the server's core.
            if clients[last].receive(expected, &mut self.scratch)? || late {
                self.pass(clients, expected)?;
            }
            if late && !self.missing.is_empty() {
                bail!("{}", self.losses(clients, expected));
            }
        }
        Ok(())
    }

    /// Reads from everyone who misses something.
    fn pass(&mut self, clients: &mut [Client], expected: &Expected) -> Result<()> {
        let mut fault = None;
        self.missing.retain(|&index| {
            let complete = clients[index].got() == expected.bytes.len();
            !complete
                && !clients[index].receive(expected, &mut self.scratch).unwrap_or_else(|error| {
                    fault = Some(error);
                    true
                })
        });
        fault.map_or(Ok(()), Err)
    }

    fn losses(&self, clients: &[Client], expected: &Expected) -> String {
        let whole = |index: &usize| clients[*index].got() / expected.frame_bytes;
        let got: usize = self.missing.iter().map(whole).sum();
        let lost = self.missing.len() * expected.bytes.len() / expected.frame_bytes - got;
        let all = clients.len() * expected.bytes.len() / expected.frame_bytes;
        format!("lost {lost} of {all} deliveries, waited {DELIVERY_WAIT:?}")
    }
}
