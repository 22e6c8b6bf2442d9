//! A package's name and dependencies, read from its Cargo.toml.
//!
//! Reads the little of TOML that manifests here are written in; `cargo metadata` would need a
//! JSON parser, and this tool is built cold by everyone.

/// What a Cargo.toml says about dependencies.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Manifest<'a> {
    pub(super) package: &'a str,
    pub(super) dependencies: Vec<Dependency<'a>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Dependency<'a> {
    pub(super) name: &'a str,
    /// Only of tests, examples and benches.
    pub(super) is_dev: bool,
    /// Counted from 1.
    pub(super) line: usize,
}

/// Where a line of a manifest stands.
#[derive(Clone, Copy)]
enum Section<'a> {
    Package,
    /// Each key is a dependency.
    Dependencies {
        is_dev: bool,
    },
    /// The keys belong to this dependency.
    Dependency(Dependency<'a>),
    Other,
}

impl<'a> Manifest<'a> {
    /// `None` if the text names no package, as a workspace's root may not.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut package = None;
        let mut dependencies = Vec::new();
        let mut section = Section::Other;
        // Brackets open at the end of the lines so far: above 0 a value goes on.
        let mut depth = 0;
        for (at, line) in text.lines().enumerate() {
            let line = without_comment(line).trim();
            if depth == 0 && line.starts_with('[') {
                section = Section::of(line, at + 1);
                if let Section::Dependency(dependency) = section {
                    dependencies.push(dependency);
                }
                continue;
            }
            if let Some((key, value)) = line.split_once('=').filter(|_| depth == 0) {
                let key = first_key(key);
                match section {
                    Section::Package if key == "name" => package = Some(unquoted(value)),
                    Section::Dependencies { is_dev } => {
                        let name = renamed(value).unwrap_or(key);
                        dependencies.push(Dependency { name, is_dev, line: at + 1 });
                    }
                    Section::Dependency(_) if key == "package" => {
                        let last = dependencies.last_mut().expect("its header was read");
                        last.name = unquoted(value);
                    }
                    Section::Package | Section::Dependency(_) | Section::Other => {}
                }
            }
            depth += balance(line);
        }
        Some(Self { package: package?, dependencies })
    }
}

impl<'a> Section<'a> {
    fn of(header: &'a str, line: usize) -> Self {
        let header = header.trim_matches(['[', ']']).trim();
        if header == "package" {
            return Self::Package;
        }
        if header.starts_with("workspace.") {
            return Self::Other;
        }
        // `target.'cfg(a.b)'.dependencies`: what counts is at the end.
        let mut ends = header.rsplit('.').map(unquoted);
        let (last, before) = (ends.next().unwrap_or_default(), ends.next().unwrap_or_default());
        if let Some(is_dev) = kind(last) {
            Self::Dependencies { is_dev }
        } else if let Some(is_dev) = kind(before) {
            Self::Dependency(Dependency { name: last, is_dev, line })
        } else {
            Self::Other
        }
    }
}

/// Whether a table of this name holds development dependencies; `None` if no dependencies.
fn kind(table: &str) -> Option<bool> {
    match table {
        "dependencies" | "build-dependencies" => Some(false),
        "dev-dependencies" => Some(true),
        _ => None,
    }
}

/// `tokio` of `tokio.workspace`.
fn first_key(key: &str) -> &str {
    unquoted(key.split('.').next().unwrap_or(key))
}

/// The package that an inline table gives another name.
fn renamed(value: &str) -> Option<&str> {
    let (_, after) = value.split_once("package")?;
    after.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?.split('"').next()
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['"', '\''])
}

fn without_comment(line: &str) -> &str {
    let outside = outside_of_strings(line);
    outside.into_iter().find(|(_, c)| *c == '#').map_or(line, |(at, _)| &line[..at])
}

/// Brackets that the line opens, less those that it closes.
fn balance(line: &str) -> i32 {
    let step = |(_, c)| match c {
        '[' | '{' => 1,
        ']' | '}' => -1,
        _ => 0,
    };
    outside_of_strings(line).into_iter().map(step).sum()
}

fn outside_of_strings(line: &str) -> Vec<(usize, char)> {
    let mut open = None;
    let outside = |(_, c): &(usize, char)| {
        let was_open = open;
        open = match open {
            Some(quote) => Some(quote).filter(|quote| quote != c),
            None => Some(*c).filter(|c| ['"', '\''].contains(c)),
        };
        was_open.is_none() && open.is_none()
    };
    line.char_indices().filter(outside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(&str, bool)> {
        let manifest = Manifest::parse(text).expect("a package");
        manifest.dependencies.iter().map(|found| (found.name, found.is_dev)).collect()
    }

    #[test]
    fn every_way_to_write_a_dependency_is_read() {
        let text = r#"
            [package]
            name = "sim" # not "other"
            [dependencies]
            bytes.workspace = true
            clap = "4"
            "loom" = { version = "1", features = [
                "name = 1", # [
            ] }
            other = { package = "tokio", version = "1" }
            [target.'cfg(target_os = "linux")'.build-dependencies]
            nix.workspace = true
            [dependencies.rustix]
            version = "1"
            [dev-dependencies.mine]
            package = "turmoil"
            [features]
            default = []
        "#;
        let read = names(text);
        let normal = ["bytes", "clap", "loom", "tokio", "nix", "rustix"];
        assert_eq!(read[..6], normal.map(|name| (name, false)));
        assert_eq!(read[6..], [("turmoil", true)]);
        assert_eq!(Manifest::parse(text).map(|manifest| manifest.package), Some("sim"));
    }

    #[test]
    fn what_the_workspace_offers_is_no_dependency() {
        let text = "[package]\nname = \"a\"\n[workspace.dependencies]\ntokio = \"1\"\n";
        assert!(names(text).is_empty());
        assert_eq!(Manifest::parse("[workspace]\nresolver = \"3\"\n"), None);
    }

    #[test]
    fn a_dependency_knows_its_line() {
        let manifest = Manifest::parse("[package]\nname = \"a\"\n[dependencies]\n\nb = \"1\"\n");
        assert_eq!(manifest.expect("a package").dependencies[0].line, 5);
    }
}
