//! The bare `send` loop: told by a byte, it sends that many messages to every descriptor.

use std::io::Read;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use anyhow::Result;

use super::{Preframed, accept, send_whole};

/// The path of the connection whose bytes set the loop off.
pub(crate) const TRIGGER: &str = "/trigger";

/// Takes connections until the one that gives orders comes; ends when it leaves.
pub(super) fn run(listener: &TcpListener, preframed: &Preframed) -> Result<()> {
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    let mut trigger = loop {
        let Some((stream, path)) = accept(listener)? else { continue };
        if path == TRIGGER {
            break stream;
        }
        descriptors.push(stream.into());
    };
    // The upgrade is over; from now on orders may take as long as they like.
    trigger.set_read_timeout(None)?;
    let mut count = [0];
    while trigger.read(&mut count)? > 0 {
        let bytes = preframed.first(usize::from(count[0]))?;
        for fd in &descriptors {
            send_whole(fd, bytes)?;
        }
    }
    Ok(())
}
