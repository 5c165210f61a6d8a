//! The end of a session by the person's own wish.
//!
//! A plain link only asks (C14): the page's form carries a sealed token made for the session that it shows, and the POST must bring one that was made
//! for a session that this browser holds here, or come from our own origin. Then every session cookie of the host goes, the sessions themselves are ended
//! so that a copy of the cookie is worth nothing (L07), and the browser is sent to the provider's logout where there is one. Coming back proves nothing
//! and changes nothing (R04). With `everywhere`
//! in the form all of the person's sessions behind this gateway end.
//!
//! The ID token for `id_token_hint` is kept in a sealed cookie of its own that browsers send to this address only, so that it does not travel
//! with every request. Specification: RP-Initiated Logout 1.0.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::{HeaderMap, HeaderValue, ORIGIN, SET_COOKIE};
use url::form_urlencoded;

use super::account::Account;
use super::addresses::{LOGOUT, SIGNED_OUT};
use super::authenticate::{Known, authenticate, held, take_away};
use super::callback::arrived_cookie;
use super::content::{Content, redirect};
use super::proxy::SentBody;
use super::refusal::Refusal;
use super::{Exchange, kept_form};
use crate::crypto::{Binding, Secret, random};
use crate::http::HostName;
use crate::http::cookie::{self, SetCookie};
use crate::oidc::Provider;
use crate::pages::Page;
use crate::session::{Cause, Effect, Session, Wanted, Whom};
use crate::snapshot::{Application, Route};

/// The longest form that a sign-out may be.
const MAX_FORM: usize = 8 * 1024;
/// The longest sealed hint that fits into a cookie.
const MAX_HINT: usize = 3800;

/// Asks whether to sign out.
pub(super) fn ask(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    headers: &HeaderMap,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    let Some(known) = all_held(exchange, route, headers).next() else { return signed_out(exchange, route, account) };
    account.recognised(&known);
    let (token, provider) = (form_token(exchange, route.host, &known), provider_origin(&known));
    let page = Page::SignOut {
        app: known.application().policy().title(),
        action: LOGOUT,
        token: &token,
        stay_url: known.application().policy().prefix(),
        provider: provider.as_deref(),
    };
    Ok(page.answer(exchange.form.read(), account.request_id().as_str()).map(Content::own))
}

/// Signs out.
pub(super) async fn end(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    headers: &HeaderMap,
    body: SentBody,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    let sessions: Vec<Arc<Known>> = all_held(exchange, route, headers).collect();
    let mut known = sessions.first();
    if let Some(first) = known {
        account.recognised(first);
        let form = read_form(exchange, body).await;
        // The page shows a session that is good, which the first one need not be.
        let shown = sessions.iter().find(|session| token_fits(exchange, route, session, &form));
        known = shown.or(known.filter(|_| is_own_origin(exchange, headers)));
        account.recognised(known.ok_or(Refusal::ForeignSignOut)?);
        revoke(exchange, &sessions, form_value(&form, "everywhere").is_some()).await;
    }
    let mut response = match known.and_then(|known| provider_logout(exchange, route, known.application(), headers)) {
        Some(url) => redirect(&url)?,
        None => redirect(SIGNED_OUT)?,
    };
    let sessions = route.neighbours.iter().flat_map(|application| take_away(exchange, application, headers));
    // A form of another site comes without our cookies, and what its answer takes away is gone.
    let hint = cookie::find(headers, hint_name(exchange)).and_then(|_| hint_cookie(exchange, "").removal());
    let arrived = arrived_cookie(exchange, "");
    let arrived = cookie::find(headers, arrived.name).and_then(|_| arrived.removal());
    for field in sessions.chain(hint).chain(arrived) {
        response.headers_mut().append(SET_COOKIE, field);
    }
    Ok(response)
}

/// Says that the session is over.
pub(super) fn signed_out(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    account: &Account,
) -> Result<Response<Content>, Refusal> {
    let application = route.neighbours.last().ok_or(Refusal::UnknownReserved)?;
    let page = Page::SignedOut { app: application.policy().title(), sign_in_url: application.policy().prefix() };
    Ok(page.answer(exchange.form.read(), account.request_id().as_str()).map(Content::own))
}

/// The cookie that keeps the ID token for `id_token_hint`; none when it would not fit. It opens for this provider only.
pub(super) fn keep_hint(
    exchange: &Exchange<'_>,
    host: &HostName,
    provider: &Provider,
    id_token: &Secret<String>,
) -> Option<HeaderValue> {
    let scope = hint_scope(host, provider);
    let sealed = exchange.gateway.common.keys.seal(hint_binding(exchange, &scope), id_token.expose().as_bytes());
    (sealed.len() <= MAX_HINT).then(|| hint_cookie(exchange, &sealed).header()).flatten()
}

/// The sessions of this browser at the host's applications.
pub(super) fn signed_in<'a>(
    exchange: &'a Exchange<'_>,
    route: &'a Route<'_>,
    headers: &'a HeaderMap,
) -> impl Iterator<Item = Arc<Known>> + 'a {
    let now = exchange.gateway.now();
    route
        .neighbours
        .iter()
        .filter_map(move |application| authenticate(exchange, application, route.host, headers, now).ok())
}

/// The sessions that this browser holds at the host's applications, those among them that were not used here for long.
fn all_held<'a>(
    exchange: &'a Exchange<'_>,
    route: &'a Route<'_>,
    headers: &'a HeaderMap,
) -> impl Iterator<Item = Arc<Known>> + 'a {
    let now = exchange.gateway.now();
    route.neighbours.iter().filter_map(move |application| held(exchange, application, route.host, headers, now))
}

/// The value that proves that a form for this session is ours.
pub(super) fn form_token(exchange: &Exchange<'_>, host: &HostName, known: &Known) -> String {
    exchange.gateway.common.keys.seal(form_binding(host), known.session_label().as_bytes())
}

/// The origin of the provider's logout address.
pub(super) fn provider_origin(known: &Known) -> Option<String> {
    let url = known.application().provider()?.end_session_url(None, SIGNED_OUT, None)?;
    url::Url::parse(&url).ok().map(|url| url.origin().ascii_serialization())
}

/// Ends these sessions, with those of the same person in the whole group (`[session] group`) or all that these people have, and waits until that is written down. Where it cannot be, the log tells, and the
/// person is signed out all the same.
async fn revoke(exchange: &Exchange<'_>, sessions: &[Arc<Known>], everywhere: bool) {
    let (common, now) = (&exchange.gateway.common, exchange.gateway.now());
    let cause = if everywhere { Cause::SignedOutEverywhere } else { Cause::SignedOut };
    let wanted = sessions.iter().flat_map(|known| {
        let Session { root, provider, subject, .. } = known.session();
        // A name that stands for another provider by now calls somebody else so.
        let is_known = known.is_of_its_provider();
        let group = known.application().policy().session().group.as_deref();
        let others = match (everywhere, group) {
            _ if !is_known => None,
            (true, _) => Some(Whom::Person { provider, subject }),
            (false, group) => group.map(|group| Whom::GroupPerson { group, provider, subject }),
        };
        // The browser's own by its identifier in any case: it may seem to have begun later than now, where the clock was set back.
        let own = Wanted::new(&Whom::Session(root), now, Cause::SignedOut, Effect::Ended);
        std::iter::once(own).chain(others.map(|whom| Wanted::new(&whom, now, cause, Effect::Ended)))
    });
    common.metrics.revoked(cause);
    let kept = common.revocations.revoke(wanted.collect(), now).is_kept().await;
    if !kept {
        tracing::warn!(request_id = exchange.request_id.as_str(), "a sign-out holds, but is not written down");
    }
}

fn provider_logout(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    application: &Application,
    headers: &HeaderMap,
) -> Option<String> {
    let provider = application.provider()?;
    let scope = hint_scope(route.host, provider);
    let hint = cookie::find(headers, hint_name(exchange))
        .and_then(|sealed| exchange.gateway.common.keys.open(hint_binding(exchange, &scope), sealed).ok());
    let hint = hint.as_ref().and_then(|hint| std::str::from_utf8(hint).ok());
    let back = format!("{}{SIGNED_OUT}", exchange.outer_origin());
    provider.end_session_url(hint, &back, Some(&random::token()))
}

fn is_own_origin(exchange: &Exchange<'_>, headers: &HeaderMap) -> bool {
    headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes() == exchange.outer_origin().as_bytes())
}

/// The form; nothing where there is none that can be read.
async fn read_form(exchange: &Exchange<'_>, body: SentBody) -> Bytes {
    kept_form::read(body, MAX_FORM, exchange.gateway.common.body.stall).await.unwrap_or_default()
}

fn form_value<'a>(form: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    form_urlencoded::parse(form).find(|(found, _)| found == name).map(|(_, value)| value)
}

/// Whether the form carries the token that was made for this session.
fn token_fits(exchange: &Exchange<'_>, route: &Route<'_>, known: &Known, form: &[u8]) -> bool {
    let Some(token) = form_value(form, "token") else { return false };
    let opened = exchange.gateway.common.keys.open(form_binding(route.host), token.as_bytes());
    opened.is_ok_and(|session| **session == *known.session_label().as_bytes())
}

fn form_binding(host: &HostName) -> Binding<'_> {
    Binding { purpose: "logout-form", name: "token", scope: host.as_str() }
}

/// Two applications of one host may have two providers, and one name two after another: what one of them said is nothing for the other.
fn hint_scope(host: &HostName, provider: &Provider) -> String {
    format!("{host}/{}/{}", provider.name(), provider.registration())
}

fn hint_binding<'a>(exchange: &Exchange<'_>, scope: &'a str) -> Binding<'a> {
    Binding { purpose: "id-token-hint", name: hint_name(exchange), scope }
}

fn hint_cookie<'a>(exchange: &Exchange<'_>, value: &'a str) -> SetCookie<'a> {
    SetCookie { name: hint_name(exchange), value, path: LOGOUT, secure: exchange.is_secure(), max_age: None }
}

/// Browsers allow a narrower path only under the `__Secure-` prefix.
fn hint_name(exchange: &Exchange<'_>) -> &'static str {
    if exchange.is_secure() { "__Secure-lychgate-hint" } else { "lychgate-hint" }
}
