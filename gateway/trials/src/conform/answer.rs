//! Whether a request was answered as it must be.

use super::ear::{Agreed, Ear};
use super::opening::Answer;
use crate::raw::{Response, Trouble, accept_of};

/// What was expected, and what came.
type Difference = (String, String);

/// RFC 7692 §7.1.2.1: the window of who says nothing about it.
const WINDOW_BITS: u8 = 15;

/// Reads the response and, after a refusal, the end.
pub(super) fn check(ear: &mut Ear, answer: &Answer) -> Result<(), Difference> {
    let expected = || match answer {
        Answer::Switched { .. } => "an answer of 101".to_owned(),
        Answer::Refused { status, .. } => format!("an answer of {status}"),
    };
    let response = ear.raw().response().map_err(|trouble| (expected(), trouble.to_string()))?;
    match answer {
        Answer::Switched { key, subprotocol, deflate } => {
            switched(&response, key, *subprotocol)?;
            if let Some(agreed) = agreed(&response, deflate.as_deref())? {
                ear.agree(agreed);
            }
            Ok(())
        }
        Answer::Refused { status, headers } => {
            refused(&response, *status, headers)?;
            match ear.raw().frame() {
                Err(Trouble::Ended) => Ok(()),
                Err(trouble) => Err(("the end after the refusal".to_owned(), trouble.to_string())),
                Ok(frame) => Err(("the end after the refusal".to_owned(), format!("{frame:?}"))),
            }
        }
    }
}

/// RFC 6455 §4.2.2, 5.
fn switched(
    response: &Response,
    key: &str,
    subprotocol: Option<&'static str>,
) -> Result<(), Difference> {
    status(response, 101)?;
    let upgrades = |name, token: &str| {
        response
            .values(name)
            .flat_map(|value| value.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(token))
    };
    if !upgrades("Upgrade", "websocket") || !upgrades("Connection", "Upgrade") {
        return Err(("Upgrade: websocket and Connection: Upgrade".to_owned(), told(response)));
    }
    // RFC 9110 §8.6 and RFC 9112 §6.1: what follows is no body.
    for name in ["Content-Length", "Transfer-Encoding"] {
        if response.values(name).next().is_some() {
            return Err((format!("no {name} in a response of 101"), told(response)));
        }
    }
    is_value(response, "Sec-WebSocket-Accept", Some(&accept_of(key)))?;
    is_value(response, "Sec-WebSocket-Protocol", subprotocol)
}

fn refused(
    response: &Response,
    expected: u16,
    headers: &[(&'static str, &'static str)],
) -> Result<(), Difference> {
    status(response, expected)?;
    // RFC 9112 §9.6: what else comes on this connection is not looked at.
    let closes = [("Connection", "close")];
    for (name, value) in closes.iter().chain(headers) {
        if !response.values(name).any(|came| came == *value) {
            return Err((format!("{name}: {value}"), told(response)));
        }
    }
    if response.body.is_empty() {
        return Err(("a body that says what to do".to_owned(), told(response)));
    }
    Ok(())
}

fn status(response: &Response, expected: u16) -> Result<(), Difference> {
    if response.status == expected {
        return Ok(());
    }
    Err((format!("an answer of {expected}"), told(response)))
}

/// There is one header of this name with this value, or none.
fn is_value(response: &Response, name: &str, value: Option<&str>) -> Result<(), Difference> {
    let values: Vec<_> = response.values(name).collect();
    if values == value.as_slice() {
        return Ok(());
    }
    let expected = value.map_or_else(|| format!("no {name}"), |value| format!("{name}: {value}"));
    Err((expected, told(response)))
}

/// What is agreed on about compression, which has these parameters in any order.
fn agreed(response: &Response, deflate: Option<&[&str]>) -> Result<Option<Agreed>, Difference> {
    let name = "Sec-WebSocket-Extensions";
    let Some(parameters) = deflate else { return is_value(response, name, None).map(|()| None) };
    let mut expected = parameters.to_vec();
    expected.sort_unstable();
    let came = response.value(name).map(|value| {
        let mut parts = value.split(';').map(|part| part.trim().replace('"', ""));
        let name = parts.next();
        let mut parameters: Vec<_> = parts.collect();
        parameters.sort_unstable();
        (name, parameters)
    });
    match came {
        Some((Some(name), came)) if name == "permessage-deflate" && came == expected => {
            Ok(Some(Agreed { window_bits: window_bits(&came) }))
        }
        _ => Err((format!("{name}: permessage-deflate; {}", expected.join("; ")), told(response))),
    }
}

/// The server's, if it is among these parameters and is a number.
fn window_bits(parameters: &[String]) -> u8 {
    let named = parameters.iter().find_map(|part| part.strip_prefix("server_max_window_bits="));
    named.and_then(|bits| bits.parse().ok()).unwrap_or(WINDOW_BITS)
}

fn told(response: &Response) -> String {
    let headers: Vec<_> =
        response.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let body = String::from_utf8_lossy(&response.body);
    format!("{} with {} and {:?}", response.status, headers.join(", "), body.trim_end())
}
