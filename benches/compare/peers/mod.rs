//! The proxies that are measured, each one worker on one core, with its access log on and connections to the
//! application kept open.
//!
//! nginx, HAProxy and hyper alone only pass requests on; Apache with mod_auth_openidc, Envoy and Lychgate do the whole work: a session from
//! a real login, a rule about groups, identity headers. A peer that is not installed is named and left out.

pub(crate) mod apache;
pub(crate) mod bare;
pub(crate) mod envoy;
pub(crate) mod haproxy;
pub(crate) mod lychgate;
pub(crate) mod nginx;

use crate::Result;
use crate::process::Process;
use crate::provider::Provider;
use crate::site::Site;
use crate::workload::Workload;

/// A proxy that is up and answers.
pub(crate) struct Running {
    /// What the table calls it.
    pub(crate) name: &'static str,
    /// The process whose family is charged.
    pub(crate) process: Process,
    /// The port that speaks clear HTTP/1.1.
    pub(crate) clear: u16,
    /// The port that speaks TLS, with HTTP/2 and HTTP/1.1.
    pub(crate) tls: u16,
    /// The Cookie header for requests in clear.
    pub(crate) clear_cookie: String,
    /// The Cookie header for requests over TLS.
    pub(crate) tls_cookie: String,
}

/// One proxy that can be measured.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    /// What the table and `--only` call it.
    pub(crate) name: &'static str,
    /// The kinds of traffic that it is measured under.
    pub(crate) under: Under,
    /// Says what is missing on this machine, if anything.
    pub(crate) missing: fn() -> Option<&'static str>,
    /// Configures and starts it, signs in where that is its work, and checks that it answers.
    pub(crate) start: fn(&Site, &Provider) -> Result<Running>,
}

/// Kinds of traffic.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Under {
    All,
    /// Small answers, which cost what a request's head costs.
    Small,
    /// Large bodies.
    Large,
}

impl Peer {
    /// Whether it is measured under this traffic.
    pub(crate) fn takes_part_in(&self, work: &Workload) -> bool {
        self.under == Under::All || (self.under == Under::Small) == work.small
    }
}

/// All proxies, in the order of the table; the first is the one that ratios refer to.
pub(crate) const ALL: [Peer; 7] =
    [nginx::PEER, nginx::TUNED, haproxy::PEER, apache::PEER, envoy::PEER, bare::PEER, lychgate::PEER];

/// The bytes of a Cookie header that every proxy gets, its own session cookie included.
const COOKIE_BYTES: usize = 600;

/// Fills a Cookie header up to [`COOKIE_BYTES`] with a cookie of the application.
pub(crate) fn padded(session: &str) -> String {
    let lead = if session.is_empty() { "app=" } else { "; app=" };
    let room = COOKIE_BYTES.saturating_sub(session.len() + lead.len());
    let filler = "Zm9yIHRoZSBhcHBsaWNhdGlvbiBhbG9uZQ".chars().cycle();
    format!("{session}{lead}{}", filler.take(room).collect::<String>())
}
