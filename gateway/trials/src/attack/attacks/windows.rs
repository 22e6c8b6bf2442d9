//! Compressed connections that stay: what they said is kept so that they may refer to it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::super::attack::{Attack, COMMON, PLAIN, Setting};
use super::super::frames::{BINARY, FIN, RSV1, deflated, frame, request};
use super::super::outcome::{Outcome, Seen};
use super::super::target::Target;
use super::super::wire::{DEFLATE, Wire, header_of};

/// Windows of 32 KiB that each of two shards keeps.
const SHARD_WINDOWS: usize = 50;
const SHARDS: usize = 2;
/// Clients that come at once, and the pause behind them: what is attacked is memory, and not the
/// time that it takes to make large and small what they say.
const AT_ONCE: usize = 4;
const PAUSE: Duration = Duration::from_millis(15);
/// Half of the clients that stay.
const CROWD: usize = 600;

pub(super) const ATTACKS: [Attack; 1] = [Attack {
    name: "windows-idle",
    about: "Clients that deflate, say one long message and stay: 32 KiB are kept for each.",
    pace: "1,200 connections, four in 15 ms, of which 32 MiB would be kept, and 3 MiB are",
    outcomes: &[Outcome::Served],
    // 100 windows, what is under way and kept to work with, and 1,200 connections: without a bound
    // it would be 38 MiB of windows alone.
    growth_max: Some(20 << 20),
    setting: Setting {
        limits: "windows_bytes_max = \"1600KiB\"",
        flags: &["--shards", "2"],
        ..PLAIN
    },
    run: |target| Box::pin(idle(target)),
    ..COMMON
}];

/// A client that stays, and whether it may refer back to what it said.
struct Stays {
    wire: Wire,
    keeps: bool,
}

async fn idle(target: Target) -> Result<Seen> {
    let mut seen = Seen::default();
    // What is kept is what it was before it was deflated, so that words fill a window.
    let said: Vec<u8> =
        b"so it goes, and goes on; ".iter().copied().cycle().take(40 << 10).collect();
    let message = Arc::from(frame(FIN | RSV1 | BINARY, &deflated(&said)));
    let first = crowd(target, CROWD, &message, &mut seen).await?;
    let second = crowd(target, CROWD, &message, &mut seen).await?;
    let keeping = |clients: &[Stays]| clients.iter().filter(|client| client.keeps).count();
    let kept = keeping(&first) + keeping(&second);
    if kept == 0 || kept > SHARDS * SHARD_WINDOWS {
        seen.wrong(format!("{kept} clients may refer back, {} may", SHARDS * SHARD_WINDOWS));
    }
    // Those who go give their windows back: to who asks next, and to nobody else.
    let given_back = keeping(&first);
    Target::release(first.into_iter().map(|client| client.wire).collect()).await;
    let third = crowd(target, CROWD / 2, &message, &mut seen).await?;
    let again = keeping(&third);
    if again == 0 || again > SHARDS * SHARD_WINDOWS - keeping(&second) {
        seen.wrong(format!("{given_back} windows were given back, and {again} taken"));
    }
    seen.notes.push(format!("{kept} of 1,200 might refer back; {again} when those had gone"));
    Ok(seen)
}

/// So many clients come, a few at once, and each says one message.
async fn crowd(
    target: Target,
    count: usize,
    message: &Arc<[u8]>,
    seen: &mut Seen,
) -> Result<Vec<Stays>> {
    let mut stay = Vec::new();
    for _ in 0..count / AT_ONCE {
        let mut coming = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            coming.spawn(enter(target, Arc::clone(message)));
        }
        while let Some(came) = coming.join_next().await {
            let (client, part) = came?;
            seen.merge(part);
            stay.extend(client);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(stay)
}

/// Opens an echo with an offer that lets it refer back, says the message, and is heard.
async fn enter(target: Target, message: Arc<[u8]>) -> (Option<Stays>, Seen) {
    let mut seen = Seen::default();
    let Ok(mut wire) = Wire::connect(target.addr).await else {
        seen.add(Outcome::Cut);
        return (None, seen);
    };
    wire.push(&request("/kept", DEFLATE)).await;
    let head = match wire.answer().await {
        Ok(head) => head,
        Err(outcome) => {
            seen.add(outcome);
            return (None, seen);
        }
    };
    let Some(agreed) = header_of(&head, "Sec-WebSocket-Extensions") else {
        seen.wrong("compression was offered and not taken".to_owned());
        return (None, seen);
    };
    let keeps = !agreed.contains("client_no_context_takeover");
    wire.push(&message).await;
    seen.check("a client that stays", wire.is_served().await, Outcome::Served);
    (Some(Stays { wire, keeps }), seen)
}
