//! Links in Markdown that lead nowhere.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Finding, Source};

/// Relative links to files that are not there, and to headings that no file has.
pub(super) fn dead(sources: &[Source<'_>], paths: &[&str]) -> Vec<Finding> {
    let texts = || sources.iter().filter(|source| source.path.ends_with(".md"));
    let site = Site {
        places: paths.iter().flat_map(|path| with_folders(path)).collect(),
        anchors: texts().map(|source| (source.path, anchors(source.text))).collect(),
    };
    texts().flat_map(|source| site.dead_in(source)).collect()
}

/// What can be linked to.
struct Site<'a> {
    /// Files and folders.
    places: BTreeSet<&'a str>,
    /// The headings of each Markdown file, as links name them.
    anchors: BTreeMap<&'a str, BTreeSet<String>>,
}

impl Site<'_> {
    fn dead_in(&self, source: &Source<'_>) -> Vec<Finding> {
        let lines = prose(source.text);
        let links = lines.flat_map(|(at, line)| {
            targets(&line).into_iter().map(move |target| (at, target)).collect::<Vec<_>>()
        });
        links
            .filter_map(|(at, target)| Some(source.on(at, self.refuses(source.path, &target)?)))
            .collect()
    }

    fn refuses(&self, from: &str, target: &str) -> Option<String> {
        if is_outside(target) {
            return None;
        }
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let file = file.split('?').next().unwrap_or(file);
        let place = if file.is_empty() { Some(from.to_owned()) } else { resolve(from, file) };
        let Some(place) = place.filter(|place| self.places.contains(place.as_str())) else {
            return Some(format!("dead link to {target}: name a file of this checkout"));
        };
        let anchors = self.anchors.get(place.as_str())?;
        (!anchor.is_empty() && !anchors.contains(anchor))
            .then(|| format!("dead link to {target}: {place} has no such heading"))
    }
}

/// Whether a link names a scheme, as in `mailto:`, or a host.
fn is_outside(target: &str) -> bool {
    let scheme = target.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    target.starts_with("//") || !scheme.is_empty() && scheme.chars().all(is_scheme)
}

/// A path and the folders that it is in; the top is the empty path.
fn with_folders(path: &str) -> impl Iterator<Item = &str> {
    let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
    folders.chain(["", path])
}

/// The path that a link means; `None` if it leaves the checkout.
fn resolve(from: &str, link: &str) -> Option<String> {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    // On a page of a forge a leading slash means the top of the checkout.
    let base = if link.starts_with('/') { "" } else { folder };
    let mut parts: Vec<_> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The lines outside of code blocks, counted from 1, with inline code blanked.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let mark = ["```", "~~~"].into_iter().find(|mark| line.trim_start().starts_with(mark));
        match (fence, mark) {
            (None, Some(_)) => fence = mark,
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => return Some((at + 1, without_code(line))),
            (Some(_), _) => {}
        }
        None
    })
}

/// The line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').enumerate().map(|(at, part)| if at % 2 == 0 { part } else { "" }).collect()
}

/// Where the links of a line lead: `[a](b)`, `[a]: b`, `href="b"`, `src="b"`.
fn targets(line: &str) -> Vec<String> {
    let ends = [("](", ')'), ("href=\"", '"'), ("src=\"", '"')];
    let inline = ends.into_iter().flat_map(|(open, close)| {
        line.split(open).skip(1).filter_map(move |after| after.split(close).next())
    });
    let definition = line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]:"));
    let definition = definition.filter(|(name, _)| !name.contains(']') && !name.starts_with('^'));
    inline
        .chain(definition.map(|(_, target)| target))
        .filter_map(|target| target.split_whitespace().next())
        .map(|target| target.trim_matches(['<', '>']).replace("%20", " "))
        .collect()
}

/// Names of a file's headings, as links give them: twins are numbered from 1.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for heading in headings(text) {
        let slug = slug(heading);
        let mut anchor = slug.clone();
        let mut twin = 0;
        while !anchors.insert(anchor.clone()) {
            twin += 1;
            anchor = format!("{slug}-{twin}");
        }
    }
    anchors
}

fn headings(text: &str) -> impl Iterator<Item = &str> {
    let lines: BTreeSet<_> = prose(text).map(|(at, _)| at).collect();
    let lines = text.lines().enumerate().filter(move |(at, _)| lines.contains(&(at + 1)));
    lines.filter_map(|(_, line)| {
        let heading = line.strip_prefix('#')?.trim_start_matches('#');
        heading.strip_prefix(' ').map(str::trim)
    })
}

fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || ['-', '_', ' '].contains(c);
    let lower = link_texts(heading).to_lowercase();
    lower.chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The heading with each `[a](b)` reduced to `a`.
fn link_texts(heading: &str) -> String {
    let mut parts = heading.split("](");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once(')').map_or(part, |(_, after)| after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<usize> {
        let page = "# One\n## Two, `code` & three\n## One\n";
        let sources = [Source::new("docs/a.md", text), Source::new("b.md", page)];
        let paths = ["docs/a.md", "docs/sub/c.rs", "b.md", "LICENSE"];
        dead(&sources, &paths).iter().map(Finding::line).collect()
    }

    #[test]
    fn a_link_to_a_missing_file_is_found() {
        assert_eq!(found("[a](c.rs)\n![b](pic.png \"title\")\n"), [1, 2]);
        assert_eq!(found("<img src=\"pic.png\">\n[x]: nowhere.md\n[y](../../b.md)\n"), [1, 2, 3]);
    }

    #[test]
    fn a_link_to_a_file_or_folder_passes() {
        let good = "[a](sub/c.rs#L3) [b](../b.md) [c](/LICENSE) [d](sub/) [e](..)\n[f]: ../b.md\n";
        assert!(found(good).is_empty());
    }

    #[test]
    fn a_link_to_a_missing_heading_is_found() {
        assert_eq!(
            found("# Here\n[a](#there)\n[b](../b.md#three)\n[c](../b.md#one-2)\n"),
            [2, 3, 4]
        );
    }

    #[test]
    fn a_link_to_a_heading_passes() {
        let good = "# Here\n[a](#here) [b](../b.md#two-code--three) [c](../b.md#one-1)\n";
        assert!(found(good).is_empty());
    }

    #[test]
    fn what_only_looks_like_a_link_passes() {
        let good = "`[a](b)` and https://weir.example/a\n```\n[a](b)\n# No heading\n```\n\
                    [a](https://weir.example) [b](mailto:a@weir.example) [^1]: a note\n";
        assert!(found(good).is_empty());
        assert_eq!(found("```\n# Hidden\n```\n[a](#hidden)\n"), [4]);
    }
}
