//! tokio-tungstenite with a read buffer of 4 KiB: its default of 128 KiB is allocated for each
//! connection, and cleared whenever it is read into.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Result;
use tokio::net::TcpStream;
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::rooms::Rooms;
use crate::{listen, pump};

const READ_BUFFER_BYTES: usize = 4096;

/// # Errors
/// If there is no listening on `addr`.
pub(crate) fn serve(addr: SocketAddr) -> Result<()> {
    let rooms = Rooms::new();
    listen::serve(addr, move |stream| connection(stream, rooms.clone()))
}

async fn connection(stream: TcpStream, rooms: Rc<Rooms<Message>>) -> Result<()> {
    let mut path = String::new();
    #[expect(clippy::result_large_err, reason = "the crate has it so")]
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        request.uri().path().clone_into(&mut path);
        Ok(response)
    };
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let socket = accept_hdr_async_with_config(stream, look, Some(config)).await?;
    pump::serve(socket, &path, rooms).await
}

impl pump::Message for Message {
    fn is_data(&self) -> bool {
        self.is_binary() || self.is_text()
    }
}
