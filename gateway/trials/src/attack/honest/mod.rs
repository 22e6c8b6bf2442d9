//! Clients that mean well: rooms in which everyone speaks in turn and checks what it hears.

mod latency;
mod member;
mod room;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

pub(super) use self::latency::Latency;
use self::room::Rooms;

/// Members of a room, so that five hundred are fifty rooms.
pub(super) const ROOM_MEMBERS: usize = 10;
/// Messages that each room hears in a second, from its members in turn.
pub(super) const ROOM_MESSAGES_PER_SEC: u32 = 20;
/// What happens meanwhile. What is said in a phase is measured in it, whenever it is heard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Everyone has come; nothing is measured yet.
    Warming = 0,
    /// Nobody attacks.
    Quiet = 1,
    /// Somebody does.
    Attacked = 2,
    /// Nobody does any more.
    Settling = 3,
}

/// How many phases there are.
const PHASES: usize = 4;

/// How many there are and what they say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Rooms of [`ROOM_MEMBERS`].
    pub(super) rooms: usize,
    /// Bytes of a message.
    pub(super) payload_bytes: usize,
}

/// The clients at work, on a thread of their own.
#[derive(Debug)]
pub(super) struct Crowd {
    orders: Arc<Orders>,
    thread: JoinHandle<Result<Report>>,
}

/// What the crowd's thread looks at between two messages.
#[derive(Debug, Default)]
struct Orders {
    phase: AtomicU8,
    stop: AtomicBool,
    /// How long what was said may take to be heard when nobody speaks any more.
    patience: Duration,
}

/// What they heard.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    /// Messages that were heard, each counted for each member.
    pub(super) heard: u64,
    /// Messages that a member should have heard and did not.
    pub(super) lost: u64,
    /// What was heard twice, out of order, by its author or by a stranger, and clients that were
    /// closed: the first few of them.
    pub(super) wrongs: Vec<String>,
    /// How long messages took, by the phase in which they were said.
    latencies: [Latency; PHASES],
}

impl Report {
    /// How long messages took that were said in this phase.
    pub(super) fn latency(&self, phase: Phase) -> Latency {
        self.latencies[phase as usize]
    }
}

impl Crowd {
    /// Lets all of them come; they speak from then on. When they are to stop, what was said may
    /// take up to `patience` to be heard.
    ///
    /// # Errors
    /// If one of them is not let in.
    pub(super) fn start(addr: SocketAddr, size: Size, patience: Duration) -> Result<Self> {
        let orders = Arc::new(Orders { patience, ..Orders::default() });
        let (ready, came) = mpsc::channel();
        let theirs = Arc::clone(&orders);
        let thread = std::thread::Builder::new().name("honest".to_owned());
        let thread = thread.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                let rooms = Rooms::open(addr, size).await?;
                // Who waits for it may have given up.
                let _ = ready.send(());
                Ok(serve(rooms, &theirs).await)
            })
        })?;
        match came.recv() {
            Ok(()) => Ok(Self { orders, thread }),
            Err(_) => Err(ended(thread).expect_err("nobody was ready")),
        }
    }

    /// What is said from now on is said in this phase.
    pub(super) fn enter(&self, phase: Phase) {
        self.orders.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Nobody speaks any more; when all was heard, or patience is over, what they heard.
    ///
    /// # Errors
    /// If their thread could not go on.
    pub(super) fn finish(self) -> Result<Report> {
        self.orders.stop.store(true, Ordering::Relaxed);
        ended(self.thread)
    }
}

fn ended(thread: JoinHandle<Result<Report>>) -> Result<Report> {
    thread.join().map_err(|_| anyhow::anyhow!("the honest clients' thread panicked"))?
}

/// Everyone speaks in turn until told to stop.
async fn serve(rooms: Rooms, orders: &Orders) -> Report {
    let mut ticks = tokio::time::interval(rooms.interval());
    while !orders.stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        rooms.speak(orders.phase.load(Ordering::Relaxed));
    }
    let deadline = tokio::time::Instant::now() + orders.patience;
    while !rooms.all_heard() && tokio::time::Instant::now() < deadline {
        rooms.push();
        ticks.tick().await;
    }
    rooms.report()
}

/// Whether a gateway lets somebody in who comes now and hears its own words.
///
/// # Errors
/// If it does not, with what it does instead.
pub(super) fn newcomer(addr: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let visit = async {
        let url = format!("ws://{addr}/ws/simple");
        let mut client = gateway_client::Client::connect(&url).await?;
        client.send_text("is anybody there?").await?;
        client.next().await
    };
    let visit = async { tokio::time::timeout(Duration::from_secs(5), visit).await };
    let word = runtime.block_on(visit).context("a newcomer is not answered within 5 s")?;
    let word = word.context("a newcomer is not served")?;
    let own = gateway_client::Message::Text("is anybody there?".to_owned());
    anyhow::ensure!(word == own, "a newcomer's echo is {word:?}");
    Ok(())
}
