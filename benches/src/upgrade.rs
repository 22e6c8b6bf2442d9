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

/// Answers the request on a blocking stream; returns the path that it asked for.
///
/// # Errors
/// If no request comes in time, or one without a key.
pub(crate) fn accept(stream: &mut TcpStream) -> Result<String> {
    let (head, rest) = read_head(stream)?;
    ensure!(rest.is_empty(), "a client spoke before it was answered");
    let (path, answer) = agree(&head)?;
    stream.write_all(answer.as_bytes())?;
    Ok(path)
}

/// The path that a whole request asks for, and the answer to it. Whatever it offers is agreed on,
/// since nothing is read that it would change.
///
/// # Errors
/// If it has no path or no key.
pub(crate) fn agree(head: &str) -> Result<(String, String)> {
    let path = head.split(' ').nth(1).context("the request has no path")?;
    let key = field(head, "sec-websocket-key").context("the request has no key")?;
    let offered = field(head, "sec-websocket-extensions");
    let agreed = offered.map(|name| format!("Sec-WebSocket-Extensions: {name}\r\n"));
    let agreed = agreed.unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{agreed}\r\n",
        answer(key)
    );
    Ok((path.to_owned(), answer))
}

/// Asks for `path` on a blocking stream and waits for the server to agree, with an extension if
/// one is named. Returns what the server said already behind its answer.
///
/// # Errors
/// If it does not, or not in time.
pub(crate) fn request(
    stream: &mut TcpStream,
    path: &str,
    extension: Option<&str>,
) -> Result<Vec<u8>> {
    ask(stream, path, extension)?;
    agreed(stream, path, extension)
}

/// The first half of [`request`]: asks, and does not wait.
///
/// # Errors
/// If the server does not read it.
pub(crate) fn ask(stream: &mut TcpStream, path: &str, extension: Option<&str>) -> Result<()> {
    let offer = extension.map(|name| format!("Sec-WebSocket-Extensions: {name}\r\n"));
    let offer = offer.unwrap_or_default();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{offer}\r\n"
    );
    Ok(stream.write_all(request.as_bytes())?)
}

/// The second half of [`request`]: waits for the server to agree.
///
/// # Errors
/// If it does not, or not in time.
pub(crate) fn agreed(
    stream: &mut TcpStream,
    path: &str,
    extension: Option<&str>,
) -> Result<Vec<u8>> {
    let (head, rest) = read_head(stream)?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.starts_with("HTTP/1.1 101"), "{path} was refused: {status}");
    let accept = field(&head, "sec-websocket-accept");
    ensure!(accept == Some(answer(KEY).as_str()), "the answer to the key is wrong: {accept:?}");
    let agreed = field(&head, "sec-websocket-extensions").and_then(|it| it.split(';').next());
    ensure!(agreed == extension, "{extension:?} was offered and {agreed:?} agreed on");
    Ok(rest)
}

/// Reads the head, up to and with its blank line, and whatever comes at once behind it.
fn read_head(stream: &mut TcpStream) -> Result<(String, Vec<u8>)> {
    stream.set_read_timeout(Some(WAIT))?;
    let mut head = [0; HEAD_BYTES_MAX];
    let mut filled = 0;
    loop {
        if let Some(blank) = head[..filled].windows(4).position(|end| end == b"\r\n\r\n") {
            let (head, rest) = head[..filled].split_at(blank + 4);
            return Ok((str::from_utf8(head)?.to_owned(), rest.to_vec()));
        }
        match stream.read(&mut head[filled..]).context("no upgrade")? {
            0 if filled == HEAD_BYTES_MAX => bail!("an upgrade of more than {filled} bytes"),
            0 => bail!("the connection ended before the upgrade"),
            read => filled += read,
        }
    }
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
    fn what_follows_an_answer_at_once_is_given_back() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let client = std::thread::spawn(move || {
            request(&mut TcpStream::connect(addr).unwrap(), "/", None).unwrap()
        });
        let (mut server, _) = listener.accept().unwrap();
        let mut asked = [0; HEAD_BYTES_MAX];
        let read = server.read(&mut asked).unwrap();
        assert!(asked[..read].ends_with(b"\r\n\r\n"));
        let accept = answer(KEY);
        let said = format!("HTTP/1.1 101 Yes\r\nSec-WebSocket-Accept: {accept}\r\n\r\nINFO\r\n");
        server.write_all(said.as_bytes()).unwrap();
        assert_eq!(client.join().unwrap(), b"INFO\r\n");
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
