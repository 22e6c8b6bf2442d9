//! The upgrade from HTTP, both sides, no more than the harness says to itself and to Weir.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use data_encoding::BASE64;
use sha1::{Digest as _, Sha1};

/// How long one side waits for the other's bytes.
const WAIT: Duration = Duration::from_secs(5);

/// A request or an answer is shorter than this.
const HEAD_BYTES_MAX: usize = 2048;

// RFC 6455 §1.3 gives this key and the answer to it as its example.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Answers the request on a blocking stream; returns the path that it asked for. Whatever it offers
/// is agreed on, since nothing is read that it would change.
///
/// # Errors
/// If no request comes in time, or one without a key.
pub(crate) fn accept(stream: &mut TcpStream) -> Result<String> {
    let head = read_head(stream)?;
    let path = head.split(' ').nth(1).context("the request has no path")?;
    let key = field(&head, "sec-websocket-key").context("the request has no key")?;
    let offered = field(&head, "sec-websocket-extensions");
    let agreed = offered.map(|name| format!("Sec-WebSocket-Extensions: {name}\r\n"));
    let agreed = agreed.unwrap_or_default();
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{agreed}\r\n",
        answer(key)
    )?;
    Ok(path.to_owned())
}

/// Asks for `path` on a blocking stream and waits for the server to agree, with an extension if
/// one is named.
///
/// # Errors
/// If it does not, or not in time.
pub(crate) fn request(stream: &mut TcpStream, path: &str, extension: Option<&str>) -> Result<()> {
    let offer = extension.map(|name| format!("Sec-WebSocket-Extensions: {name}\r\n"));
    let offer = offer.unwrap_or_default();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{offer}\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let head = read_head(stream)?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.starts_with("HTTP/1.1 101"), "{path} was refused: {status}");
    let accept = field(&head, "sec-websocket-accept");
    ensure!(accept == Some(answer(KEY).as_str()), "the answer to the key is wrong: {accept:?}");
    let agreed = field(&head, "sec-websocket-extensions").and_then(|it| it.split(';').next());
    ensure!(agreed == extension, "{extension:?} was offered and {agreed:?} agreed on");
    Ok(())
}

/// Reads up to the blank line, which nothing may follow yet.
fn read_head(stream: &mut TcpStream) -> Result<String> {
    stream.set_read_timeout(Some(WAIT))?;
    let mut head = [0; HEAD_BYTES_MAX];
    let mut filled = 0;
    while !head[..filled].ends_with(b"\r\n\r\n") {
        match stream.read(&mut head[filled..]).context("no upgrade")? {
            0 if filled == HEAD_BYTES_MAX => bail!("an upgrade of more than {filled} bytes"),
            0 => bail!("the connection ended before the upgrade"),
            read => filled += read,
        }
    }
    Ok(str::from_utf8(&head[..filled])?.to_owned())
}

/// The value of a header, whose name is given in lower case.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

fn answer(key: &str) -> String {
    let hash = Sha1::new_with_prefix(key).chain_update(GUID).finalize();
    // 20 bytes are 28 characters of base64.
    let mut encoded = [0; 28];
    BASE64.encode_mut(&hash, &mut encoded);
    encoded.iter().map(|&byte| char::from(byte)).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_answer_to_the_key_is_the_one_of_the_specification() {
        assert_eq!(answer(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn both_sides_agree_about_the_path() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let client = std::thread::spawn(move || {
            let extension = Some("permessage-deflate");
            request(&mut TcpStream::connect(addr).unwrap(), "/ws/lobby", extension).unwrap();
        });
        assert_eq!(accept(&mut listener.accept().unwrap().0).unwrap(), "/ws/lobby");
        client.join().unwrap();
    }

    #[test]
    fn a_refusal_is_an_error_with_its_status() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap();
        let error = request(&mut client, "/ws/lobby", None).unwrap_err().to_string();
        assert!(error.contains("503"), "{error}");
    }
}
