//! How long an admin client may take, whatever it is at.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

/// From the first byte of a request head, or from the connection's begin, to the head's end.
/// Whoever asks sends a head at once; five seconds forgive a lost packet or two.
pub(super) const HEAD_MAX: Duration = Duration::from_secs(5);

/// From a request head's end to the answer: answers are made at once, so this is for bodies.
pub(super) const BODY_MAX: Duration = Duration::from_secs(5);

/// From an answer to the next request's first byte, the time to take the answer included: twice
/// as long as Prometheus usually lets pass between scrapes.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(30);

/// What one who has just come has for its request before it may be cut for others.
const GRACE: Duration = Duration::from_millis(250);

/// What a client makes of its place: who makes less is less.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Use {
    /// It was to send a request, until then, and has not.
    Nothing(Instant),
    /// It was answered, and may ask again until then.
    Idle(Instant),
    /// It has just come, and is to send a request until then.
    New(Instant),
}

/// The time at which a connection is cut unless it moves on. Its holders share it, on one thread.
#[derive(Clone, Debug)]
pub(super) struct Patience(Rc<Cell<(Stage, Instant)>>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// A request head is awaited, or under way.
    Head,
    /// A request is there.
    Asked,
    /// It was answered.
    Idle,
}

impl Patience {
    /// With a client that has just come.
    pub(super) fn new() -> Self {
        Self(Rc::new(Cell::new((Stage::Head, Instant::now() + HEAD_MAX))))
    }

    /// A request head is complete.
    pub(super) fn asked(&self) {
        self.0.set((Stage::Asked, Instant::now() + BODY_MAX));
    }

    /// The request was answered; the client may take the answer and ask again.
    pub(super) fn answered(&self) {
        self.0.set((Stage::Idle, Instant::now() + IDLE_MAX));
    }

    /// What its client makes of it now; none if it is being answered.
    pub(super) fn use_made(&self) -> Option<Use> {
        let (stage, until) = self.0.get();
        let came = until.checked_sub(HEAD_MAX);
        let is_new = came.is_some_and(|came| came.elapsed() < GRACE);
        match stage {
            Stage::Head if is_new => Some(Use::New(until)),
            Stage::Head => Some(Use::Nothing(until)),
            Stage::Asked => None,
            Stage::Idle => Some(Use::Idle(until)),
        }
    }

    /// Bytes came: if none were due, they begin a request.
    fn heard(&self) {
        if self.0.get().0 == Stage::Idle {
            self.0.set((Stage::Head, Instant::now() + HEAD_MAX));
        }
    }

    /// Runs until the connection ends or patience does.
    ///
    /// All that changes the deadline happens while the connection is polled, so the timer is
    /// never late.
    pub(super) async fn until(&self, connection: impl Future) {
        let mut connection = std::pin::pin!(connection);
        let mut timer = std::pin::pin!(sleep_until(self.deadline()));
        std::future::poll_fn(|cx| {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if timer.deadline() != self.deadline() {
                timer.as_mut().reset(self.deadline());
            }
            timer.as_mut().poll(cx)
        })
        .await;
    }

    fn deadline(&self) -> Instant {
        self.0.get().1
    }
}

/// A client's stream that tells when bytes come.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) stream: TcpStream,
    pub(super) patience: Patience,
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.patience.heard();
        }
        read
    }
}

impl AsyncWrite for Heard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    /// How long a connection in which nothing more happens is waited for.
    async fn left(patience: &Patience) -> Duration {
        let before = Instant::now();
        patience.until(pending::<()>()).await;
        // Timers are up to a millisecond late.
        Duration::from_secs(before.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn each_stage_has_a_time_of_its_own() {
        let patience = Patience::new();
        assert_eq!(left(&patience).await, HEAD_MAX);
        patience.asked();
        assert_eq!(left(&patience).await, BODY_MAX);
        patience.answered();
        assert_eq!(left(&patience).await, IDLE_MAX);
        patience.answered();
        patience.heard();
        assert_eq!(left(&patience).await, HEAD_MAX, "an idle client began to ask");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_makes_more_of_its_place_than_who_does_not() {
        let (silent, asks) = (Patience::new(), Patience::new());
        asks.asked();
        assert_eq!(asks.use_made(), None);
        asks.answered();
        assert!(asks.use_made() < silent.use_made(), "who has just come has a moment");
        sleep(GRACE).await;
        assert!(silent.use_made() < asks.use_made());
        let later = Patience::new();
        later.asked();
        later.answered();
        assert!(asks.use_made() < later.use_made(), "who was answered longer ago");
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_wins_no_time() {
        let patience = Patience::new();
        let trickle = async {
            loop {
                sleep(Duration::from_secs(1)).await;
                patience.heard();
            }
        };
        let before = Instant::now();
        patience.until(trickle).await;
        assert!(before.elapsed() < HEAD_MAX + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_shortens_the_time_while_it_runs_counts() {
        let patience = Patience::new();
        patience.answered();
        let asks_later = async {
            sleep(Duration::from_secs(1)).await;
            patience.heard();
            pending::<()>().await;
        };
        let before = Instant::now();
        patience.until(asks_later).await;
        assert!(before.elapsed() < HEAD_MAX + Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn who_moves_on_is_not_cut() {
        let patience = Patience::new();
        let asks = async {
            for _ in 0..100 {
                sleep(HEAD_MAX / 2).await;
                patience.asked();
                sleep(BODY_MAX / 2).await;
                patience.answered();
                sleep(IDLE_MAX / 2).await;
                patience.heard();
            }
        };
        let before = Instant::now();
        patience.until(asks).await;
        assert!(before.elapsed() >= 50 * (HEAD_MAX + BODY_MAX + IDLE_MAX), "it came to its end");
    }
}
