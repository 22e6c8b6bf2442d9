//! What a campaign has to show for itself at its end.

use std::fmt::Write as _;
use std::time::Duration;

use sim::counts::Group;
use sim::worlds::World;

use super::sums::{Sum, Sums};

const NANOS_PER_HOUR: f64 = 3.6e12;

/// Runs, virtual time, actions and everything that was counted, world by world.
pub(crate) fn report(sums: &Sums, passed: Duration) -> String {
    let mut text = String::new();
    for (world, sum) in sums {
        tell_world(&mut text, *world, sum).expect("a string takes everything");
    }
    let runs: u64 = sums.values().map(|sum| sum.runs).sum();
    let nanos: u64 = sums.values().map(|sum| sum.nanos).sum();
    let actions: u64 = sums.values().map(|sum| sum.actions).sum();
    let broken: u64 = sums.values().map(|sum| sum.broken).sum();
    let times = nanos as f64 / (passed.as_nanos() as f64).max(1.0);
    let (runs, actions) = (grouped(runs), grouped(actions));
    let hours = nanos as f64 / NANOS_PER_HOUR;
    let secs = passed.as_secs_f64();
    text + &format!(
        "together: {runs} runs ({broken} failed), {hours:.2} virtual hours in {secs:.0} s \
         ({times:.0} x real time), {actions} actions\n"
    )
}

fn tell_world(text: &mut String, world: World, sum: &Sum) -> std::fmt::Result {
    let Sum { runs, broken, events, actions, nanos, .. } = sum;
    let hours = *nanos as f64 / NANOS_PER_HOUR;
    writeln!(
        text,
        "{world}: {} runs ({broken} failed), {} events",
        grouped(*runs),
        grouped(*events)
    )?;
    writeln!(
        text,
        "  virtual: {hours:.2} hours in {:.1} s of a core, {} x real time",
        sum.cpu_secs(),
        grouped(sum.times_real() as u64)
    )?;
    writeln!(
        text,
        "  actions: {}, {} per second on one core",
        grouped(*actions),
        grouped(sum.actions_per_sec() as u64)
    )?;
    for group in Group::ALL {
        let rows: Vec<_> = sum
            .tally
            .iter()
            .filter(|((of, _), _)| *of == group)
            .map(|((_, name), count)| format!("{name} {}", grouped(*count)))
            .collect();
        if !rows.is_empty() {
            writeln!(text, "  {group}: {}", rows.join(", "))?;
        }
    }
    Ok(())
}

/// A number with a comma before every third digit from its end.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        let grouped = [0, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(grouped, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn a_report_has_every_number_of_every_world() {
        let tally =
            [((Group::Fault, "cuts".to_owned()), 1_200), ((Group::Race, "lost".to_owned()), 0)];
        let sum = Sum {
            runs: 10,
            broken: 1,
            events: 5,
            actions: 3_000,
            nanos: 7_200_000_000_000,
            cpu_nanos: 2_000_000_000,
            tally: tally.into(),
        };
        let text = report(&Sums::from([(World::Mesh, sum)]), Duration::from_secs(4));
        let due = "mesh: 10 runs (1 failed), 5 events\n  \
                   virtual: 2.00 hours in 2.0 s of a core, 3,600 x real time\n  \
                   actions: 3,000, 1,500 per second on one core\n  \
                   faults: cuts 1,200\n  \
                   races: lost 0\n\
                   together: 10 runs (1 failed), 2.00 virtual hours in 4 s (1800 x real time), \
                   3,000 actions\n";
        assert_eq!(text, due);
    }
}
