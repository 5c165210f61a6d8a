//! Writing at once what stands in several places.
//!
//! A head and a body are two slices. For a small message one `write` of a copy costs measurably less than one `writev`
//! (`docs/performance.md`), so slices that fit into 4 KiB are joined in a place that the thread keeps for this; large ones go as they are.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

/// Slices that together are no longer than this are joined.
const SMALL: usize = 4096;

thread_local! {
    /// Where slices are joined: made once, because making room on the stack means clearing it each time.
    static JOINED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(SMALL));
}

/// Writes the slices: one alone as it is, small ones joined, large ones vectored.
pub fn poll_write_joined(
    stream: Pin<&mut impl AsyncWrite>,
    context: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [only] = slices {
        return stream.poll_write(context, only);
    }
    if slices.iter().map(|slice| slice.len()).sum::<usize>() > SMALL {
        return stream.poll_write_vectored(context, slices);
    }
    // Taken out while the stream writes, so that a stream within may join slices too.
    let mut joined = JOINED.take();
    join(slices, &mut joined);
    let written = stream.poll_write(context, &joined);
    JOINED.set(joined);
    written
}

/// The slices one after the other, in place of what was there.
fn join(slices: &[IoSlice<'_>], into: &mut Vec<u8>) {
    into.clear();
    slices.iter().for_each(|slice| into.extend_from_slice(slice));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes everything, and notes how it was given.
    #[derive(Default)]
    struct Sink(Vec<(bool, usize)>);

    impl AsyncWrite for Sink {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.0.push((false, bytes.len()));
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let length = slices.iter().map(|slice| slice.len()).sum();
            self.0.push((true, length));
            Poll::Ready(Ok(length))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn small_slices_are_joined_and_large_ones_are_not() {
        let (large, mut sink) = (vec![7u8; SMALL], Sink::default());
        let mut context = Context::from_waker(std::task::Waker::noop());
        for slices in [[b"head".as_slice(), b"body"], [b"h", large.as_slice()], [b"", large.as_slice()]] {
            let slices = slices.map(IoSlice::new);
            assert!(poll_write_joined(Pin::new(&mut sink), &mut context, &slices).is_ready());
        }
        assert_eq!(sink.0, [(false, 8), (true, SMALL + 1), (false, SMALL)]);
        let mut joined = b"old".to_vec();
        join(&[IoSlice::new(b"head"), IoSlice::new(b"body")], &mut joined);
        assert_eq!(joined, b"headbody");
    }
}
