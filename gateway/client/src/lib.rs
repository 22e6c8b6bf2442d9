//! A Rust client for Weir, over tokio-tungstenite.
//!
//! ```no_run
//! use gateway_client::{Client, ClientError, Message};
//!
//! # async fn chat() -> Result<(), ClientError> {
//! let mut client = Client::connect("ws://127.0.0.1:8080/ws/lobby").await?;
//! client.send_text("hello").await?;
//! loop {
//!     match client.next().await {
//!         Ok(Message::Text(text)) => println!("{text}"),
//!         Ok(Message::Binary(bytes)) => println!("{} bytes", bytes.len()),
//!         Err(ClientError::Closed { code, reason }) => {
//!             println!("closed with {code:?} {reason}");
//!             return Ok(());
//!         }
//!         Err(error) => return Err(error),
//!     }
//! }
//! # }
//! ```
//!
//! A client reads only while [`Client::next`] or [`Receiver::next`] is awaited, and answers
//! pings only then: who does not read is closed, first by Weir's patience with its outbox,
//! then for its missing pongs.
#![forbid(unsafe_code)]

mod connect;
mod error;
mod receive;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{self as ws, CloseFrame};

pub use self::error::ClientError;
use self::receive::{Farewell, receive};

/// Payload bytes of a message that is received; longer ones are a [`ClientError::TooBig`].
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A message from the server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Bytes),
}

/// An open connection to Weir, over TCP or any other stream.
#[derive(Debug)]
pub struct Client<S = TcpStream> {
    socket: WebSocketStream<S>,
    farewell: Option<Farewell>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Sends a text message; returns when the stream has taken all of it.
    ///
    /// # Errors
    /// If the connection is closed or broken. What was sent before may be lost.
    pub async fn send_text(&mut self, text: impl Into<String>) -> Result<(), ClientError> {
        self.send(text_message(text)).await
    }

    /// Sends a binary message; returns when the stream has taken all of it.
    ///
    /// # Errors
    /// As of [`send_text`](Self::send_text).
    pub async fn send_binary(&mut self, bytes: impl Into<Bytes>) -> Result<(), ClientError> {
        self.send(ws::Message::Binary(bytes.into())).await
    }

    /// Waits for the next message. Pings are answered on the way.
    ///
    /// May be dropped while it waits, without a loss.
    ///
    /// # Errors
    /// [`ClientError::Closed`] after the server's close frame, now and ever after.
    pub async fn next(&mut self) -> Result<Message, ClientError> {
        receive(&mut self.socket, &mut self.farewell).await
    }

    /// Closes with 1000 and waits for the server's close frame, skipping messages before it.
    ///
    /// The wait has no end of its own.
    ///
    /// # Errors
    /// If the connection breaks before that.
    pub async fn close(&mut self) -> Result<(), ClientError> {
        let mut outcome = self.send(close_message()).await;
        while outcome.is_ok() {
            outcome = self.next().await.map(drop);
        }
        match outcome {
            Err(ClientError::Closed { .. }) => Ok(()),
            other => other,
        }
    }

    /// Splits into halves that two tasks can use.
    #[must_use]
    pub fn split(self) -> (Sender<S>, Receiver<S>) {
        let (sink, stream) = self.socket.split();
        (Sender { sink }, Receiver { stream, farewell: self.farewell })
    }

    async fn send(&mut self, message: ws::Message) -> Result<(), ClientError> {
        if let Some(farewell) = &self.farewell {
            return Err(farewell.error());
        }
        Ok(self.socket.send(message).await?)
    }
}

/// The half of a [`Client`] that sends.
#[derive(Debug)]
pub struct Sender<S = TcpStream> {
    sink: SplitSink<WebSocketStream<S>, ws::Message>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sender<S> {
    /// Sends a text message; returns when the stream has taken all of it.
    ///
    /// # Errors
    /// If the connection is closed or broken. The [`Receiver`] is told how it was closed.
    pub async fn send_text(&mut self, text: impl Into<String>) -> Result<(), ClientError> {
        Ok(self.sink.send(text_message(text)).await?)
    }

    /// Sends a binary message; returns when the stream has taken all of it.
    ///
    /// # Errors
    /// As of [`send_text`](Self::send_text).
    pub async fn send_binary(&mut self, bytes: impl Into<Bytes>) -> Result<(), ClientError> {
        Ok(self.sink.send(ws::Message::Binary(bytes.into())).await?)
    }

    /// Closes with 1000; the [`Receiver`] hears the server's answer.
    ///
    /// # Errors
    /// If the connection is closed or broken already.
    pub async fn close(&mut self) -> Result<(), ClientError> {
        Ok(self.sink.send(close_message()).await?)
    }
}

/// The half of a [`Client`] that receives.
#[derive(Debug)]
pub struct Receiver<S = TcpStream> {
    stream: SplitStream<WebSocketStream<S>>,
    farewell: Option<Farewell>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Receiver<S> {
    /// Waits for the next message. Pings are answered on the way.
    ///
    /// May be dropped while it waits, without a loss.
    ///
    /// # Errors
    /// [`ClientError::Closed`] after the server's close frame, now and ever after.
    pub async fn next(&mut self) -> Result<Message, ClientError> {
        receive(&mut self.stream, &mut self.farewell).await
    }
}

fn text_message(text: impl Into<String>) -> ws::Message {
    ws::Message::Text(text.into().into())
}

fn close_message() -> ws::Message {
    ws::Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))
}

#[cfg(test)]
mod tests;
