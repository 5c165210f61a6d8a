//! What holds of a session that begins: which one it grows out of, and whether it is over already.
//!
//! Trust boundary: cookies are a stranger's and count only when they open. Specification: none but our own; see `session::Origin`.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::Exchange;
use super::authenticate::{Known, held, name_of};
use super::refusal::Refusal;
use crate::clock::Timestamp;
use crate::http::HostName;
use crate::session::{Origin, Session, SessionId};
use crate::snapshot::Application;

/// What an operator can do about sessions that were ended while the clock was ahead.
const HELP: &str = "the clock was ahead when this person's sessions were ended: it passes, or see docs/logout-and-revocation.md, \"A clock that was wrong\"";

/// What a session grows out of that takes the place of the one that a browser holds.
pub(super) fn origin(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    host: &HostName,
    headers: &HeaderMap,
    now: Timestamp,
) -> Option<Origin> {
    let held = held(exchange, application, host, headers, now).filter(|known| known.is_of_its_provider());
    held.map(|known| Origin::of(known.session()))
}

/// What a new session takes the place of in its browser.
pub(super) struct Before {
    /// What the browser holds when the login comes back.
    held: Option<Arc<Known>>,
    /// What it held when the login began.
    origin: Option<Origin>,
}

impl Before {
    /// For a login that began beside `origin` and comes back with these fields.
    pub(super) fn of(
        exchange: &Exchange<'_>,
        application: &Arc<Application>,
        host: &HostName,
        origin: Option<Origin>,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Self {
        Self { held: held(exchange, application, host, headers, now), origin }
    }

    /// The root of the new session: that of what the browser holds, else of what it held, else itself. Nothing grows out of what was ended: a
    /// login that is finished afterwards is a new one.
    pub(super) fn root(&self, exchange: &Exchange<'_>, session: &Session) -> SessionId {
        let held = self.held.as_deref().filter(|known| known.is_of_its_provider());
        let origins = [held.map(|known| Origin::of(known.session())), self.origin];
        let mut roots = origins.into_iter().flatten().filter_map(|origin| origin.root_of(session));
        let root = roots.find(|root| !exchange.gateway.common.revocations.has_ended(root));
        root.unwrap_or(session.id)
    }

    /// The roots of all that it takes the place of, whosever that is.
    pub(super) fn roots(&self) -> impl Iterator<Item = SessionId> {
        let held = self.held.as_deref().map(|known| known.session().root);
        held.into_iter().chain(self.origin.map(|origin| origin.root()))
    }
}

/// Refuses a session that is over as soon as it begins, because sessions of its person were ended while the clock was ahead: the browser would be
/// sent to the provider again, which knows the person, and so on.
pub(super) fn refuse_ended(
    exchange: &Exchange<'_>,
    application: &Application,
    session: &Session,
) -> Result<(), Refusal> {
    match ended_for(exchange, application, session) {
        None => Ok(()),
        Some(wait) => {
            let (request_id, app, seconds) = (exchange.request_id.as_str(), application.name(), wait.as_secs());
            tracing::warn!(request_id, app, seconds, help = HELP, "sessions were ended at a time that is to come");
            Err(Refusal::EndedAhead { wait })
        }
    }
}

/// For how long new sessions like this one are over at once.
fn ended_for(exchange: &Exchange<'_>, application: &Application, session: &Session) -> Option<Duration> {
    let (group, now) = (application.policy().session().group.as_deref(), exchange.gateway.now());
    let until = exchange.gateway.common.revocations.end_until(session, name_of(session), group)?;
    (until > now).then(|| until.since(now))
}
