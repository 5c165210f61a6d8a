//! What a connection can have waited for in vain (D01); each has its word in metrics.
//!
//! Trust boundary: none.

/// What was waited for until a time limit was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    ProxyHeader,
    TlsHandshake,
    /// The first byte of a connection's first request.
    FirstByte,
    /// The rest of a request's head.
    Header,
    /// The next request.
    Idle,
    /// The client, which takes nothing of what is written.
    Write,
    /// The client, which takes nothing of one answer on HTTP/2; the others go on, and no more begin.
    Answer,
}

impl Silence {
    /// The word in metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::ProxyHeader => "proxy_header",
            Self::TlsHandshake => "tls_handshake",
            Self::FirstByte => "first_byte",
            Self::Header => "header",
            Self::Idle => "idle",
            Self::Write => "write",
            Self::Answer => "answer",
        }
    }
}
