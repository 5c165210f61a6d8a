//! Identifiers of requests: unique over all workers and restarts, cheap, and no secret.
//!
//! Twelve random hexadecimal digits for the worker, then the number of the request. The same text stands in the access log, on
//! pages, and in the application's `X-Request-Id`.

use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

use crate::crypto::random;

/// A worker's identifiers.
pub(super) struct RequestIds {
    prefix: String,
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        let prefix = random::bytes::<6>().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { prefix, next: AtomicU64::new(1) }
    }

    /// The next identifier.
    pub(super) fn next(&self) -> RequestId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let text = format!("{}{number:08x}", self.prefix);
        RequestId(HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("0")))
    }
}

/// One identifier, visible ASCII.
#[derive(Clone)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub(super) fn header(&self) -> &HeaderValue {
        &self.0
    }
}
