//! fastwebsockets behind hyper, as its documentation has it, with the socket itself taken back
//! from hyper and a buffer before it: the crate would write each frame by itself.

use std::future::poll_fn;
use std::io::Cursor;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, Role, WebSocketError, WebSocketWrite,
    after_handshake_split,
};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, BufWriter, Chain};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;
use tokio::task::spawn_local;

use crate::listen::{self, ECHO};
use crate::rooms::{Mailbox, Rooms};

/// What is written at once, unless one frame is longer.
const WRITE_BYTES: usize = 16 << 10;

/// Messages that are taken from a connection before anything is done with them.
const BATCH_MAX: usize = 64;

/// Whatever hyper had read beyond the request comes before what the socket has.
type Reader = FragmentCollectorRead<Chain<Cursor<Bytes>, OwnedReadHalf>>;

/// Shared by those who write, and by who answers pings.
type Writer = Rc<Mutex<WebSocketWrite<BufWriter<OwnedWriteHalf>>>>;

#[derive(Clone)]
struct Said {
    opcode: OpCode,
    payload: Bytes,
}

/// # Errors
/// If there is no listening on `addr`.
pub(crate) fn serve(addr: SocketAddr) -> Result<()> {
    let rooms = Rooms::new();
    listen::serve(addr, move |stream| connection(stream, rooms.clone()))
}

async fn connection(stream: TcpStream, rooms: Rc<Rooms<Said>>) -> Result<()> {
    let service = service_fn(move |mut request: Request<Incoming>| {
        let rooms = rooms.clone();
        async move {
            let (response, socket) = upgrade(&mut request)?;
            spawn_local(upgraded(socket, request.uri().path().to_owned(), rooms));
            Ok::<Response<Empty<Bytes>>, WebSocketError>(response)
        }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    Ok(connection.with_upgrades().await?)
}

async fn upgraded(socket: UpgradeFut, path: String, rooms: Rc<Rooms<Said>>) {
    let served = async {
        let (reader, writer) = split(socket).await?;
        match path.as_str() {
            ECHO => echo(reader, writer).await,
            path => talk(reader, writer, path, rooms).await,
        }
    };
    if let Err(error) = served.await {
        eprintln!("{path}: {error:#}");
    }
}

async fn split(socket: UpgradeFut) -> Result<(Reader, Writer)> {
    let upgraded = socket.await?.into_inner().into_inner();
    let parts = upgraded.downcast::<TokioIo<TcpStream>>();
    let parts = parts.map_err(|_| anyhow!("hyper was given another kind of socket"))?;
    let (read, write) = parts.io.into_inner().into_split();
    let read = Cursor::new(parts.read_buf).chain(read);
    let write = BufWriter::with_capacity(WRITE_BYTES, write);
    let (reader, writer) = after_handshake_split(read, write, Role::Server);
    Ok((FragmentCollectorRead::new(reader), Rc::new(Mutex::new(writer))))
}

async fn echo(mut reader: Reader, writer: Writer) -> Result<()> {
    loop {
        let flush = async || Ok(writer.lock().await.flush().await?);
        let Some(said) = next(&mut reader, &writer, flush).await? else { return Ok(()) };
        writer.lock().await.write_frame(said.frame()).await?;
    }
}

async fn talk(
    mut reader: Reader,
    writer: Writer,
    path: &str,
    rooms: Rc<Rooms<Said>>,
) -> Result<()> {
    let room = rooms.enter(path);
    let mailbox = room.join();
    spawn_local(tell(writer.clone(), mailbox.clone()));
    let mut batch = Vec::new();
    let ended = loop {
        let publish = async || {
            room.publish(&mailbox, &mut batch);
            Ok(())
        };
        match next(&mut reader, &writer, publish).await {
            Ok(Some(said)) => batch.push(said),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
        if batch.len() == BATCH_MAX {
            room.publish(&mailbox, &mut batch);
        }
    };
    room.publish(&mailbox, &mut batch);
    room.leave(&mailbox);
    ended
}

/// Writes all that waits and flushes once, until the member leaves.
async fn tell(writer: Writer, mailbox: Rc<Mailbox<Said>>) {
    while let Some(mut batch) = mailbox.next().await {
        let mut writer = writer.lock().await;
        loop {
            for said in batch.iter() {
                // Whoever reads finds out why, and leaves.
                let Ok(()) = writer.write_frame(said.frame()).await else { return };
            }
            match mailbox.try_next() {
                Some(next) => batch = next,
                None => break,
            }
        }
        let Ok(()) = writer.flush().await else { return };
    }
}

/// The next message; `None` at the end. Before it is waited for, `rest` is done.
///
/// A read that has begun must not be dropped, as it may have taken a part of a frame.
async fn next(
    reader: &mut Reader,
    writer: &Writer,
    rest: impl AsyncFnOnce() -> Result<()>,
) -> Result<Option<Said>> {
    let mut rest = Some(rest);
    loop {
        let mut answer = |frame: Frame<'_>| {
            let frame = Frame::new(frame.fin, frame.opcode, None, frame.payload.to_vec().into());
            async move {
                let mut writer = writer.lock().await;
                writer.write_frame(frame).await?;
                writer.flush().await
            }
        };
        let mut read = pin!(reader.read_frame(&mut answer));
        let now = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await;
        let frame = match (now, rest.take()) {
            (Poll::Ready(frame), unused) => {
                rest = unused;
                frame
            }
            (Poll::Pending, Some(rest)) => {
                rest().await?;
                read.await
            }
            (Poll::Pending, None) => read.await,
        };
        let frame = match frame {
            Err(WebSocketError::UnexpectedEOF) => return Ok(None),
            other => other.context("reading")?,
        };
        match frame.opcode {
            OpCode::Text | OpCode::Binary => return Ok(Some(Said::of(frame))),
            OpCode::Close => return Ok(None),
            OpCode::Continuation | OpCode::Ping | OpCode::Pong => {}
        }
    }
}

impl Said {
    fn of(frame: Frame<'_>) -> Self {
        let payload = match frame.payload {
            Payload::Bytes(bytes) => bytes.freeze(),
            Payload::Owned(bytes) => bytes.into(),
            Payload::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Payload::BorrowedMut(bytes) => Bytes::copy_from_slice(bytes),
        };
        Self { opcode: frame.opcode, payload }
    }

    fn frame(&self) -> Frame<'_> {
        Frame::new(true, self.opcode, None, Payload::Borrowed(&self.payload))
    }
}
