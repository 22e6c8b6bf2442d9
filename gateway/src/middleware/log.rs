//! A line for each message of a route.

use gateway_core::frame::Kind;
use tracing::info;

use super::{Context, Message, Middleware, Next, OUTCOMES, Verdict, told};
use crate::logging::shown;

/// Logs each message that comes by it: connection, route, room, user, whether text or binary,
/// bytes of payload, and what became of it. The payload itself is never told, and names that
/// clients chose are told escaped and cut.
///
/// Lines have the target `weir::messages` and the level of information, so that a program can send
/// them elsewhere. Each is written before the next message is read: this is for routes on which
/// little is said, or for a while.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

impl Middleware for Log {
    fn handle(
        &mut self,
        context: &mut Context<'_>,
        message: Message<'_>,
        next: Next<'_, '_>,
    ) -> Verdict {
        told(context, message, next, |context, outcome| line(context, message, outcome))
    }
}

fn line(context: &Context<'_>, message: Message<'_>, outcome: usize) {
    let kind = match message.kind {
        Kind::Text => "text",
        Kind::Binary => "binary",
    };
    let (room, user) = (shown(context.room), context.user.map(shown));
    info!(
        target: "weir::messages",
        connection = %context.connection,
        route = context.route,
        room = &*room,
        user = user.as_deref(),
        kind,
        bytes = message.bytes.len(),
        verdict = OUTCOMES[outcome],
        "message"
    );
}
