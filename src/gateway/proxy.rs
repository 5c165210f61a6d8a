//! From a routed request to the application's answer.
//!
//! Scrub, recognise, decide, tell, send, rewrite: in this order, because each step needs what the one before made.
//! Trust boundary: the client on one side, the application on the other.

use std::sync::Arc;
use std::time::Instant;

use http::header::SET_COOKIE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::account::Account;
use super::authenticate::{Known, authenticate, renew};
use super::content::Content;
use super::observed::{decided, observe};
use super::refusal::Refusal;
use super::{Exchange, challenge, reply};
use crate::forward::{AnswerContext, Scrubbed, Telling, UpstreamRequest, rewrite, scrub};
use crate::http::HostName;
use crate::policy::{Decision, Permit, RequestFacts};
use crate::snapshot::Application;
use crate::upstream::{Answer, BodyProgress, Leash, RequestBody, UpstreamError, tunnel};

/// What a client sends behind its head.
pub(super) struct Sent {
    pub(super) body: Incoming,
    upgrade: OnUpgrade,
}

/// Takes a request apart; what hyper keeps in it for an upgrade is kept too.
pub(super) fn split(mut request: Request<Incoming>) -> (Sent, Parts) {
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, body) = request.into_parts();
    (Sent { body, upgrade }, parts)
}

/// Sends the request to the application if the policy allows it.
pub(super) async fn forward(
    exchange: &Exchange<'_>,
    host: &HostName,
    application: &Arc<Application>,
    headers: HeaderMap,
    sent: Sent,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    let scrubbed = scrub(headers, exchange.snapshot.scrub_set());
    let now = exchange.gateway.now();
    let who = authenticate(exchange, application, host, scrubbed.headers(), now);
    if let Ok(known) = &who {
        account.recognised(known);
    }
    let facts = RequestFacts {
        method: &exchange.head.method,
        host,
        path: &exchange.head.path,
        query: exchange.head.query.as_deref(),
        client: exchange.origin.client,
    };
    let known = who.as_deref().ok();
    let decision = application.policy().decide(&facts, known.map(Known::prepared), now);
    account.decided(decided(&decision), decision.rule(), decision.reason());
    observe(application, &facts, known, now, account);
    match decision {
        Decision::Allow(permit) => {
            // What is public may be kept by caches: no session's cookie goes out with it.
            let renewal = match known {
                Some(known) if !permit.is_public() => renew(exchange, known, scrubbed.headers(), now),
                _ => Vec::new(),
            };
            send(exchange, application, scrubbed, &permit, sent, renewal, account).await
        }
        Decision::Deny(denial) => {
            tracing::debug!(request_id = account.request_id().as_str(), reason = %denial.reason(), "denied");
            Err(Refusal::Denied)
        }
        Decision::SignIn { .. } => {
            if let Err(no_session) = &who {
                account.failed(no_session.code());
            }
            challenge::sign_in(exchange, application, host, &scrubbed, now).await
        }
        Decision::StepUp(requirement) => {
            challenge::step_up(exchange, application, host, &scrubbed, &requirement, now).await
        }
        Decision::Answer(said) => reply::answer(said.answer, facts.query),
    }
}

async fn send(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    scrubbed: Scrubbed,
    permit: &Permit<'_>,
    sent: Sent,
    renewal: Vec<HeaderValue>,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    let limits = exchange.gateway.common.body;
    if sent.body.size_hint().lower() > limits.size {
        return Err(Refusal::Upstream(UpstreamError::RequestTooLarge));
    }
    let (body, progress) = RequestBody::new(sent.body, limits);
    account.sending(progress.as_ref());
    let telling = Telling {
        origin: &exchange.origin,
        scheme: exchange.connection.scheme,
        host: application.host(),
        request_id: account.request_id().header(),
    };
    let has_body = !body.is_empty();
    let request =
        UpstreamRequest::new(scrubbed, permit, exchange.head, &telling, body, has_body).ok_or(Refusal::Internal)?;
    // What is public needs no session to go on.
    let leash = account.known().filter(|_| !permit.is_public()).map(|known| Arc::clone(known) as Arc<dyn Leash>);
    let answer = ask(exchange, application, request, progress.as_deref(), account).await?;
    let upgraded = answer.response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let stall = application.policy().upstream().stall;
    let mut response = if upgraded { switch(answer, sent.upgrade, stall, leash) } else { stream(answer, leash) };
    let status = response.status();
    // The version is that of the application's connection; the server writes the client's (RFC 9110 section 2.5).
    *response.version_mut() = Version::HTTP_11;
    let context = AnswerContext {
        method: &exchange.head.method,
        inner_authority: application.inner_authority(),
        outer_origin: &|| exchange.outer_origin(),
    };
    rewrite(status, response.headers_mut(), &context);
    for cookie in renewal {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Sends the request and checks that an answer of 101 was asked for.
async fn ask(
    exchange: &Exchange<'_>,
    application: &Application,
    request: UpstreamRequest<RequestBody>,
    progress: Option<&BodyProgress>,
    account: &mut Account,
) -> Result<Answer, Refusal> {
    let upgrade = request.is_upgrade();
    let began = Instant::now();
    let answered = application.upstream().send(&exchange.gateway.pool, request.into_request(), progress, upgrade).await;
    let answer = answered.map_err(|error| {
        application.metrics().upstream_failures.inc();
        Refusal::Upstream(error)
    })?;
    account.answered(answer.target.clone(), began.elapsed());
    if answer.response.status() == StatusCode::SWITCHING_PROTOCOLS && !upgrade {
        return Err(Refusal::Upstream(UpstreamError::Invalid));
    }
    Ok(answer)
}

/// The application's body, for as long as the session holds.
fn stream(answer: Answer, leash: Option<Arc<dyn Leash>>) -> Response<Content> {
    answer.response.map(|body| {
        Content::App(match leash {
            Some(leash) => body.on(leash),
            None => body,
        })
    })
}

/// Joins both sides of an upgraded connection and answers the head.
fn switch(
    mut answer: Answer,
    client: OnUpgrade,
    idle: std::time::Duration,
    leash: Option<Arc<dyn Leash>>,
) -> Response<Content> {
    let application = hyper::upgrade::on(&mut answer.response);
    tokio::spawn(tunnel(client, application, idle, leash));
    answer.response.map(|_| Content::empty())
}
