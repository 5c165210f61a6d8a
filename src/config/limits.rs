//! `[limits]` and `[timeouts]`: how much a client may send and how long it is waited for (D01, D03).
//!
//! Every limit has a default, a least and a most; none can be switched off. Numbers are checked here, and kept by the
//! server and the gateway.

use std::time::Duration;

use super::reader::{Findings, Section};
use crate::limit::{Rate, RateError};
use crate::size::ByteSize;

/// How much is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Fields of a request's head.
    pub header_count: usize,
    /// Bytes of a request's body.
    pub body: u64,
    /// Open client connections.
    pub connections: usize,
    /// Of those, how many one address may have, or one IPv6 network of 64 bits.
    pub connections_per_address: usize,
    /// What one address may make the gateway do without being known.
    pub strangers: Rate,
}

/// How long is waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the whole TLS handshake.
    pub handshake: Duration,
    /// From accepting a connection to the first byte of its first request.
    pub first_byte: Duration,
    /// From the first byte of a request to the end of its head.
    pub header: Duration,
    /// For the next request on a kept connection.
    pub idle: Duration,
    /// For progress in a request's body, or for a client to take more of an answer.
    pub body_stall: Duration,
    /// From SIGTERM to the end of the last request.
    pub drain: Duration,
}

/// A company behind one address signs in on Monday morning; one machine that does nothing else is held.
const STRANGERS: (u32, Duration, u32) = (1200, Duration::from_secs(60), 3000);

/// The same as a rate; were it none, the program would not compile.
const STRANGERS_RATE: Rate = match Rate::new(STRANGERS.0, STRANGERS.1, STRANGERS.2) {
    Ok(rate) => rate,
    Err(_) => unreachable!(),
};

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 32 << 10,
            header_count: 100,
            body: 1 << 30,
            connections: 10_000,
            connections_per_address: 1024,
            strangers: STRANGERS_RATE,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            first_byte: Duration::from_secs(30),
            header: Duration::from_secs(15),
            idle: Duration::from_secs(75),
            body_stall: Duration::from_secs(30),
            drain: Duration::from_secs(30),
        }
    }
}

pub(super) fn read_limits(top: &Section<'_>, found: &mut Findings<'_>) -> Limits {
    let section = top.section("limits", found);
    let default = Limits::default();
    Limits {
        header_bytes: section.size("header_bytes", found).map_or(default.header_bytes, ByteSize::as_usize),
        header_count: section.number("header_count", found).unwrap_or(default.header_count),
        body: section.size("body", found).map_or(default.body, ByteSize::as_u64),
        connections: section.number("connections", found).unwrap_or(default.connections),
        connections_per_address: section
            .number("connections_per_address", found)
            .unwrap_or(default.connections_per_address),
        strangers: read_strangers(&section, found),
    }
}

fn read_strangers(limits: &Section<'_>, found: &mut Findings<'_>) -> Rate {
    let section = limits.section("strangers", found);
    let (requests, every, burst) = STRANGERS;
    let number = |key: &str, default: u32, found: &mut Findings<'_>| {
        section.number(key, found).and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
    };
    let requests = number("requests", requests, found);
    let every = section.duration("every", found).unwrap_or(every);
    let burst = number("burst", burst, found);
    Rate::new(requests, every, burst).unwrap_or_else(|why| {
        let expected = match why {
            RateError::TooSlow => "expected a smaller `burst`, or more requests in the time",
            RateError::Zero | RateError::TooFast => "expected a longer time, or fewer requests",
        };
        found.error(section.origin(), format!("`limits.strangers` is no rate: {why}"), expected);
        STRANGERS_RATE
    })
}

pub(super) fn read_timeouts(top: &Section<'_>, found: &mut Findings<'_>) -> Timeouts {
    let section = top.section("timeouts", found);
    let default = Timeouts::default();
    let mut read = |key: &str, default: Duration| section.duration(key, found).unwrap_or(default);
    Timeouts {
        handshake: read("handshake", default.handshake),
        first_byte: read("first_byte", default.first_byte),
        header: read("header", default.header),
        idle: read("idle", default.idle),
        body_stall: read("body_stall", default.body_stall),
        drain: read("drain", default.drain),
    }
}
