//! Listeners, TLS, connections: everything below a request.
//!
//! Layer 5. Each worker is a thread with a current-thread runtime, its own accepting socket on every address (`SO_REUSEPORT`), its own
//! connections to the applications and its own session cache; workers share only atomics and what never changes. HTTP/1.1 is read and
//! written here (`http1`), HTTP/2 by hyper behind a guard; the time limits for silence are ours for both (`watch`).
//!
//! Trust boundary: the wire. Bounds: connections in all and of one address, head size and field count, a limit for every silence (D01),
//! for frames that lead nowhere (D02).
//! Specification: RFC 9112, RFC 9113, RFC 8446.

mod accept;
mod addresses;
mod admission;
mod connection;
mod cork;
mod give_back;
mod goodbye;
mod guard;
mod guarded;
mod http1;
mod offered;
mod parked;
mod silence;
mod ticks;
mod tls;
mod turns;
mod unseen;
mod upload;
mod watch;
mod watched;
mod watchman;
mod way;
mod worker;

pub use accept::{Bound, bind};
pub use tls::{Front, Shown, TlsSetupError};
pub(crate) use worker::Socket;
pub use worker::{Shared, Worker, WorkerError};
