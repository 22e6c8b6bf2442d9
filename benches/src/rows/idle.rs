//! Who takes how much memory for silent connections, weighed in rounds: in each of them everyone
//! starts anew once, so that what a round does to the machine it does to all of them.

use anyhow::Result;

use super::lineup::candidates;
use super::table::Shape;
use crate::contest::order;
use crate::flags::Shared;
use crate::idle;
use crate::stats::{Spread, Standing};

/// What everyone took, and who did not finish.
pub(crate) struct Weighed {
    pub(crate) standings: Vec<Standing>,
    pub(crate) missing: Vec<(&'static str, String)>,
}

/// Somebody who is weighed.
struct Entrant {
    name: &'static str,
    needed: bool,
    /// By round, in bytes of user memory per connection.
    bytes: Vec<f64>,
    fault: Option<String>,
}

/// Weighs everyone who can hold `connections`; the first is whom the others are compared to.
///
/// # Errors
/// If the floor or Weir fails, or refuses a connection.
pub(crate) fn weigh(
    connections: usize,
    shards: bool,
    rounds: usize,
    shared: &Shared,
) -> Result<Weighed> {
    let shape = Shape::Idle { connections };
    let candidates = candidates(shape, shards, shared)?;
    let mut field: Vec<_> = candidates
        .iter()
        .map(|it| Entrant { name: it.name, needed: it.is_needed(), bytes: vec![], fault: None })
        .collect();
    play(&mut field, rounds, |index| {
        let server = candidates[index].start(shape, 1, shared)?;
        idle::measure(&server, connections, None).map(|memory| memory.user)
    })?;
    Ok(Weighed::of(field))
}

/// Asks for what each takes, once in a round and in changing order; who fails falls out.
fn play(
    field: &mut [Entrant],
    rounds: usize,
    mut weigh: impl FnMut(usize) -> Result<f64>,
) -> Result<()> {
    for round in 0..rounds {
        for index in order(field.len(), round) {
            let entrant = &mut field[index];
            if entrant.fault.is_some() {
                continue;
            }
            match weigh(index) {
                Ok(bytes) => entrant.bytes.push(bytes),
                Err(error) if entrant.needed => return Err(error),
                Err(error) => {
                    println!("  {} fell out: {error:#}", entrant.name);
                    entrant.fault = Some(format!("{error:#}"));
                }
            }
        }
    }
    Ok(())
}

impl Weighed {
    fn of(field: Vec<Entrant>) -> Self {
        let missing = field.iter().filter_map(|it| Some((it.name, it.fault.clone()?))).collect();
        let floor = field[0].bytes.clone();
        let standing = |Entrant { name, bytes, .. }: Entrant| Standing {
            name,
            each: Spread::of(bytes.iter().copied()),
            // Less than a byte is nothing that could be compared to.
            ratio: Spread::of(
                bytes.iter().zip(&floor).map(|(bytes, floor)| bytes / floor.max(1.0)),
            ),
            softirq_share: None,
        };
        let finished = field.into_iter().filter(|entrant| entrant.fault.is_none());
        Self { standings: finished.map(standing).collect(), missing }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    fn field(needed: usize) -> Vec<Entrant> {
        ["floor", "weir", "peer"]
            .into_iter()
            .enumerate()
            .map(|(index, name)| Entrant {
                name,
                needed: index < needed,
                bytes: vec![],
                fault: None,
            })
            .collect()
    }

    #[test]
    fn everyone_is_weighed_once_in_a_round_and_in_changing_order() {
        let (mut field, mut asked) = (field(3), Vec::new());
        play(&mut field, 6, |index| {
            asked.push(index);
            Ok(1.0)
        })
        .unwrap();
        let rounds: Vec<_> = asked.chunks(3).collect();
        for round in &rounds {
            let mut all = round.to_vec();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2]);
        }
        for index in 0..3 {
            assert_eq!(rounds.iter().filter(|round| round[0] == index).count(), 2);
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let mut field = field(2);
        let mut asked = 0;
        // In the second round the machine gives everyone four times as much.
        play(&mut field, 2, |index| {
            asked += 1;
            let round = if asked > 3 { 4.0 } else { 1.0 };
            Ok([100.0, 150.0, 500.0][index] * round)
        })
        .unwrap();
        let weighed = Weighed::of(field);
        let ratios: Vec<_> = weighed.standings.iter().map(|it| (it.name, it.ratio)).collect();
        let same = |number| Spread { min: number, median: number, max: number };
        assert_eq!(ratios, [("floor", same(1.0)), ("weir", same(1.5)), ("peer", same(5.0))]);
    }

    #[test]
    fn who_refuses_somebody_falls_out_and_is_not_started_again() {
        let (mut field, mut peers) = (field(2), 0);
        play(&mut field, 3, |index| {
            peers += usize::from(index == 2);
            if index == 2 { bail!("no more than 100") } else { Ok(1.0) }
        })
        .unwrap();
        assert_eq!(peers, 1);
        let weighed = Weighed::of(field);
        assert_eq!(weighed.missing, [("peer", "no more than 100".to_owned())]);
        assert_eq!(weighed.standings.len(), 2);
    }

    #[test]
    fn without_the_floor_or_weir_there_is_no_result() {
        for failing in [0, 1] {
            let weigh = |index| if index == failing { bail!("gone") } else { Ok(1.0) };
            assert!(play(&mut field(2), 2, weigh).is_err(), "{failing}");
        }
    }
}
