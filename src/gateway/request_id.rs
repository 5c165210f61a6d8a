//! Identifiers of requests: unique over all workers and restarts, cheap, and no secret.
//!
//! Twelve random hexadecimal digits for the worker, then the number of the request. The same text stands in the access log, on
//! pages, and in the application's `X-Request-Id`.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::crypto::random;

/// Digits of the worker.
const PREFIX: usize = 12;
/// Digits in all, where the number has as many as it can have.
const LONGEST: usize = PREFIX + 16;
/// Digits that a number has at least.
const SHORTEST: u32 = 8;

/// A worker's identifiers.
pub(super) struct RequestIds {
    prefix: [u8; PREFIX],
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        let mut prefix = [0; PREFIX];
        let random = random::bytes::<{ PREFIX / 2 }>();
        for (digits, byte) in prefix.chunks_exact_mut(2).zip(random) {
            digits.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
        }
        Self { prefix, next: AtomicU64::new(1) }
    }

    /// The next identifier.
    pub(super) fn next(&self) -> RequestId {
        RequestId::new(&self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// One identifier, visible ASCII; no allocation belongs to it.
#[derive(Clone, Copy)]
pub(super) struct RequestId {
    text: [u8; LONGEST],
    length: usize,
}

impl RequestId {
    fn new(prefix: &[u8; PREFIX], number: u64) -> Self {
        let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(SHORTEST);
        let nibbles = (0..digits).rev().map(|place| digit((number >> (4 * place)) as u8 & 0xf));
        let (mut text, mut length) = ([0; LONGEST], 0);
        for (place, byte) in text.iter_mut().zip(prefix.iter().copied().chain(nibbles)) {
            *place = byte;
            length += 1;
        }
        Self { text, length }
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }
}

/// A hexadecimal digit.
const fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_the_worker_and_the_number_in_hexadecimal() {
        for number in [1, 0xf, 0x1234_5678, 0xffff_ffff, 0x1_0000_0000, u64::MAX] {
            let id = RequestId::new(b"0123456789ab", number);
            assert_eq!(id.as_str(), format!("0123456789ab{number:08x}"));
            assert_eq!(id.bytes(), id.as_str().as_bytes());
        }
        let ids = RequestIds::new();
        assert_ne!(ids.next().as_str(), ids.next().as_str());
        assert_ne!(ids.next().as_str().get(..PREFIX), RequestIds::new().next().as_str().get(..PREFIX));
    }
}
