//! In which direction packages depend on each other, and what the core may depend on.

use super::manifest::{Dependency, Manifest};
use super::source::{Finding, Source};

/// What a package may use of our own.
struct Place {
    package: &'static str,
    uses: &'static [&'static str],
    /// In its tests also these.
    tests_use: &'static [&'static str],
}

const PLACES: [Place; 13] = [
    Place { package: "letter", uses: &[], tests_use: &[] },
    Place { package: "gateway-faults", uses: &[], tests_use: &[] },
    Place { package: "gateway-core", uses: &["gateway-faults"], tests_use: &["letter"] },
    Place { package: "gateway-registry", uses: &["gateway-faults"], tests_use: &[] },
    Place { package: "gateway-ebpf", uses: &[], tests_use: &[] },
    Place { package: "gateway-client", uses: &[], tests_use: &[] },
    Place {
        package: "gateway",
        uses: &["gateway-core", "gateway-registry", "gateway-ebpf", "gateway-faults"],
        tests_use: &["gateway-client"],
    },
    Place {
        package: "sim",
        uses: &["gateway", "gateway-core", "gateway-registry", "gateway-client", "gateway-faults"],
        tests_use: &[],
    },
    Place {
        package: "fuzz",
        uses: &["gateway", "gateway-core", "gateway-ebpf", "letter"],
        tests_use: &[],
    },
    Place {
        package: "benches",
        uses: &["gateway", "gateway-core", "gateway-registry", "gateway-client"],
        tests_use: &[],
    },
    Place { package: "trials", uses: &["gateway-client", "letter"], tests_use: &[] },
    Place { package: "peers", uses: &[], tests_use: &[] },
    Place { package: "xtask", uses: &[], tests_use: &[] },
];

/// Small and pure: all that the core may use of others outside of its tests.
const CORE_USES: [&str; 11] = [
    "bytes",
    "data-encoding",
    "flate2",
    "gateway-faults",
    "siphasher",
    "httparse",
    "memchr",
    "sha1",
    "simdutf8",
    "slab",
    "thiserror",
];

/// What ties code to a runtime or a system: for `gateway` only, among those it is made of.
const OF_GATEWAY_ONLY: [&str; 3] = ["tokio", "aya", "hwlocality"];
const MADE_WITHOUT: [&str; 3] = ["gateway-core", "gateway-registry", "gateway-ebpf"];

/// Dependencies that point in the wrong direction, over all manifests.
pub(super) fn direction(sources: &[Source<'_>]) -> Vec<Finding> {
    let manifests = sources
        .iter()
        .filter(|source| source.path == "Cargo.toml" || source.path.ends_with("/Cargo.toml"));
    manifests.flat_map(of_manifest).collect()
}

fn of_manifest(source: &Source<'_>) -> Vec<Finding> {
    let Some(manifest) = Manifest::parse(source.text) else {
        return Vec::new();
    };
    let Some(place) = PLACES.iter().find(|place| place.package == manifest.package) else {
        let what = "a package without a place: say what it may use in \
                    xtask/src/tidy/dependencies.rs";
        return vec![source.on(1, what)];
    };
    let wrong = |dependency: &Dependency<'_>| {
        let instead = place.refuses(dependency)?;
        let what = format!("{} must not use {}: {instead}", place.package, dependency.name);
        Some(source.on(dependency.line, what))
    };
    manifest.dependencies.iter().filter_map(wrong).collect()
}

impl Place {
    /// What to do instead; `None` if the dependency is fine.
    fn refuses(&self, dependency: &Dependency<'_>) -> Option<&'static str> {
        let Dependency { name, is_dev, .. } = *dependency;
        let is_ours = PLACES.iter().any(|place| place.package == name);
        let may_use = self.uses.contains(&name) || is_dev && self.tests_use.contains(&name);
        if is_ours && !may_use {
            Some("dependencies point downward; move the code, or pass in what it needs")
        } else if MADE_WITHOUT.contains(&self.package) && OF_GATEWAY_ONLY.contains(&name) {
            Some("only gateway knows runtimes and systems; let it pass in what is needed")
        } else if self.package == "gateway-core" && !is_dev && !CORE_USES.contains(&name) {
            Some("the core uses small pure packages only; make it an event or an effect")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(package: &str, dependencies: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"{package}\"\n{dependencies}");
        let findings = direction(&[Source::new("a/Cargo.toml", &text)]);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_dependency_upward_is_found() {
        let lines = found("gateway-core", "[dependencies]\ngateway.workspace = true\n");
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("a/Cargo.toml:4: gateway-core must not use gateway: "));
        assert_eq!(found("xtask", "[dev-dependencies]\ngateway-core.workspace = true\n").len(), 1);
    }

    #[test]
    fn a_dependency_downward_passes() {
        let down = "[dependencies]\ngateway-core.workspace = true\ntokio.workspace = true\n";
        assert!(found("gateway", down).is_empty());
        assert!(found("sim", down).is_empty());
    }

    #[test]
    fn only_tests_of_the_gateway_use_the_client() {
        assert_eq!(found("gateway", "[dependencies]\ngateway-client = { path = \"\" }\n").len(), 1);
        assert!(
            found("gateway", "[dev-dependencies]\ngateway-client.workspace = true\n").is_empty()
        );
    }

    #[test]
    fn a_core_that_uses_more_than_small_pure_packages_is_found() {
        assert_eq!(found("gateway-core", "[dependencies]\nserde = \"1\"\n").len(), 1);
        assert!(found("gateway-core", "[dependencies]\nbytes = \"1\"\n").is_empty());
        assert!(found("gateway-core", "[dev-dependencies]\nproptest = \"1\"\n").is_empty());
    }

    #[test]
    fn a_runtime_below_the_gateway_is_found_in_tests_too() {
        for package in MADE_WITHOUT {
            assert_eq!(found(package, "[dev-dependencies]\ntokio = \"1\"\n").len(), 1);
        }
        assert!(found("gateway-registry", "[dependencies]\nloom = \"1\"\n").is_empty());
    }

    #[test]
    fn a_package_without_a_place_is_found() {
        assert_eq!(found("extra", "").len(), 1);
        let root = Source::new("Cargo.toml", "[workspace.dependencies]\ntokio = \"1\"\n");
        assert!(direction(&[root]).is_empty());
    }
}
