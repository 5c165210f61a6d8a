//! How many requests went to a provider, and what came of them: for the metrics.
//!
//! May touch: nothing but memory. Bounds: three counters for each endpoint.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

use super::availability::FetchError;
use super::endpoint::Endpoint;
use super::http_client::HttpResponse;

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// An answer of the 200s or 400s, with or without what was asked for.
    Answered,
    /// The provider is busy or limits its clients: 429 or 503.
    TurnedAway,
    /// No answer, or one of the 500s.
    Failed,
}

impl RequestOutcome {
    const ALL: [Self; 3] = [Self::Answered, Self::TurnedAway, Self::Failed];

    /// A fixed word for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::TurnedAway => "turned_away",
            Self::Failed => "failed",
        }
    }

    fn of(outcome: &Result<HttpResponse, FetchError>) -> Self {
        match outcome.as_ref().map(http::Response::status) {
            Ok(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => Self::TurnedAway,
            Ok(status) if !status.is_server_error() => Self::Answered,
            _ => Self::Failed,
        }
    }
}

/// The counters of one provider.
#[derive(Default)]
pub(super) struct Traffic([[AtomicU64; RequestOutcome::ALL.len()]; Endpoint::ALL.len()]);

impl Traffic {
    pub(super) fn note(&self, endpoint: Endpoint, outcome: &Result<HttpResponse, FetchError>) {
        let outcome = RequestOutcome::of(outcome);
        let counters = Endpoint::ALL.iter().position(|one| *one == endpoint).and_then(|place| self.0.get(place));
        let place = RequestOutcome::ALL.iter().position(|one| *one == outcome);
        if let Some(counter) = counters.zip(place).and_then(|(counters, place)| counters.get(place)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted since the last call, without zeros.
    pub(super) fn take(&self) -> Vec<(Endpoint, RequestOutcome, u64)> {
        let mut counted = Vec::new();
        for (endpoint, counters) in Endpoint::ALL.into_iter().zip(&self.0) {
            for (outcome, counter) in RequestOutcome::ALL.into_iter().zip(counters) {
                counted.push((endpoint, outcome, counter.swap(0, Ordering::Relaxed)));
            }
        }
        counted.retain(|(_, _, count)| *count > 0);
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_counted_once_under_its_endpoint_and_outcome() {
        let traffic = Traffic::default();
        let answer = |status: u16| Ok(http::Response::builder().status(status).body(Vec::new()).unwrap());
        for outcome in [answer(200), answer(400), answer(429), answer(500), Err(FetchError::TimedOut)] {
            traffic.note(Endpoint::Token, &outcome);
        }
        traffic.note(Endpoint::Keys, &answer(503));
        assert_eq!(
            traffic.take(),
            [
                (Endpoint::Keys, RequestOutcome::TurnedAway, 1),
                (Endpoint::Token, RequestOutcome::Answered, 2),
                (Endpoint::Token, RequestOutcome::TurnedAway, 1),
                (Endpoint::Token, RequestOutcome::Failed, 2),
            ]
        );
        assert_eq!(traffic.take(), []);
    }
}
