//! The end of a session by the person's own wish.
//!
//! A plain link only asks (C14): the page's form carries a sealed token made for this session, and the POST must bring it or come from our own
//! origin. Then every session cookie of the host goes, and the browser is sent to the provider's logout where there is one. Coming back proves
//! nothing and changes nothing (R04).
//!
//! The ID token for `id_token_hint` is kept in a sealed cookie of its own that browsers send to this address only, so that it does not travel
//! with every request. Specification: RP-Initiated Logout 1.0.

use std::sync::Arc;

use http::Response;
use http::header::{HeaderMap, HeaderValue, ORIGIN, SET_COOKIE};
use url::form_urlencoded;

use super::account::Account;
use super::addresses::{LOGOUT, SIGNED_OUT};
use super::authenticate::{Known, authenticate, take_away};
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
    let Some(known) = signed_in(exchange, route, headers) else { return signed_out(exchange, route, account) };
    account.recognised(&known);
    let token = exchange.gateway.common.keys.seal(form_binding(route.host), known.session_label().as_bytes());
    let provider = known.application().provider().and_then(|provider| {
        let url = provider.end_session_url(None, SIGNED_OUT, None)?;
        url::Url::parse(&url).ok().map(|url| url.origin().ascii_serialization())
    });
    let page = Page::SignOut {
        app: known.application().name(),
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
    let known = signed_in(exchange, route, headers);
    if let Some(known) = &known {
        account.recognised(known);
        let ours = is_own_origin(exchange, headers) || token_fits(exchange, route, known, body).await;
        if !ours {
            return Err(Refusal::ForeignSignOut);
        }
    }
    let mut response =
        match known.as_ref().and_then(|known| provider_logout(exchange, route, known.application(), headers)) {
            Some(url) => redirect(&url)?,
            None => redirect(SIGNED_OUT)?,
        };
    let sessions = route.neighbours.iter().flat_map(|application| take_away(exchange, application, headers));
    let hint = hint_cookie(exchange, "").removal();
    let arrived = arrived_cookie(exchange);
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
    let page = Page::SignedOut { app: application.name(), sign_in_url: application.policy().prefix() };
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

/// The person who is signed in at one of the host's applications.
fn signed_in(exchange: &Exchange<'_>, route: &Route<'_>, headers: &HeaderMap) -> Option<Arc<Known>> {
    let now = exchange.gateway.now();
    route.neighbours.iter().find_map(|application| authenticate(exchange, application, route.host, headers, now).ok())
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

/// Whether the form carries the token that was made for this session.
async fn token_fits(exchange: &Exchange<'_>, route: &Route<'_>, known: &Known, body: SentBody) -> bool {
    let Ok(form) = kept_form::read(body, MAX_FORM, exchange.gateway.common.body.stall).await else { return false };
    let Some((_, token)) = form_urlencoded::parse(&form).find(|(name, _)| name == "token") else { return false };
    let opened = exchange.gateway.common.keys.open(form_binding(route.host), token.as_bytes());
    opened.is_ok_and(|session| **session == *known.session_label().as_bytes())
}

fn form_binding(host: &HostName) -> Binding<'_> {
    Binding { purpose: "logout-form", name: "token", scope: host.as_str() }
}

/// Two applications of one host may have two providers: what one of them said is nothing for the other.
fn hint_scope(host: &HostName, provider: &Provider) -> String {
    format!("{host}/{}", provider.name())
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
