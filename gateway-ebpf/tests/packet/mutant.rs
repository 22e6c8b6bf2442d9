//! Frames damaged by chance: the same seed gives the same damage.

/// A linear congruential generator with Knuth's constants; its upper bits are the good ones.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// A number below `bound`, which is less than 2³².
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let upper = self.0 >> 32;
        ((upper * bound as u64) >> 32) as usize
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Bytes that mean something in some header.
const TELLING: [u8; 20] = [
    0x00, 0x01, 0x02, 0x06, 0x08, 0x11, 0x2B, 0x2C, 0x3C, 0x40, 0x44, 0x45, 0x4F, 0x60, 0x81, 0x86,
    0x88, 0xA8, 0xDD, 0xFF,
];

/// Fields behind which the next header is found.
const DECIDING: [usize; 12] = [12, 13, 14, 16, 17, 20, 21, 23, 26, 46, 54, 55];

/// Damages `frame` once to four times; `other` gives its end for a splice.
pub(crate) fn mutate(frame: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    for _ in 0..=chance.below(4) {
        let at = place(frame, chance);
        match chance.below(8) {
            0 => frame[at] ^= 1 << chance.below(8),
            1 => frame[at] = chance.below(256) as u8,
            2 => frame[at] = chance.one_of(&TELLING),
            3 => {
                let at = chance.one_of(&DECIDING).min(frame.len() - 1);
                frame[at] = chance.one_of(&TELLING);
            }
            4 => frame.truncate(at + 1),
            5 => drop(frame.drain(at..frame.len().min(at + chance.one_of(&[1, 4, 8])))),
            6 => {
                let filling = vec![chance.one_of(&TELLING); chance.one_of(&[1, 4, 8])];
                drop(frame.splice(at..at, filling));
            }
            _ => frame.splice(at.., other.iter().copied().skip(at)).for_each(drop),
        }
        if frame.is_empty() {
            return;
        }
    }
}

/// Mostly among the headers of an ordinary frame.
fn place(frame: &[u8], chance: &mut Chance) -> usize {
    let bound = if chance.below(8) == 0 { frame.len() } else { frame.len().min(120) };
    chance.below(bound)
}
