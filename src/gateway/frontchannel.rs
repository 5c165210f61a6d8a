//! `frontchannel-logout`: what a provider's page shows in a frame of its own when somebody signs out there.
//!
//! The request comes from the person's browser and proves nothing but that whoever made it knows `iss` and `sid`. Browsers send our cookies
//! into a frame of another site rarely, so the cookie cannot be asked for. Therefore: `iss` must be that of a provider of this gateway, and
//! what is ended is that one session of the provider's. Such entries stand in a pool of their own, which strangers can fill, and never
//! push out what was proved (`session::revocation`). When our cookie does come along and is of that session, it is ended for good, like a
//! sign-out.
//!
//! The answer may be framed by the provider, and by nobody else; it is 503 where what was ended could not be written down. Trust boundary:
//! anybody. Specification: Front-Channel Logout 1.0 sections 2 and 3.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, PRAGMA, X_FRAME_OPTIONS};
use http::{Response, StatusCode};
use url::form_urlencoded;

use super::account::Account;
use super::content::Content;
use super::events::{self, Fault};
use super::refusal::Refusal;
use super::{Exchange, logout};
use crate::pages;
use crate::session::{Cause, Effect, Keeping, Wanted, Whom};
use crate::snapshot::Route;

/// What it is called in the metrics.
const ENDPOINT: &str = "frontchannel_logout";
/// The longest `sid`.
const MAX_SID: usize = 512;

/// What the query names.
struct Named {
    issuer: String,
    sid: String,
}

/// Ends the provider's session that the query names.
pub(super) async fn answer(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    headers: &HeaderMap,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    let mut senders = events::providers(exchange);
    let named = named(exchange.head.query.as_deref().unwrap_or_default());
    senders.retain(|provider| named.as_ref().is_some_and(|named| named.issuer == provider.issuer()));
    let now = exchange.gateway.now();
    let Some(named) = named.filter(|_| !senders.is_empty()) else {
        let fault = Fault::FrontChannel;
        events::note(exchange, account, ENDPOINT, Some(fault.code()));
        return Ok(said(fault.status(), "'none'", fault.text()));
    };
    let mut wanted = Vec::new();
    for provider in &senders {
        let whom = Whom::ProviderSession { provider: provider.name(), sid: &named.sid };
        wanted.push(Wanted::new(&whom, now, Cause::FrontChannel, Effect::Ended));
    }
    let (revocations, mut keeping) = (&exchange.gateway.common.revocations, Keeping::default());
    for known in logout::signed_in(exchange, route, headers) {
        let session = known.session();
        let of_it = session.provider_session.as_deref() == Some(&*named.sid)
            && senders.iter().any(|provider| *provider.name() == *session.provider);
        if of_it {
            account.recognised(&known);
            let own = Wanted::new(&Whom::Session(&session.root), now, Cause::SignedOut, Effect::Ended);
            // In a writing of its own: it does not share the fate of hearsay.
            keeping = keeping.and(revocations.revoke(vec![own], now));
        }
    }
    let kept = keeping.and(revocations.revoke(wanted, now)).is_kept().await;
    exchange.gateway.common.metrics.revoked(Cause::FrontChannel);
    let fault = (!kept).then_some(Fault::NotKept);
    events::note(exchange, account, ENDPOINT, fault.as_ref().map(Fault::code));
    let status = fault.as_ref().map_or(StatusCode::OK, Fault::status);
    let text = if kept { "Signed out." } else { "Signed out, but this could not be written down." };
    let frames: BTreeSet<String> = senders.iter().flat_map(|provider| provider.origins()).collect();
    let frames = frames.into_iter().collect::<Vec<_>>().join(" ");
    Ok(said(status, &frames, text))
}

/// Section 3: `iss` and `sid` come together; each once.
fn named(query: &str) -> Option<Named> {
    let one = |name: &str| {
        let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(found, _)| found == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) if !value.is_empty() && value.len() <= MAX_SID => Some(value.into_owned()),
            _ => None,
        }
    };
    Some(Named { issuer: one("iss")?, sid: one("sid")? })
}

/// A page of one sentence that only `frames` may show.
fn said(status: StatusCode, frames: &str, text: &'static str) -> Response<Content> {
    let page = format!("<!doctype html><html lang=\"en\"><title>{text}</title><p>{text}</p></html>");
    let mut response = Response::new(Content::own(Bytes::from(page)));
    *response.status_mut() = status;
    let policy = format!("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {frames}");
    let policy = HeaderValue::try_from(policy).unwrap_or_else(|_| pages::nothing());
    pages::headers(response.headers_mut(), policy);
    // It would forbid what the policy allows.
    response.headers_mut().remove(X_FRAME_OPTIONS);
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}
