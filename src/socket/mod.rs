//! Sockets, whoever is at the other end: reading ahead, and writing in few system calls.
//!
//! May touch: the stream that is given. Bounds: 4 KiB a thread for joining what is written; 128 KiB read at once. Trust boundary: bytes are not
//! looked at.

mod joined;
mod outbox;
mod read_ahead;

pub use joined::poll_write_joined;
pub use outbox::Outbox;
pub use read_ahead::{Prefixed, ReadAhead};
