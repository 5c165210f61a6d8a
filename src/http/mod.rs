//! What a request says, in types that refuse doubt: names, paths, authorities, cookies, hop-by-hop fields.
//!
//! Layer 0: pure functions on bytes; no I/O, no clock, nothing of this project above it. Trust boundary: everything
//! here is given bytes that a stranger chose. Each type has one maker, and holding a value means that it was checked.
//! Specifications: RFC 9110 (semantics), RFC 9112 (HTTP/1.1), RFC 3986 (URI), RFC 6265 (cookies), RFC 7239 (Forwarded), RFC 6750 (bearer tokens).

pub mod authorization;
pub mod cache_control;
pub mod cookie;
pub mod decoder;
pub mod field;
pub mod fold;
pub mod forwarded;
pub mod frame_guard;
mod frame_heads;
pub mod frame_refusals;
pub mod framing;
pub mod head;
pub mod hop;
pub mod host;
pub mod login_options;
pub mod path;
pub mod proxy_protocol;
pub mod request;
pub mod return_to;
pub mod seen;

pub use head::{HeadError, Query, RequestHead, Scheme};
pub use host::HostName;
pub use path::{CanonicalPath, PathError, PathSwitches, as_rules_see, has_broken_escape};
pub use return_to::ReturnTo;
pub use seen::Seen;
