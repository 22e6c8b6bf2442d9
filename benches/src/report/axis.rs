//! An axis: what lies along it, from where to where, and the round numbers to be written there.

/// Marks along an axis in even steps, at most about so many.
const MARKS: f64 = 5.0;

/// A mark is one of these times a power of ten.
const MULTIPLES: [f64; 4] = [1.0, 2.0, 5.0, 10.0];

/// What lies along one side of a drawing.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// With its unit.
    pub(super) name: &'static str,
    /// What stands behind each number.
    suffix: &'static str,
    /// Whether a decade is as long as the next one.
    decades: bool,
    least: f64,
    most: f64,
}

impl Axis {
    /// In even steps.
    pub(crate) fn even(name: &'static str) -> Self {
        Self { name, suffix: "", decades: false, least: 0.0, most: 1.0 }
    }

    /// In decades, for numbers of different sizes.
    pub(crate) fn decades(name: &'static str) -> Self {
        Self { name, suffix: "", decades: true, least: 1.0, most: 10.0 }
    }

    /// With something behind each number.
    pub(crate) fn in_units(self, suffix: &'static str) -> Self {
        Self { suffix, ..self }
    }

    /// From the least of these numbers to the most.
    pub(super) fn over(self, numbers: impl Iterator<Item = f64>) -> Self {
        let (least, most) = self.ends(numbers);
        Self { least, most, ..self }
    }

    /// With these numbers between two marks: from nothing, or from the last mark below them.
    pub(super) fn rising(self, numbers: impl Iterator<Item = f64>) -> Self {
        let (least, most) = self.ends(numbers);
        if self.decades {
            let least = MULTIPLES.map(|it| it * power(least)).into_iter().rfind(|it| *it <= least);
            let least = least.unwrap_or(1.0);
            let above = MULTIPLES.map(|it| it * power(most)).into_iter().find(|it| *it >= most);
            let most = above.unwrap_or(most).max(least * 10.0);
            return Self { least, most, ..self };
        }
        let most = most.max(f64::MIN_POSITIVE);
        let step = step(most);
        Self { least: 0.0, most: (most / step).ceil() * step, ..self }
    }

    /// There are no decades below nothing: what is less than 1 lies at 1 there.
    fn ends(&self, numbers: impl Iterator<Item = f64>) -> (f64, f64) {
        let lowest = if self.decades { 1.0 } else { 0.0 };
        let (least, most) = numbers
            .map(|number| number.max(lowest))
            .fold((f64::INFINITY, lowest), |(least, most), it| (least.min(it), most.max(it)));
        (least.min(most), most)
    }

    /// How far along the axis a number lies, from 0 to 1.
    pub(super) fn part(&self, number: f64) -> f64 {
        let number = number.clamp(self.least, self.most);
        if self.most <= self.least {
            return 0.5;
        }
        if self.decades {
            return (number / self.least).ln() / (self.most / self.least).ln();
        }
        (number - self.least) / (self.most - self.least)
    }

    /// A number as it stands at the axis.
    pub(super) fn mark(&self, number: f64) -> String {
        let (number, prefix) = match number {
            millions if millions >= 1e6 => (millions / 1e6, " M"),
            thousands if thousands >= 1e4 => (thousands / 1e3, " k"),
            other => (other, ""),
        };
        let rounded = (number * 100.0).round() / 100.0;
        format!("{rounded}{prefix}{}", self.suffix)
    }

    /// Round numbers from one end to the other.
    pub(super) fn marks(&self) -> Vec<f64> {
        if self.decades {
            // Beyond some decades there is room for powers of ten only.
            let few = self.most / self.least <= 1e2 * 1.001;
            let multiples = if few { &MULTIPLES[..3] } else { &MULTIPLES[..1] };
            let powers = std::iter::successors(Some(power(self.least)), |it| Some(it * 10.0));
            return powers
                .take_while(|power| *power <= self.most * 1.001)
                .flat_map(|power| multiples.iter().map(move |multiple| multiple * power))
                .filter(|mark| (self.least * 0.999..=self.most * 1.001).contains(mark))
                .collect();
        }
        let step = step(self.most - self.least);
        let count = ((self.most - self.least) / step).round() as usize;
        (0..=count).map(|index| self.least + step * index as f64).collect()
    }
}

/// 1, 2 or 5 times a power of ten, of which a few make `length`.
fn step(length: f64) -> f64 {
    let rough = length / MARKS;
    let wide = MULTIPLES.into_iter().find(|multiple| multiple * power(rough) >= rough * 0.999);
    wide.unwrap_or(10.0) * power(rough)
}

/// The greatest power of ten that is not above a number.
fn power(number: f64) -> f64 {
    10_f64.powf((number.log10() + 1e-9).floor())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_marks_are_round_and_begin_at_nothing() {
        let axis = Axis::even("ns").rising([4321.0, 9876.0].into_iter());
        assert_eq!(axis.marks(), [0.0, 2000.0, 4000.0, 6000.0, 8000.0, 10_000.0]);
        assert_eq!((axis.part(0.0), axis.part(5000.0)), (0.0, 0.5));
    }

    #[test]
    fn decades_are_marked_by_powers_of_ten() {
        let axis = Axis::decades("µs").rising([35.0, 4200.0].into_iter());
        assert_eq!(axis.marks(), [100.0, 1000.0]);
        assert_eq!((axis.part(20.0), axis.part(5000.0)), (0.0, 1.0));
    }

    #[test]
    fn a_decade_or_two_are_marked_between_too() {
        let axis = Axis::decades("µs").rising([35.0, 420.0].into_iter());
        assert_eq!(axis.marks(), [20.0, 50.0, 100.0, 200.0, 500.0]);
        assert!((axis.part(100.0) - 5_f64.log(25.0)).abs() < 1e-9);
    }

    #[test]
    fn marks_are_written_short() {
        let axis = Axis::even("load").in_units(" %");
        assert_eq!([0.0, 0.5, 80.0].map(|it| axis.mark(it)), ["0 %", "0.5 %", "80 %"]);
        let axis = Axis::even("connections");
        let marks = [3000.0, 15_000.0, 12_340.0, 2e6].map(|it| axis.mark(it));
        assert_eq!(marks, ["3000", "15 k", "12.34 k", "2 M"]);
    }

    #[test]
    fn what_has_no_place_among_decades_lies_at_their_end() {
        let axis = Axis::decades("bytes").rising([-3.0, 0.0, 50.0].into_iter());
        assert_eq!(axis.marks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        assert_eq!(axis.part(-3.0), 0.0);
    }

    #[test]
    fn an_axis_of_nothing_has_its_places_all_the_same() {
        for axis in [Axis::even("ns"), Axis::decades("ns")] {
            let axis = axis.rising([0.0].into_iter());
            assert!(axis.part(0.0).is_finite());
            assert!((2..10).contains(&axis.marks().len()), "{:?}", axis.marks());
        }
    }
}
