//! The provider's response comes back: a login becomes a session, or ends with a reason.
//!
//! The pending login's cookie is found by the response's `state`, used once and removed; a response at another address than that of the provider where
//! the login began is refused before anything is asked (R10). A login that is only stale begins again by itself at the
//! page asked for, at most once (R08); so does one that is too old for the rule that wanted it, then with a demand for credentials
//! (R13). The person then goes to a path on this host, and nowhere else (O01).
//!
//! Trust boundary: the query is written by whoever holds the browser. Specification: OIDC Core 3.1.2.5 to 3.1.3.7, RFC 9700.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, SET_COOKIE};
use http::{Response, StatusCode};
use url::form_urlencoded::byte_serialize;

use super::account::Account;
use super::addresses::{CALLBACK, SIGN_IN};
use super::authenticate::{authenticate, give};
use super::begun::{self, Before};
use super::challenge::{begin, front_door, home, login_of, make_room};
use super::content::{Content, redirect};
use super::proxy::SentBody;
use super::refusal::Refusal;
use super::{Exchange, kept_form, logout, provider_of, refresh, sign_in};
use crate::claims::Claims;
use crate::clock::Timestamp;
use crate::http::cookie::{self, SetCookie};
use crate::http::{CanonicalPath, PathSwitches, ReturnTo};
use crate::oidc::{
    self, CallbackParams, LoginError, LoginRequest, MAX_RESPONSE, PendingLogin, Provider, SignedIn, pending,
};
use crate::session::{Session, SessionId};
use crate::snapshot::{Application, Route};

/// How long a browser remembers that a login began again by itself.
const AGAIN: Duration = Duration::from_secs(120);
/// Bytes of a provider's description of its error that are logged.
const DESCRIBED: usize = 200;
/// How long a browser remembers that it was given a large session.
const ARRIVED: Duration = Duration::from_secs(30);

/// Whether responses may come to this address: the one for all of a host, or that of a provider that people sign in at here.
pub(super) fn is_address(path: &str, route: &Route<'_>) -> bool {
    let Some(below) = path.strip_prefix(CALLBACK) else { return false };
    let Some(name) = below.strip_prefix('/') else { return below.is_empty() };
    route.neighbours.iter().filter_map(|application| application.provider()).any(|provider| provider.name() == name)
}

/// Finishes a login whose response came in a redirect.
pub(super) async fn answer(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    headers: &HeaderMap,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    let params = CallbackParams::parse(exchange.head.query.as_deref().unwrap_or_default());
    let params = params.map_err(|error| stray(error, route))?;
    finish(exchange, route, headers, &params, account).await
}

/// Finishes a login whose response a page of the provider posted. Such a request comes from another site: of our cookies it has
/// those alone that were made for it, so who is signed in already cannot be seen before the browser came once more by itself.
pub(super) async fn answer_posted(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    headers: &HeaderMap,
    body: SentBody,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    let form = posted_form(exchange, headers, body).await.map_err(|error| stray(error, route))?;
    let params = CallbackParams::parse_form(&form, exchange.head.query.as_deref());
    let params = params.map_err(|error| stray(error, route))?;
    let known = params.state().is_some_and(|state| {
        find_pending(exchange, route, headers, &pending::name_for_state(state, exchange.is_secure())).is_some()
    });
    let mut response = match params.state() {
        Some(state) if !known => {
            let state: String = byte_serialize(state.as_bytes()).collect();
            redirect(&format!("{}?state={state}", exchange.head.path))?
        }
        _ => finish(exchange, route, headers, &params, account).await?,
    };
    // A form was posted, and what comes next is a page (RFC 9110 section 15.4.4).
    if response.status() == StatusCode::FOUND {
        *response.status_mut() = StatusCode::SEE_OTHER;
    }
    Ok(response)
}

/// A response of which nobody knows what it was for.
fn stray(error: LoginError, route: &Route<'_>) -> Refusal {
    Refusal::login(error, &front_door(route))
}

/// A posted response, within [`MAX_RESPONSE`] and the time limit for bodies.
async fn posted_form(exchange: &Exchange<'_>, headers: &HeaderMap, body: SentBody) -> Result<Bytes, LoginError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(LoginError::MalformedResponse);
    }
    let limit = exchange.gateway.common.body.stall;
    kept_form::read(body, MAX_RESPONSE, limit).await.map_err(|_| LoginError::MalformedResponse)
}

/// Finishes a login.
async fn finish(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    headers: &HeaderMap,
    params: &CallbackParams,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    let now = exchange.gateway.now();
    let state = params.state().ok_or_else(|| stray(LoginError::StateMissing, route))?;
    let cookie_name = pending::name_for_state(state, exchange.is_secure());
    let Some(mut pending) = find_pending(exchange, route, headers, &cookie_name) else {
        return heal_unknown(exchange, route, headers, account, now);
    };
    let application = route.neighbours.iter().find(|application| application.name() == pending.application);
    let application = application.ok_or_else(|| stray(LoginError::StateUnknown, route))?;
    // Other policies may be in use by now.
    if !belongs(route, &pending.return_to, application) {
        pending.return_to = home(application);
    }
    account.routed(application);
    let provider = provider_of(application)?;
    let metrics = exchange.gateway.common.metrics.provider(provider.name());
    let spent = pending_cookie(&cookie_name, exchange);
    let spent = if provider.posts_back() { spent.removal_across_sites() } else { spent.removal() };
    // Whose response it is, its address says, and not `state`, which any provider may have passed on (RFC 9700 section 4.4).
    let finished = match exchange.head.path.as_str() == provider.callback_path() {
        true => provider.finish(&pending, params, &exchange.redirect_uri(provider)).await,
        false => Err(LoginError::CallbackMismatch),
    };
    let finished = finished.and_then(|signed_in| young_enough(signed_in, &pending, exchange.gateway.now()));
    match finished.and_then(|signed_in| complete(signed_in, application)) {
        Ok(signed_in) => {
            let mut response = match begin_session(exchange, route, application, (&signed_in, &pending), headers, now) {
                Ok(fields) => {
                    metrics.succeeded.inc();
                    arrived(exchange, (&pending, provider), headers, fields)?
                }
                Err(refusal) => {
                    metrics.failed.inc();
                    refusal.answer(exchange.form.read(), account)
                }
            };
            append(&mut response, spent);
            make_room(exchange, (application, route.host), &mut response, headers, now);
            Ok(response)
        }
        Err(error) if pending.silent && error.is_unseen() => {
            // Nobody is signed in at the provider, or it must show something: once more, with its pages.
            let again = Again { spent, force: false, counts: false };
            begin_again(exchange, route, application, &pending, headers, again, now).await
        }
        Err(error) if may_begin_again(&error) && cookie::find(headers, again_name(exchange)).is_none() => {
            account.failed(error.code());
            let force = error == LoginError::AuthenticationTooOld;
            let again = Again { spent, force, counts: true };
            begin_again(exchange, route, application, &pending, headers, again, now).await
        }
        Err(error) => {
            metrics.failed.inc();
            tell(exchange, application, &error, params);
            let mut response = Refusal::login(error, &pending.return_to).answer(exchange.form.read(), account);
            append(&mut response, spent);
            Ok(response)
        }
    }
}

/// Writes down why a login failed that began in this browser, under the number that its page shows: an operator learns what the person is
/// not told. What others send to this address is a line of the access log only.
fn tell(exchange: &Exchange<'_>, application: &Application, error: &LoginError, params: &CallbackParams) {
    let request_id = exchange.request_id.as_str();
    let (app, reason) = (application.name(), error.code());
    let provider = application.provider().map(|provider| provider.name());
    let described = params.error_description().filter(|_| matches!(error, LoginError::ProviderError(_)));
    let described = described
        .map(|text| tracing::field::debug(text.get(..text.floor_char_boundary(DESCRIBED)).unwrap_or_default()));
    match error.operator_help() {
        Some(help) => tracing::warn!(request_id, provider, app, reason, described, help, "a login failed"),
        None => tracing::info!(request_id, provider, app, reason, described, "a login failed"),
    }
}

/// Sends the person to the page asked for, with the session's cookies.
fn arrived(
    exchange: &Exchange<'_>,
    (pending, provider): (&PendingLogin, &Provider),
    headers: &HeaderMap,
    session: Vec<HeaderValue>,
) -> Result<Response<Content>, Refusal> {
    let mut response = redirect(pending.return_to.as_str())?;
    let again = cookie::find(headers, again_name(exchange)).map(|_| again_cookie(exchange));
    let again = again.and_then(|one| if provider.posts_back() { one.removal_across_sites() } else { one.removal() });
    let large = session.iter().any(is_chunk).then(|| arrived_cookie(exchange, &pending.application).header()).flatten();
    append(&mut response, session.into_iter().chain(again).chain(large));
    Ok(response)
}

/// Whether a field sets the second cookie of a session: only a session of several cookies can be too large for a browser.
fn is_chunk(field: &HeaderValue) -> bool {
    let name = field.as_bytes().split(|byte| *byte == b'=').next().unwrap_or_default();
    name.ends_with(b".1") && !field.as_bytes().ends_with(b"Max-Age=0")
}

/// Says that a large session of this application was just given to this browser: coming without one now means that it was not kept, and another
/// login would be no better (C05).
pub(super) fn arrived_cookie<'a>(exchange: &Exchange<'_>, application: &'a str) -> SetCookie<'a> {
    let name = if exchange.is_secure() { "__Host-lychgate-arrived" } else { "lychgate-arrived" };
    SetCookie { name, value: application, path: "/", secure: exchange.is_secure(), max_age: Some(ARRIVED) }
}

/// A rule counts the age of a sign-in from now and without leeway; what it would find too old at once is too old here,
/// so that a step-up never goes round in circles (R13).
fn young_enough(signed_in: SignedIn, pending: &PendingLogin, now: Timestamp) -> Result<SignedIn, LoginError> {
    let age = now.since(signed_in.authenticated_at);
    match pending.max_age {
        Some(max_age) if age > max_age => Err(LoginError::AuthenticationTooOld),
        _ => Ok(signed_in),
    }
}

/// Nothing is missing that the policy reads and that the provider has and left out: it would decide as if there were nothing.
fn complete(signed_in: SignedIn, application: &Application) -> Result<SignedIn, LoginError> {
    match application.claims_read().iter().find(|claim| oidc::left_out(&signed_in.claims, claim)) {
        Some(claim) => Err(LoginError::ClaimLeftOut(claim.clone())),
        None => Ok(signed_in),
    }
}

/// What a second login may cure by itself: a stale one, and one for which the provider should have asked for credentials.
fn may_begin_again(error: &LoginError) -> bool {
    error.is_stale() || *error == LoginError::AuthenticationTooOld
}

fn append(response: &mut Response<Content>, fields: impl IntoIterator<Item = HeaderValue>) {
    for field in fields {
        response.headers_mut().append(SET_COOKIE, field);
    }
}

fn find_pending(exchange: &Exchange<'_>, route: &Route<'_>, headers: &HeaderMap, name: &str) -> Option<PendingLogin> {
    let value = cookie::find(headers, name)?;
    pending::open(name, value, &exchange.gateway.common.keys, route.host.as_str()).ok()
}

/// Whether an address is one of this application; the provider's callback is one for the whole host.
fn belongs(route: &Route<'_>, return_to: &ReturnTo, application: &Arc<Application>) -> bool {
    let (path, query) = return_to.as_str().split_once('?').unwrap_or((return_to.as_str(), ""));
    let found = match CanonicalPath::parse_keeping(path, PathSwitches::ALL) {
        _ if path == SIGN_IN => sign_in::application(route, query),
        Ok(path) => route.application_at(&path),
        Err(_) => None,
    };
    found.is_some_and(|found| Arc::ptr_eq(found, application))
}

/// A response that no login of this browser waits for: who is signed in already goes to the application, everybody else is told.
fn heal_unknown(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    headers: &HeaderMap,
    account: &mut Account,
    now: Timestamp,
) -> Result<Response<Content>, Refusal> {
    let signed_in = route
        .neighbours
        .iter()
        .find(|application| authenticate(exchange, application, route.host, headers, now).is_ok());
    match signed_in {
        Some(application) => {
            account.routed(application);
            account.failed(LoginError::StateUnknown.code());
            Ok(redirect(application.policy().prefix())?)
        }
        None => Err(stray(LoginError::StateUnknown, route)),
    }
}

/// How a login begins once more.
struct Again {
    /// Takes away the cookie of the one before.
    spent: Option<HeaderValue>,
    /// Makes the provider ask for credentials.
    force: bool,
    /// Whether it is the one time that a login may begin again by itself.
    counts: bool,
}

/// Begins a login once more, for the page that was asked for.
async fn begin_again(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    application: &Arc<Application>,
    pending: &PendingLogin,
    headers: &HeaderMap,
    again: Again,
    now: Timestamp,
) -> Result<Response<Content>, Refusal> {
    let provider = provider_of(application)?;
    let redirect_uri = exchange.redirect_uri(provider);
    let request = LoginRequest {
        acr: &pending.acr,
        also_good: &pending.also_good,
        max_age: pending.max_age,
        force: again.force,
        origin: pending.origin,
        ..login_of(application, &redirect_uri, pending.return_to.clone())
    };
    let mut response = begin(exchange, application, route.host, request, headers, now).await?;
    let counted = again_cookie(exchange);
    let counted = if provider.posts_back() { counted.header_across_sites() } else { counted.header() };
    append(&mut response, again.spent.into_iter().chain(counted.filter(|_| again.counts)));
    Ok(response)
}

/// Makes the session of a person who has signed in: a new identifier (C07), and only the claims that the policy reads.
fn begin_session(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    application: &Arc<Application>,
    (signed_in, pending): (&SignedIn, &PendingLogin),
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Vec<HeaderValue>, Refusal> {
    let provider = provider_of(application)?;
    let id = SessionId::new();
    let mut session = Session {
        id,
        root: id,
        provider: provider.name().into(),
        registration: provider.registration(),
        subject: signed_in.subject.as_str().into(),
        provider_session: signed_in.sid.as_deref().map(Into::into),
        acr: signed_in.acr.as_deref().map(Into::into),
        amr: signed_in.amr.iter().map(|method| method.as_str().into()).collect(),
        authenticated_at: signed_in.authenticated_at,
        started_at: now,
        seen_at: now,
        refresh_at: None,
        generation: 0,
        claims: Claims::default(),
        absent_claims: Vec::new(),
    };
    let before = Before::of(exchange, application, route.host, pending.origin, headers, now);
    session.root = before.root(exchange, &session);
    session.take_claims(signed_in.claims.clone(), application.claims_read());
    begun::refuse_ended(exchange, application, &session)?;
    let ticket =
        refresh::provide(exchange, application, route.host, &mut session, (signed_in, &pending.nonce), headers);
    let mut fields = give(exchange, application, route.host, &session, headers).map_err(|error| {
        tracing::warn!(app = application.name(), %error, "a session does not fit into cookies");
        Refusal::SessionTooLarge
    })?;
    exchange.gateway.common.memory.successors.took_over(before.roots(), id, exchange.gateway.now());
    fields.extend(ticket);
    fields.extend(logout::keep_hint(exchange, route.host, provider, &signed_in.id_token));
    Ok(fields)
}

fn pending_cookie<'a>(name: &'a str, exchange: &Exchange<'_>) -> SetCookie<'a> {
    SetCookie { name, value: "", path: "/", secure: exchange.is_secure(), max_age: None }
}

/// The cookie that keeps a login from beginning again and again.
fn again_cookie(exchange: &Exchange<'_>) -> SetCookie<'static> {
    SetCookie { name: again_name(exchange), value: "1", path: "/", secure: exchange.is_secure(), max_age: Some(AGAIN) }
}

fn again_name(exchange: &Exchange<'_>) -> &'static str {
    if exchange.is_secure() { "__Host-lychgate-again" } else { "lychgate-again" }
}
