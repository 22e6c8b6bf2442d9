//! A page that shows a run: one file, readable without a network, in light and in dark.

mod axis;
mod bars;
mod cast;
mod curves;
mod method;

use std::fmt::{self, Write};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

pub(crate) use self::axis::Axis;
pub(crate) use self::curves::{Curve, Point};
use crate::machine;
use crate::stats::Standing;
use crate::verdict::Verdict;

const STYLE: &str = include_str!("style.css");

/// One question and what it came to.
pub(crate) struct Section<'a> {
    pub(crate) name: &'static str,
    pub(crate) verdicts: &'a [Verdict],
    pub(crate) parts: &'a [Part],
}

/// What is drawn.
pub(crate) enum Part {
    /// Servers beside each other.
    Bars { title: String, unit: &'static str, bars: Vec<Standing>, notes: Vec<String> },
    /// Servers over something that grows.
    Curves { title: String, x: Axis, y: Axis, curves: Vec<Curve>, notes: Vec<String> },
}

/// # Errors
/// If the file cannot be written.
pub(crate) fn write(path: &Path, sections: &[Section<'_>], smoke: bool) -> Result<()> {
    let mut page = String::new();
    draw(&mut page, sections, smoke).context("a page is only text")?;
    fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))
}

fn draw(page: &mut String, sections: &[Section<'_>], smoke: bool) -> fmt::Result {
    let (machine, commit) = (Escaped(&machine::describe()).to_string(), machine::commit());
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Weir, measured</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>Weir, measured</h1>\n<p class=\"about\">{machine}; commit {}</p>\n",
        Escaped(&commit)
    )?;
    if smoke {
        writeln!(page, "<p><strong>Too short to mean anything: only that it works.</strong></p>")?;
    }
    for section in sections {
        draw_section(page, section)?;
    }
    writeln!(page, "</main>\n</body>\n</html>")
}

fn draw_section(page: &mut String, section: &Section<'_>) -> fmt::Result {
    let method::Method { title, how } = method::of(section.name);
    writeln!(page, "<section>\n<h2>{title}</h2>\n<p>{how}</p>")?;
    cast::draw(page, section.parts)?;
    if !section.verdicts.is_empty() {
        draw_goals(page, section.verdicts)?;
    }
    for part in section.parts {
        writeln!(page, "<figure>")?;
        match part {
            Part::Bars { title, unit, bars, notes } => {
                bars::draw(page, title, unit, bars)?;
                draw_notes(page, notes)?;
            }
            Part::Curves { title, x, y, curves, notes } => {
                curves::draw(page, title, x, y, curves)?;
                draw_notes(page, notes)?;
            }
        }
        writeln!(page, "</figure>")?;
    }
    writeln!(page, "</section>")
}

fn draw_notes(page: &mut String, notes: &[String]) -> fmt::Result {
    notes.iter().try_for_each(|note| writeln!(page, "<p class=\"note\">{}</p>", Escaped(note)))
}

fn draw_goals(page: &mut String, verdicts: &[Verdict]) -> fmt::Result {
    writeln!(
        page,
        "<table>\n<thead><tr><th>measure</th><th>goal</th><th>measured</th>\
         <th>least to most</th><th></th></tr></thead>\n<tbody>"
    )?;
    for verdict in verdicts {
        let Verdict { what, measured, goal, digits } = verdict;
        let class = if verdict.is_missed() { "missed" } else { "met" };
        writeln!(
            page,
            "<tr><td>{}</td><td>≤ {goal:.digits$}</td><td>{:.digits$}</td>\
             <td>{:.digits$} to {:.digits$}</td><td class=\"{class}\">{class}</td></tr>",
            Escaped(what),
            measured.median,
            measured.min,
            measured.max
        )?;
    }
    writeln!(page, "</tbody>\n</table>")
}

/// Text that is only text, whatever is in it.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A number with three digits that mean something, and a unit's prefix instead of many zeros.
fn short(number: f64) -> String {
    let (number, prefix) = match number.abs() {
        1e6.. => (number / 1e6, " M"),
        1e4.. => (number / 1e3, " k"),
        _ => (number, ""),
    };
    let digits = match number.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{number:.digits$}{prefix}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Spread;

    fn spread(median: f64) -> Spread {
        Spread { min: median * 0.9, median, max: median * 1.1 }
    }

    fn page() -> String {
        let standing = |name, median| Standing {
            name,
            each: spread(median * 2000.0),
            ratio: spread(median),
            softirq_share: None,
        };
        let parts = [
            Part::Bars {
                title: "to <all> & sundry".to_owned(),
                unit: "ns",
                bars: vec![standing("floor", 1.0), standing("weir", 0.9)],
                notes: vec!["one peer said \"no\"".to_owned()],
            },
            Part::Curves {
                title: "growth".to_owned(),
                x: Axis::decades("connections"),
                y: Axis::even("ns"),
                curves: vec![Curve {
                    name: "weir",
                    points: vec![Point { x: 100.0, y: 5.0 }, Point { x: 1000.0, y: 7.0 }],
                }],
                notes: vec!["nobody <fell> out".to_owned()],
            },
        ];
        let what = "weir / floor".to_owned();
        let verdicts = [Verdict { what, measured: spread(0.9), goal: 0.95, digits: 3 }];
        let mut page = String::new();
        let section = Section { name: "macro", verdicts: &verdicts, parts: &parts };
        draw(&mut page, &[section], false).expect("a page is only text");
        page
    }

    #[test]
    fn nothing_that_is_told_becomes_markup() {
        let page = page();
        assert!(page.contains("to &lt;all&gt; &amp; sundry"), "{page}");
        assert!(page.contains("one peer said &quot;no&quot;"), "{page}");
    }

    #[test]
    fn the_page_needs_nobody_else() {
        let page = page();
        for outside in ["http:", "https:", "src=", "href=", "@import", "url(", "<script"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn every_element_that_is_opened_is_closed() {
        let page = page();
        for name in ["html", "main", "section", "table", "tr", "td", "figure", "svg", "figcaption"]
        {
            let opened = page.matches(&format!("<{name}>")).count()
                + page.matches(&format!("<{name} ")).count();
            assert_eq!(opened, page.matches(&format!("</{name}>")).count(), "{name}");
            assert!(opened > 0, "{name}");
        }
    }

    #[test]
    fn numbers_keep_three_digits() {
        let numbers = [0.876, 12.34, 512.4, 9_999.0, 12_340.0, 1_234_000.0].map(short);
        assert_eq!(numbers, ["0.88", "12.3", "512", "9999", "12.3 k", "1.23 M"]);
    }
}
