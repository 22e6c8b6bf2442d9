//! Connecting, and the opening handshake.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::{Client, ClientError, MESSAGE_BYTES_MAX};

/// Bytes that a client reads at a time. Many clients in one process are the common case in
/// tests and load generators, and each has a buffer of this size.
const READ_BYTES: usize = 16 << 10;

impl Client<TcpStream> {
    /// Connects to a URL such as `ws://127.0.0.1:8080/ws/lobby`.
    ///
    /// # Errors
    /// If the URL is malformed or not `ws:`, the server cannot be reached, or it refuses.
    pub async fn connect(url: &str) -> Result<Self, ClientError> {
        Self::connect_with_headers(url, &[]).await
    }

    /// Connects with these headers, as names and values, in the request.
    ///
    /// # Errors
    /// As of [`connect`](Self::connect), and if a header is malformed.
    pub async fn connect_with_headers(
        url: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, ClientError> {
        let request = request(url, headers)?;
        let (host, port) = address(request.uri())?;
        let stream = TcpStream::connect((host, port)).await.map_err(ClientError::Connect)?;
        // Messages are sent whole, so there is nothing to wait for.
        stream.set_nodelay(true).map_err(ClientError::Connect)?;
        Self::over(stream, request).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Shakes hands over a stream that is connected already: a simulated one, or one that
    /// speaks TLS.
    ///
    /// # Errors
    /// If the URL is malformed, the stream breaks, or the server refuses.
    pub async fn handshake(stream: S, url: &str) -> Result<Self, ClientError> {
        Self::handshake_with_headers(stream, url, &[]).await
    }

    /// Shakes hands with these headers, as names and values, in the request.
    ///
    /// # Errors
    /// As of [`handshake`](Self::handshake), and if a header is malformed.
    pub async fn handshake_with_headers(
        stream: S,
        url: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, ClientError> {
        Self::over(stream, request(url, headers)?).await
    }

    async fn over(stream: S, request: Request) -> Result<Self, ClientError> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
        Ok(Self { socket, farewell: None })
    }
}

fn request(url: &str, headers: &[(&str, &str)]) -> Result<Request, ClientError> {
    let mut request = url.into_client_request()?;
    for (name, value) in headers {
        let malformed = |_| ClientError::Request(format!("malformed header {name:?}"));
        let value = HeaderValue::from_str(value).map_err(|_| malformed(()))?;
        let name = HeaderName::try_from(*name).map_err(|_| malformed(()))?;
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

/// Host and port, 80 if none is named.
fn address(uri: &Uri) -> Result<(&str, u16), ClientError> {
    if !uri.scheme_str().is_some_and(|scheme| scheme.eq_ignore_ascii_case("ws")) {
        let why = "only ws:// is spoken here; bring an encrypted stream to `handshake`";
        return Err(ClientError::Request(why.into()));
    }
    let host = uri.host().unwrap_or_default();
    // An IPv6 address stands in brackets in a URL, and only there.
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok((host, uri.port_u16().unwrap_or(80)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_found_in_urls() {
        for (url, host, port) in [
            ("ws://127.0.0.1:8080/ws/lobby", "127.0.0.1", 8080),
            ("ws://[::1]:9/", "::1", 9),
            ("ws://localhost", "localhost", 80),
            ("WS://user@localhost/?q", "localhost", 80),
        ] {
            let request = request(url, &[]).unwrap();
            assert_eq!(address(request.uri()).unwrap(), (host, port), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_requested_is_said_before_anything_is_sent() {
        for url in ["", "/ws/lobby", "ws://", "not a url"] {
            let error = request(url, &[]).expect_err(url);
            assert!(matches!(error, ClientError::Request(_)), "{url}: {error:?}");
        }
        for url in ["wss://localhost/", "http://localhost/"] {
            let request = request(url, &[]).unwrap();
            assert!(matches!(address(request.uri()), Err(ClientError::Request(_))), "{url}");
        }
        for header in [("Bad Name", "a"), ("X-A", "a\r\nX-B: b"), ("", "a")] {
            let error = request("ws://localhost/", &[header]).expect_err(header.0);
            assert!(matches!(error, ClientError::Request(_)), "{error:?}");
        }
    }
}
