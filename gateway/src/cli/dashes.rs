//! Long flags with a single dash, as some people write them: `-shards=3` is `--shards=3`.

use std::ffi::OsString;

/// The arguments with a second dash before each of these long names that has but one. What
/// follows a bare `--` stays as it is, and so do single letters, numbers and unknown names.
pub(super) fn doubled(args: impl IntoIterator<Item = OsString>, names: &[String]) -> Vec<OsString> {
    let mut open = true;
    let double = |arg: OsString| {
        open &= arg != "--";
        let Some(rest) = arg.to_str().filter(|_| open).and_then(|arg| arg.strip_prefix('-')) else {
            return arg;
        };
        let name = rest.split_once('=').map_or(rest, |(name, _)| name);
        let known = name.len() > 1 && names.iter().any(|known| known == name);
        if known { format!("--{rest}").into() } else { arg }
    };
    args.into_iter().map(double).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_long_names_get_a_second_dash() {
        let names = ["addr", "shards", "numa", "h"].map(str::to_owned);
        let line = |text: &str| -> Vec<OsString> { text.split(' ').map(OsString::from).collect() };
        for (written, meant) in [
            ("weir -addr=:9002 -shards=32", "weir --addr=:9002 --shards=32"),
            ("weir -shards 3 -numa -1", "weir --shards 3 --numa -1"),
            ("weir --shards 3 -h -V", "weir --shards 3 -h -V"),
            ("weir -shard=3 -x", "weir -shard=3 -x"),
            ("weir serve -shards=3", "weir serve --shards=3"),
            ("weir -- -shards", "weir -- -shards"),
            ("weir - -=", "weir - -="),
        ] {
            assert_eq!(doubled(line(written), &names), line(meant), "{written}");
        }
    }
}
