//! Visitors that stay, and whose words come back again and again.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::visitor::{Step, Visitor};
use crate::clock;

/// Events that are taken at a time.
const EVENTS: usize = 64;
/// How long is waited before the clock is looked at.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Has each visitor say something as soon as the last has come back, until the time is over; how
/// often something came back.
///
/// # Errors
/// If a connection is lost, or what comes back is not what was said.
pub(super) fn play(visitors: &mut [Visitor], until: Instant) -> Result<u64> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("no epoll")?;
    for (index, visitor) in visitors.iter_mut().enumerate() {
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&epoll, visitor.socket(), data, epoll::EventFlags::IN)?;
        visitor.say().map_err(anyhow::Error::msg)?;
    }
    let (mut echoes, mut out) = (0, visitors.len());
    let mut events = Vec::with_capacity(EVENTS);
    while out > 0 {
        match epoll::wait(&epoll, spare_capacity(&mut events), Some(&LOOK)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("epoll"),
        }
        let goes_on = clock::now() < until;
        if !goes_on && events.is_empty() && clock::now() > until + super::crowd::PATIENCE {
            bail!("{out} of {} did not hear their last words", visitors.len());
        }
        for event in events.drain(..) {
            let visitor = &mut visitors[event.data.u64() as usize];
            match visitor.advance(&[]) {
                Step::Waits => {}
                Step::Dismissed => bail!("a connection is told to go"),
                Step::Failed(why) => bail!("a connection is lost: {why}"),
                Step::Echoed if goes_on => {
                    echoes += 1;
                    visitor.say().map_err(anyhow::Error::msg)?;
                }
                // The last words are waited for, so that nobody hears them another time.
                Step::Echoed => out -= 1,
            }
        }
    }
    Ok(echoes)
}

/// Has all visitors say something, and waits for each in turn until all have heard it, again and
/// again until the time is over; how often something came back, without the last time.
///
/// # Errors
/// As of [`play`].
pub(super) fn in_step(visitors: &mut [Visitor], until: Instant) -> Result<u64> {
    let mut echoes = 0;
    visitors.iter().try_for_each(|visitor| visitor.wait_at_most(super::crowd::PATIENCE))?;
    loop {
        for visitor in visitors.iter_mut() {
            visitor.say().map_err(anyhow::Error::msg)?;
        }
        for visitor in visitors.iter_mut() {
            match visitor.advance(&[]) {
                Step::Echoed => {}
                Step::Waits => bail!("an echo does not come"),
                Step::Dismissed => bail!("a connection is told to go"),
                Step::Failed(why) => bail!("a connection is lost: {why}"),
            }
        }
        if clock::now() >= until {
            return Ok(echoes);
        }
        echoes += visitors.len() as u64;
    }
}
