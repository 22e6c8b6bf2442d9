//! What is wrong with a message that is not the expected one, told by its number.

use crate::frames;

/// Names the fault of `got`, which came in the place of `expected`; both are whole frames as a
/// server sends them, or what there is of them.
pub(crate) fn name(expected: &[u8], got: &[u8]) -> String {
    let (Some(expected), Some(got)) = (frames::sequence(expected), frames::sequence(got)) else {
        return "wrong bytes".to_owned();
    };
    match got {
        got if got == expected => format!("message {got} is changed"),
        got if got == expected - 1 => format!("message {got} came twice"),
        got if got < expected => format!("message {got} is out of order or came twice"),
        got => format!("message {got} came, and {} are lost or out of order", got - expected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(sequence: u64) -> Vec<u8> {
        let mut frame = Vec::new();
        frames::append_served(&mut frame, &frames::payload(sequence, 200));
        frame
    }

    #[test]
    fn a_fault_has_a_name() {
        let fault = |got: &[u8]| name(&frame(10), got);
        assert_eq!(fault(&frame(9)), "message 9 came twice");
        assert_eq!(fault(&frame(3)), "message 3 is out of order or came twice");
        assert_eq!(fault(&frame(12)), "message 12 came, and 2 are lost or out of order");
        let mut changed = frame(10);
        changed[100] ^= 1;
        assert_eq!(fault(&changed), "message 10 is changed");
        assert_eq!(fault(b"HTTP/1.1"), "wrong bytes");
        assert_eq!(fault(&frame(9)[..6]), "wrong bytes");
    }
}
