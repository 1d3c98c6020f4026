//! A stream that gives up on a peer who sends nothing at first or stops taking what is written.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Wraps the stream of one connection.
pub(super) struct GuardedIo<T> {
    inner: T,
    first_byte: Option<Pin<Box<Sleep>>>,
    stall: Option<Pin<Box<Sleep>>>,
    stall_after: Duration,
}

impl<T> GuardedIo<T> {
    pub(super) fn new(inner: T, first_byte: Duration, stall_after: Duration) -> Self {
        Self {
            inner,
            first_byte: Some(Box::pin(sleep(first_byte))),
            stall: None,
            stall_after,
        }
    }

    fn watch_stall<R>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let after = self.stall_after;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(after)));
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(timed_out(
            "the peer takes nothing of what is written to it",
        )))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for GuardedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if read.is_ready() {
            self.first_byte = None;
        } else if let Some(timer) = &mut self.first_byte {
            ready!(timer.as_mut().poll(cx));
            return Poll::Ready(Err(timed_out("the peer connected and sent nothing")));
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for GuardedIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.watch_stall(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch_stall(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.watch_stall(cx, shut)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, parts);
        self.watch_stall(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

fn timed_out(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, why)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_given_up_but_one_that_spoke_may_pause() {
        let (ours, _theirs) = duplex(64);
        let mut silent = GuardedIo::new(ours, LIMIT, LIMIT);
        let error = silent.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        let (ours, mut theirs) = duplex(64);
        let mut spoke = GuardedIo::new(ours, LIMIT, LIMIT);
        theirs.write_u8(1).await.unwrap();
        assert_eq!(spoke.read_u8().await.unwrap(), 1);
        let later = tokio::spawn(async move {
            sleep(LIMIT * 3).await;
            theirs.write_u8(2).await.unwrap();
            theirs
        });
        assert_eq!(spoke.read_u8().await.unwrap(), 2);
        later.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up_but_a_slow_one_is_served() {
        let (ours, _theirs) = duplex(4);
        let mut stuck = GuardedIo::new(ours, LIMIT, LIMIT);
        let error = stuck.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        let (ours, mut theirs) = duplex(4);
        let mut slow = GuardedIo::new(ours, LIMIT, LIMIT);
        let reader = tokio::spawn(async move {
            let mut seen = 0;
            while seen < 64 {
                sleep(LIMIT / 2).await;
                seen += theirs.read(&mut [0; 4]).await.unwrap();
            }
        });
        slow.write_all(&[0; 64]).await.unwrap();
        reader.await.unwrap();
    }
}
