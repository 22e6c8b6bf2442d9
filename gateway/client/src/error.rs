//! What can go wrong for a client.

use std::io;

use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::Response;

/// Why a client has no connection, or none any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The URL or a header is none that can be sent.
    #[error("cannot request that: {0}")]
    Request(String),
    /// The server cannot be reached.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The server answered with something else than an upgrade.
    #[error("refused with {status}: {why}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The response's body as far as it came with its head, without space around it.
        why: String,
    },
    /// The server said its last word: the end of every connection that goes well.
    #[error("closed by the server with {code:?}: {reason}")]
    Closed {
        /// The close code, if there is one.
        code: Option<u16>,
        /// The reason, often empty.
        reason: String,
    },
    /// The connection is closing, by this client or by the server, and takes no more messages.
    #[error("the connection is closing")]
    Closing,
    /// The stream ended without a close frame.
    #[error("the connection ended without a close frame")]
    Ended,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[source] io::Error),
    /// The server sent a message of more than [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX).
    #[error("{0}")]
    TooBig(String),
    /// The server broke the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
}

impl From<Error> for ClientError {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => Self::Broken(error),
            Error::Http(response) => refused(*response),
            Error::Protocol(error) => broken_rule(error),
            Error::ConnectionClosed | Error::AlreadyClosed => Self::Ended,
            Error::Capacity(error) => Self::TooBig(error.to_string()),
            Error::Url(error) => Self::Request(error.to_string()),
            Error::HttpFormat(error) => Self::Request(error.to_string()),
            Error::Tls(_) | Error::WriteBufferFull(_) | Error::Utf8(_) | Error::AttackAttempt => {
                Self::Protocol(error.to_string())
            }
        }
    }
}

fn refused(response: Response) -> ClientError {
    let body = response.body().as_deref().unwrap_or_default();
    let why = String::from_utf8_lossy(body).trim().to_owned();
    ClientError::Refused { status: response.status().as_u16(), why }
}

fn broken_rule(error: ProtocolError) -> ClientError {
    if matches!(error, ProtocolError::SendAfterClosing) {
        return ClientError::Closing;
    }
    let ended = [ProtocolError::ResetWithoutClosingHandshake, ProtocolError::HandshakeIncomplete];
    if ended.contains(&error) {
        return ClientError::Ended;
    }
    ClientError::Protocol(error.to_string())
}
