//! Servers beside each other: a bar for the median, a whisker for the spread.

use std::fmt::{self, Write};

use super::{Escaped, short};
use crate::stats::Standing;

/// What the longest bar leaves free, so that a whisker seldom reaches the end.
const ROOM: f64 = 1.05;

/// Positions are percents, so that bars stretch with the page and letters do not.
pub(super) fn draw(page: &mut String, title: &str, unit: &str, bars: &[Standing]) -> fmt::Result {
    writeln!(page, "<figcaption>{} <small>{unit}</small></figcaption>", Escaped(title))?;
    let most = bars.iter().map(|bar| bar.each.max).fold(0.0, f64::max) * ROOM;
    let base = bars.first().map_or(0.0, |bar| bar.each.median);
    writeln!(page, "<div class=\"bars\">")?;
    for bar in bars {
        draw_bar(page, bar, base, most)?;
    }
    writeln!(page, "</div>")
}

fn draw_bar(page: &mut String, bar: &Standing, base: f64, most: f64) -> fmt::Result {
    let percent = |number: f64| if most > 0.0 { number / most * 100.0 } else { 0.0 };
    let Standing { name, each, ratio, .. } = bar;
    let [least, median, greatest] = [each.min, each.median, each.max].map(percent);
    let class = match *name {
        "floor" => "floor",
        weir if weir.starts_with("weir") => "weir",
        "loop" | "io_uring" | "memfd" => "bare",
        _ => "other",
    };
    writeln!(
        page,
        "<span class=\"name\">{}</span>\n\
         <svg class=\"{class}\" height=\"20\" role=\"img\" aria-label=\"{} {}\">\n\
         <rect class=\"bar\" y=\"3\" width=\"{median:.2}%\" height=\"14\" rx=\"2\"/>\n\
         <line class=\"base\" x1=\"{base:.2}%\" x2=\"{base:.2}%\" y1=\"0\" y2=\"20\"/>\n\
         <line class=\"whisker\" x1=\"{least:.2}%\" x2=\"{greatest:.2}%\" y1=\"10\" y2=\"10\"/>\n\
         <line class=\"whisker\" x1=\"{least:.2}%\" x2=\"{least:.2}%\" y1=\"6\" y2=\"14\"/>\n\
         <line class=\"whisker\" x1=\"{greatest:.2}%\" x2=\"{greatest:.2}%\" y1=\"6\" y2=\"14\"/>\n\
         </svg>\n<span class=\"value\">{} <b>× {}</b></span>",
        Escaped(name),
        Escaped(name),
        short(each.median),
        short(each.median),
        times(ratio.median),
        base = percent(base),
    )
}

/// A ratio with two decimals, as long as they say something.
fn times(ratio: f64) -> String {
    if ratio < 100.0 { format!("{ratio:.2}") } else { short(ratio) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_have_two_decimals_unless_they_are_great() {
        assert_eq!([0.876, 12.3, 250.4, 26_542.0].map(times), ["0.88", "12.30", "250", "26.5 k"]);
    }
}
