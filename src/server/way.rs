//! Whether the way to a client on HTTP/2 is free for all answers together.
//!
//! h2 writes whatever the windows allow as long as the socket takes it, a frame of each stream in turn. So an answer of which nothing leaves is one
//! that its client does not take only while the socket has room and the connection's window is open. While one of them is in the way, answers wait
//! for each other, and a client that reads everything slowly is not to lose them. What others pass by again and again is not in their row: the window
//! of its stream is shut, however full the socket is.
//!
//! Pure. Bounds: four numbers. Trust boundary: how far the window is open is what the client says, which h2 holds it to. Specification: RFC 9113
//! sections 5.2 and 6.9.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// The connection's window before the client opens it further (RFC 9113 section 6.9.2).
const FIRST_WINDOW: i64 = 65_535;
/// The connection's window counts as shut with no more than this left: h2 may have promised a byte to each stream that has none to send yet.
const SHUT: i64 = 128;
/// While the window is shut, what opens it by less than this in all is no progress: a byte now and then would hold all answers for as long as the
/// client likes. A frame's worth (RFC 9113 section 4.2).
const ROOM: u32 = 16 << 10;
/// More bytes of others cannot leave before it is the turn of an answer that waits in the row: 128 streams, each with less than 16 KiB in h2 and a
/// piece of 128 KiB, twice, because what hyper has needs a turn to be given to h2 and another one to leave. And some more.
const MOST_AHEAD: u64 = 64 << 20;

/// The way to one client.
pub(super) struct Way {
    /// The tick up to which something was in the way of all answers, as far as is known.
    held_up: AtomicU64,
    /// What is left of the connection's window.
    window: AtomicI64,
    /// By how much it was opened, while it was shut, since that last was progress.
    opened: AtomicU32,
    /// Bytes of all answers that have left.
    gone: AtomicU64,
}

impl Way {
    pub(super) const fn new(now: u64) -> Self {
        Self {
            held_up: AtomicU64::new(now),
            window: AtomicI64::new(FIRST_WINDOW),
            opened: AtomicU32::new(0),
            gone: AtomicU64::new(0),
        }
    }

    /// The socket was full until now.
    pub(super) fn was_full(&self, now: u64) {
        self.held_up.store(now, Ordering::Relaxed);
    }

    /// The client opens the connection's window by so many bytes.
    pub(super) fn opens(&self, bytes: u32, now: u64) {
        if self.window.fetch_add(i64::from(bytes), Ordering::Relaxed) > SHUT {
            return;
        }
        let opened = self.opened.load(Ordering::Relaxed).saturating_add(bytes);
        let is_progress = opened >= ROOM;
        self.opened.store(if is_progress { 0 } else { opened }, Ordering::Relaxed);
        if is_progress {
            self.held_up.store(now, Ordering::Relaxed);
        }
    }

    /// So many bytes of an answer leave.
    pub(super) fn leave(&self, bytes: usize) {
        self.window.fetch_sub(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
        self.gone.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes of all answers that have left.
    pub(super) fn gone(&self) -> u64 {
        self.gone.load(Ordering::Relaxed)
    }

    /// Since which tick it has been each client's turn on its own streams. A window that is shut and not opened any more counts as the client's
    /// turn: nobody else can open it.
    pub(super) fn free_since(&self) -> u64 {
        self.held_up.load(Ordering::Relaxed)
    }

    /// Whether more has passed by an answer than can be before it in the row, when so much had left as something of it last did.
    pub(super) fn is_passed(&self, gone: u64) -> bool {
        self.gone().saturating_sub(gone) > MOST_AHEAD
    }
}
