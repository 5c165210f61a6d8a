//! Signing in beside a form that waits in another tab: says when it is done, and nothing else.
//!
//! Trust boundary: the query names an application of this host by its path and is compared, never followed (O01).

use std::sync::Arc;

use http::{HeaderMap, Response};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Exchange;
use super::account::Account;
use super::addresses::SIGN_IN;
use super::authenticate::authenticate;
use super::challenge::{challenge, ordinary, set, wants_page};
use super::content::Content;
use super::refusal::Refusal;
use crate::http::ReturnTo;
use crate::oidc::LoginError;
use crate::pages::Page;
use crate::snapshot::{Application, Route};

/// What a login that was begun here adds to its way back: coming back without a session is an error then, not a reason to begin again.
const DONE: &str = "&done";

/// The address that signs people in at an application.
pub(super) fn address(application: &Application) -> String {
    format!("{SIGN_IN}?for={}", utf8_percent_encode(application.policy().prefix(), NON_ALPHANUMERIC))
}

/// Where a login begins anew that was to end at `page`: an address of ours that only says how it went is none to begin at.
pub(super) fn anew(page: &ReturnTo) -> ReturnTo {
    let ours = page.as_str().strip_suffix(DONE).filter(|address| address.starts_with(SIGN_IN));
    ours.and_then(ReturnTo::parse).unwrap_or_else(|| page.clone())
}

/// The application that an address of [`address`] names by its query.
pub(super) fn application<'a>(route: &Route<'a>, query: &str) -> Option<&'a Arc<Application>> {
    let named = query.strip_suffix(DONE).unwrap_or(query).strip_prefix("for=")?;
    let prefix = percent_decode_str(named).decode_utf8().ok()?;
    route.neighbours.iter().find(|application| application.policy().prefix() == prefix)
}

/// Signs somebody in, or says that they are.
pub(super) async fn answer(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    headers: &HeaderMap,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    let query = exchange.head.query.as_deref().unwrap_or_default();
    let application = application(route, query).filter(|application| application.provider().is_some());
    let application = application.ok_or_else(|| exchange.nowhere(Refusal::UnknownReserved))?;
    account.routed(application);
    let here = address(application);
    let back = ReturnTo::parse(&format!("{here}{DONE}")).ok_or(Refusal::Internal)?;
    let now = exchange.gateway.now();
    match authenticate(exchange, application, route.host, headers, now) {
        // One that is due may be refused as soon as the form is sent: whoever comes here to get on gets one that is not.
        Ok(known) if known.is_due(now) => account.failed("session_due"),
        Ok(known) => {
            account.recognised(&known);
            let page = Page::SignedIn { app: application.policy().title() };
            return Ok(page.answer(exchange.form.read(), account.request_id().as_str()).map(Content::own));
        }
        Err(_) if query.ends_with(DONE) => return Err(Refusal::login(LoginError::StateUnknown, &back)),
        Err(no_session) => account.failed(no_session.code()),
    }
    if !wants_page(headers) {
        let page = Page::SignInRequired { app: application.policy().title(), sign_in_url: &here };
        let mut response = page.answer(exchange.form.read(), account.request_id().as_str()).map(Content::own);
        set(&mut response, &challenge(application));
        return Ok(response);
    }
    ordinary(exchange, application, route.host, back, headers, now).await
}
