//! A node that serves the page, and is replaced by another one at the same address.

use std::net::SocketAddr;

use gateway::server::Server;

use crate::support::{join, node};

/// What the chat route asks for.
pub(crate) const TOKEN: &str = "open-sesame";

/// Where people go.
pub(crate) struct Served {
    addr: SocketAddr,
    node: Option<Server>,
}

/// Serves on a port of its own.
pub(crate) fn serve() -> Served {
    let node = start(0);
    Served { addr: node.addr(), node: Some(node) }
}

impl Served {
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes everyone with 1001 and ends; then another node is there. Meanwhile nobody is.
    pub(crate) async fn restart(&mut self) {
        let node = self.node.take().expect("there is always one");
        node.drain();
        join(node).await;
        self.node = Some(start(self.addr.port()));
    }
}

fn start(port: u16) -> Server {
    node(|config| {
        config.addr.set_port(port);
        (config.shards, config.workers) = (Some(2), Some(1));
        config.token = Some(TOKEN.to_owned().into());
    })
}
