//! What looks at a client's bytes on HTTP/2 before hyper does.
//!
//! May touch: the bytes and the connection's watch. Trust boundary: every byte is a stranger's.

use super::watch::Watch;
use crate::http::frame_guard::FrameGuard;
use crate::http::frame_refusals::Refused;

/// The guard of one connection.
pub(super) enum Guard {
    /// With the limit of a head, which h2 was given.
    Http2(FrameGuard, usize),
    /// Nothing more is believed. This is what hyper reads before the end, so that it tells the client.
    Ended(Vec<u8>),
}

impl Guard {
    /// Looks at bytes that came. A flood ends the connection: these bytes are the last that hyper reads before what the guard makes up.
    pub(super) fn inspect(&mut self, bytes: &[u8], watch: &Watch) {
        match self {
            Self::Http2(guard, longest) => {
                guard.earn(watch.now(), watch.take_earned());
                let inspected = guard.inspect(bytes);
                if guard.gave_room() {
                    watch.took();
                }
                watch.unseen().came(guard.take_begun());
                if !guard.is_http2() {
                    // h2 ends the connection without a word.
                    watch.refuse(Refused::Malformed);
                }
                watch.way().opens(guard.take_room(), watch.now());
                if let Err(flood) = inspected {
                    watch.refuse(Refused::Flood(flood));
                    watch.end();
                    *self = Self::Ended(guard.ending(*longest));
                }
            }
            // Nothing is read any more.
            Self::Ended(_) => {}
        }
    }
}
