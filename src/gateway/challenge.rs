//! What somebody gets who must sign in first: a person is sent to the provider, a program gets 401.
//!
//! Only a navigation is redirected: a GET that asks for HTML and that the browser does not call a fetch, a subresource or a prefetch (C12).
//! Everything else gets 401 with a machine-readable body; background requests start no login (C08). This choice decides how somebody is
//! asked to sign in, never whether (S08).
//!
//! Trust boundary: the fields read here are a stranger's and grant nothing. Specification: RFC 9470 for step-up of programs.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue, SET_COOKIE, WWW_AUTHENTICATE};
use http::{Method, Response, StatusCode};

use super::begun::origin;
use super::callback::arrived_cookie;
use super::content::{Content, redirect};
use super::refusal::Refusal;
use super::{Exchange, limits, provider_of};
use crate::clock::Timestamp;
use crate::forward::Scrubbed;
use crate::http::cookie::{self, SetCookie};
use crate::http::{HostName, ReturnTo};
use crate::oidc::pending::{self, COOKIE_LIFETIME, MAX_PENDING, cookie_bytes};
use crate::oidc::{Begun, LoginError, LoginRequest, Provider};
use crate::pages::{Form, Page};
use crate::policy::Requirement;
use crate::session::NoSession;
use crate::snapshot::{Application, Route};

static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
static SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
static X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Cookies that one answer takes away: a crafted `Cookie` field must not make the answer's head too long for proxies.
const REMOVALS: usize = 32;

/// Asks somebody unknown to sign in; `why` says why nobody is known.
pub(super) async fn sign_in(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    host: &HostName,
    (scrubbed, why): (&Scrubbed, Option<NoSession>),
    now: Timestamp,
) -> Result<Response<Content>, Refusal> {
    if !is_navigation(exchange, scrubbed) || application.provider().is_none() {
        return Ok(unauthorised(exchange, application, scrubbed, &challenge(application)));
    }
    // One that came whole and is no good was kept.
    let is_lost = matches!(why, Some(NoSession::Absent | NoSession::Unreadable));
    let arrived = arrived_cookie(exchange, application.name());
    if is_lost && cookie::find(scrubbed.headers(), arrived.name) == Some(arrived.value.as_bytes()) {
        tracing::warn!(app = application.name(), "a browser did not keep the cookies of a large session");
        return Err(Refusal::SessionTooLarge);
    }
    ordinary(exchange, application, host, asked_for(exchange, application), scrubbed.headers(), now).await
}

/// Begins the login that the application asks of everybody.
pub(super) async fn ordinary(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    host: &HostName,
    return_to: ReturnTo,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Response<Content>, Refusal> {
    let acr = application.policy().login().map(|login| login.acr.as_slice()).unwrap_or_default();
    let redirect_uri = exchange.redirect_uri(provider_of(application)?);
    let also_good = application.policy().stronger_acr();
    let silent = application.policy().session().group.is_some();
    let request = LoginRequest { acr, also_good, silent, ..login_of(application, &redirect_uri, return_to) };
    begin(exchange, application, host, request, headers, now).await
}

/// Tells an API client that its token does not vouch for enough (RFC 9470 section 3).
pub(super) fn step_up_token(
    exchange: &Exchange<'_>,
    application: &Application,
    requirement: &Requirement<'_>,
) -> Response<Content> {
    let page = Page::StepUpFailed { app: application.policy().title(), retry_url: application.policy().prefix() };
    let mut response = page.answer(Form::Json, exchange.request_id.as_str()).map(Content::own);
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    set(&mut response, &insufficient(requirement));
    response
}

/// Asks a known person for a stronger or fresher sign-in.
pub(super) async fn step_up(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    host: &HostName,
    scrubbed: &Scrubbed,
    requirement: &Requirement<'_>,
    now: Timestamp,
) -> Result<Response<Content>, Refusal> {
    if !is_navigation(exchange, scrubbed) {
        return Ok(unauthorised(exchange, application, scrubbed, &insufficient(requirement)));
    }
    let redirect_uri = exchange.redirect_uri(provider_of(application)?);
    let login = login_of(application, &redirect_uri, asked_for(exchange, application));
    let max_age = requirement.max_age.or(login.max_age);
    let request = LoginRequest { acr: requirement.acr, also_good: requirement.also_good, max_age, ..login };
    begin(exchange, application, host, request, scrubbed.headers(), now).await
}

/// What every login at an application asks for, by its policy.
pub(super) fn login_of<'a>(
    application: &'a Application,
    redirect_uri: &'a str,
    return_to: ReturnTo,
) -> LoginRequest<'a> {
    let request = LoginRequest { application: application.name(), ..LoginRequest::new(redirect_uri, return_to) };
    let Some(login) = application.policy().login() else { return request };
    LoginRequest { max_age: login.max_age, prompt: login.prompt.as_deref(), parameters: &login.parameters, ..request }
}

/// Begins a login: a redirect to the provider, and a cookie that remembers what it is for.
pub(super) async fn begin(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    host: &HostName,
    request: LoginRequest<'_>,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Response<Content>, Refusal> {
    limits::stranger(exchange)?;
    let provider = provider_of(application)?;
    let origin = origin(exchange, application, host, headers, now).or(request.origin);
    let request = LoginRequest { origin, ..request };
    let begun = match provider.begin(request.clone()).await {
        Err(LoginError::Unavailable(_)) => {
            provider.discovered_now().await.map_err(|_| Refusal::provider_unavailable(&request.return_to))?;
            provider.begin(request.clone()).await
        }
        begun => begun,
    };
    let begun = begun.map_err(|error| refused(exchange, provider, error, &request.return_to))?;
    let mut response = redirect(&begun.authorize_url)?;
    for field in pending_cookies(exchange, (application, host), &begun, headers, now) {
        response.headers_mut().append(SET_COOKIE, field);
    }
    Ok(response)
}

/// A login that could not begin; what an operator can do about it is logged.
fn refused(exchange: &Exchange<'_>, provider: &Provider, error: LoginError, page: &ReturnTo) -> Refusal {
    if let LoginError::Unavailable(_) = error {
        return Refusal::provider_unavailable(page);
    }
    let (request_id, provider, reason) = (exchange.request_id.as_str(), provider.name(), error.code());
    let help = error.operator_help().unwrap_or("`lychgate doctor` asks the provider and says what it finds");
    tracing::warn!(request_id, provider, reason, help, "a login could not begin");
    Refusal::login(error, page)
}

/// The cookie of this login, and the removal of those that are over or too many.
fn pending_cookies(
    exchange: &Exchange<'_>,
    (application, host): (&Application, &HostName),
    begun: &Begun,
    headers: &HeaderMap,
    now: Timestamp,
) -> Vec<HeaderValue> {
    let (keys, secure) = (&exchange.gateway.common.keys, exchange.is_secure());
    let sealed = pending::seal(&begun.pending, &home(application), keys, host.as_str(), secure);
    let coming = cookie_bytes(sealed.name.len() + sealed.value.len());
    let stale = pending::to_drop(
        cookies(headers),
        keys,
        (host.as_str(), secure),
        (MAX_PENDING - 1, coming, exchange.gateway.common.cookie_room),
        now,
    );
    let new = pending_cookie(exchange, &sealed.name, &sealed.value);
    // A response that a page of the provider posts brings no other cookies of ours than such (`response_mode = "form_post"`).
    let new = if posts_back(application) { new.header_across_sites() } else { new.header() };
    removals(exchange, application, stale).chain(new).collect()
}

/// Takes logins under way from a browser that is given other cookies where they would be too many together: a browser that sends more than
/// a head can be is answered nothing any more.
pub(super) fn make_room(
    exchange: &Exchange<'_>,
    (application, host): (&Application, &HostName),
    response: &mut Response<Content>,
    headers: &HeaderMap,
    now: Timestamp,
) {
    let set: Vec<&[u8]> = response.headers().get_all(SET_COOKIE).iter().map(pair).collect();
    let coming = set.iter().map(|pair| cookie_bytes(pair.len())).sum();
    let is_set = |name: &str| {
        set.iter().any(|pair| pair.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"=")))
    };
    let stay = cookies(headers).filter(|(name, _)| !is_set(name));
    let (keys, secure) = (&exchange.gateway.common.keys, exchange.is_secure());
    let gone = pending::to_drop(
        stay,
        keys,
        (host.as_str(), secure),
        (usize::MAX, coming, exchange.gateway.common.cookie_room),
        now,
    );
    for field in removals(exchange, application, gone) {
        response.headers_mut().append(SET_COOKIE, field);
    }
}

/// Name and value that a field sets.
fn pair(field: &HeaderValue) -> &[u8] {
    field.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default()
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    cookie::all(headers).filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)))
}

/// The removal of logins under way.
fn removals<'a>(
    exchange: &'a Exchange<'_>,
    application: &'a Application,
    gone: Vec<&'a str>,
) -> impl Iterator<Item = HeaderValue> + use<'a> {
    let gone = gone.into_iter().take(REMOVALS).map(|name| pending_cookie(exchange, name, ""));
    let across_sites = posts_back(application);
    gone.filter_map(move |cookie| if across_sites { cookie.removal_across_sites() } else { cookie.removal() })
}

fn pending_cookie<'a>(exchange: &Exchange<'_>, name: &'a str, value: &'a str) -> SetCookie<'a> {
    SetCookie { name, value, path: "/", secure: exchange.is_secure(), max_age: Some(COOKIE_LIFETIME) }
}

fn posts_back(application: &Application) -> bool {
    application.provider().is_some_and(|provider| provider.posts_back())
}

/// The address that the person asked for; the application's own where it is too long to be kept, or its query is doubtful.
fn asked_for(exchange: &Exchange<'_>, application: &Application) -> ReturnTo {
    let asked = ReturnTo::of_request(&exchange.head.path, exchange.head.query.as_deref());
    asked.unwrap_or_else(|| home(application))
}

/// The application's own address.
pub(super) fn home(application: &Application) -> ReturnTo {
    ReturnTo::parse(application.policy().prefix()).unwrap_or_else(ReturnTo::root)
}

/// Where people sign in on a host, when nothing is known of what they came for.
pub(super) fn front_door(route: &Route<'_>) -> ReturnTo {
    let mut all = route.neighbours.iter().rev();
    all.find(|application| application.provider().is_some())
        .map_or_else(ReturnTo::root, |application| home(application))
}

/// Whether a person waits for a page.
fn is_navigation(exchange: &Exchange<'_>, scrubbed: &Scrubbed) -> bool {
    exchange.head.method == Method::GET && scrubbed.upgrade().is_none() && wants_page(scrubbed.headers())
}

/// Whether a request's fields are those of a person who goes to a page.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    is_navigation_or_unknown(headers)
        && !headers.contains_key(&X_REQUESTED_WITH)
        && !headers.contains_key(&SEC_PURPOSE)
        && accepts_html(headers)
}

/// Browsers say `navigate`; old ones say nothing.
fn is_navigation_or_unknown(headers: &HeaderMap) -> bool {
    headers.get(&SEC_FETCH_MODE).is_none_or(|mode| mode == "navigate")
}

fn accepts_html(headers: &HeaderMap) -> bool {
    headers.get_all(http::header::ACCEPT).iter().any(|line| {
        line.as_bytes().split(|byte| *byte == b',').any(|range| {
            let media = range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            media.eq_ignore_ascii_case(b"text/html") || media.eq_ignore_ascii_case(b"application/xhtml+xml")
        })
    })
}

/// 401: JSON, but a page for a form that a person sent from a browser.
fn unauthorised(
    exchange: &Exchange<'_>,
    application: &Application,
    scrubbed: &Scrubbed,
    challenge: &str,
) -> Response<Content> {
    let headers = scrubbed.headers();
    let by_person = headers.get(&SEC_FETCH_MODE).is_some_and(|mode| mode == "navigate")
        && !headers.contains_key(&SEC_PURPOSE)
        && accepts_html(headers);
    let form = if by_person { exchange.form.read() } else { Form::Json };
    // What a script asks for, or a form is sent to, is no page to come back to.
    let page = Page::SignInRequired { app: application.policy().title(), sign_in_url: application.policy().prefix() };
    let mut response = page.answer(form, exchange.request_id.as_str()).map(Content::own);
    set(&mut response, challenge);
    response
}

/// The challenge for somebody of whom nothing is known (RFC 9110 section 15.5.2 wants one in every 401).
pub(super) fn challenge(application: &Application) -> String {
    format!("Bearer realm=\"{}\"", application.name())
}

/// Sets the challenge of an answer.
pub(super) fn set<B>(response: &mut Response<B>, challenge: &str) {
    if let Ok(value) = HeaderValue::try_from(challenge) {
        response.headers_mut().insert(WWW_AUTHENTICATE, value);
    }
}

/// RFC 9470 section 3: what a program must bring.
fn insufficient(requirement: &Requirement<'_>) -> String {
    let mut text = "Bearer error=\"insufficient_user_authentication\"".to_owned();
    if !requirement.acr.is_empty() {
        text.push_str(&format!(", acr_values=\"{}\"", quoted(&requirement.acr.join(" "))));
    }
    if let Some(max_age) = requirement.max_age {
        text.push_str(&format!(", max_age=\"{}\"", max_age.as_secs()));
    }
    text
}

/// The inside of a quoted string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
