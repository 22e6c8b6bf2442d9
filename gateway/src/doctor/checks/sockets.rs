//! Sockets: descriptors for connections, and room for those who wait to be accepted.

use super::super::asked::Asked;
use super::super::facts::Facts;
use super::super::finding::Finding;
use crate::net::listen::BACKLOG;

/// Connections for which nobody needs to raise a limit first.
const CONNECTIONS_FEW: u64 = 10_000;

/// Descriptors, the queue of those who wait, and what becomes of half-open connections.
pub(super) fn check(facts: &Facts, asked: &Asked) -> Vec<Finding> {
    vec![descriptors(facts, asked), backlog(facts), syncookies(facts)]
}

fn descriptors(facts: &Facts, asked: &Asked) -> Finding {
    let name = "descriptors";
    let Some(limit) = facts.descriptors else {
        return Finding::unknown(name, "/proc/self/limits cannot be read");
    };
    let beside = asked.descriptors_beside;
    let room = limit.hard.saturating_sub(beside);
    let wanted = asked.max_connections.map(u64::from);
    let raise = |connections: u64| {
        let needed = connections.saturating_add(beside);
        format!("ulimit -Hn {needed}, or LimitNOFILE={needed}")
    };
    match wanted {
        Some(wanted) if wanted > room => {
            let why = format!("--max-connections {wanted}: there is room for {room}");
            Finding::refused(name, why, raise(wanted))
        }
        Some(wanted) => Finding::active(name, format!("room for all {wanted} connections")),
        None if room < CONNECTIONS_FEW => {
            let why = format!("room for {room} connections only");
            Finding::slower(name, why, raise(CONNECTIONS_FEW))
        }
        None if limit.hard == u64::MAX => Finding::active(name, "as many as memory holds"),
        None => Finding::active(name, format!("room for {room} connections; more by ulimit -Hn")),
    }
}

fn backlog(facts: &Facts) -> Finding {
    let Some(somaxconn) = facts.tcp.somaxconn else {
        return Finding::unknown("backlog", "net.core.somaxconn cannot be read");
    };
    if u64::from(somaxconn) >= u64::from(BACKLOG.unsigned_abs()) {
        return Finding::active("backlog", format!("{BACKLOG} may wait at each shard's listener"));
    }
    let why = format!("{somaxconn} may wait at a listener: a storm of new clients is cut");
    Finding::slower("backlog", why, format!("sysctl -w net.core.somaxconn={BACKLOG}"))
}

/// With cookies, half-open connections need no room; without, there is some for so many.
fn syncookies(facts: &Facts) -> Finding {
    let backlog = facts.tcp.syn_backlog.map_or_else(|| "few".to_owned(), |it| it.to_string());
    match facts.tcp.syncookies {
        None => Finding::unknown("syncookies", "net.ipv4.tcp_syncookies cannot be read"),
        Some(0) => {
            let why = format!("off: {backlog} half-open connections keep everyone else out");
            Finding::slower("syncookies", why, "sysctl -w net.ipv4.tcp_syncookies=1")
        }
        Some(2) => {
            let why = "forced: every connection does without options that do not fit in a cookie";
            Finding::slower("syncookies", why, "sysctl -w net.ipv4.tcp_syncookies=1")
        }
        Some(_) => Finding::active("syncookies", "a flood of SYNs takes no room"),
    }
}
