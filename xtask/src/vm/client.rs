//! Clients of the guest's gateway: one TCP connection each, in the simplest WebSocket there is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// The most that an answer may take: the guest is emulated, and slow.
const PATIENCE: Duration = Duration::from_secs(20);

/// The most that an HTTP answer may have.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// An upgrade request.
pub(super) fn request(path: &str, host: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// One connection that is open.
#[derive(Debug)]
pub(super) struct Client(TcpStream);

impl Client {
    /// Connects to a path.
    ///
    /// # Errors
    /// If it is not answered with an upgrade.
    pub(super) fn connect(addr: SocketAddr, path: &str) -> Result<Self> {
        let mut stream = connect(addr)?;
        stream.write_all(request(path, &addr.to_string()).as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).context("the answer to an upgrade request")?;
            answer.push(byte[0]);
            ensure!(answer.len() < 8192, "an answer without an end");
        }
        if !answer.starts_with(b"HTTP/1.1 101 ") {
            bail!("no upgrade: {}", String::from_utf8_lossy(&answer));
        }
        Ok(Self(stream))
    }

    /// Says something short.
    ///
    /// # Errors
    /// If the connection is gone.
    pub(super) fn say(&mut self, text: &str) -> Result<()> {
        Ok(self.0.write_all(&frame(text))?)
    }

    /// Says something short and waits until it comes back.
    ///
    /// # Errors
    /// If something else comes, or nothing.
    pub(super) fn echo(&mut self, text: &str) -> Result<()> {
        self.say(text)?;
        let mut heard = vec![0; 2 + text.len()];
        self.0.read_exact(&mut heard).context("an echo")?;
        ensure!(heard == said(text), "an echo of something else: {heard:?}");
        Ok(())
    }
}

/// A text message of up to 125 bytes, masked with zeros.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = said(text);
    frame[1] |= 0x80;
    frame.splice(2..2, [0; 4]);
    frame
}

/// The same as a server says it.
fn said(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|&length| length <= 125);
    let mut frame = vec![0x81, length.expect("what is said here is short")];
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// The body of the answer to an HTTP request.
///
/// # Errors
/// If it is not answered with 200.
pub(super) fn get(addr: SocketAddr, path: &str) -> Result<String> {
    let mut stream = connect(addr)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{path} is answered: {head}");
    Ok(body.to_owned())
}

fn connect(addr: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpListener};
    use std::thread;

    use super::*;

    /// Answers one connection with this, whatever it says, and hears it out.
    fn answering(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody comes");
            let mut heard = [0; 4096];
            let _ = stream.read(&mut heard);
            stream.write_all(answer).expect("somebody listens");
            stream.shutdown(Shutdown::Write).expect("somebody listens");
            // Who closes with something unread takes back what it said.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        addr
    }

    #[test]
    fn what_is_said_is_masked_and_comes_back_unmasked() {
        assert_eq!(frame("ab"), [0x81, 0x82, 0, 0, 0, 0, b'a', b'b']);
        let addr = answering(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x02ab\x81\x02xy");
        let mut client = Client::connect(addr, "/ws/simple").expect("an upgrade");
        client.echo("ab").expect("the same comes back");
        let error = client.echo("ab").expect_err("something else comes back");
        assert!(error.to_string().starts_with("an echo of something else"), "{error}");
    }

    #[test]
    fn who_is_refused_says_how() {
        let addr = answering(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
        let error = Client::connect(addr, "/").expect_err("no upgrade").to_string();
        assert!(error.contains("503"), "{error}");
        let error = get(answering(b"HTTP/1.1 404 Not Found\r\n\r\n"), "/x").expect_err("no page");
        assert!(error.to_string().starts_with("/x is answered: HTTP/1.1 404"), "{error}");
    }
}
