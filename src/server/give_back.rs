//! Memory that nobody needs any more goes back to the system, though nobody asks for any.
//!
//! mimalloc keeps what was freed for a second, as it may be needed again, and then gives it back when a thread next wants a page that it does not
//! have. An idle worker wants none. So each worker wants one, a few times a second: a block so large that it has a page of its own. It is
//! never written to, and what its allocation does is what a busy worker's do all the time (`docs/decisions/0065-an-idle-worker-wants-a-page.md`).
//!
//! With another allocator this does nothing. Bound: one block at a time, of addresses, not of memory.

use std::time::Duration;

/// How often. Shorter than the second that mimalloc waits, so that this is not doubled.
pub(super) const EVERY: Duration = Duration::from_millis(250);

/// Larger than any block that shares a page with others (512 KiB at the most).
const BLOCK: usize = 1 << 20;

/// Has the allocator look for what it can give back.
pub(super) fn give_back() {
    // Unseen by the optimiser, which may leave out an allocation that nobody uses.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(BLOCK)));
}
