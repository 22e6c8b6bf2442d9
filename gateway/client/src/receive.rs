//! From what tungstenite reads to messages, until the server's close frame.

use std::future::poll_fn;
use std::task::Poll;

use futures_util::{Stream, StreamExt};
use tokio_tungstenite::tungstenite as ws;

use crate::{ClientError, Message};

/// What the server's close frame said.
#[derive(Clone, Debug)]
pub(crate) struct Farewell {
    code: Option<u16>,
    reason: String,
}

impl Farewell {
    fn of(frame: Option<ws::protocol::CloseFrame>) -> Self {
        let code = frame.as_ref().map(|frame| frame.code.into());
        let reason = frame.map(|frame| frame.reason.as_str().to_owned());
        Self { code, reason: reason.unwrap_or_default() }
    }

    pub(crate) fn error(&self) -> ClientError {
        ClientError::Closed { code: self.code, reason: self.reason.clone() }
    }
}

/// Waits for the next message; a close frame is kept in `farewell` and said again and again.
pub(crate) async fn receive<T>(
    stream: &mut T,
    farewell: &mut Option<Farewell>,
) -> Result<Message, ClientError>
where
    T: Stream<Item = Result<ws::Message, ws::Error>> + Unpin,
{
    if let Some(farewell) = farewell {
        return Err(farewell.error());
    }
    loop {
        match stream.next().await {
            Some(Ok(ws::Message::Text(text))) => return Ok(Message::Text(text.as_str().into())),
            Some(Ok(ws::Message::Binary(bytes))) => return Ok(Message::Binary(bytes)),
            Some(Ok(ws::Message::Ping(_) | ws::Message::Pong(_) | ws::Message::Frame(_))) => {}
            Some(Ok(ws::Message::Close(frame))) => {
                let farewell = farewell.insert(Farewell::of(frame));
                answer(stream).await;
                return Err(farewell.error());
            }
            Some(Err(error)) => return Err(error.into()),
            None => return Err(ClientError::Ended),
        }
    }
}

/// Sends our close frame, which tungstenite has prepared and sends when it is read from again.
///
/// What that read says does not matter: the server has said its last word.
async fn answer<T: Stream + Unpin>(stream: &mut T) {
    poll_fn(|cx| {
        let _ = stream.poll_next_unpin(cx);
        Poll::Ready(())
    })
    .await;
}
