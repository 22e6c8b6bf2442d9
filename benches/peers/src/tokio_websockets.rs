//! tokio-websockets, which keeps what is fed as it is and writes it with one `writev`.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Result;
use tokio::net::TcpStream;
use tokio_websockets::{Config, Message, ServerBuilder};

use crate::rooms::Rooms;
use crate::{listen, pump};

/// What may be fed before it is flushed. The default of 8 KiB would cut a burst of sixteen
/// messages of 512 bytes in two.
const FLUSH_BYTES: usize = 64 << 10;

/// # Errors
/// If there is no listening on `addr`.
pub(crate) fn serve(addr: SocketAddr) -> Result<()> {
    let rooms = Rooms::new();
    listen::serve(addr, move |stream| connection(stream, rooms.clone()))
}

async fn connection(stream: TcpStream, rooms: Rc<Rooms<Message>>) -> Result<()> {
    let config = Config::default().flush_threshold(FLUSH_BYTES);
    let (request, socket) = ServerBuilder::new().config(config).accept(stream).await?;
    pump::serve(socket, request.uri().path(), rooms).await
}

impl pump::Message for Message {
    fn is_data(&self) -> bool {
        self.is_binary() || self.is_text()
    }
}
