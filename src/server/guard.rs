//! What looks at a client's bytes before hyper does: framing on HTTP/1.1, frames on HTTP/2.
//!
//! May touch: the bytes and the connection's watch. Trust boundary: every byte is a stranger's.

use super::watch::Watch;
use crate::http::frame_guard::{Flood, FrameGuard};
use crate::http::framing::{FramingError, FramingGuard};

/// The guard of one connection.
pub(super) enum Guard {
    Http1(FramingGuard),
    /// With the limit of a head, which h2 was given.
    Http2(FrameGuard, usize),
    /// Nothing more is believed. This is what hyper reads before the end, so that it tells the client.
    Ended(Vec<u8>),
}

/// Why nothing more is believed on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A request on HTTP/1.1 could be framed in two ways.
    Framing(FramingError),
    /// HTTP/2 frames that lead nowhere.
    Flood(Flood),
}

impl Refused {
    /// The reason code for logs.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Framing(error) => error.code(),
            Self::Flood(flood) => flood.code(),
        }
    }
}

impl Guard {
    /// Whether HTTP/1.1 is between two messages.
    pub(super) fn is_between(&self) -> bool {
        matches!(self, Self::Http1(guard) if guard.is_between())
    }

    /// Looks at bytes that came; what may not reach hyper is spoiled, or ends the connection.
    pub(super) fn inspect(&mut self, bytes: &mut [u8], watch: &Watch) {
        match self {
            Self::Http1(guard) => {
                if let Err(error) = guard.inspect(bytes) {
                    watch.refuse(Refused::Framing(error));
                    *self = Self::Ended(guard.ending().to_vec());
                }
            }
            Self::Http2(guard, longest) => {
                guard.earn(watch.now(), watch.take_earned());
                if let Err(flood) = guard.inspect(bytes) {
                    watch.refuse(Refused::Flood(flood));
                    watch.end();
                    *self = Self::Ended(guard.ending(*longest));
                }
            }
            Self::Ended(_) => bytes.fill(0),
        }
    }
}
