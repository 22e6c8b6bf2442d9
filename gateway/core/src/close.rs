//! Close codes and the payload of close frames, RFC 6455 §5.5.1 and §7.4.

use std::fmt;

use crate::frame::CONTROL_BYTES_MAX;
use crate::session::{Control, ProtocolError};

/// Why a connection is closed, as a number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose was fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The peer goes away: a server shuts down, a page was left.
    pub const AWAY: Self = Self(1001);
    /// A frame broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// A kind of data that is not accepted.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Stands for a close frame without a code; never sent.
    pub const NONE: Self = Self(1005);
    /// Stands for a connection that ended without a close frame; never sent.
    pub const ABNORMAL: Self = Self(1006);
    /// Data that is not what it says, such as text that is not UTF-8.
    pub const INVALID: Self = Self(1007);
    /// A policy was violated.
    pub const POLICY: Self = Self(1008);
    /// A message longer than is accepted.
    pub const TOO_BIG: Self = Self(1009);
    /// Something unexpected went wrong here.
    pub const INTERNAL: Self = Self(1011);
    /// The service restarts.
    pub const RESTART: Self = Self(1012);
    /// There is no room for this now.
    pub const TRY_LATER: Self = Self(1013);

    /// The code with this number, if it may be sent.
    #[must_use]
    pub const fn from_u16(number: u16) -> Option<Self> {
        let code = Self(number);
        if code.is_legal() { Some(code) } else { None }
    }

    /// Its number.
    #[must_use]
    pub const fn to_u16(self) -> u16 {
        self.0
    }

    /// Whether a close frame may carry it.
    ///
    /// RFC 6455 §7.4.2: 1000 to 2999 belong to the protocol, which has registered those up to
    /// 1014 except 1004; 3000 to 4999 are free to use. §7.4.1: 1005, 1006 and 1015 are never sent.
    #[must_use]
    pub const fn is_legal(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The payload of a close frame. A reason of more than 123 bytes is cut between two characters.
///
/// # Panics
/// If the code is one that is never sent.
#[must_use]
pub fn payload(code: CloseCode, reason: &str) -> Control {
    assert!(code.is_legal(), "close code {code} is never sent");
    let mut payload = Control::default();
    payload.extend(&code.0.to_be_bytes());
    let len = reason.floor_char_boundary(CONTROL_BYTES_MAX - 2);
    payload.extend(&reason.as_bytes()[..len]);
    payload
}

/// What a peer's close frame says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Closing {
    /// Its code, if it has one.
    pub code: Option<CloseCode>,
    /// The frame's payload: the code and the reason.
    payload: Control,
}

impl Closing {
    /// Reads a close frame's payload.
    ///
    /// # Errors
    /// If it is not empty and has no legal code, or a reason that is not UTF-8.
    pub(crate) fn parse(payload: Control) -> Result<Self, ProtocolError> {
        let code = match *payload.as_slice() {
            [] => None,
            // RFC 6455 §5.5.1: if there is a payload, it starts with a code of two bytes.
            [_] => return Err(ProtocolError::CloseCode),
            [a, b, ref reason @ ..] => {
                let code = CloseCode::from_u16(u16::from_be_bytes([a, b]));
                // RFC 6455 §8.1: the reason is UTF-8.
                str::from_utf8(reason).map_err(|_| ProtocolError::NotUtf8)?;
                Some(code.ok_or(ProtocolError::CloseCode)?)
            }
        };
        Ok(Self { code, payload })
    }

    /// Its reason, empty if it gives none.
    #[must_use]
    pub fn reason(&self) -> &str {
        let reason = self.payload.as_slice().get(2..).unwrap_or_default();
        str::from_utf8(reason).expect("the reason was checked when it was read")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(payload: &[u8]) -> Result<Closing, ProtocolError> {
        let mut control = Control::default();
        control.extend(payload);
        Closing::parse(control)
    }

    #[test]
    fn only_codes_meant_for_the_wire_are_legal() {
        let legal = [1000, 1003, 1007, 1014, 3000, 3999, 4000, 4999];
        let illegal = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];
        for number in legal {
            assert_eq!(CloseCode::from_u16(number).map(CloseCode::to_u16), Some(number));
        }
        for number in illegal {
            assert_eq!(CloseCode::from_u16(number), None, "{number}");
            assert_eq!(parse(&number.to_be_bytes()), Err(ProtocolError::CloseCode), "{number}");
        }
    }

    #[test]
    fn what_we_say_reads_back() {
        for reason in ["", "slow", "café"] {
            let closing = Closing::parse(payload(CloseCode::TRY_LATER, reason)).unwrap();
            assert_eq!(closing.code, Some(CloseCode::TRY_LATER));
            assert_eq!(closing.reason(), reason);
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let exact = "x".repeat(123);
        assert_eq!(payload(CloseCode::NORMAL, &exact).as_slice().len(), 125);
        assert_eq!(payload(CloseCode::NORMAL, &format!("{exact}y")).as_slice().len(), 125);
        // The two bytes of the last character would be the 123rd and 124th.
        let cut = payload(CloseCode::NORMAL, &format!("{}é", "x".repeat(122)));
        assert_eq!(cut.as_slice()[2..], *"x".repeat(122).as_bytes());
    }

    #[test]
    #[should_panic = "never sent"]
    fn a_code_that_stands_for_an_absence_is_not_sent() {
        let _ = payload(CloseCode::ABNORMAL, "");
    }

    #[test]
    fn malformed_payloads_are_refused() {
        assert_eq!(parse(b"").map(|closing| closing.code), Ok(None));
        assert_eq!(parse(b"").unwrap().reason(), "");
        assert_eq!(parse(b"\x03"), Err(ProtocolError::CloseCode));
        assert_eq!(parse(b"\x03\xe8\xff"), Err(ProtocolError::NotUtf8));
        assert_eq!(parse(b"\x03\xe8\xe2\x82"), Err(ProtocolError::NotUtf8));
    }
}
