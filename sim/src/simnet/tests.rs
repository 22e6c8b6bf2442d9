//! What the simulated network promises, and what time does to connections.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use gateway::net::{Batch, Net, Ready};
use gateway_core::slot::Slot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use super::*;
use crate::rng::Rng;
use crate::testing::{Echo, receive_all, send_all};
use crate::traced::{Trace, TraceOptions, Traced};
use crate::wires::{SimStream, WireOptions};

type Outcome = turmoil::Result;

const ANY: (Ipv4Addr, u16) = (Ipv4Addr::UNSPECIFIED, 9000);

async fn bind(wires: &Wires) -> io::Result<SimNet> {
    SimNet::bind(wires, SocketAddr::from(ANY)).await
}

/// Connects to the host named "server" within this many seconds.
async fn connect(wires: &Wires, secs: u64) -> io::Result<SimStream> {
    let server = SocketAddr::from((turmoil::lookup("server"), 9000));
    wires.connect(server, Instant::now() + Duration::from_secs(secs)).await
}

async fn poll(net: &mut impl Net) -> Vec<Ready> {
    let mut batch = Batch::default();
    poll_fn(|cx| net.poll(cx, &mut batch)).await.expect("a simulated shard can always go on");
    batch.ready
}

/// Reads one connection to its end.
async fn read_to_end(net: &mut impl Net, slot: Slot) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        assert_eq!(poll(net).await, [Ready::Readable(slot)]);
        let (more, end) = receive_all(net, slot);
        bytes.extend(more);
        match end {
            Ok(()) => return Ok(bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => (),
            Err(error) => return Err(error),
        }
    }
}

/// Waits, in simulated time, until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("ten simulated seconds were not enough");
}

/// Runs a server and a client that fails the test by returning an error or panicking.
fn run_pair<S, C>(seed: u64, server: impl Fn(Wires) -> S + 'static, client: impl FnOnce(Wires) -> C)
where
    S: Future<Output = Outcome> + 'static,
    C: Future<Output = Outcome> + 'static,
{
    let options = WireOptions::new(seed);
    let wires = Wires::new(options);
    let mut sim = options.simulation().simulation_duration(Duration::from_mins(10)).build();
    let servers_wires = wires.clone();
    sim.host("server", move || server(servers_wires.clone()));
    sim.client("client", client(wires));
    sim.run().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
}

async fn forever() -> Outcome {
    std::future::pending().await
}

#[test]
fn an_unread_window_blocks_the_server_until_the_client_reads() {
    let sent = Rc::new(Cell::new(0));
    let seen = Rc::clone(&sent);
    let server = move |wires: Wires| {
        let sent = Rc::clone(&sent);
        async move {
            let mut net = bind(&wires).await?;
            let _ = poll(&mut net).await;
            // The client says that its window is set.
            assert_eq!(poll(&mut net).await, [Ready::Readable(Slot(0))]);
            net.interest(Slot(0), false, true);
            loop {
                sent.set(sent.get() + send_all(&mut net, Slot(0), &[7; 5000]));
                assert_eq!(poll(&mut net).await, [Ready::Writable(Slot(0))]);
            }
        }
    };
    run_pair(1, server, |wires| async move {
        let mut stream = connect(&wires, 5).await?;
        stream.set_window(1000);
        stream.write_all(b"x").await?;
        until(|| seen.get() == 1000).await;
        sleep(Duration::from_secs(5)).await;
        assert_eq!(seen.get(), 1000);

        stream.read_exact(&mut [0; 300]).await?;
        until(|| seen.get() == 1300).await;
        sleep(Duration::from_secs(5)).await;
        assert_eq!(seen.get(), 1300);
        Ok(())
    });
}

#[test]
fn a_server_that_does_not_read_holds_the_client_up() {
    let reading = Rc::new(Cell::new(false));
    let read = Rc::new(Cell::new(0));
    let (let_read, seen) = (Rc::clone(&reading), Rc::clone(&read));
    let server = move |wires: Wires| {
        let (reading, read) = (Rc::clone(&reading), Rc::clone(&read));
        async move {
            let mut net = bind(&wires).await?;
            let _ = poll(&mut net).await;
            until(|| reading.get()).await;
            read.set(read_to_end(&mut net, Slot(0)).await?.len());
            forever().await
        }
    };
    run_pair(1, server, |wires| async move {
        let window = wires.options().windows.to_server;
        let mut stream = connect(&wires, 5).await?;
        stream.write_all(&vec![7; window]).await?;
        let writing = stream.write_all(&[8; 1000]);
        tokio::pin!(writing);
        let early = tokio::time::timeout(Duration::from_secs(5), &mut writing).await;
        assert!(early.is_err(), "the window is full");
        let_read.set(true);
        writing.await?;
        stream.shutdown().await?;
        until(|| seen.get() == window + 1000).await;
        Ok(())
    });
}

#[test]
fn a_network_that_is_gone_frees_its_address() {
    let server = |wires: Wires| async move {
        let first = bind(&wires).await?;
        assert_eq!(first.local_addr().port(), 9000);
        let taken = bind(&wires).await.map(drop);
        assert_eq!(taken.unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(first);
        sleep(Duration::from_millis(1)).await;
        accept_all(wires).await
    };
    run_pair(1, server, |wires| async move {
        sleep(Duration::from_millis(10)).await;
        connect(&wires, 5).await?;
        Ok(())
    });
}

#[test]
fn a_half_closed_connection_still_carries_the_answer() {
    let server = |wires: Wires| async move {
        let mut net = bind(&wires).await?;
        let _ = poll(&mut net).await;
        assert_eq!(read_to_end(&mut net, Slot(0)).await?, b"question");
        assert_eq!(send_all(&mut net, Slot(0), b"answer"), 6);
        net.shutdown(Slot(0));
        drop(net.release(Slot(0)));
        forever().await
    };
    for seed in 0..20 {
        run_pair(seed, server, |wires| async move {
            let mut stream = connect(&wires, 5).await?;
            stream.write_all(b"question").await?;
            stream.shutdown().await?;
            stream.shutdown().await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            assert_eq!(answer, b"answer");
            Ok(())
        });
    }
}

#[test]
fn a_client_that_leaves_bytes_unread_resets_the_connection() {
    let outcome = Rc::new(Cell::new(None));
    let seen = Rc::clone(&outcome);
    let server = move |wires: Wires| {
        let outcome = Rc::clone(&outcome);
        async move {
            let mut net = bind(&wires).await?;
            let _ = poll(&mut net).await;
            send_all(&mut net, Slot(0), &[7; 5000]);
            outcome.set(Some(read_to_end(&mut net, Slot(0)).await.map_err(|error| error.kind())));
            forever().await
        }
    };
    run_pair(1, server, |wires| async move {
        let mut stream = connect(&wires, 5).await?;
        stream.read_exact(&mut [0; 1]).await?;
        sleep(Duration::from_millis(100)).await;
        drop(stream);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(seen.take(), Some(Err(ErrorKind::ConnectionReset)));
        Ok(())
    });
}

#[test]
fn connections_wait_in_the_backlog_and_no_further() {
    let accepted = Rc::new(Cell::new(0));
    let accepting = Rc::new(Cell::new(false));
    let (seen, let_in) = (Rc::clone(&accepted), Rc::clone(&accepting));
    let server = move |wires: Wires| {
        let (accepted, accepting) = (Rc::clone(&accepted), Rc::clone(&accepting));
        async move {
            let mut net = bind(&wires).await?;
            net.accepting(false);
            until(|| accepting.get()).await;
            net.accepting(true);
            loop {
                accepted.set(accepted.get() + poll(&mut net).await.len());
            }
        }
    };
    run_pair(1, server, |wires| async move {
        let mut streams = Vec::new();
        for _ in 0..wires.options().backlog_max {
            streams.push(connect(&wires, 5).await?);
        }
        let error = connect(&wires, 2).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(seen.get(), 0);

        let_in.set(true);
        until(|| seen.get() == streams.len()).await;
        streams.push(connect(&wires, 5).await?);
        until(|| seen.get() == streams.len()).await;
        Ok(())
    });
}

#[test]
fn connecting_to_nobody_is_refused() {
    run_pair(
        1,
        |_| forever(),
        |wires| async move {
            let start = Instant::now();
            let error = connect(&wires, 60).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            assert!(start.elapsed() < Duration::from_secs(1));
            Ok(())
        },
    );
}

/// A server that accepts whoever comes.
async fn accept_all(wires: Wires) -> Outcome {
    let mut net = bind(&wires).await?;
    loop {
        let _ = poll(&mut net).await;
    }
}

#[test]
fn connecting_over_a_cut_link_times_out() {
    run_pair(1, accept_all, |wires| async move {
        turmoil::partition("client", "server");
        let start = Instant::now();
        let error = connect(&wires, 10).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 10);
        Ok(())
    });
}

#[test]
fn connecting_outlasts_a_short_cut() {
    run_pair(1, accept_all, |wires| async move {
        turmoil::partition("client", "server");
        let repair = async {
            sleep(Duration::from_secs(2)).await;
            turmoil::repair("client", "server");
        };
        let (stream, ()) = tokio::join!(connect(&wires, 10), repair);
        stream?;
        Ok(())
    });
}

#[test]
fn a_connection_attempt_under_way_is_lost_when_the_link_is_cut() {
    run_pair(1, accept_all, |wires| async move {
        let cut = async { turmoil::partition("client", "server") };
        let start = Instant::now();
        let (stream, ()) = tokio::join!(biased; connect(&wires, 10), cut);
        assert_eq!(stream.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 10);
        Ok(())
    });
}

/// Sends random bytes, reads them back in any order of events, and sees the end.
async fn talk(wires: Wires, mut rng: Rng, len: usize) -> Outcome {
    let text: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
    let stream = connect(&wires, 5).await?;
    stream.set_window(64 + rng.below(5000));
    let (mut read, mut write) = tokio::io::split(stream);
    let writing = async {
        write.write_all(&text).await?;
        write.shutdown().await
    };
    let mut answer = Vec::new();
    let (written, ended) = tokio::join!(biased; writing, read.read_to_end(&mut answer));
    written?;
    ended?;
    assert_eq!(answer, text);
    Ok(())
}

/// Three clients talk to an echo server.
fn echo_run(seed: u64) -> Trace {
    let options = WireOptions::new(seed);
    let wires = Wires::new(options);
    let mut sim = options.simulation().simulation_duration(Duration::from_mins(10)).build();
    let (servers_wires, kept) = (wires.clone(), Rc::new(RefCell::new(None)));
    let keep = Rc::clone(&kept);
    sim.host("server", move || {
        let (wires, keep) = (servers_wires.clone(), Rc::clone(&keep));
        async move {
            let (mut net, trace) = Traced::new(bind(&wires).await?, TraceOptions::default());
            *keep.borrow_mut() = Some(trace);
            let (mut echo, mut batch) = (Echo::default(), Batch::default());
            loop {
                poll_fn(|cx| net.poll(cx, &mut batch)).await?;
                echo.turn(&mut net, &mut batch);
                assert_eq!(echo.broken, 0, "nobody breaks off");
            }
        }
    });
    for (which, len) in [100, 4000, 20_000].into_iter().enumerate() {
        let rng = Rng::new(seed + 1000 * which as u64);
        sim.client(format!("client-{which}"), talk(wires.clone(), rng, len));
    }
    sim.run().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    kept.take().expect("the server ran")
}

#[test]
fn no_split_or_delay_loses_or_reorders_a_byte() {
    let hashes: BTreeSet<u64> = (0..200).map(|seed| echo_run(seed).hash()).collect();
    assert_eq!(hashes.len(), 200, "every seed is a schedule of its own");
}

#[test]
fn a_seed_repeats_its_run() {
    for seed in 0..10 {
        let (first, again) = (echo_run(seed), echo_run(seed));
        assert_eq!((first.hash(), first.events()), (again.hash(), again.events()), "seed {seed}");
    }
}
