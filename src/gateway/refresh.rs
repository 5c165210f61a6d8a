//! A session that is due gets new claims of its provider before the request is decided (C10, R03).
//!
//! Only a session whose time has come gets here; the ordinary request pays one comparison. The provider is asked by a task of its own, so
//! that a client that leaves loses no rotated token. Three seconds after it was asked, requests are served under the session as it was, and one
//! that comes when it has answered gets what was brought. While the provider is away the session goes on; without its ticket a session that is due
//! is none, or keeping the claims of yesterday would be as easy as deleting a cookie; and with the ticket of a later refresh it is
//! good for being refreshed only.
//!
//! Trust boundary: the ticket is a stranger's until it is opened; what the provider says is verified in `oidc`.

use std::sync::Arc;
use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use super::authenticate::{Known, give, sealed};
use super::flights::{Boarding, Brought, Landing, Lead};
use super::{Exchange, Gateway};
use crate::claims::Text;
use crate::clock::Timestamp;
use crate::http::HostName;
use crate::oidc::{self, LoginError, Provider, RefreshError, SignedIn};
use crate::session::{Cause, Effect, NoSession, RefreshTicket, Session, Wanted, Whom};
use crate::snapshot::Application;

/// When a refresh that brought only half of what was asked for is made again.
const SOON: Duration = Duration::from_secs(60);

/// Who sends the request after the refresh, and what the answer carries.
pub(super) type Outcome = (Result<Arc<Known>, NoSession>, Carried);

/// What an answer takes to the browser.
#[derive(Default)]
pub(super) struct Carried(Option<Box<Cargo>>);

struct Cargo {
    brought: Arc<Brought>,
    /// The cookies that came, and when.
    came: (HeaderMap, Timestamp),
}

impl Carried {
    /// Whether it is nothing.
    pub(super) fn is_nothing(&self) -> bool {
        self.0.is_none()
    }

    /// The cookies, of an answer that leaves now: from here on the ones from before are good for a while only. Of a later refresh, where there
    /// was one meanwhile; none where that has reached the browser long ago, the session is over, or another has taken its place.
    pub(super) fn leaving(
        self,
        exchange: &Exchange<'_>,
        application: &Arc<Application>,
        host: &HostName,
    ) -> Vec<HeaderValue> {
        let now = exchange.gateway.now();
        let Some(cargo) = self.0 else { return Vec::new() };
        let (memory, (headers, came)) = (&exchange.gateway.common.memory, cargo.came);
        let newest = memory.flights.newest(cargo.brought, now);
        let newest = newest.filter(|brought| !memory.successors.has_other(&brought.session, came));
        let Some(brought) = newest else { return Vec::new() };
        brought.arrives(now);
        cookies(exchange, application, host, (&brought, now), &headers)
    }
}

/// Refreshes the session of `known`, which is due, or takes over what another request's refresh brought.
pub(super) async fn refresh(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    host: &HostName,
    mut known: Arc<Known>,
    headers: &HeaderMap,
    now: Timestamp,
) -> Outcome {
    let scope = application.session_scope(host);
    let ticket = sealed(exchange, application, &scope).ticket(headers);
    let mut ticket = ticket.filter(|ticket| ticket.session == known.session().id).ok_or(NoSession::RefreshLost);
    let mut carried = None;
    // What no answer has taken to the browser for a while may be due again.
    while carried.is_none() || known.is_due(now) {
        match once(exchange, application, &known, ticket, now).await {
            Err(no_session) => return (Err(no_session), Carried::default()),
            Ok(None) => break,
            Ok(Some(brought)) => match Known::made(exchange, application, host, brought.session.clone(), now) {
                Err(no_session) => return (Err(no_session), Carried::default()),
                Ok(newer) => (known, ticket, carried) = (newer, Ok(brought.ticket.clone()), Some(brought)),
            },
        }
    }
    let came = || headers.get_all(COOKIE).into_iter().map(|field| (COOKIE, field.clone())).collect();
    (Ok(known), Carried(carried.map(|brought| Box::new(Cargo { brought, came: (came(), now) }))))
}

/// What one refresh brings; nothing where the session goes on as it is.
async fn once(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    known: &Known,
    ticket: Result<RefreshTicket, NoSession>,
    now: Timestamp,
) -> Result<Option<Arc<Brought>>, NoSession> {
    let ticket = ticket?;
    let belongs = ticket.generation == known.session().generation;
    let landing = match exchange.gateway.common.memory.flights.board(&ticket, now) {
        Boarding::Late => return Err(NoSession::Superseded),
        Boarding::Landed(landing) => Some(landing),
        Boarding::Follow(waiting) => waiting.landing().await,
        Boarding::Lead(lead) => {
            let waiting = lead.waiting();
            take_off(exchange, application, known.session().clone(), ticket, lead);
            waiting.landing().await
        }
    };
    match landing {
        Some(Landing::Renewed(brought)) => Ok(Some(brought)),
        Some(Landing::Ended) => Err(NoSession::RefreshRefused),
        // The claims of an older session are not those that the provider last gave for this ticket: without its word they are worth nothing.
        Some(Landing::Kept(_)) | None if !belongs => Err(NoSession::RefreshLost),
        // It may have been ended while the provider was asked.
        Some(Landing::Kept(_)) | None => known.check(exchange.gateway.now()).map(|()| None),
    }
}

/// Asks the provider in a task of its own.
fn take_off(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    session: Session,
    ticket: RefreshTicket,
    lead: Lead,
) {
    let (gateway, application) = (Arc::clone(exchange.gateway), Arc::clone(application));
    // A session is due only where the policy says how often, and fits only with the provider that it has.
    let (Some(provider), Some(every)) = (application.provider().cloned(), application.policy().session().refresh)
    else {
        return;
    };
    let Session { root, id, .. } = session;
    tokio::spawn(async move {
        let outcome = ask(&gateway, &provider, &application, (session, ticket, every)).await;
        let now = gateway.now();
        let counted = gateway.common.metrics.provider(provider.name());
        match outcome {
            Ok(brought) => {
                counted.refreshed.inc();
                lead.land(Landing::Renewed(Arc::new(brought)), now);
            }
            Err(error @ RefreshError::Ended(_)) => {
                counted.refresh_ended.inc();
                tracing::info!(provider = provider.name(), reason = error.code(), "a refresh ended a session");
                // What is open under it is closed, and so it stays after a restart. What grew out of it has a token of its own.
                let ended =
                    Wanted::new(&Whom::Branch { root: &root, id: &id }, now, Cause::RefreshRefused, Effect::Ended);
                gateway.common.metrics.revoked(Cause::RefreshRefused);
                let keeping = gateway.common.revocations.revoke(vec![ended], now);
                lead.land(Landing::Ended, now);
                if !keeping.is_kept().await {
                    tracing::warn!("a session that its provider ended is ended, but that is not written down");
                }
            }
            Err(error @ RefreshError::Unavailable(_)) => {
                counted.refresh_failed.inc();
                tracing::warn!(provider = provider.name(), reason = error.code(), "a session was not refreshed");
                lead.fail(now);
            }
        }
    });
}

/// The session and ticket after a refresh.
async fn ask(
    gateway: &Gateway,
    provider: &Provider,
    application: &Application,
    (mut session, ticket, every): (Session, RefreshTicket, Duration),
) -> Result<Brought, RefreshError> {
    let brought = provider.refresh(&ticket, &session.subject, &session.claims).await?;
    let now = gateway.now();
    // The claims of an older session are not to be mixed with what the provider says now, or to become those of a newer one.
    if ticket.generation != session.generation && !brought.anew {
        return Err(RefreshError::Ended(NoSession::RefreshLost.code()));
    }
    if let Some(claims) = brought.claims {
        // The sign-in that comes next says it to the person.
        if let Some(claim) = application.claims_read().iter().find(|claim| oidc::left_out(&claims, claim)) {
            return Err(RefreshError::Ended(LoginError::ClaimLeftOut(claim.clone()).code()));
        }
        session.take_claims(claims, application.claims_read());
    }
    let mut ticket = ticket.next(brought.token);
    if let Some(sent) = brought.userinfo {
        ticket.userinfo = kept(sent, &session);
    }
    session.seen_at = now;
    session.refresh_at = Some(now.after(if brought.incomplete { SOON.min(every) } else { every }));
    session.generation = ticket.generation;
    Ok(Brought::new(session, ticket))
}

/// Of the claims that userinfo sent, those that the session has.
fn kept(mut sent: Vec<Text>, session: &Session) -> Vec<Text> {
    sent.retain(|name| session.claims.value(name).is_some());
    sent
}

/// The cookies of a session that was refreshed; none when they do not fit, which the next sign-in will say.
fn cookies(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    host: &HostName,
    (brought, now): (&Brought, Timestamp),
    headers: &HeaderMap,
) -> Vec<HeaderValue> {
    let scope = application.session_scope(host);
    let ticket = sealed(exchange, application, &scope).seal_ticket(&brought.ticket);
    // It is in use still.
    let session = Session { seen_at: now, ..brought.session.clone() };
    match (give(exchange, application, host, &session, headers), ticket) {
        (Ok(mut fields), Some(ticket)) => {
            fields.push(ticket);
            fields
        }
        _ => {
            tracing::warn!(app = application.name(), "a refreshed session does not fit into cookies");
            Vec::new()
        }
    }
}

/// What a new session needs to be refreshed later: sets its time, and gives the ticket's cookie. Where the policy wants no refresh, or the
/// provider gave nothing to refresh with, a ticket from before goes away.
pub(super) fn provide(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    host: &HostName,
    session: &mut Session,
    (signed_in, nonce): (&SignedIn, &str),
    headers: &HeaderMap,
) -> Option<HeaderValue> {
    let scope = application.session_scope(host);
    let sealed = sealed(exchange, application, &scope);
    let every = application.policy().session().refresh;
    let ticket = every.zip(signed_in.refresh_token.clone()).and_then(|(every, token)| {
        let mut ticket = RefreshTicket::first(session.id, nonce, token);
        ticket.userinfo = kept(signed_in.userinfo.clone(), session);
        let field = sealed.seal_ticket(&ticket)?;
        session.refresh_at = Some(session.started_at.after(every));
        Some(field)
    });
    if every.is_some() && ticket.is_none() {
        let why = if signed_in.refresh_token.is_some() { "too long for a cookie" } else { "not given by the provider" };
        tracing::warn!(app = application.name(), "a session will not be refreshed: its refresh token is {why}");
    }
    ticket.or_else(|| sealed.remove_ticket(headers))
}
