//! The addresses at which providers say that sessions are over: `backchannel-logout`, `events/set`, `events/okta`.
//!
//! They are the same on every application's host, and what comes counts for the whole gateway: a message is for the provider that it is
//! addressed to, whichever host it came in by (decision 0038). No cookie is read here.
//!
//! What costs little comes first (L06): method, content type, the sender's `Authorization` where one is agreed upon, the length; then the
//! body, within [`PATIENCE`]; then who it is for, and its signature last. An accepted message is in the list in memory, and written to the
//! state directory, before it is answered: 200 or 202 means that it will not be forgotten. When it cannot be written the answer is 503,
//! the sessions are over all the same, and the sender may send it again.
//!
//! Trust boundary: the whole internet. Specifications: Back-Channel Logout 1.0 sections 2.5 and 2.8, RFC 8935, Okta event hooks.

mod fault;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_LANGUAGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use serde::Serialize;
use url::form_urlencoded;

use super::Exchange;
use super::account::Account;
use super::content::Content;
use super::proxy::SentBody;
use super::refusal::Refusal;
use crate::clock::Timestamp;
use crate::oidc::okta_hook::{self, HookEvent};
use crate::oidc::{LogoutToken, MAX_SIGNAL, Meant, Provider, SecurityEvent, SignalError, UnverifiedToken};
use crate::pages;
use crate::session::{Cause, Effect, Order, Revoked, Sender, Tag, Wanted, Whom};
use crate::snapshot::Application;
use crate::upstream::BodyError;
pub(super) use fault::Fault;

/// How long a sender may take for a message.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest form with a logout token: the token in a form may be longer than the token.
const MAX_FORM: usize = MAX_SIGNAL * 2;
/// The longest body of an Okta hook.
const MAX_HOOK: usize = 1 << 20;
/// The longest challenge that is given back.
const MAX_CHALLENGE: usize = 512;

static CHALLENGE: HeaderName = HeaderName::from_static("x-okta-verification-challenge");

/// Takes a logout token.
pub(super) async fn backchannel_logout(
    exchange: &Exchange<'_>,
    headers: &HeaderMap,
    body: SentBody,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    #[derive(Serialize)]
    struct Error {
        error: &'static str,
        error_description: &'static str,
    }
    let taken = take_logout(exchange, headers, body).await;
    note(exchange, account, "backchannel_logout", taken.as_ref().err().map(Fault::code));
    match taken {
        // 2.8: 200 OK when the logout succeeded.
        Ok(()) => Ok(said(StatusCode::OK, None)),
        // 2.8: 400 when the request was invalid or the logout failed; the body may say why.
        Err(fault) => {
            let error = Error { error: "invalid_request", error_description: fault.text() };
            Ok(said(fault.status(), serde_json::to_vec(&error).ok()))
        }
    }
}

async fn take_logout(exchange: &Exchange<'_>, headers: &HeaderMap, body: SentBody) -> Result<(), Fault> {
    // 2.5: POST, form-encoded, with the parameter logout_token; others are ignored.
    let form = read(headers, &["application/x-www-form-urlencoded"], body, MAX_FORM).await?;
    let mut tokens = form_urlencoded::parse(&form).filter(|(name, _)| name == "logout_token");
    let (Some((_, token)), None) = (tokens.next(), tokens.next()) else { return Err(Fault::NoToken) };
    let token = UnverifiedToken::parse(&token)?;
    let sender = Sender::Logout { issuer: token.issuer().unwrap_or_default() };
    let (mut orders, mut fault) = (Vec::new(), None);
    for provider in addressed(exchange, |provider| provider.is_addressed(&token))? {
        match provider.verify_logout_token(&token).await {
            Ok(said) => orders.push(logout_order(provider.name(), sender, &said, exchange.gateway.now())),
            Err(error) => fault = fault.or(Some(error)),
        }
    }
    carry_out(exchange, orders, Cause::BackChannel, fault).await
}

/// By sid that login, by sub all of the person's, whatever began before now: a provider's clock may be behind, and a logout without effect is
/// worse than a sign-in too many. A session for which the provider named no sid cannot be told from the one meant.
fn logout_order(provider: &str, sender: Sender<'_>, said: &LogoutToken, now: Timestamp) -> Order {
    let LogoutToken { jti, sid, subject } = said;
    let person = subject.as_deref().map(|subject| Whom::Person { provider, subject });
    let ended = |whom: &Whom<'_>| Wanted::new(whom, now, Cause::BackChannel, Effect::Ended);
    let wanted = match (sid, subject) {
        (Some(sid), subject) => {
            let session = ended(&Whom::ProviderSession { provider, sid });
            let session = person.iter().fold(session, Wanted::and);
            let without = subject.iter().map(|subject| ended(&Whom::PersonWithoutSid { provider, subject }));
            std::iter::once(session).chain(without).collect()
        }
        (None, _) => person.iter().map(ended).collect(),
    };
    Order { wanted, message: Some(Tag::message(provider, sender, jti)) }
}

/// Takes a security event token (RFC 8935 section 2).
pub(super) async fn set(
    exchange: &Exchange<'_>,
    headers: &HeaderMap,
    body: SentBody,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    #[derive(Serialize)]
    struct Error {
        err: &'static str,
        description: &'static str,
    }
    if !providers(exchange).iter().any(|provider| provider.transmitter().is_some()) {
        return Err(Refusal::UnknownReserved);
    }
    let taken = take_set(exchange, headers, body).await;
    let odd = match &taken {
        Ok(Heard::OfNobody) => Some("signal_nobody"),
        Ok(Heard::OfSomebody) => None,
        Err(fault) => Some(fault.code()),
    };
    note(exchange, account, "events_set", odd);
    match taken {
        // 2.2: 202 and an empty body.
        Ok(_) => Ok(said(StatusCode::ACCEPTED, None)),
        // 2.3: 400 and why.
        Err(fault) => {
            let error = Error { err: fault.set_error(), description: fault.text() };
            Ok(said(fault.status(), serde_json::to_vec(&error).ok()))
        }
    }
}

/// Whom an accepted token means.
enum Heard {
    OfSomebody,
    /// Nobody who could have a session here: the transmitter may name people in another way than the provider does.
    OfNobody,
}

async fn take_set(exchange: &Exchange<'_>, headers: &HeaderMap, body: SentBody) -> Result<Heard, Fault> {
    let authorization = headers.get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
    let may_send = |provider: &Provider| {
        let agreed = provider.transmitter().map(|transmitter| transmitter.authorization.as_ref());
        agreed.is_some_and(|agreed| agreed.is_none_or(|agreed| agreed.is(authorization)))
    };
    // Nothing of a stranger's body is read where every transmitter shows who it is.
    if !providers(exchange).iter().any(|provider| may_send(provider)) {
        return Err(Fault::Unauthorised);
    }
    let body = read(headers, &["application/secevent+jwt"], body, MAX_SIGNAL).await?;
    let text = std::str::from_utf8(&body).map_err(|_| SignalError::Malformed)?;
    let token = UnverifiedToken::parse(text.trim_ascii())?;
    let for_whom = addressed(exchange, |provider| provider.is_event_addressed(&token))?;
    if !for_whom.iter().all(|provider| may_send(provider)) {
        return Err(Fault::Unauthorised);
    }
    let sender = Sender::Events { issuer: token.issuer().unwrap_or_default() };
    let (mut orders, mut fault, mut of_nobody) = (Vec::new(), None, true);
    for provider in for_whom {
        match provider.verify_security_event(&token).await {
            Ok(said) => {
                of_nobody &= said.is_of_nobody();
                orders.push(event_order(provider.name(), sender, &said));
            }
            Err(error) => fault = fault.or(Some(error)),
        }
    }
    carry_out(exchange, orders, Cause::SecurityEvent, fault).await?;
    Ok(if of_nobody { Heard::OfNobody } else { Heard::OfSomebody })
}

fn event_order(provider: &str, sender: Sender<'_>, said: &SecurityEvent) -> Order {
    let wanted = said.asked.iter().flat_map(|asked| {
        who(&asked.meant, provider, |whom| Wanted::new(whom, asked.before, Cause::SecurityEvent, asked.effect))
    });
    Order { wanted: wanted.collect(), message: Some(Tag::message(provider, sender, &said.jti)) }
}

/// A subject's entries in the list: the session where one is named, of the person where one is named too.
fn who(meant: &Meant, provider: &str, wanted: impl Fn(&Whom<'_>) -> Wanted) -> Vec<Wanted> {
    let Some(sid) = &meant.sid else { return meant.people.iter().map(|person| wanted(&person.at(provider))).collect() };
    let session = wanted(&Whom::ProviderSession { provider, sid });
    if meant.people.is_empty() {
        return vec![session];
    }
    meant.people.iter().map(|person| session.clone().and(&person.at(provider))).collect()
}

/// Answers Okta's one-time question whether this address expects its hooks.
pub(super) fn okta_challenge(
    exchange: &Exchange<'_>,
    headers: &HeaderMap,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    #[derive(Serialize)]
    struct Verification<'a> {
        verification: &'a str,
    }
    if !providers(exchange).iter().any(|provider| provider.expects_okta_hooks()) {
        return Err(Refusal::UnknownReserved);
    }
    let challenge = headers.get(&CHALLENGE).and_then(|value| value.to_str().ok());
    let Some(verification) = challenge.filter(|value| value.len() <= MAX_CHALLENGE) else {
        note(exchange, account, "events_okta", Some(Fault::NoChallenge.code()));
        return Ok(no_hook(&Fault::NoChallenge));
    };
    Ok(said(StatusCode::OK, serde_json::to_vec(&Verification { verification }).ok()))
}

/// Takes an Okta event hook.
pub(super) async fn okta(
    exchange: &Exchange<'_>,
    headers: &HeaderMap,
    body: SentBody,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    if !providers(exchange).iter().any(|provider| provider.expects_okta_hooks()) {
        return Err(Refusal::UnknownReserved);
    }
    let taken = take_hook(exchange, headers, body).await;
    note(exchange, account, "events_okta", taken.as_ref().err().map(Fault::code));
    match taken {
        Ok(()) => Ok(said(StatusCode::OK, None)),
        Err(fault) => Ok(no_hook(&fault)),
    }
}

fn no_hook(fault: &Fault) -> Response<Content> {
    #[derive(Serialize)]
    struct Error {
        error: &'static str,
    }
    said(fault.status(), serde_json::to_vec(&Error { error: fault.text() }).ok())
}

async fn take_hook(exchange: &Exchange<'_>, headers: &HeaderMap, body: SentBody) -> Result<(), Fault> {
    let authorization = headers.get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
    let mut senders = providers(exchange);
    // Every one is compared, so that the time tells nothing.
    senders.retain(|provider| provider.is_okta_hook(authorization));
    if senders.is_empty() {
        return Err(Fault::Unauthorised);
    }
    let body = read(headers, &["application/json"], body, MAX_HOOK).await?;
    let events = okta_hook::read(&body).ok_or(Fault::NoHook)?;
    let now = exchange.gateway.now();
    let orders = senders.iter().flat_map(|provider| events.iter().map(|event| hook_order(provider.name(), event, now)));
    let orders = orders.filter(|order| !order.wanted.is_empty()).collect();
    carry_out(exchange, orders, Cause::OktaHook, None).await
}

/// How far Okta's clock may be off.
const LEEWAY: Duration = Duration::from_secs(60);

fn hook_order(provider: &str, event: &HookEvent, now: Timestamp) -> Order {
    let before = event.at.map_or(now, |at| at.after(LEEWAY)).min(now);
    let people = event.people.iter().map(|subject| Whom::Person { provider, subject });
    let wanted = people.map(|whom| Wanted::new(&whom, before, Cause::OktaHook, event.effect));
    Order { wanted: wanted.collect(), message: Some(Tag::message(provider, Sender::OktaHook, &event.uuid)) }
}

/// Ends the sessions of all orders at once, then waits until that is written; what came before changes nothing and is accepted when it is
/// written. A `fault` of another part of the message is told in the end.
async fn carry_out(
    exchange: &Exchange<'_>,
    orders: Vec<Order>,
    cause: Cause,
    fault: Option<SignalError>,
) -> Result<(), Fault> {
    let common = &exchange.gateway.common;
    let Revoked { ended, keeping } = common.revocations.carry_out(orders, exchange.gateway.now());
    for _ in 0..ended {
        common.metrics.revoked(cause);
    }
    if ended > 0 {
        tracing::info!(request_id = exchange.request_id.as_str(), cause = cause.as_str(), ended, "sessions ended");
    }
    match (keeping.is_kept().await, fault) {
        (_, Some(error)) => Err(Fault::Token(error)),
        (false, None) => Err(Fault::NotKept),
        (true, None) => Ok(()),
    }
}

/// The providers of all applications, each once: those that sign people in, and those that vouch for access tokens.
pub(super) fn providers(exchange: &Exchange<'_>) -> Vec<Arc<Provider>> {
    let mut all: Vec<Arc<Provider>> = Vec::new();
    let of = |application: &'_ Arc<Application>| {
        let bearer = application.bearer().map(|access| Arc::clone(&access.provider));
        application.provider().cloned().into_iter().chain(bearer)
    };
    for provider in exchange.snapshot.applications().iter().flat_map(of) {
        if !all.iter().any(|known| Arc::ptr_eq(known, &provider)) {
            all.push(provider);
        }
    }
    all
}

/// Those whom a message is for; at least one. Several may have one issuer and one client.
fn addressed(
    exchange: &Exchange<'_>,
    is_addressed: impl Fn(&Provider) -> Result<(), SignalError>,
) -> Result<Vec<Arc<Provider>>, Fault> {
    let mut fault = SignalError::Issuer;
    let mut found = providers(exchange);
    found.retain(|provider| match is_addressed(provider) {
        Ok(()) => true,
        Err(error) => {
            // Of two reasons the one that came further.
            if error != SignalError::Issuer {
                fault = error;
            }
            false
        }
    });
    if found.is_empty() { Err(Fault::Token(fault)) } else { Ok(found) }
}

/// The message's bytes, if the head promises what this address takes and they come in time.
async fn read(headers: &HeaderMap, kinds: &[&str], body: SentBody, most: usize) -> Result<Bytes, Fault> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kinds.iter().any(|known| known.eq_ignore_ascii_case(kind)) {
        return Err(Fault::ContentType);
    }
    if body.at_least() > most as u64 {
        return Err(Fault::TooLarge);
    }
    let body = match body {
        SentBody::Coming(body) => body,
        SentBody::Kept(bytes) => return Ok(bytes),
    };
    match tokio::time::timeout(PATIENCE, body.read(most)).await {
        Ok(Ok(message)) => Ok(message),
        Ok(Err(BodyError::TooLarge)) => Err(Fault::TooLarge),
        Ok(Err(_)) | Err(_) => Err(Fault::Incomplete),
    }
}

/// What became of a message, for log and metrics; `odd` is what else than that it was accepted.
pub(super) fn note(exchange: &Exchange<'_>, account: &mut Account, endpoint: &'static str, odd: Option<&'static str>) {
    account.failed(odd.unwrap_or("signal_accepted"));
    exchange.gateway.common.metrics.signal(endpoint, odd.unwrap_or("accepted"));
}

/// An answer for a program: JSON or nothing, kept by no cache (2.8).
fn said(status: StatusCode, body: Option<Vec<u8>>) -> Response<Content> {
    let has_body = body.is_some();
    let mut response = Response::new(body.map_or_else(Content::empty, |body| Content::own(body.into())));
    *response.status_mut() = status;
    pages::headers(response.headers_mut(), pages::nothing());
    if has_body {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // RFC 8935 section 2.3.
        response.headers_mut().insert(CONTENT_LANGUAGE, HeaderValue::from_static("en"));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}
