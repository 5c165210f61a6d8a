//! Streams that came on HTTP/2 and of which no request was made, and none was refused either: h2 has not read them yet.
//!
//! Only the connection's own task counts. Bound: one number. Trust boundary: none; how many streams came is what the frame guard has read.

use std::sync::atomic::{AtomicU32, Ordering};

/// How many there are.
#[derive(Default)]
pub(super) struct Unseen(AtomicU32);

impl Unseen {
    /// So many streams were begun.
    pub(super) fn came(&self, streams: u32) {
        self.0.store(self.0.load(Ordering::Relaxed).saturating_add(streams), Ordering::Relaxed);
    }

    /// A request was made of one.
    pub(super) fn seen(&self) {
        self.refused(1);
    }

    /// h2 refused so many streams; how many of them nobody has seen. To be asked when all streams that are sound have become requests.
    pub(super) fn refused(&self, streams: u32) -> u32 {
        let unseen = self.0.load(Ordering::Relaxed);
        let refused = streams.min(unseen);
        self.0.store(unseen - refused, Ordering::Relaxed);
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h03_no_more_streams_are_refused_than_came_and_were_not_seen() {
        let unseen = Unseen::default();
        unseen.seen();
        assert_eq!(unseen.refused(1), 0);
        unseen.came(3);
        unseen.seen();
        assert_eq!((unseen.refused(1), unseen.refused(5), unseen.refused(5)), (1, 1, 0));
        unseen.came(u32::MAX);
        unseen.came(2);
        assert_eq!(unseen.refused(u32::MAX), u32::MAX);
    }
}
