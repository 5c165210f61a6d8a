//! The operators' listener: `/livez`, `/readyz`, `/metrics`, `/policies`, `/reload`, `/revocations`. A socket of its own, on loopback unless configured
//! otherwise.
//!
//! Layer 4. Shares nothing with the addresses that clients reach, and shows neither secrets nor sessions.
//!
//! | address | 200 | else |
//! | --- | --- | --- |
//! | `GET /livez` | the process answers | |
//! | `GET /readyz` | every provider of the start is known, and the gateway is not draining | 503 with the reasons |
//! | `GET /metrics` | counters in Prometheus's text format | |
//! | `GET /policies` | which policies are in use, since when, and how the last attempt to replace them went | |
//! | `GET /revocations` | the newest ended sessions | |
//! | `POST /revocations` | the sessions of what the body names are ended, and that is written down where there is a `state` | 400, 415; 403 a browser's page asks; 503 not written |
//! | `POST /reload` | everything was read anew: applied or unchanged | 422 refused, 503 too many ask, 403 a browser's page asks |
//!
//! All but `/livez`, `/readyz` and `/metrics` are 421 under a name that no operator uses.
//!
//! Trust boundary: whoever reaches the socket may read this, and may have the gateway read its own files again and end sessions; nothing
//! else can be changed here. What a page in an operator's browser sends carries `Origin`, or has a name of its own in `Host`, and is refused.

mod connection;
mod host;
mod policies;
mod revocations;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ORIGIN};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::clock::Clock;
use crate::observe::{Metrics, Reloaded};
use crate::oidc::{Provider, Readiness};
use crate::session::Revocations;

use connection::PATIENCE;
use policies::json;
pub use policies::{Attempt, Board, InUse, ReloadRequests};

/// Connections at a time. A further one takes the place of the oldest, which has waited for its client the longest: so that nobody who sits on
/// this listener keeps probes out.
const MAX_CONNECTIONS: usize = 64;

const JSON: &str = "application/json";

/// What the listener tells about.
pub struct Admin {
    /// The providers in use.
    pub providers: Arc<ArcSwap<Vec<Configured>>>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Set when the gateway was told to stop.
    pub draining: Arc<AtomicBool>,
    /// Which policies are in use.
    pub board: Arc<Board>,
    /// Where a reload is asked for.
    pub reloads: ReloadRequests,
    /// The sessions that ended early.
    pub revocations: Arc<Revocations>,
    /// Whether they are written down, so that a restart does not forget them.
    pub keeps: bool,
    /// The time of day.
    pub clock: Clock,
}

/// A provider that is in use.
#[derive(Clone)]
pub struct Configured {
    /// The provider.
    pub provider: Arc<Provider>,
    /// Whether the gateway is not ready before this one is known. A provider that a reload brought is only noted: one that cannot be reached must
    /// not take gateways that serve everybody else out of service.
    pub required: bool,
}

#[derive(Serialize)]
struct Report {
    ready: bool,
    reasons: Vec<String>,
    notes: Vec<String>,
}

impl Admin {
    /// Serves the listener until the task is dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut open: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the admin listener cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            open.retain(|connection| !connection.is_finished());
            if open.len() >= MAX_CONNECTIONS
                && let Some(oldest) = open.pop_front()
            {
                oldest.abort();
            }
            let admin = Arc::clone(&self);
            let connection = async move { connection::serve(stream, PATIENCE, |request| admin.answer(request)).await };
            open.push_back(tokio::spawn(connection).abort_handle());
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (request, body) = request.into_parts();
        let path = request.uri.path();
        let (allowed, known) = match path {
            "/revocations" => ("GET, HEAD, POST", matches!(request.method, Method::GET | Method::HEAD | Method::POST)),
            "/reload" => ("POST", request.method == Method::POST),
            _ => ("GET, HEAD", matches!(request.method, Method::GET | Method::HEAD)),
        };
        if !known {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("only {allowed}\n"));
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            return response;
        }
        match path {
            "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => self.readyz(),
            "/metrics" => self.metrics(),
            _ if !host::is_operators(&request.headers) => host::refused(),
            "/policies" => answer(StatusCode::OK, JSON, self.board.show()),
            _ if request.method == Method::POST && request.headers.contains_key(ORIGIN) => {
                text(StatusCode::FORBIDDEN, "not for pages in a browser\n".to_owned())
            }
            "/reload" => self.reload().await,
            "/revocations" if request.method == Method::POST => self.revoke(&request.headers, body).await,
            "/revocations" => self.list_revocations(),
            _ => text(
                StatusCode::NOT_FOUND,
                "known here: /livez /readyz /metrics /policies /revocations, and POST /reload\n".to_owned(),
            ),
        }
    }

    /// Has everything read anew and waits for how that ends; those who ask while others wait are answered together.
    async fn reload(&self) -> Response<Full<Bytes>> {
        let (answer_to, answered) = oneshot::channel();
        if self.reloads.try_send(answer_to).is_err() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "too many ask for a reload\n".to_owned());
        }
        match answered.await {
            Ok(attempt) => {
                let refused = attempt.outcome == Reloaded::Refused;
                let status = if refused { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
                answer(status, JSON, json(&attempt))
            }
            Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "the reload broke off\n".to_owned()),
        }
    }

    fn readyz(&self) -> Response<Full<Bytes>> {
        let mut report = Report { ready: true, reasons: Vec::new(), notes: Vec::new() };
        if self.draining.load(Ordering::Relaxed) {
            report.reasons.push("the gateway is draining".to_owned());
        }
        for Configured { provider, required } in self.providers.load().iter() {
            let name = provider.name();
            match provider.readiness() {
                Readiness::Ready => {}
                Readiness::NotYet { reason } if *required => report.reasons.push(format!("provider {name}: {reason}")),
                Readiness::NotYet { reason } => {
                    report.notes.push(format!("provider {name}, new since the start: {reason}"));
                }
                Readiness::Stale { reason, since } => {
                    report.notes.push(format!("provider {name}: using what was fetched at {since}: {reason}"));
                }
            }
            for (endpoint, left) in provider.resting() {
                let (endpoint, seconds) = (endpoint.as_str(), left.as_secs());
                report.notes.push(format!("provider {name}: asked not to be asked ({endpoint}) for {seconds}s more"));
            }
        }
        report.ready = report.reasons.is_empty();
        let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        answer(status, JSON, json(&report))
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        for Configured { provider, .. } in self.providers.load().iter() {
            let (readiness, metrics) = (provider.readiness(), self.metrics.provider(provider.name()));
            metrics.ready.set(i64::from(!matches!(readiness, Readiness::NotYet { .. })));
            metrics.stale.set(i64::from(matches!(readiness, Readiness::Stale { .. })));
            for (endpoint, outcome, count) in provider.take_traffic() {
                self.metrics.asked(provider.name(), endpoint.as_str(), outcome.as_str(), count);
            }
        }
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.revocations_listed.set(gauge(self.revocations.count() as u64));
        self.metrics.revocations_dropped.set(gauge(self.revocations.dropped()));
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        answer(StatusCode::OK, kind, self.metrics.render())
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", body)
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
