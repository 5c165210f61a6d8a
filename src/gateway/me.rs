//! `/.lychgate/me`: who the gateway thinks somebody is, since when and until when.
//!
//! A page for a person, from which they sign out here or everywhere on this gateway; an object for a script (`docs/logout-and-revocation.md`
//! has its members). It shows what the session keeps and no token. Asking does not count as use: the session is not renewed.
//!
//! Trust boundary: the cookies are a stranger's; what is shown is the session of the browser that asks.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

use super::account::Account;
use super::addresses::LOGOUT;
use super::authenticate::{Known, authenticate};
use super::content::Content;
use super::refusal::Refusal;
use super::{Exchange, logout};
use crate::claims::Text;
use crate::clock::Timestamp;
use crate::pages::{self, Form, Me, Page};
use crate::session::{NoSession, Session};
use crate::snapshot::Route;

static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// What a script gets.
#[derive(Serialize)]
struct Told<'a> {
    signed_in: bool,
    app: &'a str,
    who: &'a str,
    subject: &'a str,
    claims: Box<RawValue>,
    session: ToldSession<'a>,
}

/// Times are seconds since 1970.
#[derive(Serialize)]
struct ToldSession<'a> {
    id: &'a str,
    provider: &'a str,
    acr: Option<&'a str>,
    amr: &'a [Text],
    /// Null where the provider does not say.
    authenticated_at: Option<i64>,
    started_at: i64,
    idle_until: i64,
    ends_at: i64,
}

/// Answers who is signed in.
pub(super) fn answer(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    headers: &HeaderMap,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    let form = form(exchange, headers);
    let Some(known) = logout::signed_in(exchange, route, headers).next() else {
        return nobody(exchange, route, headers, form, account);
    };
    account.recognised(&known);
    match form {
        Form::Html => Ok(page(exchange, route, &known)),
        Form::Json => told(&known),
    }
}

/// Scripts that say nothing of what they want get JSON.
fn form(exchange: &Exchange<'_>, headers: &HeaderMap) -> Form {
    match headers.get(&SEC_FETCH_MODE) {
        Some(mode) if mode != "navigate" => Form::Json,
        _ => exchange.form.read(),
    }
}

fn nobody(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    headers: &HeaderMap,
    form: Form,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    let signs_in = route.neighbours.iter().rev().find(|application| application.provider().is_some());
    let application = signs_in.ok_or(Refusal::UnknownReserved)?;
    let no_session = authenticate(exchange, application, route.host, headers, exchange.gateway.now()).err();
    account.failed(no_session.unwrap_or(NoSession::Absent).code());
    let page = Page::SignInRequired { app: application.policy().title(), sign_in_url: application.policy().prefix() };
    let mut response = page.answer(form, exchange.request_id.as_str()).map(Content::own);
    let challenge = HeaderValue::try_from(format!("Bearer realm=\"{}\"", application.name()))?;
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    Ok(response)
}

fn page(exchange: &Exchange<'_>, route: &Route<'_>, known: &Known) -> Response<Content> {
    let session = known.session();
    let (token, provider) = (logout::form_token(exchange, route.host, known), logout::provider_origin(known));
    let me = Me {
        app: known.application().policy().title(),
        who: known.who(),
        facts: facts(known),
        claims: session.claims.iter().map(|(name, value)| (name, value.json())).collect(),
        action: LOGOUT,
        token: &token,
        back_url: known.application().policy().prefix(),
        provider: provider.as_deref(),
    };
    Page::Me(&me).answer(Form::Html, exchange.request_id.as_str()).map(Content::own)
}

fn facts(known: &Known) -> Vec<(&'static str, String)> {
    let (session, ends) = (known.session(), Ends::of(known));
    let mut facts = vec![
        ("Signed in at", session.provider.to_string()),
        ("Account", session.subject.to_string()),
        ("Since", minute(session.started_at)),
        ("Proved who you are at", told_moment(session).map_or_else(|| "unknown".to_owned(), minute)),
        ("Ends without use at", minute(ends.idle)),
        ("Ends in any case at", minute(ends.absolute)),
        ("Session", known.session_label().to_owned()),
    ];
    if let Some(acr) = session.acr.as_deref() {
        facts.push(("Strength", acr.to_owned()));
    }
    if !session.amr.is_empty() {
        facts.push(("Methods", session.amr.join(", ")));
    }
    facts
}

/// When the person proved who they are, where the provider said it.
fn told_moment(session: &Session) -> Option<Timestamp> {
    Some(session.authenticated_at).filter(|at| *at != Timestamp::default())
}

/// `2026-11-25 12:30 UTC`.
fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}

struct Ends {
    idle: Timestamp,
    absolute: Timestamp,
}

impl Ends {
    fn of(known: &Known) -> Self {
        let (session, limits): (&Session, _) = (known.session(), known.application().limits());
        let absolute = session.started_at.after(limits.max);
        Self { idle: session.seen_at.after(limits.idle).min(absolute), absolute }
    }
}

fn told(known: &Known) -> Result<Response<Content>, Refusal> {
    let (session, ends) = (known.session(), Ends::of(known));
    let told = Told {
        signed_in: true,
        app: known.application().name(),
        who: known.who(),
        subject: &session.subject,
        claims: RawValue::from_string(session.claims.json()).map_err(|_| Refusal::Internal)?,
        session: ToldSession {
            id: known.session_label(),
            provider: &session.provider,
            acr: session.acr.as_deref(),
            amr: &session.amr,
            authenticated_at: told_moment(session).map(Timestamp::seconds),
            started_at: session.started_at.seconds(),
            idle_until: ends.idle.seconds(),
            ends_at: ends.absolute.seconds(),
        },
    };
    let body = serde_json::to_vec(&told).map_err(|_| Refusal::Internal)?;
    let mut response = Response::new(Content::own(body.into()));
    *response.status_mut() = StatusCode::OK;
    pages::headers(response.headers_mut(), pages::nothing());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
