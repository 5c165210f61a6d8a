//! From a routed request to the application's answer.
//!
//! Scrub, recognise, decide, tell, send, rewrite: in this order, because each step needs what the one before made.
//! Trust boundary: the client on one side, the application on the other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::SET_COOKIE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use tokio::time::Instant;

use super::account::Account;
use super::authenticate::Known;
use super::bearer::{self, BearerError};
use super::caller::{Caller, Nobody};
use super::content::Content;
use super::limits::Held;
use super::observed::{decided, observe};
use super::refresh::{Carried, refresh};
use super::refusal::Refusal;
use super::renewal::Renewal;
use super::{Exchange, challenge, kept_form, limits, reply};
use crate::clock::Timestamp;
use crate::forward::{AnswerContext, Scrubbed, Telling, UpstreamRequest, rewrite, scrub};
use crate::http::authorization::BearerToken;
use crate::http::{HostName, cache_control};
use crate::oidc::TokenError;
use crate::policy::{Decision, Permit, RequestFacts};
use crate::session::NoSession;
use crate::snapshot::Application;
use crate::upstream::{AnswerBody, ClientBody, Leash, Outgoing, RequestBody, Upgrade, Upgraded, UpstreamError, tunnel};

/// What a client sends behind its head.
pub(super) struct Sent {
    pub(super) body: SentBody,
    upgrade: Option<Upgrade>,
    /// Whether somebody may have got something of the body.
    has_gone: bool,
    /// Whether no session held until the application could get it: whoever sends a form that was kept shows its page again.
    pub(super) met_nobody: bool,
}

/// A request on its way to the application. Dropped, also because the client left, it says whether the application may have got something of it.
struct OnItsWay<'s> {
    outgoing: Outgoing,
    has_gone: &'s mut bool,
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        *self.has_gone |= self.outgoing.has_gone();
    }
}

/// A body that is still to be read, or one that was kept.
pub(super) enum SentBody {
    Coming(ClientBody),
    Kept(Bytes),
}

impl Sent {
    /// A form that was kept.
    pub(super) fn kept(body: Bytes) -> Self {
        Self { body: SentBody::Kept(body), upgrade: None, has_gone: false, met_nobody: false }
    }

    /// Whether nobody got anything of the body.
    pub(super) fn is_whole(&self) -> bool {
        !self.has_gone
    }
}

impl SentBody {
    /// The body; nothing stays.
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Kept(Bytes::new()))
    }

    /// Whether nothing comes.
    fn is_empty(&self) -> bool {
        match self {
            Self::Coming(body) => body.is_empty(),
            Self::Kept(bytes) => bytes.is_empty(),
        }
    }

    /// The fewest bytes that it may have.
    pub(super) fn at_least(&self) -> u64 {
        match self {
            Self::Coming(body) => body.at_least(),
            Self::Kept(bytes) => bytes.len() as u64,
        }
    }
}

/// Takes a request apart.
pub(super) fn split(request: Request<ClientBody>) -> (Sent, Parts) {
    let (parts, mut body) = request.into_parts();
    let upgrade = body.take_upgrade();
    (Sent { body: SentBody::Coming(body), upgrade, has_gone: false, met_nobody: false }, parts)
}

/// Sends the request to the application if the policy allows it; takes the fields and what was sent behind them.
pub(super) async fn forward(
    exchange: &Exchange<'_>,
    host: &HostName,
    application: &Arc<Application>,
    headers: &mut HeaderMap,
    sent: &mut Sent,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    limits::at_the_door(exchange, application, account)?;
    let token = token_of(application, headers, exchange, account)?;
    let scrubbed = scrub(std::mem::take(headers), exchange.snapshot.scrub_set());
    if scrubbed.upgrade().is_some() && !sent.body.is_empty() {
        return Err(Refusal::UpgradeWithBody);
    }
    let now = account.at();
    let found = Caller::find(exchange, application, host, scrubbed.headers(), token.as_ref(), now).await;
    limits::of_person(exchange, application, found.as_ref().ok(), account)?;
    let (who, carried) = match found {
        Err(Nobody::Token(error)) => return Err(error.into()),
        Err(Nobody::Session(no_session)) => (Err(no_session), Carried::default()),
        Ok(Caller::Browser(known))
            if known.is_due(now) && counts(&facts(exchange, host, &scrubbed, sent), &known, now) =>
        {
            let refreshing = refresh(exchange, application, host, known, scrubbed.headers(), now);
            let (who, carried) = Box::pin(refreshing).await;
            (who.map(Caller::Browser), carried)
        }
        Ok(caller) => (Ok(caller), Carried::default()),
    };
    if let Ok(known) = &who {
        account.recognised(known);
    }
    let mut brought = Brought { scrubbed, token, sent, carries: !carried.is_nothing() };
    // A refresh takes its time.
    let now = if carried.is_nothing() { now } else { exchange.gateway.now() };
    let answered = decide(exchange, application, host, &mut brought, &who, now, account).await;
    if carried.is_nothing() {
        return answered;
    }
    // What was refreshed reaches the browser whatever became of the request: the old cookie will not be good for long.
    let mut response = answered.unwrap_or_else(|refusal| refusal.answer(exchange.form.read(), account));
    // But not where the person has signed out meanwhile.
    if who.as_ref().is_ok_and(|caller| caller.leash().holds()) {
        carry(&mut response, carried.leaving(exchange, application, host));
    }
    Ok(response)
}

/// Whether it matters who `known` is; else no session is refreshed for the request, and no cookie goes out with its answer.
fn counts(facts: &RequestFacts<'_>, known: &Known, now: Timestamp) -> bool {
    !known.application().policy().asks_nobody(facts, known.prepared(), now)
}

/// What rules are asked about.
fn facts<'a>(exchange: &'a Exchange<'_>, host: &'a HostName, scrubbed: &'a Scrubbed, sent: &Sent) -> RequestFacts<'a> {
    RequestFacts {
        method: &exchange.head.method,
        host,
        path: &exchange.head.path,
        query: exchange.head.query.as_deref(),
        client: exchange.origin.client,
        scheme: exchange.connection.scheme,
        tls: exchange.connection.tls.as_ref().map(|tls| &tls.facts),
        headers: scrubbed.headers(),
        has_content: !sent.body.is_empty(),
    }
}

/// A request that is to be decided, beyond its head.
struct Brought<'s> {
    scrubbed: Scrubbed,
    /// An accepted token.
    token: Option<BearerToken>,
    sent: &'s mut Sent,
    /// Whether the answer takes a session to the browser that was refreshed.
    carries: bool,
}

/// Decides, and does what was decided. What is rare is on the heap: a future has room for everything that it may ever wait for, and it is moved.
async fn decide(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    host: &HostName,
    brought: &mut Brought<'_>,
    who: &Result<Caller, NoSession>,
    now: Timestamp,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    let known = who.as_ref().ok();
    let facts = facts(exchange, host, &brought.scrubbed, brought.sent);
    let decision = application.policy().decide(&facts, known.map(Caller::prepared), now);
    account.decided(decided(&decision), decision.rule(), decision.reason());
    observe(application, &facts, known, now, account);
    limits::of_rule(exchange, application, decision.rule(), known, account)?;
    match decision {
        Decision::Allow(permit) => {
            // What is public may be kept by caches: no session's cookie goes out with it.
            let renewal = match known {
                Some(known) if !permit.is_public() && !brought.carries => {
                    Renewal::of(known, brought.scrubbed.headers(), now)
                }
                _ => Renewal::Never,
            };
            let answered = send(exchange, application, brought, &permit, renewal, account).await;
            if matches!(answered, Err(Refusal::Upstream(UpstreamError::Recalled))) && brought.sent.is_whole() {
                account.failed(UpstreamError::Recalled.code());
                brought.sent.met_nobody = true;
            }
            answered
        }
        Decision::Deny(denial) => {
            tracing::debug!(request_id = account.request_id().as_str(), reason = %denial.reason(), "denied");
            Err(Refusal::Denied)
        }
        Decision::SignIn { .. } => {
            if let Err(no_session) = who {
                account.failed(no_session.code());
            }
            let Brought { scrubbed, sent, .. } = brought;
            if matches!(sent.body, SentBody::Kept(_)) {
                sent.met_nobody = true;
                return Err(Refusal::Denied);
            }
            match kept_form::is_own_form(exchange, application, scrubbed.headers()) {
                true => {
                    let body = sent.body.take();
                    Box::pin(kept_form::keep(exchange, application, host, scrubbed.headers(), body, account)).await
                }
                false => {
                    let why = who.as_ref().err().copied();
                    Box::pin(challenge::sign_in(exchange, application, host, (scrubbed, why), now)).await
                }
            }
        }
        Decision::StepUp(requirement) => {
            account.failed("step_up_needed");
            if brought.token.is_some() {
                return Ok(challenge::step_up_token(exchange, application, &requirement));
            }
            Box::pin(challenge::step_up(exchange, application, host, &brought.scrubbed, &requirement, now)).await
        }
        Decision::Answer(said) => reply::answer(said.answer, exchange.head.query.as_deref()),
    }
}

/// The token of a request, taken out of its fields before anything else reads them.
fn token_of(
    application: &Application,
    headers: &mut HeaderMap,
    exchange: &Exchange<'_>,
    account: &mut Account,
) -> Result<Option<BearerToken>, Refusal> {
    let token = bearer::take(application, headers, exchange.head);
    if !matches!(token, Ok(None)) {
        account.brings_token();
    }
    token.map_err(Refusal::Bearer)
}

/// Sends the request to the application and rewrites its answer; `renewal` goes back with it.
///
/// What is needed after the answer is worked out before, so that little waits for it.
async fn send(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    brought: &mut Brought<'_>,
    permit: &Permit<'_>,
    renewal: Renewal,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    let limits = exchange.gateway.common.body;
    if brought.sent.body.at_least() > limits.size {
        return Err(Refusal::Upstream(UpstreamError::RequestTooLarge));
    }
    let held = limits::enter(exchange, application, permit.rule(), account)?.map(Arc::new);
    let (body, progress) = match brought.sent.body.take() {
        SentBody::Coming(body) => RequestBody::new(body, limits),
        SentBody::Kept(bytes) => RequestBody::whole(bytes),
    };
    account.sending(progress.as_ref());
    let body = match &held {
        // What was answered early is in the application until it was sent.
        Some(held) if progress.is_some() => body.keeping(Some(Arc::<Held>::clone(held))),
        _ => body,
    };
    let request = written(exchange, application, brought, permit, body, account).ok_or(Refusal::Internal)?;
    // What is public needs no session to go on.
    let leash = account.known().filter(|_| !permit.is_public()).map(Caller::leash);
    let began = Instant::now();
    let mut going = OnItsWay { outgoing: Outgoing::new(request), has_gone: &mut brought.sent.has_gone };
    if account.is_of_many() {
        going.outgoing.in_small_pieces();
    }
    let (pool, upload) = (&exchange.gateway.pool, progress.as_deref());
    let answered = application.upstream().send(pool, began, &mut going.outgoing, upload, leash.as_deref()).await;
    let answer = answered.map_err(|error| unanswered(application, error, account))?;
    *going.has_gone = true;
    let took = began.elapsed();
    account.answered(answer.target.clone(), took);
    let mut response = match (answer.upgraded, brought.sent.upgrade.take()) {
        (Some(upgraded), Some(client)) => {
            switch(client, upgraded, (application.policy().upstream().stall, held), leash);
            answer.response.map(|_| Content::empty())
        }
        _ => {
            account.holds(held);
            stream(answer.response, leash)
        }
    };
    finish(exchange, application, &mut response, renewal.leaving(exchange, account, took));
    Ok(response)
}

/// Why there is no answer of the application's.
fn unanswered(application: &Application, error: UpstreamError, account: &Account) -> Refusal {
    match error {
        UpstreamError::Recalled if account.is_by_token() => Refusal::Bearer(BearerError::Token(TokenError::Revoked)),
        _ => {
            if error.is_the_applications() {
                application.metrics().upstream_failures.inc();
            }
            Refusal::Upstream(error)
        }
    }
}

/// The request as the application gets it.
fn written(
    exchange: &Exchange<'_>,
    application: &Application,
    brought: &mut Brought<'_>,
    permit: &Permit<'_>,
    body: RequestBody,
    account: &Account,
) -> Option<UpstreamRequest<RequestBody>> {
    let token = brought.token.as_ref().filter(|_| application.policy().bearer().is_some_and(|bearer| bearer.forward));
    let telling = Telling {
        origin: &exchange.origin,
        seen: &exchange.connection.seen,
        scheme: exchange.connection.scheme,
        host: application.host(),
        request_id: account.request_id().bytes(),
        cookies: application.cookies_told(),
        spelling: application.spelling(),
        // What is public tells nothing of anybody.
        authorization: token.filter(|_| !permit.is_public()).map(BearerToken::field),
        keep_alive: application.policy().keep_alive(),
    };
    let length = body.length();
    UpstreamRequest::new(brought.scrubbed.take(), permit, exchange.head, telling, body, length)
}

/// Makes the application's answer the gateway's.
fn finish(
    exchange: &Exchange<'_>,
    application: &Application,
    response: &mut Response<Content>,
    renewal: Vec<HeaderValue>,
) {
    let status = response.status();
    // The version is that of the application's connection; the server writes the client's (RFC 9110 section 2.5).
    *response.version_mut() = Version::HTTP_11;
    let context = AnswerContext {
        method: &exchange.head.method,
        inner_authority: application.inner_authority(),
        outer_origin: &|| exchange.outer_origin(),
        cookies: application.cookies_told(),
        fields: application.policy().response(),
    };
    rewrite(status, response.headers_mut(), &context);
    if !application.answer_spelling().is_plain() {
        response.extensions_mut().insert(Arc::clone(application.answer_spelling()));
    }
    carry(response, renewal);
}

/// Gives a session's cookies to the browser, and to nobody else: no cache that others use may keep such an answer.
fn carry(response: &mut Response<Content>, cookies: Vec<HeaderValue>) {
    if cookies.is_empty() {
        return;
    }
    let headers = response.headers_mut();
    cache_control::make_private(headers);
    for cookie in cookies {
        headers.append(SET_COOKIE, cookie);
    }
}

/// The application's body, for as long as the session holds.
fn stream(response: Response<AnswerBody>, leash: Option<Arc<dyn Leash>>) -> Response<Content> {
    response.map(|body| {
        Content::App(match leash {
            Some(leash) => body.on(leash),
            None => body,
        })
    })
}

/// Joins both sides of an upgraded connection.
fn switch(
    client: Upgrade,
    application: Upgraded,
    (idle, held): (Duration, Option<Arc<Held>>),
    leash: Option<Arc<dyn Leash>>,
) {
    tokio::spawn(async move {
        tunnel(client, application, idle, leash).await;
        drop(held);
    });
}
