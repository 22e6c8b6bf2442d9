//! Collects what a crowd of clients is to receive, without the server noticing.
//!
//! The load sleeps and then reads what is there. Clients that wait in a poller would be woken
//! by each send, and the kernel bills a wake-up on loopback to the one who sends.

use std::fmt;
use std::time::Duration;

use anyhow::Result;

use crate::client::{Client, Expected};
use crate::machine;

/// How long the load sleeps at a time.
const PAUSE: Duration = Duration::from_micros(100);

/// How long messages may take, if the machine is very busy.
const DELIVERY_WAIT: Duration = Duration::from_secs(60);

/// A message may be a little longer than expected, so that too many bytes are seen at once.
const SCRATCH_BYTES: usize = 1 << 20;

/// What was waited for in vain.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) deliveries: u64,
    /// Of so many.
    all: u64,
    waited: Duration,
}

/// What collecting needs and keeps.
pub(crate) struct Sweep {
    /// How long a message may take to reach everyone.
    pub(crate) wait: Duration,
    /// Indices of clients that do not have everything yet.
    missing: Vec<usize>,
    scratch: Vec<u8>,
}

impl Sweep {
    pub(crate) fn new() -> Self {
        Self { wait: DELIVERY_WAIT, missing: Vec::new(), scratch: vec![0; SCRATCH_BYTES] }
    }

    /// Waits until each client has received what is expected, and nothing else.
    ///
    /// # Errors
    /// [`Lost`] if not everything came; or says what came instead.
    pub(crate) fn collect(&mut self, clients: &mut [Client], expected: &Expected) -> Result<()> {
        let deadline = machine::now() + self.wait;
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
                return Err(self.losses(clients, expected).into());
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

    fn losses(&self, clients: &[Client], expected: &Expected) -> Lost {
        let whole = |index: &usize| clients[*index].got() / expected.frame_bytes;
        let got: usize = self.missing.iter().map(whole).sum();
        let lost = self.missing.len() * expected.bytes.len() / expected.frame_bytes - got;
        let all = clients.len() * expected.bytes.len() / expected.frame_bytes;
        Lost { deliveries: lost as u64, all: all as u64, waited: self.wait }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deliveries, all, waited } = self;
        write!(f, "lost {deliveries} of {all} deliveries, waited {waited:?}")
    }
}

impl std::error::Error for Lost {}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::{frames, upgrade};

    /// Clients, and the other ends of their connections.
    fn crowd(count: usize) -> (Vec<Client>, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let connect = move |_| Client::connect(addr, "/").unwrap();
        let clients = std::thread::spawn(move || (0..count).map(connect).collect());
        let accept = |_| {
            let (mut server, _) = listener.accept().unwrap();
            upgrade::accept(&mut server).unwrap();
            server
        };
        let servers = (0..count).map(accept).collect();
        (clients.join().unwrap(), servers)
    }

    #[test]
    fn what_reaches_everyone_is_collected() {
        let bytes = frames::preframed(300, 2);
        let expected = Expected { frame_bytes: bytes.len() / 2, bytes };
        let (mut clients, mut servers) = crowd(5);
        for server in &mut servers {
            server.write_all(&expected.bytes).unwrap();
        }
        Sweep::new().collect(&mut clients, &expected).unwrap();
    }

    #[test]
    fn what_does_not_arrive_is_counted() {
        let bytes = frames::preframed(300, 2);
        let expected = Expected { frame_bytes: bytes.len() / 2, bytes };
        let (mut clients, mut servers) = crowd(5);
        for (index, server) in servers.iter_mut().enumerate() {
            // Three get everything, one gets half, one gets a part that is not a frame.
            let end = [usize::MAX, 1, 304, usize::MAX, usize::MAX][index];
            server.write_all(&expected.bytes[..end.min(expected.bytes.len())]).unwrap();
        }
        let mut sweep = Sweep { wait: Duration::from_millis(100), ..Sweep::new() };
        let error = sweep.collect(&mut clients, &expected).unwrap_err().to_string();
        assert!(error.contains("lost 3 of 10 deliveries"), "{error}");
    }
}
