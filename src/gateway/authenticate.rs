//! Who sends this request: a known person, or nobody and why.
//!
//! A cookie that the worker has opened twice costs a look-up from then on; its policy outcomes and identity fields are ready. What was opened counts
//! only for the application, host, cookie name and policy version that it was opened for. Limits are checked on every request (C09).
//!
//! Trust boundary: cookies are a stranger's. Specification: none but our own; see `session`.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use super::Exchange;
use crate::clock::{Clock, Timestamp};
use crate::http::{HostName, Scheme};
use crate::oidc::Provider;
use crate::policy::{Prepared, SessionFacts, SessionKind, Subject};
use crate::session::{Effect, NoSession, Revocations, SealError, SealedSessions, Session, SessionId, Standing};
use crate::snapshot::Application;
use crate::upstream::Leash;

/// A person with an open session at one application.
pub(super) struct Known {
    application: Arc<Application>,
    host: HostName,
    /// How browsers reach the listener: its cookies have other names than those of the other kind.
    scheme: Scheme,
    session: Session,
    /// The short identifier of the session's root, and behind it the name for logs and pages.
    called: Box<str>,
    prepared: Prepared,
    /// The same for the policy that only observes.
    shadow: Option<Prepared>,
    /// Whether the session fits the application as it is configured; settled when the session is opened.
    fits: Result<(), NoSession>,
    /// When the provider is to be asked for new claims, where the policy wants that.
    refresh_at: Option<Timestamp>,
    /// What it remembers of the list of ended sessions.
    standing: Standing,
    revocations: Arc<Revocations>,
    clock: Clock,
}

impl Known {
    fn new(exchange: &Exchange<'_>, application: &Arc<Application>, host: &HostName, session: Session) -> Self {
        let common = &exchange.gateway.common;
        let subject = Subject {
            claims: session.claims.clone(),
            session: SessionFacts {
                kind: SessionKind::Browser,
                provider: session.provider.clone(),
                acr: session.acr.clone(),
                amr: session.amr.clone(),
                authenticated_at: session.authenticated_at,
            },
        };
        let subject = Arc::new(subject);
        let called = session.root.short_before(name_of(&session)).into();
        Self {
            standing: Standing::new(&session),
            revocations: Arc::clone(&common.revocations),
            clock: common.clock.clone(),
            fits: fits(application, &session),
            refresh_at: application.policy().session().refresh.and(session.refresh_at),
            called,
            shadow: application.shadow().map(|shadow| shadow.prepare(Arc::clone(&subject))),
            prepared: application.policy().prepare(subject),
            application: Arc::clone(application),
            host: host.clone(),
            scheme: exchange.connection.scheme,
            session,
        }
    }

    /// A person whose session was just made anew, where it is good.
    pub(super) fn made(
        exchange: &Exchange<'_>,
        application: &Arc<Application>,
        host: &HostName,
        session: Session,
        now: Timestamp,
    ) -> Result<Arc<Self>, NoSession> {
        let known = Arc::new(Self::new(exchange, application, host, session));
        known.check(now).map(|()| known)
    }

    /// Whether nothing has ended it early.
    fn is_standing(&self) -> Result<(), Effect> {
        let group = self.application.policy().session().group.as_deref();
        self.standing.check(&self.revocations, &self.session, self.who(), group)
    }

    /// Whether the provider is to be asked for new claims before the session is used.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.refresh_at.is_some_and(|at| now >= at)
    }

    /// Whether its cookie is old enough to be replaced by one that says that it was used.
    pub(super) fn wants_renewal(&self, now: Timestamp) -> bool {
        self.session.wants_renewal(self.application.limits(), now)
    }

    /// The name for logs and pages.
    pub(super) fn who(&self) -> &str {
        self.called.get(SessionId::SHORT..).unwrap_or_default()
    }

    /// The session's short identifier for logs: that of its root, so that it stays over step-ups.
    pub(super) fn session_label(&self) -> &str {
        self.called.get(..SessionId::SHORT).unwrap_or_default()
    }

    /// The application that the session is for.
    pub(super) fn application(&self) -> &Arc<Application> {
        &self.application
    }

    pub(super) fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// The person as the policy sees them that only observes.
    pub(super) fn shadow(&self) -> Option<&Prepared> {
        self.shadow.as_ref()
    }

    /// The session itself.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    fn is_for(&self, application: &Arc<Application>, host: &HostName, scheme: Scheme) -> bool {
        Arc::ptr_eq(&self.application, application) && self.scheme == scheme && self.host == *host
    }

    /// Whether its provider is still the one that the application has.
    pub(super) fn is_of_its_provider(&self) -> bool {
        self.fits != Err(NoSession::OtherProvider)
    }

    /// Whether the session is good now.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), NoSession> {
        self.fits?;
        self.session.check(self.application.limits(), now)?;
        Ok(self.is_standing()?)
    }
}

/// An answer or a tunnel goes on while its session is not ended and its whole time not over. That something is open counts as use, so the
/// idle limit does not end it.
impl Leash for Known {
    fn holds(&self) -> bool {
        let now = self.clock.now();
        let is_in_time = now.since(self.session.started_at) < self.application.limits().max;
        is_in_time && !self.session.is_from_future(now) && self.is_standing().is_ok()
    }
}

/// A session of another provider, or of what its name stood for once, or one that was never asked for a claim that the policy reads, is replaced by a new login.
fn fits(application: &Application, session: &Session) -> Result<(), NoSession> {
    let is_of = |provider: &Arc<Provider>| {
        *provider.name() == *session.provider && provider.registration() == session.registration
    };
    if !application.provider().is_some_and(is_of) {
        Err(NoSession::OtherProvider)
    } else if !application.claims_read().iter().all(|name| session.knows_claim(name)) {
        Err(NoSession::ClaimMissing)
    } else {
        Ok(())
    }
}

/// Finds out who sends a request with these fields.
pub(super) fn authenticate(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    host: &HostName,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Arc<Known>, NoSession> {
    let gateway = exchange.gateway;
    let text = sealed(exchange, application, "").text(headers)?;
    let key = gateway.sessions.key(&text);
    if let Some(known) =
        gateway.sessions.find(key).filter(|known| known.is_for(application, host, exchange.connection.scheme))
    {
        return known.check(now).map(|()| known);
    }
    let session = sealed(exchange, application, &application.session_scope(host)).open(&text)?;
    let known = Arc::new(Known::new(exchange, application, host, session));
    known.check(now)?;
    gateway.keep_session(exchange.snapshot, key, &known);
    Ok(known)
}

/// The session that a browser holds, good or not, unless it is over for all its copies and for what it grew out of: one that was not used here for
/// long may be in use elsewhere, and one that was ended alone, because its refresh was refused or its session at the provider ended, has elders.
pub(super) fn held(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    host: &HostName,
    headers: &HeaderMap,
    now: Timestamp,
) -> Option<Arc<Known>> {
    let scope = application.session_scope(host);
    let sealed = sealed(exchange, application, &scope);
    let session = sealed.open(&sealed.text(headers).ok()?).ok()?;
    let known = Known::new(exchange, application, host, session);
    match known.check(now) {
        Err(NoSession::Expired) => None,
        Err(NoSession::Revoked) if exchange.gateway.common.revocations.has_ended(&known.session().root) => None,
        _ => Some(Arc::new(known)),
    }
}

/// Whom the browser's session was of, whether it is still good or not.
pub(super) fn last_person(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    host: &HostName,
    headers: &HeaderMap,
) -> Option<Box<str>> {
    let scope = application.session_scope(host);
    let sealed = sealed(exchange, application, &scope);
    let session = sealed.open(&sealed.text(headers).ok()?).ok()?;
    Some(person(&session))
}

/// What somebody stands under in logs.
pub(super) fn name_of(session: &Session) -> &str {
    session.claims.text("preferred_username").unwrap_or(&session.subject)
}

/// A person of one provider, in one text.
pub(super) fn person(session: &Session) -> Box<str> {
    format!("{}/{}/{}", session.provider, session.registration, session.subject).into()
}

/// The `Set-Cookie` fields that give a session to the browser.
pub(super) fn give(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    host: &HostName,
    session: &Session,
    request: &HeaderMap,
) -> Result<Vec<HeaderValue>, SealError> {
    sealed(exchange, application, &application.session_scope(host)).seal(session, request)
}

/// The `Set-Cookie` fields that take every session cookie of an application from the browser.
pub(super) fn take_away(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    request: &HeaderMap,
) -> Vec<HeaderValue> {
    sealed(exchange, application, "").remove(request)
}

/// The cookie that says that a session is used now.
pub(super) fn renew(exchange: &Exchange<'_>, known: &Known, request: &HeaderMap, now: Timestamp) -> Vec<HeaderValue> {
    let session = Session { seen_at: now, ..known.session.clone() };
    give(exchange, &known.application, &known.host, &session, request).unwrap_or_default()
}

/// The sealing of an application's sessions; `scope` matters only where something is sealed or opened.
pub(super) fn sealed<'a>(
    exchange: &'a Exchange<'_>,
    application: &'a Application,
    scope: &'a str,
) -> SealedSessions<'a> {
    let names = application.cookie_names(exchange.connection.scheme);
    SealedSessions { keys: &exchange.gateway.common.keys, names, scope }
}
