//! From a client's request to the application's, and back: scrub, set, rewrite.
//!
//! Layer 2, pure. The only makers of [`Scrubbed`] and [`UpstreamRequest`] live here, and the second needs the first and a policy's
//! permit: nothing that was not scrubbed and allowed can be sent. What the application is told is set after everything a client sent
//! under those names is gone, so each identity field stands there once and is the gateway's (S03).
//!
//! Trust boundary: the client's fields on one side, the application's on the other.

mod answer;
mod scrub;
mod spelling;
mod upstream_request;

pub use answer::{AnswerContext, rewrite};
pub use scrub::{ScrubSet, Scrubbed, scrub};
pub use spelling::Spelling;
pub use upstream_request::{BodyLength, HostHeader, Telling, UpstreamRequest};
