//! Long flags with a single dash, as some people write them: `-shards=3` is `--shards=3`.

use std::ffi::OsString;

/// What flags are called.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// Letters that are flags by themselves.
    letters: Vec<char>,
    /// Long flags whose value may begin with a dash.
    open: Vec<String>,
}

impl Names {
    /// Those of a command and of the commands in it.
    pub(super) fn of(command: &clap::Command) -> Self {
        let all = || {
            let inner = command.get_subcommands().flat_map(clap::Command::get_arguments);
            command.get_arguments().chain(inner)
        };
        let open = all().filter(|flag| flag.is_allow_hyphen_values_set());
        // The command has these two, but names them only when it is asked to parse.
        let letters = all().filter_map(clap::Arg::get_short).chain(['h', 'V']).collect();
        Self { letters, open: open.filter_map(clap::Arg::get_long).map(str::to_owned).collect() }
    }

    /// The long flag that an argument names, however many dashes it has.
    fn long<'a>(&self, arg: &'a str) -> Option<&'a str> {
        let name = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-'))?;
        let name = name.split_once('=').map_or(name, |(name, _)| name);
        let begins = name.starts_with(|first: char| first.is_ascii_alphabetic());
        let is_long = begins && name.chars().nth(1).is_some();
        (is_long && !name.chars().all(|letter| self.letters.contains(&letter))).then_some(name)
    }
}

/// The arguments with a second dash before each long name that has but one.
///
/// A name that no flag has gets one too, so that whoever misspelt it is told of the flag that is
/// meant, not of its first letter. Single letters, numbers, values of flags that may begin with a
/// dash, and all that follows a bare `--` stay as they are.
pub(super) fn doubled(args: impl IntoIterator<Item = OsString>, names: &Names) -> Vec<OsString> {
    let mut ended = false;
    let mut is_value = false;
    let double = |arg: OsString| {
        let stays = ended || is_value;
        is_value = false;
        let Some(text) = arg.to_str().filter(|_| !stays) else { return arg };
        ended = text == "--";
        let Some(name) = names.long(text) else { return arg };
        is_value = !text.contains('=') && names.open.iter().any(|open| open == name);
        if text.starts_with("--") { arg } else { format!("-{text}").into() }
    };
    args.into_iter().map(double).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_names_get_a_second_dash() {
        let names = Names { letters: vec!['h', 'V'], open: vec!["token".to_owned()] };
        let line = |text: &str| -> Vec<OsString> { text.split(' ').map(OsString::from).collect() };
        for (written, meant) in [
            ("weir -addr=:9002 -shards=32", "weir --addr=:9002 --shards=32"),
            ("weir -shards 3 -numa -1", "weir --shards 3 --numa -1"),
            ("weir -numa=-1 -lb-addr=:3005", "weir --numa=-1 --lb-addr=:3005"),
            ("weir --shards 3 -h -V", "weir --shards 3 -h -V"),
            ("weir -hV -x -1.5", "weir -hV -x -1.5"),
            ("weir -shard=3", "weir --shard=3"),
            ("weir serve -shards=3", "weir serve --shards=3"),
            ("weir -- -shards", "weir -- -shards"),
            ("weir - -= -=x ---", "weir - -= -=x ---"),
            ("weir -token -shards -debug", "weir --token -shards --debug"),
            ("weir --token -- -debug", "weir --token -- --debug"),
            ("weir --token=-x -debug", "weir --token=-x --debug"),
        ] {
            assert_eq!(doubled(line(written), &names), line(meant), "{written}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_not_text_stays() {
        use std::os::unix::ffi::OsStringExt;
        let names = Names { letters: Vec::new(), open: Vec::new() };
        let args = vec![OsString::from_vec(b"-shards=\xff".to_vec())];
        assert_eq!(doubled(args.clone(), &names), args);
    }
}
