//! Only simulation and tests can make Weir fail on purpose: manifests turn `gateway-faults` on for
//! `sim`, for tests, and in the profile that nothing is released with.

use super::manifest::Manifest;
use super::source::{Finding, Source};

const PACKAGE: &str = "gateway-faults";
const PROFILE: &str = "[profile.campaign.package.gateway-faults]";

/// Where manifests turn it on for anything else.
pub(super) fn turned_on(sources: &[Source<'_>]) -> Vec<Finding> {
    let manifests = sources
        .iter()
        .filter(|source| source.path == "Cargo.toml" || source.path.ends_with("/Cargo.toml"));
    manifests.flat_map(|source| of_package(source).into_iter().chain(of_profiles(source))).collect()
}

fn of_package(source: &Source<'_>) -> Vec<Finding> {
    let Some(manifest) = Manifest::parse(source.text) else { return Vec::new() };
    let tests: Vec<usize> =
        manifest.dependencies.iter().filter(|used| used.is_dev).map(|used| used.line).collect();
    let lines = source.text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let turns_on = |line: &str| {
        line.contains(PACKAGE) && (line.contains("features") || line.contains("gateway-faults/"))
    };
    let wrong = lines.filter(|(_, line)| manifest.package != "sim" && turns_on(line));
    let wrong = wrong.filter(|(at, _)| !tests.contains(at));
    let what = "only sim and tests make Weir fail on purpose: leave out the feature";
    wrong.map(|(at, _)| source.on(at, what)).collect()
}

/// Without debug assertions where it is built, the feature does nothing.
fn of_profiles(source: &Source<'_>) -> Vec<Finding> {
    let mut header = "";
    let mut findings = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            header = line;
        } else if line.starts_with("debug-assertions") && header != PROFILE {
            let what = "a profile with debug assertions may be one that can fail on purpose: only \
                        profile.campaign.package.gateway-faults has them";
            findings.push(source.on(at + 1, what));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<usize> {
        turned_on(&[Source::new("a/Cargo.toml", text)]).iter().map(|found| found.line()).collect()
    }

    #[test]
    fn a_package_that_turns_it_on_is_found() {
        let on = "gateway-faults = { workspace = true, features = [\"sim\"] }\n";
        let of = |name, section| format!("[package]\nname = \"{name}\"\n[{section}]\n{on}");
        assert_eq!(found(&of("gateway", "dependencies")), [4]);
        assert!(found(&of("gateway", "dev-dependencies")).is_empty());
        assert!(found(&of("sim", "dependencies")).is_empty());
        let feature = "[package]\nname = \"gateway\"\n[features]\nx = [\"gateway-faults/sim\"]\n";
        assert_eq!(found(feature), [4]);
        let used =
            "[package]\nname = \"gateway\"\n[dependencies]\ngateway-faults.workspace = true\n";
        assert!(found(used).is_empty());
    }

    #[test]
    fn a_profile_that_could_fail_is_found() {
        let profile = "[profile.release]\nopt-level = 3\ndebug-assertions = true\n";
        assert_eq!(found(profile), [3]);
        assert!(found(&format!("{PROFILE}\ndebug-assertions = true\n")).is_empty());
    }
}
