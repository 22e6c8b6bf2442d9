//! Who takes part: each name on a page gets one line that says what it is.

use std::fmt::{self, Write};

use super::{Escaped, Part};

/// What a name stands for, in the order in which the page tells it.
const CAST: [(&str, &str); 16] = [
    (
        "floor",
        "the bare server all others are compared to: frames made in advance, one send for each \
         member, descriptors in an array",
    ),
    ("loop", "the same frames from a plain loop of send, to show that the floor adds nothing"),
    ("io_uring", "the floor’s frames, one SEND for each member, given to the kernel all at once"),
    ("memfd", "the floor’s frames by sendfile, from memory that all members share"),
    ("weir", "weir serve as it is by default, with one shard on one worker"),
    ("weir-2", "the same with two shards on two workers, which share the core"),
    ("weir-4", "the same with four shards on four workers, which share the core"),
    ("tungstenite", "a server on the crate tokio-tungstenite 0.30, reading 4 KiB at a time"),
    ("fastwebsockets", "a server on the crate fastwebsockets 0.10, behind hyper"),
    ("sockudo", "a server on the crate sockudo-ws 3.1"),
    ("tokio-websockets", "a server on the crate tokio-websockets 0.13"),
    ("nats", "nats-server, over its WebSocket listener, on one processor"),
    ("nchan", "nginx with the module nchan, one worker"),
    ("socketify", "socketify 0.0.31, which is uWebSockets under Python"),
    ("each", "the bare server with one send for each member and message"),
    ("shards", "Weir with several shards, each on a worker, which share the core"),
];

/// Those of `parts` who are known, one line each; nothing if there are none.
pub(super) fn draw(page: &mut String, parts: &[Part]) -> fmt::Result {
    let present: Vec<_> = CAST.iter().filter(|(name, _)| names(parts).contains(name)).collect();
    if present.is_empty() {
        return Ok(());
    }
    writeln!(page, "<h3>Who takes part</h3>\n<dl class=\"cast\">")?;
    for (name, what) in present {
        writeln!(page, "<dt>{}</dt><dd>{}</dd>", Escaped(name), Escaped(what))?;
    }
    writeln!(page, "</dl>")
}

/// Every name that is drawn.
fn names(parts: &[Part]) -> Vec<&'static str> {
    let of = |part: &Part| -> Vec<_> {
        match part {
            Part::Bars { bars, .. } => bars.iter().map(|bar| bar.name).collect(),
            Part::Curves { curves, .. } => curves.iter().map(|curve| curve.name).collect(),
        }
    };
    parts.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::peers::Peer;

    #[test]
    fn every_peer_has_its_line() {
        for peer in Peer::value_variants() {
            assert!(CAST.iter().any(|(name, _)| *name == peer.name()), "{peer:?}");
        }
    }
}
