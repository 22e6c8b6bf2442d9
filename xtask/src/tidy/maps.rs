//! Maps of what the simulator runs: ordered, or hashed with a seed.

use super::simulated::{self, RUN};
use super::source::{Finding, Source};

const INSTEAD: &str = "a map with a random hasher: take a BTreeMap or BTreeSet if it is iterated, \
                       else name a seeded hasher as its last parameter";

/// A hash map of the standard library names its hasher in its type, and is not made by `new`
/// or `with_capacity`, which only the random hasher has.
pub(super) fn unseeded(source: &Source<'_>) -> Vec<Finding> {
    if !simulated::is_below(&RUN, source.path) {
        return Vec::new();
    }
    let kinds = [("HashMap", 3), ("HashSet", 2)];
    kinds
        .into_iter()
        .flat_map(|(kind, parameters)| {
            let uses = source.words(kind);
            uses.filter(move |at| is_unseeded(&source.code[at + kind.len()..], parameters))
        })
        .map(|at| source.at(at, INSTEAD))
        .collect()
}

/// Whether what follows the name of a map gives it the random hasher.
fn is_unseeded(after: &str, parameters: usize) -> bool {
    let after = after.trim_start();
    let after = after.strip_prefix("::").map_or(after, str::trim_start);
    if let Some(generics) = after.strip_prefix('<') {
        return count_parameters(generics) < parameters;
    }
    let name = after.split(|c: char| !(c.is_alphanumeric() || c == '_')).next();
    matches!(name, Some("new" | "with_capacity" | "from"))
}

/// Parameters up to the closing bracket, not counting those within parameters.
fn count_parameters(generics: &str) -> usize {
    let mut depth = 0_i32;
    let mut parameters = 1;
    let mut before = ' ';
    for c in generics.chars() {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' if before == '-' => {}
            '>' if depth == 0 => break,
            '>' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => parameters += 1,
            _ => {}
        }
        before = c;
    }
    parameters
}

#[cfg(test)]
mod tests {
    use super::super::source::lines_found;
    use super::*;

    const CORE: &str = "gateway/core/src/a.rs";

    #[test]
    fn a_map_with_a_random_hasher_is_found() {
        let bad = "a: HashMap<u32, Vec<(u8, u8)>>,\nlet b = HashSet::new();\n\
                   let c = HashMap::<A, B>::default();\nd: std::collections::HashSet<fn() -> A>,\n";
        let mut lines = lines_found(unseeded, CORE, bad);
        lines.sort_unstable();
        assert_eq!(lines, [1, 2, 3, 4]);
        assert_eq!(lines_found(unseeded, "gateway/src/worker.rs", "HashMap::new();\n"), [1]);
    }

    #[test]
    fn a_seeded_map_passes() {
        let good = "use std::collections::{BTreeMap, HashMap};\n\
                    a: HashMap<Arc<str>, Vec<(u8, u8)>, FixedState>,\n\
                    b: HashSet<u32, FixedState>,\n\
                    let c = HashMap::with_hasher(state);\nd.all(HashMap::is_empty)\n";
        assert!(lines_found(unseeded, CORE, good).is_empty());
    }

    #[test]
    fn what_is_never_simulated_may_hash_as_it_likes() {
        assert!(lines_found(unseeded, "gateway/src/admin/a.rs", "HashMap::new();\n").is_empty());
    }
}
