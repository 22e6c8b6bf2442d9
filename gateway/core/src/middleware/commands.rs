//! Slash commands: what people who chat may type beside what they say.

use super::{Context, Message, Middleware, Next, Verdict};
use crate::chat::{HELP, Line};

/// Characters of a command that its author is told again.
const TOLD_CHARS_MAX: usize = 32;

/// Understands `/help`, `/me`, `/nick`, `/who` and `/shrug`; a line that begins with two slashes
/// is said with one. Other commands are answered to who typed them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Commands;

impl Middleware for Commands {
    fn handle(
        &mut self,
        context: &mut Context<'_>,
        message: Message<'_>,
        next: Next<'_, '_>,
    ) -> Verdict {
        let Some(text) = message.text() else { return next.run(context, message) };
        match Line::of(text) {
            Line::Plain => next.run(context, message),
            Line::Say(text) => next.run(context, Message::of_text(&text)),
            Line::Me(deed) => {
                let line = format!("* {} {deed}", context.name.unwrap_or_default());
                next.run(context, Message::of_text(&line))
            }
            Line::Nick(wanted) => Verdict::Rename(wanted.to_owned()),
            Line::Who => Verdict::Who,
            Line::Help => Verdict::Answer(HELP.to_owned()),
            Line::Unknown(command) => {
                let command: String = command.chars().take(TOLD_CHARS_MAX).collect();
                Verdict::Answer(format!("/{command} is no command; /help lists them"))
            }
        }
    }
}
