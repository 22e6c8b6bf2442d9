//! Calls that are not made, because they would break a promise.

use super::simulated::{self, RUN, SOURCES, WORLDS};
use super::source::{Finding, Source};

struct Ban {
    /// What the code must not say.
    calls: &'static [&'static str],
    /// Unless it is of this module, by its full path or by an import.
    unless_of: Option<&'static str>,
    /// Below these folders; everywhere if there are none.
    below: &'static [&'static str],
    /// Why not, and what to do instead.
    instead: &'static str,
}

const BANS: [Ban; 8] = [
    Ban {
        calls: &["Instant::now"],
        unless_of: Some("tokio::time"),
        below: &WORLDS,
        instead: "reads the machine's clock: take `Now` as an argument, or ask the \
                  simulated `tokio::time::Instant`",
    },
    Ban {
        calls: &["SystemTime::now"],
        unless_of: None,
        below: &WORLDS,
        instead: "reads the machine's clock: take the time as an argument",
    },
    Ban {
        calls: &["std::thread", "thread::"],
        unless_of: None,
        below: &WORLDS,
        instead: "threads run in any order: return an effect, and let the driver have threads",
    },
    Ban {
        calls: &["rand::", "getrandom", "fastrand", "RandomState", "new_v4"],
        unless_of: None,
        below: &RUN,
        instead: "a random source of its own: draw from the generator that the seed feeds",
    },
    Ban {
        calls: &["as_ptr", "from_ref", "addr_of", "expose_provenance", "type_name"],
        unless_of: None,
        below: &WORLDS,
        instead: "an address differs from run to run, a type's name between compilers: name \
                  things by numbers",
    },
    Ban {
        calls: &["env::var", "env::var_os", "env::vars", "process::id", "available_parallelism"],
        unless_of: None,
        below: &SOURCES,
        instead: "differs from process to process: let whoever makes the node say it",
    },
    Ban {
        calls: &["spawn_blocking", "new_multi_thread", "thread::spawn"],
        unless_of: None,
        below: &["gateway/src/turn", "gateway/src/shard.rs", "gateway/src/local"],
        instead: "leaves the thread that the simulator turns: make it a task, or an effect",
    },
    Ban {
        calls: &["todo!", "unimplemented!", "dbg!"],
        unless_of: None,
        below: &[],
        instead: "left behind: finish it, or take it out",
    },
];

/// Calls that break determinism, and what is left behind of work in progress.
pub(super) fn banned(source: &Source<'_>) -> Vec<Finding> {
    BANS.iter().filter(|ban| ban.is_for(source.path)).flat_map(|ban| ban.find(source)).collect()
}

impl Ban {
    fn is_for(&self, path: &str) -> bool {
        self.below.is_empty() || simulated::is_below(self.below, path)
    }

    /// At most one finding for each line.
    fn find(&self, source: &Source<'_>) -> Vec<Finding> {
        let all = self.calls.iter().flat_map(|call| source.words(call));
        let mut found: Vec<_> = all
            .filter(|at| !self.unless_of.is_some_and(|module| is_of(source, *at, module)))
            .map(|at| source.at(at, self.instead))
            .collect();
        found.sort();
        found.dedup();
        found
    }
}

/// Whether the path at this offset belongs to the module: it is spelled out, or its first name
/// is imported from there.
fn is_of(source: &Source<'_>, at: usize, module: &str) -> bool {
    let (before, call) = source.code.split_at(at);
    if let Some(path) = before.strip_suffix("::") {
        return path.ends_with(module);
    }
    let name: String = call.chars().take_while(char::is_ascii_alphanumeric).collect();
    source.words("use").any(|at| {
        let import = source.code[at + "use".len()..].split(';').next().unwrap_or_default();
        let names = import.trim_start().strip_prefix(module).unwrap_or_default();
        names.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == name)
    })
}

/// A `select!` that polls its branches in random order.
pub(super) fn unbiased_select(source: &Source<'_>) -> Vec<Finding> {
    let is_unbiased = |at: &usize| {
        let body = source.code[at + "select!".len()..].trim_start();
        !body.trim_start_matches(['{', '(', '[']).trim_start().starts_with("biased;")
    };
    source
        .words("select!")
        .filter(is_unbiased)
        .map(|at| source.at(at, "`select!` polls in random order: start it with `biased;`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::source::lines_found;
    use super::*;

    #[test]
    fn the_machines_clock_is_found_in_the_core_and_in_the_simulator() {
        let bad = "let a = Instant::now();\nlet b = std::time::SystemTime::now();\n";
        assert_eq!(lines_found(banned, "gateway/core/src/a.rs", bad), [1, 2]);
        assert_eq!(lines_found(banned, "sim/src/a.rs", bad), [1, 2]);
        assert!(lines_found(banned, "gateway/src/a.rs", bad).is_empty());
    }

    #[test]
    fn the_simulated_clock_passes_by_path_and_by_import() {
        let path = "let a = tokio::time::Instant::now(); // not Instant::now()\n";
        assert!(lines_found(banned, "sim/src/a.rs", path).is_empty());
        let import = "use tokio::time::{Instant, timeout_at};\nlet a = Instant::now();\n";
        assert!(lines_found(banned, "sim/src/a.rs", import).is_empty());
        let other = "use tokio::time::sleep;\nuse std::time::Instant;\nlet a = Instant::now();\n";
        assert_eq!(lines_found(banned, "sim/src/a.rs", other), [3]);
        let both = "use tokio::time::Instant;\nlet a = std::time::Instant::now();\n";
        assert_eq!(lines_found(banned, "sim/src/a.rs", both), [2]);
    }

    #[test]
    fn threads_are_found_once_for_each_line() {
        let bad = "use std::thread;\nfn a() { std::thread::spawn(b); }\nthread::sleep(c);\n";
        assert_eq!(lines_found(banned, "sim/src/a.rs", bad), [1, 2, 3]);
        let good = "let thread = my_thread::new(\"std::thread\");\n";
        assert!(lines_found(banned, "sim/src/a.rs", good).is_empty());
    }

    #[test]
    fn a_random_source_is_found() {
        assert_eq!(lines_found(banned, "sim/src/a.rs", "let a = rand::random();\n"), [1]);
        assert!(lines_found(banned, "sim/src/a.rs", "operand::new();\n").is_empty());
        let hasher = "let a = RandomState::new();\n";
        assert_eq!(lines_found(banned, "gateway/src/turn/a.rs", hasher), [1]);
        assert!(lines_found(banned, "gateway/src/sources.rs", hasher).is_empty());
    }

    #[test]
    fn what_differs_from_process_to_process_is_found_where_the_simulator_runs() {
        let bad = "let a = list.as_ptr();\nlet b = std::process::id();\n";
        assert_eq!(lines_found(banned, "gateway/core/src/a.rs", bad), [1, 2]);
        assert_eq!(lines_found(banned, "gateway/src/worker/link.rs", bad), [2]);
        assert!(lines_found(banned, "gateway/src/admin.rs", bad).is_empty());
        let leaves = "tokio::task::spawn_blocking(a);\n";
        assert_eq!(lines_found(banned, "gateway/src/local.rs", leaves), [1]);
    }

    #[test]
    fn work_in_progress_is_found_everywhere() {
        let (todo, later) = ("todo!", "unimplemented!");
        let bad = format!("{todo}();\n{later}(\"later\");\ndbg!(a);\n");
        assert_eq!(lines_found(banned, "xtask/src/a.rs", &bad), [1, 2, 3]);
        let good = format!("// {todo}()\nmy{todo}();\n\"dbg!\";\n");
        assert!(lines_found(banned, "a.rs", &good).is_empty());
    }

    #[test]
    fn a_select_in_random_order_is_found() {
        let bad = "tokio::select! {\n    a = b => {}\n}\nselect!(a = b => {});\n";
        assert_eq!(lines_found(unbiased_select, "gateway/src/a.rs", bad), [1, 4]);
        let good = "tokio::select! {\n    // In order.\n    biased;\n    a = b => {}\n}\n";
        assert!(lines_found(unbiased_select, "gateway/src/a.rs", good).is_empty());
    }
}
