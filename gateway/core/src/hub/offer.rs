//! Offering bytes to one socket in the cheapest way: one run where that is possible, a joined one
//! where it is small, else pieces.

use gateway_faults::buggify;

use crate::chunk::{Chunk, Span};
use crate::slot::Slot;
use crate::transmit::{Part, Sent, Transmit};

/// Pieces offered in one call, within the system's bound on them.
pub(super) const PIECES_MAX: usize = 64;

/// Offers spans to a socket as one run of bytes where that is cheap, else as parts.
pub(super) fn offer(
    chunk: &Chunk,
    spans: &[Span],
    total: usize,
    slot: Slot,
    (cork, cork_bytes_max): (&mut Vec<u8>, usize),
    out: &mut impl Transmit,
) -> Sent {
    if let [span] = spans
        && let Some(run) = chunk.run(*span)
    {
        return out.send(slot, run);
    }
    let fits = total <= cork_bytes_max && !buggify!(CorkFull);
    if fits && spans.iter().all(|&span| chunk.run(span).is_some()) {
        cork.clear();
        spans.iter().filter_map(|&span| chunk.run(span)).for_each(|run| cork.extend(run));
        return out.send(slot, cork);
    }
    offer_parts(chunk, spans, slot, out)
}

/// Offers as many parts at a time as the system takes, until it takes less.
fn offer_parts(chunk: &Chunk, spans: &[Span], slot: Slot, out: &mut impl Transmit) -> Sent {
    let mut pieces = [const { Part::Bytes(&[]) }; PIECES_MAX];
    let (mut count, mut sent) = (0, 0);
    let mut refused = None;
    for &span in spans {
        chunk.each_part(span, |part| {
            if count == PIECES_MAX {
                refused = go_on(&pieces, &mut sent, slot, out);
                count = 0;
            }
            pieces[count] = part;
            count += 1;
            refused.is_none()
        });
        if let Some(refused) = refused {
            return refused;
        }
    }
    go_on(&pieces[..count], &mut sent, slot, out).unwrap_or(Sent::Wrote(sent))
}

/// Sends pieces behind the `sent` bytes; what came of all, unless it is to go on.
fn go_on(
    pieces: &[Part<'_>],
    sent: &mut usize,
    slot: Slot,
    out: &mut impl Transmit,
) -> Option<Sent> {
    match send_pieces(slot, pieces, out) {
        Sent::Wrote(bytes) => {
            *sent += bytes;
            (bytes < pieces.iter().map(Part::len).sum()).then_some(Sent::Wrote(*sent))
        }
        Sent::Blocked if *sent > 0 => Some(Sent::Wrote(*sent)),
        refused @ (Sent::Blocked | Sent::Broken) => Some(refused),
    }
}

/// Sends small pieces as one run, large ones as they are.
pub(super) fn send_corked(
    slot: Slot,
    pieces: &[Part<'_>],
    total: usize,
    (cork, cork_bytes_max): (&mut Vec<u8>, usize),
    out: &mut impl Transmit,
) -> Sent {
    if pieces.len() == 1 || total > cork_bytes_max {
        return send_pieces(slot, pieces, out);
    }
    cork.clear();
    for piece in pieces {
        match piece {
            Part::Bytes(run) => cork.extend_from_slice(run),
            Part::Stored { .. } => return send_pieces(slot, pieces, out),
        }
    }
    out.send(slot, cork)
}

fn send_pieces(slot: Slot, pieces: &[Part<'_>], out: &mut impl Transmit) -> Sent {
    match pieces {
        [Part::Bytes(run)] => out.send(slot, run),
        _ => out.send_parts(slot, pieces),
    }
}

/// An empty list for parts of another time, in the memory of this one.
pub(super) fn emptied<'a>(mut parts: Vec<Part<'_>>) -> Vec<Part<'a>> {
    parts.clear();
    // Collected where it stands, since both are as large; a test counts that nothing is allocated.
    parts.into_iter().map(|_| unreachable!("it is empty")).collect()
}
