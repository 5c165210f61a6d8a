//! Sockets, whoever is at the other end: connecting to the first address that answers, reading ahead, and writing in few system calls.
//!
//! May touch: the stream that is given, and where one is opened, the network. Bounds: 4 KiB a thread for joining what is written; 128 KiB read at once. Trust boundary: bytes are not
//! looked at.

mod connect;
mod joined;
mod outbox;
mod read_ahead;

pub use connect::{connect, connect_to};
pub use joined::poll_write_joined;
pub use outbox::Outbox;
pub use read_ahead::{MOST as MOST_AT_ONCE, Prefixed, ReadAhead};
