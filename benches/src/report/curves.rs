//! Servers over something that grows, on a logarithmic axis; what it costs starts at nothing.

use std::fmt::{self, Write};

use super::{Escaped, short};

/// The drawing's size; the page stretches it.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 220.0;
/// Left for the numbers.
const LEFT: f64 = 44.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 34.0;

/// Lines across.
const LINES: usize = 4;

/// How one server did.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<Point>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// Where numbers lie in the drawing.
struct Scale {
    first: f64,
    last: f64,
    most: f64,
}

impl Scale {
    fn of(curves: &[Curve]) -> Self {
        let points = || curves.iter().flat_map(|curve| &curve.points);
        Self {
            first: points().map(|point| point.x).fold(f64::INFINITY, f64::min),
            last: points().map(|point| point.x).fold(0.0, f64::max),
            most: points().map(|point| point.y).fold(0.0, f64::max) * 1.1,
        }
    }

    fn x(&self, x: f64) -> f64 {
        let decades = (self.last / self.first).ln();
        let part = if decades > 0.0 { (x / self.first).ln() / decades } else { 0.5 };
        LEFT + part * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, y: f64) -> f64 {
        let part = if self.most > 0.0 { y / self.most } else { 0.0 };
        HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
    }
}

pub(super) fn draw(
    page: &mut String,
    title: &str,
    x: &str,
    y: &str,
    curves: &[Curve],
) -> fmt::Result {
    writeln!(page, "<figcaption>{} <small>{y}</small></figcaption>", Escaped(title))?;
    if curves.iter().all(|curve| curve.points.is_empty()) {
        return writeln!(page, "<p class=\"note\">nothing was measured</p>");
    }
    let scale = Scale::of(curves);
    writeln!(page, "<svg class=\"curves\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">")?;
    draw_axes(page, &scale, x, curves)?;
    for (index, curve) in curves.iter().enumerate() {
        draw_curve(page, &scale, index, curve)?;
    }
    writeln!(page, "</svg>\n<p class=\"legend\">")?;
    for (index, curve) in curves.iter().enumerate() {
        let line = line(index, curve.name);
        writeln!(page, "<span class=\"line{line}\">{}</span>", Escaped(curve.name))?;
    }
    writeln!(page, "</p>")
}

fn draw_axes(page: &mut String, scale: &Scale, x: &str, curves: &[Curve]) -> fmt::Result {
    for line in 0..=LINES {
        let number = scale.most * line as f64 / LINES as f64;
        let (right, at) = (WIDTH - RIGHT, scale.y(number));
        writeln!(
            page,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 4.0,
            at + 3.0,
            short(number)
        )?;
    }
    let mut marks: Vec<_> =
        curves.iter().flat_map(|curve| &curve.points).map(|point| point.x).collect();
    marks.sort_by(f64::total_cmp);
    marks.dedup();
    let mut free = 0.0;
    for mark in marks {
        // Numbers that would touch are left out.
        if scale.x(mark) >= free {
            let (at, low) = (scale.x(mark), HEIGHT - BOTTOM + 12.0);
            writeln!(page, "<text class=\"mid\" x=\"{at:.1}\" y=\"{low}\">{mark}</text>")?;
            free = at + 26.0;
        }
    }
    let (middle, low) = ((LEFT + WIDTH) / 2.0, HEIGHT - 6.0);
    writeln!(page, "<text class=\"mid\" x=\"{middle}\" y=\"{low}\">{}</text>", Escaped(x))
}

/// The colour of a curve: the floor and Weir have the same on every page.
fn line(index: usize, name: &str) -> usize {
    match name {
        "floor" => 0,
        "weir" => 1,
        _ => 2 + index % 6,
    }
}

fn draw_curve(page: &mut String, scale: &Scale, index: usize, curve: &Curve) -> fmt::Result {
    let line = line(index, curve.name);
    write!(page, "<polyline class=\"line{line}\" points=\"")?;
    for point in &curve.points {
        write!(page, "{:.1},{:.1} ", scale.x(point.x), scale.y(point.y))?;
    }
    writeln!(page, "\"/>")?;
    for point in &curve.points {
        let (x, y) = (scale.x(point.x), scale.y(point.y));
        writeln!(page, "<circle class=\"line{line}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decade_is_as_wide_as_the_next_one() {
        let points = [100.0, 1000.0, 10_000.0].map(|x| Point { x, y: x }).to_vec();
        let scale = Scale::of(&[Curve { name: "weir", points }]);
        let [first, second, third] = [100.0, 1000.0, 10_000.0].map(|x| scale.x(x));
        assert!((second - first - (third - second)).abs() < 1e-9);
        assert!(scale.y(0.0) > scale.y(10_000.0), "more lies higher");
        assert!(scale.y(10_000.0) >= TOP && third <= WIDTH);
    }

    #[test]
    fn a_single_point_lies_in_the_middle() {
        let scale = Scale::of(&[Curve { name: "weir", points: vec![Point { x: 5.0, y: 0.0 }] }]);
        assert!(scale.x(5.0) > LEFT && scale.x(5.0) < WIDTH);
        assert!(scale.y(0.0).is_finite());
    }
}
