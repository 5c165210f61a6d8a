//! A form that was kept comes again, with the person's consent, and goes to the application as it was first sent (C13).
//!
//! Everything is checked before anything is used: that this origin's page sent it, that it opens on this host, its age, the browser, the
//! person, and that it goes once. As long as the application got nothing of it, it can be sent again, also when the client left meanwhile. It is then a request like any other: decided by the policy of this moment, under the session of this moment.
//!
//! Trust boundary: the body is a stranger's until it opens. Used once: on this process by a list, in an honest browser by its cookie.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERER, RETRY_AFTER, SET_COOKIE,
    TRANSFER_ENCODING,
};
use http::{Method, Response, StatusCode};
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

use super::account::Account;
use super::authenticate::{authenticate, person};
use super::content::Content;
use super::form_errors::KeptFormError;
use super::kept_form::{self, KeptForm, LIFETIME, MAX_SEALED, READING, Use};
use super::proxy::{SentBody, forward};
use super::refusal::Refusal;
use super::{Exchange, refused_path};
use crate::http::cookie;
use crate::http::{CanonicalPath, PathSwitches, RequestHead};
use crate::snapshot::Route;

/// Sends a kept form, or shows its page again to somebody who is not signed in yet.
pub(super) async fn answer(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    headers: &HeaderMap,
    body: SentBody,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    let refused = |error| Refusal::KeptForm(error);
    if kept_form::is_from_here(exchange, headers) == Some(false) {
        return Err(refused(KeptFormError::Foreign));
    }
    // What needs no room to be refused.
    if !kept_form::has_cookie(exchange, headers) {
        return Err(refused(KeptFormError::OtherBrowser));
    }
    if body.at_least() > MAX_SEALED as u64 {
        return Err(refused(KeptFormError::Unreadable));
    }
    let forms = &exchange.gateway.common.memory.forms;
    let room = forms.room(exchange.origin.client).ok_or(refused(KeptFormError::NoRoom))?;
    let sent = kept_form::read(body, MAX_SEALED, READING).await.map_err(|_| refused(KeptFormError::Unreadable))?;
    let sealed = token(&sent).ok_or(refused(KeptFormError::Unreadable))?;
    let (tag, text) =
        sealed.split_once('.').filter(|(tag, _)| kept_form::is_tag(tag)).ok_or(refused(KeptFormError::Unreadable))?;
    let name = kept_form::cookie_name(exchange, tag);
    let opened = exchange.gateway.common.keys.open(kept_form::binding(&name, route.host), text.as_bytes());
    let opened = opened.map_err(|_| refused(KeptFormError::Unreadable))?;
    let form: KeptForm<'_> = postcard::from_bytes(&opened).map_err(|_| refused(KeptFormError::Unreadable))?;

    let now = exchange.gateway.now();
    if now.since(form.at) > LIFETIME {
        return Err(refused(KeptFormError::Expired));
    }
    let browser = cookie::find(headers, &name).unwrap_or_default();
    if !bool::from(browser.ct_eq(form.browser.as_bytes())) {
        return Err(refused(KeptFormError::OtherBrowser));
    }
    let head = head(exchange, &form).ok_or(refused(KeptFormError::Unreadable))?;
    let route_now = exchange.snapshot.route(&head).ok_or(refused(KeptFormError::Unreadable))?;
    // Other policies may be in use by now, and want less kept in paths.
    let application = route_now.application.filter(|_| refused_path(&route_now, &head.path).is_none());
    let application = application.filter(|one| one.name() == form.app).ok_or(refused(KeptFormError::Unreadable))?;
    account.routed(application);
    let known = match authenticate(exchange, application, route.host, headers, now) {
        Ok(known) => known,
        Err(no_session) => {
            account.failed(no_session.code());
            return Ok(kept_form::page(exchange, application, (form.path, &sealed), kept_form::Why::Kept, room));
        }
    };
    account.recognised(&known);
    if form.person.is_some_and(|filled_in| *filled_in != *person(known.session())) {
        return Err(refused(KeptFormError::OtherPerson));
    }
    let mut in_use = match forms.begin(form.id, form.body) {
        Ok(in_use) => in_use,
        Err(Use::Over) => return Err(refused(KeptFormError::Used)),
        Err(Use::UnderWay) => {
            account.failed("form_under_way");
            return Ok(kept_form::page(exchange, application, (form.path, &sealed), kept_form::Why::UnderWay, room));
        }
    };

    let head = Arc::new(head);
    account.identified(&head, exchange.origin.client);
    let again = Exchange { head: &head, origin: exchange.origin.clone(), request_id: exchange.request_id, ..*exchange };
    let mut fields = fields(headers, &form);
    let answered = Box::pin(forward(&again, route.host, application, &mut fields, &mut in_use.sent, account)).await;
    if in_use.sent.met_nobody {
        // The session ended on the way.
        return Ok(kept_form::page(exchange, application, (form.path, &sealed), kept_form::Why::Kept, room));
    }
    let mut response = answered.unwrap_or_else(|refusal| refusal.answer(exchange.form.read(), account));
    if in_use.sent.is_whole() {
        return Ok(if may_pass(response.status()) {
            let page = kept_form::page(exchange, application, (form.path, &sealed), kept_form::Why::Unsent, room);
            in_place_of(&response, page)
        } else {
            response
        });
    }
    if let Some(field) = kept_form::form_cookie(exchange, &name).removal() {
        response.headers_mut().append(SET_COOKIE, field);
    }
    Ok(response)
}

/// Whether a form that was refused so may be taken a moment later, with nothing done but waiting.
fn may_pass(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// The page in place of the answer: its status, when to come again, and what the browser is to keep.
fn in_place_of(answer: &Response<Content>, mut page: Response<Content>) -> Response<Content> {
    *page.status_mut() = answer.status();
    for name in [RETRY_AFTER, SET_COOKIE] {
        for value in answer.headers().get_all(&name) {
            page.headers_mut().append(&name, value.clone());
        }
    }
    page
}

/// The sealed form in the page's own form.
fn token(body: &[u8]) -> Option<Cow<'_, str>> {
    form_urlencoded::parse(body).find(|(name, _)| name == "token").map(|(_, value)| value)
}

/// The head that the form first had.
fn head(exchange: &Exchange<'_>, form: &KeptForm<'_>) -> Option<RequestHead> {
    Some(RequestHead {
        method: Method::POST,
        path: CanonicalPath::parse_keeping(form.path, PathSwitches::ALL).ok()?,
        query: form.query.map(Into::into),
        ..exchange.head.clone()
    })
}

/// The fields of this request, with those of the form that tell what it is and where it was filled in.
fn fields(headers: &HeaderMap, form: &KeptForm<'_>) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(TRANSFER_ENCODING);
    headers.remove(CONTENT_LENGTH);
    let mut set =
        |name: HeaderName, value: Option<&[u8]>| match value.and_then(|value| HeaderValue::from_bytes(value).ok()) {
            Some(value) => drop(headers.insert(name, value)),
            None => drop(headers.remove(name)),
        };
    set(CONTENT_TYPE, Some(form.content_type));
    set(ORIGIN, form.origin);
    set(REFERER, form.referer);
    headers
}
