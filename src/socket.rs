//! Writing to a socket what hyper hands over in slices.
//!
//! hyper gives a head and a body as two slices. For a small message one `write` of a copy costs measurably less than one `writev`
//! (`docs/performance.md`), so slices that fit into 4 KiB are joined on the stack; large ones go as they are.
//!
//! May touch: the stream it is given. Trust boundary: bytes are not looked at.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

/// Slices that together are no longer than this are joined.
const SMALL: usize = 4096;

/// Writes the slices: one alone as it is, small ones joined, large ones vectored.
pub fn poll_write_joined(
    stream: Pin<&mut impl AsyncWrite>,
    context: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [only] = slices {
        return stream.poll_write(context, only);
    }
    let mut joined = [0u8; SMALL];
    match join(slices, &mut joined) {
        Some(bytes) => stream.poll_write(context, bytes),
        None => stream.poll_write_vectored(context, slices),
    }
}

/// The slices one after the other, when they fit.
fn join<'a>(slices: &[IoSlice<'_>], into: &'a mut [u8; SMALL]) -> Option<&'a [u8]> {
    let mut length = 0;
    for slice in slices {
        let end = length + slice.len();
        into.get_mut(length..end)?.copy_from_slice(slice);
        length = end;
    }
    into.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_slices_are_joined_and_large_ones_are_not() {
        let mut into = [0u8; SMALL];
        let large = vec![7u8; SMALL];
        assert_eq!(join(&[IoSlice::new(b"head"), IoSlice::new(b"body")], &mut into), Some(&b"headbody"[..]));
        assert_eq!(join(&[IoSlice::new(b"h"), IoSlice::new(&large)], &mut into), None);
        assert_eq!(join(&[IoSlice::new(b""), IoSlice::new(&large)], &mut into).map(<[u8]>::len), Some(SMALL));
    }
}
