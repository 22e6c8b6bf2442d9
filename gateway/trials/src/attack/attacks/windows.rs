//! Compressed connections that stay: what they said is kept so that they may refer to it.

use anyhow::Result;

use super::super::attack::{Attack, COMMON, PLAIN, Setting};
use super::super::frames::{BINARY, FIN, RSV1, deflated, frame, request};
use super::super::outcome::{Outcome, Seen};
use super::super::target::Target;
use super::super::wire::{DEFLATE, Wire, header_of};

/// Windows of 32 KiB that each of two shards keeps.
const SHARD_WINDOWS: usize = 50;
const SHARDS: usize = 2;
/// Half of the clients that stay.
const CROWD: usize = 600;

pub(super) const ATTACKS: [Attack; 1] = [Attack {
    name: "windows-idle",
    about: "Clients that deflate, say one long message and stay: 32 KiB are kept for each.",
    pace: "1,200 connections, of which 32 MiB would be kept, and 3 MiB are",
    outcomes: &[Outcome::Served],
    // 100 windows, buffers of messages under way, and 1,200 connections.
    growth_max: Some(12 << 20),
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
    // No two bytes in a row are the same twice: 40 KiB stay as long, and fill a window.
    let mut state = 1_u32;
    let noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let said: Vec<u8> = std::iter::repeat_with(noise).take(40 << 10).collect();
    let message = frame(FIN | RSV1 | BINARY, &deflated(&said));
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for number in 0..2 * CROWD {
        let Some(mut client) = enter(target, number, &mut seen).await else { continue };
        client.wire.push(&message).await;
        if number < CROWD { &mut first } else { &mut second }.push(client);
    }
    let keeping = |clients: &[Stays]| clients.iter().filter(|client| client.keeps).count();
    let kept = keeping(&first) + keeping(&second);
    if kept == 0 || kept > SHARDS * SHARD_WINDOWS {
        seen.wrong(format!("{kept} clients may refer back, {} may", SHARDS * SHARD_WINDOWS));
    }
    for client in first.iter_mut().chain(&mut second) {
        seen.check("a client that stays", client.wire.is_served().await, Outcome::Served);
    }
    // Those who go give their windows back: to who asks next, and to nobody else.
    let given_back = keeping(&first);
    Target::release(first.into_iter().map(|client| client.wire).collect()).await;
    let mut third = Vec::new();
    for number in 0..CROWD / 2 {
        third.extend(enter(target, number, &mut seen).await);
    }
    let again = keeping(&third);
    if again == 0 || again > SHARDS * SHARD_WINDOWS - keeping(&second) {
        seen.wrong(format!("{given_back} windows were given back, and {again} taken"));
    }
    seen.notes.push(format!("{kept} of 1,200 might refer back; {again} when those had gone"));
    Ok(seen)
}

/// Opens a room of its own with an offer that lets it refer back.
async fn enter(target: Target, number: usize, seen: &mut Seen) -> Option<Stays> {
    let mut wire = Wire::connect(target.addr).await.ok()?;
    wire.push(&request(&format!("/kept/{number}"), DEFLATE)).await;
    match wire.answer().await {
        Ok(head) => {
            let Some(agreed) = header_of(&head, "Sec-WebSocket-Extensions") else {
                seen.wrong("compression was offered and not taken".to_owned());
                return None;
            };
            seen.add(Outcome::Served);
            Some(Stays { keeps: !agreed.contains("client_no_context_takeover"), wire })
        }
        Err(outcome) => {
            seen.add(outcome);
            None
        }
    }
}
