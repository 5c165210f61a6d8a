//! Whether the servers of an application answer.
//!
//! May touch: the network towards the application. Trust boundary: the application's answer, of which the status alone counts.

use std::sync::Arc;
use std::time::Duration;

use crate::finding::Finding;
use crate::snapshot::Application;
use crate::upstream::{Target, UpstreamError};

/// A server that does not answer within this does not answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks each server for `/`.
pub(super) async fn examine(application: &Application) -> Vec<Finding> {
    let host = match application.inner_authority() {
        Some(inner) => inner.to_owned(),
        None => application.policy().hosts().first().map(ToString::to_string).unwrap_or_default(),
    };
    let mut findings = Vec::new();
    for target in application.upstream().targets() {
        findings.push(server(target, &host).await);
    }
    findings
}

async fn server(target: &Arc<Target>, host: &str) -> Finding {
    let authority = target.authority();
    match target.probe(host, LIMIT).await {
        Ok(status) if status.is_server_error() => {
            let found = format!("{authority} answers {}", status.as_u16());
            Finding::warning("server", found, "see the application's own log")
        }
        Ok(status) => Finding::ok("server", format!("{authority} answers ({})", status.as_u16())),
        Err(error) => Finding::problem("server", format!("{authority}: {}", words(error)), advice(error)),
    }
}

const fn words(error: UpstreamError) -> &'static str {
    match error {
        UpstreamError::Connect => "no connection",
        UpstreamError::ConnectTimeout | UpstreamError::FirstByteTimeout => "no answer in time",
        UpstreamError::Tls => "no trusted connection",
        _ => "no HTTP answer",
    }
}

const fn advice(error: UpstreamError) -> &'static str {
    match error {
        UpstreamError::Connect => {
            "see that the application runs and listens there, and that nothing on the way refuses"
        }
        UpstreamError::ConnectTimeout | UpstreamError::FirstByteTimeout => {
            "see whether a firewall swallows packets, or the application hangs"
        }
        UpstreamError::Tls => {
            "set `ca` in [app] to the authority that signed its certificate; the certificate must name the host of `upstream`"
        }
        _ => "see that the port speaks HTTP/1.1, and whether it wants https",
    }
}
