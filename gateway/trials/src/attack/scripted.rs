//! A gateway by script: it does what the real one must not, and its row must be red.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::attack::{Attack, COMMON, PLAIN, Setting};
use super::frames::{CLOSE, FIN};
use super::honest::{Phase, ROOM_MEMBERS, Size};
use super::judge::Row;
use super::outcome::Outcome;
use super::stage::{Gateway, Script, play};
use super::target::Case;
use crate::clock;
use crate::raw::accept_of;

/// What it does wrong once it is attacked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Faults {
    /// One message reaches all members but one.
    loses: bool,
    /// Every message is passed on to each member twice.
    doubles: bool,
    /// Every message takes far longer than any did before.
    delays: bool,
    /// So many bytes are never given back.
    keeps: u64,
    /// Attackers are not counted.
    forgets: bool,
    /// Honest clients are sent away.
    closes: bool,
}

/// How many times all that was before the attack a message takes that is delayed: whatever a busy
/// machine makes of the quiet phase, none of its messages took half of that.
const LATER: u32 = 3;
/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);
const TRIES_MAX: usize = 10;
const MIB: u64 = 1 << 20;

type Members = BTreeMap<u64, (String, UnboundedSender<Vec<u8>>)>;

/// All that connections share.
#[derive(Debug)]
struct Shared {
    faults: Faults,
    began: Instant,
    /// How long a message takes that is delayed.
    late: OnceLock<Duration>,
    members: Mutex<Members>,
    next: AtomicU64,
    attacked: AtomicBool,
    /// A message came for others after that: there was something to do wrong.
    tempted: AtomicBool,
    /// The message that is to be lost was.
    lost: AtomicBool,
    hits: AtomicU64,
}

/// It serves until the test ends.
struct Scripted {
    addr: SocketAddr,
    admin: SocketAddr,
    shared: Arc<Shared>,
    /// Dropped to end it.
    _ends: oneshot::Sender<()>,
}

impl Scripted {
    fn start(faults: Faults) -> Self {
        let shared = Arc::new(Shared::new(faults));
        let (ends, ended) = oneshot::channel::<()>();
        let (tell_doors, doors) = std::sync::mpsc::channel();
        let theirs = Arc::clone(&shared);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let clients = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let operators = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let doors = [&clients, &operators].map(|door| door.local_addr().unwrap());
                tell_doors.send(doors).unwrap();
                tokio::spawn(open(clients, Arc::clone(&theirs), serve));
                tokio::spawn(open(operators, theirs, tell));
                // It says nothing; it ends.
                let _ = ended.await;
            });
        });
        let [addr, admin] = doors.recv().unwrap();
        Self { addr, admin, shared, _ends: ends }
    }
}

impl Gateway for Scripted {
    fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn admin(&self) -> SocketAddr {
        self.admin
    }

    fn resident_bytes(&self) -> Result<u64> {
        let attacked = self.shared.attacked.load(Ordering::SeqCst);
        Ok(10 * MIB + if attacked { self.shared.faults.keeps } else { 0 })
    }

    fn said(&self) -> Result<String> {
        Ok(String::new())
    }

    fn bound_descriptors(&self, _most: u64) -> Result<()> {
        Ok(())
    }
}

/// Serves whoever comes by a door.
async fn open<F>(door: TcpListener, shared: Arc<Shared>, serve: fn(TcpStream, Arc<Shared>) -> F)
where
    F: Future<Output = Option<()>> + Send + 'static,
{
    while let Ok((stream, _)) = door.accept().await {
        tokio::spawn(serve(stream, Arc::clone(&shared)));
    }
}

/// Answers an operator: one family.
async fn tell(mut stream: TcpStream, shared: Arc<Shared>) -> Option<()> {
    head(&mut stream).await?;
    let hits = shared.hits.load(Ordering::SeqCst);
    let body = format!("weir_limit_hits_total{{limit=\"protocol\"}} {hits}\n");
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.ok()
}

/// Serves a client: an echo, an attacker, or a member of a room.
async fn serve(mut stream: TcpStream, shared: Arc<Shared>) -> Option<()> {
    let head = head(&mut stream).await?;
    let path = head.split(' ').nth(1)?.to_owned();
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))?;
    let proof = accept_of(key);
    let answer = format!(
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {proof}\r\n\r\n"
    );
    let id = shared.next.fetch_add(1, Ordering::SeqCst);
    let (say, mut said) = unbounded_channel();
    shared.members.lock().unwrap().insert(id, (path.clone(), say));
    stream.write_all(answer.as_bytes()).await.ok()?;
    let (mut read, mut write) = stream.into_split();
    tokio::spawn(async move {
        while let Some(bytes) = said.recv().await {
            if write.write_all(&bytes).await.is_err() {
                break;
            }
        }
    });
    while let Some((first, payload)) = frame(&mut read).await {
        shared.heard(id, &path, first, payload).await;
    }
    shared.members.lock().unwrap().remove(&id);
    Some(())
}

impl Shared {
    fn new(faults: Faults) -> Self {
        Self {
            faults,
            began: clock::now(),
            late: OnceLock::new(),
            members: Mutex::default(),
            next: AtomicU64::default(),
            attacked: AtomicBool::default(),
            tempted: AtomicBool::default(),
            lost: AtomicBool::default(),
            hits: AtomicU64::default(),
        }
    }

    async fn heard(&self, id: u64, path: &str, first: u8, payload: Vec<u8>) {
        let mut bytes = vec![first, u8::try_from(payload.len()).expect("words are short")];
        bytes.extend(payload);
        match path {
            "/ws/simple" => self.say(id, bytes),
            "/ws/attack" => {
                self.attacked.store(true, Ordering::SeqCst);
                self.hits.fetch_add(u64::from(!self.faults.forgets), Ordering::SeqCst);
                self.say(id, vec![FIN | CLOSE, 2, 3, 0xea]);
            }
            _ => self.pass_on(id, path, bytes).await,
        }
    }

    async fn pass_on(&self, id: u64, path: &str, bytes: Vec<u8>) {
        let attacked = self.attacked.load(Ordering::SeqCst);
        let faults = if attacked { self.faults } else { Faults::default() };
        self.tempted.fetch_or(attacked, Ordering::SeqCst);
        // What was said before is passed on at once though it is heard now, on a busy machine.
        if self.faults.delays && bytes.get(2) == Some(&(Phase::Attacked as u8)) {
            let late = *self.late.get_or_init(|| LATER * self.began.elapsed());
            tokio::time::sleep(late).await;
        }
        let others: Vec<_> = {
            let members = self.members.lock().unwrap();
            let of_room = members.iter().filter(|(_, (room, _))| room == path);
            of_room.map(|(other, _)| *other).filter(|other| *other != id).collect()
        };
        for other in others {
            if faults.loses && !self.lost.swap(true, Ordering::SeqCst) {
                continue;
            }
            if faults.closes {
                self.say(other, vec![FIN | CLOSE, 2, 3, 0xe8]);
            }
            self.say(other, bytes.repeat(1 + usize::from(faults.doubles)));
        }
    }

    fn say(&self, to: u64, bytes: Vec<u8>) {
        if let Some((_, say)) = self.members.lock().unwrap().get(&to) {
            // Who has gone hears nothing.
            let _ = say.send(bytes);
        }
    }
}

/// A request up to its empty line.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// A short frame's first byte and payload, unmasked.
async fn frame(read: &mut (impl AsyncReadExt + Unpin)) -> Option<(u8, Vec<u8>)> {
    let (first, len) = (read.read_u8().await.ok()?, read.read_u8().await.ok()? & 0x7f);
    let mut key = [0; 4];
    read.read_exact(&mut key).await.ok()?;
    let mut payload = vec![0; len.into()];
    read.read_exact(&mut payload).await.ok()?;
    payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    Some((first, payload))
}

const ATTACK: Attack = Attack {
    name: "scripted",
    limits: &["protocol"],
    outcomes: &[Outcome::Closed(1002)],
    // It serves short words only.
    setting: Setting { warms: false, ..PLAIN },
    run: |target| {
        Box::pin(async move {
            let bytes = super::frames::frame(FIN | 0x3, b"");
            let case = Case::frames("a frame", bytes, 1002).counted("protocol");
            Ok(target.cases(50, vec![case]).await)
        })
    },
    ..COMMON
};

/// The row of a gateway with these faults. On a machine so busy that nobody spoke in one of the
/// phases, or nobody attacked, it is played again.
fn row(faults: Faults) -> Row {
    let row = (0..TRIES_MAX).find_map(|_| play_once(faults));
    row.expect("somebody speaks in each phase, and somebody attacks")
}

fn play_once(faults: Faults) -> Option<Row> {
    let gateway = Scripted::start(faults);
    let size = Size { rooms: 2, payload_bytes: 20 };
    let phase = Duration::from_millis(400);
    // Some gateways' patience is waited out: nothing comes of it.
    let is_all_heard = faults.delays || faults == Faults::default();
    let patience = if is_all_heard { PATIENCE } else { Duration::from_secs(2) };
    let row = play(&ATTACK, &gateway, Script { phase, size, patience }).unwrap();
    let has_spoken = row.quiet.count > 0 && row.attacked.count > 0;
    (has_spoken && gateway.shared.tempted.load(Ordering::SeqCst)).then_some(row)
}

/// Whether one of the row's reds says this.
#[track_caller]
fn assert_red(faults: Faults, word: &str) {
    let reds = row(faults).reds();
    assert!(reds.iter().any(|red| red.contains(word)), "{faults:?}: {reds:?}");
}

#[test]
fn a_gateway_without_faults_gives_no_cause_but_what_a_busy_machine_may_give() {
    let row = row(Faults::default());
    let reds = row.reds();
    assert!(reds.iter().all(|red| red.contains("p99")), "{reds:?}");
    assert_eq!((row.lost, row.before, row.after), (0, 10 * MIB, 10 * MIB));
    assert!(row.heard > 0 && row.heard.is_multiple_of(ROOM_MEMBERS as u64 - 1));
    assert!(row.limits[0].due > 0 && row.limits[0].hits == Some(row.limits[0].due));
}

#[test]
fn a_gateway_that_loses_one_message_is_red() {
    let faults = Faults { loses: true, ..Faults::default() };
    assert_red(faults, "honest messages were lost");
}

#[test]
fn a_gateway_that_says_a_message_twice_is_red() {
    assert_red(Faults { doubles: true, ..Faults::default() }, "twice or out of order");
}

#[test]
fn a_gateway_that_is_slow_while_it_is_attacked_is_red() {
    assert_red(Faults { delays: true, ..Faults::default() }, "honest p99 rose from");
}

#[test]
fn a_gateway_that_keeps_memory_is_red() {
    assert_red(Faults { keeps: 3 * MIB, ..Faults::default() }, "13.0 MiB are resident afterwards");
}

#[test]
fn a_gateway_that_does_not_count_is_red() {
    assert_red(Faults { forgets: true, ..Faults::default() }, "protocol was counted 0 times");
}

#[test]
fn a_gateway_that_closes_an_honest_client_is_red() {
    assert_red(Faults { closes: true, ..Faults::default() }, "an honest client was closed");
}
