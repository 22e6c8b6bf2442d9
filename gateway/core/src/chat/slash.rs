//! Slash commands: what a line means, decided where it comes in.

use std::borrow::Cow;

/// What `/help` answers.
pub(crate) const HELP: &str = "/me TEXT does something; /nick NAME takes another name; /who lists \
    who is here; /shrug TEXT shrugs; //TEXT says /TEXT";
/// What `/shrug` says behind its text.
const SHRUG: &str = "¯\\_(ツ)_/¯";

/// What somebody typed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Line<'a> {
    /// To be said as it is.
    Plain,
    /// To be said in other words.
    Say(Cow<'a, str>),
    /// The speaker does something.
    Me(&'a str),
    /// The speaker wants another name.
    Nick(&'a str),
    /// Who is here?
    Who,
    /// What can be typed?
    Help,
    /// Nothing that is known: the command.
    Unknown(&'a str),
}

impl<'a> Line<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        let Some(rest) = text.strip_prefix('/') else { return Self::Plain };
        if rest.starts_with('/') {
            return Self::Say(Cow::Borrowed(rest));
        }
        let (command, words) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let words = words.trim();
        match command {
            "help" => Self::Help,
            "who" => Self::Who,
            "me" if !words.is_empty() => Self::Me(words),
            "nick" => Self::Nick(words),
            "shrug" if words.is_empty() => Self::Say(Cow::Borrowed(SHRUG)),
            "shrug" => Self::Say(Cow::Owned(format!("{words} {SHRUG}"))),
            _ => Self::Unknown(command),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_mean_what_people_expect() {
        let say = |text: &'static str| Line::Say(Cow::Borrowed(text));
        for (text, line) in [
            ("hello", Line::Plain),
            ("", Line::Plain),
            (" /who", Line::Plain),
            ("//who", say("/who")),
            ("///", say("//")),
            ("/me waves  ", Line::Me("waves")),
            ("/me", Line::Unknown("me")),
            ("/nick  bob the 1st ", Line::Nick("bob the 1st")),
            ("/nick", Line::Nick("")),
            ("/who", Line::Who),
            ("/who else", Line::Who),
            ("/help", Line::Help),
            ("/shrug", say(SHRUG)),
            ("/shrug so what", Line::Say(Cow::Owned(format!("so what {SHRUG}")))),
            ("/WHO", Line::Unknown("WHO")),
            ("/", Line::Unknown("")),
            ("/dance\nnow", Line::Unknown("dance")),
        ] {
            assert_eq!(Line::of(text), line, "{text:?}");
        }
    }
}
