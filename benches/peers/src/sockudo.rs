//! sockudo-ws, which gathers what is fed in a cork buffer, as uWebSockets does. Its split halves
//! would flush each message by itself.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Result;
use sockudo_ws::server::WebSocketServer;
use sockudo_ws::{Config, Http1, Message};
use tokio::net::TcpStream;

use crate::rooms::Rooms;
use crate::{listen, pump};

/// # Errors
/// If there is no listening on `addr`.
pub(crate) fn serve(addr: SocketAddr) -> Result<()> {
    sockudo_ws::init_clock();
    // Nobody else has a timer for each connection either.
    let config = Config::builder().auto_ping(false).idle_timeout(0).build();
    let server = Rc::new(WebSocketServer::<Http1>::new(config));
    let rooms = Rooms::new();
    listen::serve(addr, move |stream| connection(stream, server.clone(), rooms.clone()))
}

async fn connection(
    stream: TcpStream,
    server: Rc<WebSocketServer<Http1>>,
    rooms: Rc<Rooms<Message>>,
) -> Result<()> {
    let (socket, asked) = server.accept_raw(stream).await?;
    pump::serve(socket, &asked.path, rooms).await
}

impl pump::Message for Message {
    fn is_data(&self) -> bool {
        self.is_binary() || self.is_text()
    }
}
