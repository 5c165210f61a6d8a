//! The operators' listener: `/livez`, `/readyz`, `/metrics`. A socket of its own, on loopback unless configured otherwise.
//!
//! Layer 4. Shares nothing with the addresses that clients reach, and shows neither configuration nor sessions.
//!
//! | address | 200 | else |
//! | --- | --- | --- |
//! | `/livez` | the process answers | |
//! | `/readyz` | every provider's metadata and keys are known, and the gateway is not draining | 503 with the reasons |
//! | `/metrics` | counters in Prometheus's text format | |
//!
//! Trust boundary: whoever reaches the socket may read this; nothing can be changed here.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::observe::Metrics;
use crate::oidc::{Provider, Readiness};

/// How long a client of this listener may take for a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections at a time; more wait in the kernel.
const MAX_CONNECTIONS: usize = 64;

/// What the listener tells about.
pub struct Admin {
    /// The providers that must be known.
    pub providers: Vec<Arc<Provider>>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Set when the gateway was told to stop.
    pub draining: Arc<AtomicBool>,
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
        let room = Arc::new(tokio::sync::Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the admin listener cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let admin = Arc::clone(&self);
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let response = admin.answer(&request);
                    async { Ok::<_, Infallible>(response) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(PATIENCE)
                    .serve_connection(TokioIo::new(stream), service);
                let _ = connection.await;
                drop(place);
            });
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => self.readyz(),
            "/metrics" => self.metrics(),
            _ => text(StatusCode::NOT_FOUND, "known here: /livez /readyz /metrics\n".to_owned()),
        }
    }

    fn readyz(&self) -> Response<Full<Bytes>> {
        let mut report = Report { ready: true, reasons: Vec::new(), notes: Vec::new() };
        if self.draining.load(Ordering::Relaxed) {
            report.reasons.push("the gateway is draining".to_owned());
        }
        for provider in &self.providers {
            match provider.readiness() {
                Readiness::Ready => {}
                Readiness::NotYet { reason } => report.reasons.push(format!("provider {}: {reason}", provider.name())),
                Readiness::Stale { reason, since } => {
                    report
                        .notes
                        .push(format!("provider {}: using what was fetched at {since}: {reason}", provider.name()));
                }
            }
        }
        report.ready = report.reasons.is_empty();
        let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let body = serde_json::to_string_pretty(&report).unwrap_or_default();
        answer(status, "application/json", body + "\n")
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        for provider in &self.providers {
            let known = !matches!(provider.readiness(), Readiness::NotYet { .. });
            self.metrics.provider(provider.name()).ready.set(i64::from(known));
        }
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
