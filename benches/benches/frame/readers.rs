//! Weir and its peers, each reading the same bytes in its own way.

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use fastwebsockets::{FragmentCollector, WebSocket as FastWebSocket};
use gateway_core::limits::Limits;
use gateway_core::session::{Input, Session};
use tokio_tungstenite::tungstenite::WebSocket;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::wire::Wire;

/// Something that makes messages of bytes.
pub(crate) trait Reader {
    const NAME: &'static str;

    /// Reads all bytes anew.
    ///
    /// # Panics
    /// If that does not give so many messages.
    fn read(&mut self, messages: usize);
}

/// A session, which reads from the buffer that the kernel's bytes were copied into.
pub(crate) struct Weir {
    session: Session,
    message_bytes_max: usize,
    bytes: Vec<u8>,
    scratch: Vec<u8>,
}

impl Weir {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self {
            session: Session::default(),
            message_bytes_max: Limits::default().message_bytes_max,
            bytes: bytes.to_vec(),
            scratch: vec![0; bytes.len()],
        }
    }
}

impl Reader for Weir {
    const NAME: &'static str = "weir";

    fn read(&mut self, messages: usize) {
        self.scratch.copy_from_slice(&self.bytes);
        let mut input = &mut self.scratch[..];
        let mut heard = 0;
        while let Some(said) =
            self.session.next(&mut input, self.message_bytes_max).expect("the frames are valid")
        {
            let Input::Message { payload, .. } = said else { panic!("only messages were sent") };
            black_box(payload.as_slice());
            heard += 1;
        }
        assert_eq!(heard, messages);
    }
}

/// A blocking socket, which has a buffer of its own.
pub(crate) struct Tungstenite(WebSocket<Wire>);

impl Tungstenite {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        // Its default of 128 KiB is cleared on each read, which would be all there is to see.
        let read_buffer_bytes = bytes.len().clamp(4 << 10, 128 << 10);
        let config = WebSocketConfig::default().read_buffer_size(read_buffer_bytes);
        Self(WebSocket::from_raw_socket(Wire::new(bytes), Role::Server, Some(config)))
    }
}

impl Reader for Tungstenite {
    const NAME: &'static str = "tungstenite";

    fn read(&mut self, messages: usize) {
        for _ in 0..messages {
            black_box(self.0.read().expect("the frames are valid"));
        }
    }
}

/// An asynchronous socket over a stream that is always ready, so that no runtime is needed.
pub(crate) struct Fastwebsockets(FragmentCollector<Wire>);

impl Fastwebsockets {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let socket = FastWebSocket::after_handshake(Wire::new(bytes), fastwebsockets::Role::Server);
        Self(FragmentCollector::new(socket))
    }
}

impl Reader for Fastwebsockets {
    const NAME: &'static str = "fastwebsockets";

    fn read(&mut self, messages: usize) {
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..messages {
            let Poll::Ready(frame) = pin!(self.0.read_frame()).poll(&mut context) else {
                panic!("the stream is always ready")
            };
            black_box(frame.expect("the frames are valid"));
        }
    }
}
