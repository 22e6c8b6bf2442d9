//! Somebody who sends a node what is no request.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::setting::Role;
use super::world::{PORT, World};
use crate::rng::Rng;

const PATIENCE: Duration = Duration::from_secs(5);
const BYTES_MAX: usize = 400;

/// Connects to a node, sends any bytes and reads what comes until the end.
pub(super) async fn visit(world: Rc<World>, node: usize, mut rng: Rng) {
    let server = SocketAddr::from((turmoil::lookup(Role::Node(node).host()), PORT));
    let Ok(mut stream) = world.wires.connect(server, Instant::now() + PATIENCE).await else {
        return;
    };
    let state = &world.nodes[node];
    state.strangers.set(state.strangers.get() + 1);
    let mut bytes: Vec<u8> = (0..1 + rng.below(BYTES_MAX)).map(|_| rng.next_u64() as u8).collect();
    if rng.one_in(2) {
        bytes.splice(0..0, *b"GET / HTTP/1.1\r\n");
    }
    let mut answer = Vec::new();
    // Whatever becomes of it is the node's matter; that others do not suffer is checked there.
    let talk = async {
        stream.write_all(&bytes).await?;
        stream.read_to_end(&mut answer).await
    };
    let _ = timeout(PATIENCE, talk).await;
    world.tell(|ledger| ledger.note(format!("garbage is answered with {} bytes", answer.len())));
}
