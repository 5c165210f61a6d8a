//! What looks at a client's bytes on HTTP/2 before hyper does.
//!
//! May touch: the bytes and the connection's watch. Trust boundary: every byte is a stranger's.

use super::watch::Watch;
use crate::http::frame_guard::{Flood, FrameGuard};

/// The guard of one connection.
pub(super) enum Guard {
    /// With the limit of a head, which h2 was given.
    Http2(FrameGuard, usize),
    /// Nothing more is believed. This is what hyper reads before the end, so that it tells the client.
    Ended(Vec<u8>),
}

/// Why nothing more is believed on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// HTTP/2 frames that lead nowhere.
    Flood(Flood),
}

impl Refused {
    /// The reason code for logs.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Flood(flood) => flood.code(),
        }
    }
}

impl Guard {
    /// Looks at bytes that came; what may not reach hyper is spoiled, or ends the connection.
    pub(super) fn inspect(&mut self, bytes: &mut [u8], watch: &Watch) {
        match self {
            Self::Http2(guard, longest) => {
                guard.earn(watch.now(), watch.take_earned());
                let inspected = guard.inspect(bytes);
                if guard.gave_room() {
                    watch.took();
                }
                if let Err(flood) = inspected {
                    watch.refuse(Refused::Flood(flood));
                    watch.end();
                    *self = Self::Ended(guard.ending(*longest));
                }
            }
            Self::Ended(_) => bytes.fill(0),
        }
    }
}
