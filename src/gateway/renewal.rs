//! The cookie that says that a session was used, on an answer that leaves.
//!
//! What is open is in use, so it is the answer that counts and not the request: it may leave long after the request came, and says then that the
//! session was used until then. By then another session may have taken the place of this one, or a refresh, and it gives nothing.
//!
//! An ordinary request pays two comparisons; one whose session is due keeps its cookies, so that chunks that are no longer needed go with the
//! renewal. Trust boundary: the cookies are a stranger's and only their names are read.

use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use super::Exchange;
use super::account::Account;
use super::authenticate::{self, Known};
use super::caller::Caller;
use crate::clock::Timestamp;
use crate::upstream::Leash as _;

/// Whether the answer to a request may renew the session that it came with.
pub(super) enum Renewal {
    /// It may not.
    Never,
    /// If it becomes due until then.
    WhenDue,
    /// It is due; the cookies that came.
    Due(Box<HeaderMap>),
}

impl Renewal {
    /// Of a request that comes with these fields; a token has no cookie.
    pub(super) fn of(caller: &Caller, request: &HeaderMap, now: Timestamp) -> Self {
        match caller {
            Caller::Client(_) => Self::Never,
            Caller::Browser(known) if !known.wants_renewal(now) => Self::WhenDue,
            Caller::Browser(_) => {
                let cookies = request.get_all(COOKIE).into_iter().map(|field| (COOKIE, field.clone()));
                Self::Due(Box::new(cookies.collect()))
            }
        }
    }

    /// The cookies, of an answer that leaves now, so long after its request came.
    pub(super) fn leaving(self, exchange: &Exchange<'_>, account: &Account, took: Duration) -> Vec<HeaderValue> {
        let Some(Caller::Browser(known)) = account.known() else { return Vec::new() };
        let is_due = || known.wants_renewal(exchange.gateway.common.clock.now_after(account.at(), took));
        let request = match self {
            Self::Due(cookies) => *cookies,
            Self::WhenDue if is_due() => HeaderMap::new(),
            Self::Never | Self::WhenDue => return Vec::new(),
        };
        match is_newest(exchange, known, account.at()) && known.holds() {
            true => authenticate::renew(exchange, known, &request, exchange.gateway.now()),
            false => Vec::new(),
        }
    }
}

/// Whether the browser that sent a request at `came` has, and will have, no other session in place of this one.
fn is_newest(exchange: &Exchange<'_>, known: &Known, came: Timestamp) -> bool {
    let (memory, session) = (&exchange.gateway.common.memory, known.session());
    let is_refreshed = session.refresh_at.is_some() && memory.flights.has_gone_on(session);
    !is_refreshed && !memory.successors.has_other(session, came)
}
