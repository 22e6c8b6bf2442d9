//! Servers over something that grows: lines, axes with names and units, and who is which.

use std::fmt::{self, Write};

use super::axis::Axis;
use super::{Escaped, short};

/// The drawing's size; the page stretches it.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 250.0;
/// Left for the numbers and names of the axes.
const LEFT: f64 = 46.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 36.0;

/// How wide a number below the axis is, at most.
const MARK: f64 = 22.0;

/// Colours that the style has: the floor's, Weir's, and others'.
const LINES: usize = 10;

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
struct Frame {
    x: Axis,
    y: Axis,
}

impl Frame {
    fn of(x: &Axis, y: &Axis, curves: &[Curve]) -> Self {
        let points = || curves.iter().flat_map(|curve| &curve.points);
        Self {
            x: x.clone().over(points().map(|point| point.x)),
            y: y.clone().rising(points().map(|point| point.y)),
        }
    }

    fn x(&self, x: f64) -> f64 {
        LEFT + self.x.part(x) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.part(y) * (HEIGHT - TOP - BOTTOM)
    }
}

pub(super) fn draw(
    page: &mut String,
    title: &str,
    x: &Axis,
    y: &Axis,
    curves: &[Curve],
) -> fmt::Result {
    writeln!(page, "<figcaption>{}</figcaption>", Escaped(title))?;
    if curves.iter().all(|curve| curve.points.is_empty()) {
        return writeln!(page, "<p class=\"note\">nothing was measured</p>");
    }
    let frame = Frame::of(x, y, curves);
    writeln!(page, "<svg class=\"curves\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">")?;
    draw_axes(page, &frame, curves)?;
    for (index, curve) in curves.iter().enumerate() {
        draw_curve(page, &frame, index, curve)?;
    }
    writeln!(page, "</svg>")?;
    draw_legend(page, x, curves)
}

fn draw_axes(page: &mut String, frame: &Frame, curves: &[Curve]) -> fmt::Result {
    for number in frame.y.marks() {
        let (right, at) = (WIDTH - RIGHT, frame.y(number));
        writeln!(
            page,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 5.0,
            at + 3.0,
            frame.y.mark(number)
        )?;
    }
    let (right, low) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    writeln!(page, "<path class=\"grid\" d=\"M{LEFT} {TOP}V{low}H{right}\"/>")?;
    writeln!(page, "<text x=\"4\" y=\"10\">{}</text>", Escaped(frame.y.name))?;
    let mut measured: Vec<_> =
        curves.iter().flat_map(|curve| &curve.points).map(|point| point.x).collect();
    measured.sort_by(f64::total_cmp);
    measured.dedup();
    let mut free = 0.0;
    for number in measured {
        // Numbers that would touch are left out.
        if frame.x(number) >= free {
            let (at, low) = (frame.x(number), HEIGHT - BOTTOM + 13.0);
            let number = frame.x.mark(number);
            writeln!(page, "<text class=\"mid\" x=\"{at:.1}\" y=\"{low}\">{number}</text>")?;
            free = at + MARK;
        }
    }
    let (middle, low) = ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 6.0);
    let name = Escaped(frame.x.name);
    writeln!(page, "<text class=\"mid\" x=\"{middle}\" y=\"{low}\">{name}</text>")
}

fn draw_curve(page: &mut String, frame: &Frame, index: usize, curve: &Curve) -> fmt::Result {
    let line = line(index, curve.name);
    write!(page, "<polyline class=\"line{line}\" points=\"")?;
    for point in &curve.points {
        write!(page, "{:.1},{:.1} ", frame.x(point.x), frame.y(point.y))?;
    }
    writeln!(page, "\"/>")?;
    for point in &curve.points {
        let (x, y) = (frame.x(point.x), frame.y(point.y));
        writeln!(page, "<circle class=\"line{line}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>")?;
    }
    Ok(())
}

/// Who is which, with the last number of each, the highest first as their ends are.
fn draw_legend(page: &mut String, x: &Axis, curves: &[Curve]) -> fmt::Result {
    let mut ends: Vec<_> = curves
        .iter()
        .enumerate()
        .filter_map(|(index, curve)| Some((index, curve.name, *curve.points.last()?)))
        .collect();
    ends.sort_by(|(_, _, one), (_, _, other)| other.y.total_cmp(&one.y));
    writeln!(page, "<p class=\"legend\">")?;
    for (index, name, end) in ends {
        let (line, last, at) = (line(index, name), short(end.y), x.mark(end.x));
        let name = Escaped(name);
        writeln!(page, "<span class=\"line{line}\"><b>{name}</b> {last} at {at}</span>")?;
    }
    writeln!(page, "</p>")
}

/// The colour of a curve: the floor and Weir have the same on every page.
fn line(index: usize, name: &str) -> usize {
    match name {
        "floor" => 0,
        "weir" => 1,
        _ => 2 + index % (LINES - 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(points: &[(f64, f64)]) -> Frame {
        let points = points.iter().map(|&(x, y)| Point { x, y }).collect();
        let curve = Curve { name: "weir", points };
        Frame::of(&Axis::decades("connections"), &Axis::even("ns"), &[curve])
    }

    #[test]
    fn a_decade_is_as_wide_as_the_next_one() {
        let numbers = [100.0, 1000.0, 10_000.0];
        let frame = frame(&numbers.map(|number| (number, number)));
        let [first, second, third] = numbers.map(|x| frame.x(x));
        assert!((second - first - (third - second)).abs() < 1e-9);
        assert!(frame.y(0.0) > frame.y(10_000.0), "more lies higher");
        assert!(frame.y(10_000.0) >= TOP && third <= WIDTH);
    }

    #[test]
    fn a_single_point_lies_in_the_middle() {
        let frame = frame(&[(5.0, 0.0)]);
        assert!(frame.x(5.0) > LEFT && frame.x(5.0) < WIDTH);
        assert!(frame.y(0.0).is_finite());
    }

    #[test]
    fn the_legend_is_in_the_order_of_the_ends() {
        let curve = |name, y| Curve { name, points: vec![Point { x: 10.0, y }] };
        let mut page = String::new();
        let curves = [curve("floor", 5.0), curve("weir", 4.0), curve("peer", 9.0)];
        draw_legend(&mut page, &Axis::even("load").in_units(" %"), &curves)
            .expect("a legend is only text");
        let places = ["peer", "floor", "weir"].map(|name| page.find(name).expect("it is there"));
        assert!(places.is_sorted(), "{page}");
        assert!(page.contains("9.00 at 10 %"), "{page}");
    }
}
