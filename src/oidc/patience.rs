//! How often a provider is asked again, and when it is left alone.
//!
//! A request that a provider turns away (429, 503) or that finds no connection is made again, at most twice, after jittered pauses that
//! double; what is idempotent also after 502 and 504. `Retry-After` is respected: a pause that fits into the request's own time limit is
//! waited for, a longer one ends the request, and until it is over that endpoint is not asked at all. So a provider that limits
//! its clients sees fewer requests from a gateway under load and not more.
//!
//! May touch: the network through `http_client`, the clock. Trust boundary: `Retry-After` is the provider's word: no endpoint is left alone
//! for longer than [`LONGEST_REST`]. Bounds: one moment for each endpoint; nothing queues.
//! Specifications: RFC 9110 sections 10.2.3 and 15.6.4, RFC 6585 section 4.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::RETRY_AFTER;

use super::availability::FetchError;
use super::endpoint::Endpoint;
use super::freshness;
use super::http_client::{HttpRequest, HttpResponse};
use super::provider::Provider;
use crate::clock::Timestamp;
use crate::crypto::random;

/// How often one request is made at most.
const TRIES: u32 = 3;
/// The first pause between two tries; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause that a request waits for.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The longest time that an endpoint is left alone because the provider asked for it.
const LONGEST_REST: Duration = Duration::from_secs(600);

/// Until when each endpoint is left alone, in seconds since 1970; zero for those that may be asked.
#[derive(Default)]
pub(super) struct Rests([AtomicI64; Endpoint::ALL.len()]);

impl Rests {
    fn of(&self, endpoint: Endpoint) -> Option<&AtomicI64> {
        self.0.get(Endpoint::ALL.iter().position(|one| *one == endpoint)?)
    }

    /// How much longer an endpoint is left alone. A clock that went back ends a rest that became longer than any may be.
    pub(super) fn left(&self, endpoint: Endpoint, now: Timestamp) -> Option<Duration> {
        let until = self.of(endpoint)?.load(Ordering::Relaxed);
        let left = u64::try_from(until.saturating_sub(now.seconds())).ok().map(Duration::from_secs)?;
        Some(left).filter(|left| !left.is_zero() && *left <= LONGEST_REST)
    }

    fn begin(&self, endpoint: Endpoint, now: Timestamp, rest: Duration) {
        if let Some(until) = self.of(endpoint) {
            until.store(now.after(rest.min(LONGEST_REST)).seconds(), Ordering::Relaxed);
        }
    }
}

impl Provider {
    /// Makes a request of `make` until it is answered or there is no sense in another try.
    pub(super) async fn fetch_patiently(
        &self,
        endpoint: Endpoint,
        make: impl Fn() -> Result<HttpRequest, FetchError>,
    ) -> Result<HttpResponse, FetchError> {
        if self.rests().left(endpoint, self.now()).is_some() {
            return Err(FetchError::Resting);
        }
        let begun = Instant::now();
        let mut tries = 1;
        loop {
            let outcome = self.http().fetch(make()?).await;
            self.traffic().note(endpoint, &outcome);
            let asked_for = outcome.as_ref().ok().and_then(|answer| asked_to_wait(answer, self.now()));
            let pause = asked_for.unwrap_or_else(|| jittered(PAUSE * 2u32.pow(tries - 1)));
            let in_time = begun.elapsed().saturating_add(pause) < self.settings().limits.total;
            if !is_worth_another(endpoint, &outcome) {
                return outcome;
            }
            if tries == TRIES || pause > LONGEST_PAUSE || !in_time {
                return self.give_up(endpoint, outcome, asked_for);
            }
            tries += 1;
            tokio::time::sleep(pause).await;
        }
    }

    /// The last outcome; where the provider turned us away, as an error, and the endpoint rests for as long as was asked for.
    fn give_up(
        &self,
        endpoint: Endpoint,
        outcome: Result<HttpResponse, FetchError>,
        asked_for: Option<Duration>,
    ) -> Result<HttpResponse, FetchError> {
        match outcome {
            Ok(answer) if is_turned_away(answer.status()) => {
                if let Some(rest) = asked_for {
                    self.rests().begin(endpoint, self.now(), rest);
                    let (provider, seconds) = (self.name(), rest.as_secs());
                    tracing::warn!(
                        provider,
                        endpoint = endpoint.as_str(),
                        seconds,
                        "the provider asks to be left alone"
                    );
                }
                Err(FetchError::TurnedAway)
            }
            outcome => outcome,
        }
    }
}

/// RFC 9110 section 10.2.3: seconds, or a date; of what is longer than any rest, only that much.
pub(super) fn asked_to_wait(answer: &HttpResponse, now: Timestamp) -> Option<Duration> {
    let text = answer.headers().get(RETRY_AFTER).filter(|_| is_turned_away(answer.status()))?.to_str().ok()?.trim();
    let asked = match freshness::seconds(text) {
        Some(seconds) => Duration::from_secs(seconds),
        None => Timestamp::from_system_time(httpdate::parse_http_date(text).ok()?).since(now),
    };
    Some(asked.min(LONGEST_REST))
}

/// Whether another try may bring what this one did not. What may have been acted upon is not made twice: a code is good once.
fn is_worth_another(endpoint: Endpoint, outcome: &Result<HttpResponse, FetchError>) -> bool {
    match outcome {
        Ok(answer) if is_turned_away(answer.status()) => true,
        Ok(answer) => {
            let behind = [StatusCode::BAD_GATEWAY, StatusCode::GATEWAY_TIMEOUT].contains(&answer.status());
            behind && endpoint.is_idempotent()
        }
        // Nothing was sent.
        Err(FetchError::Connect(_) | FetchError::NameUnknown) => true,
        // The connection broke off, perhaps after the request was acted upon.
        Err(FetchError::Protocol) => endpoint.is_idempotent(),
        Err(_) => false,
    }
}

fn is_turned_away(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

/// Between three quarters and all of `span`, so that many gateways do not ask at the same moment.
pub(super) fn jittered(span: Duration) -> Duration {
    let [byte] = random::bytes::<1>();
    span.mul_f64(1.0 - f64::from(byte) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r16_a_rest_ends_and_is_never_longer_than_its_bound() {
        let (rests, now) = (Rests::default(), Timestamp::from_seconds(1_800_000_000));
        assert_eq!(rests.left(Endpoint::Token, now), None);
        rests.begin(Endpoint::Token, now, Duration::from_secs(30));
        assert_eq!(rests.left(Endpoint::Token, now), Some(Duration::from_secs(30)));
        assert_eq!(rests.left(Endpoint::Keys, now), None);
        assert_eq!(rests.left(Endpoint::Token, now.after(Duration::from_secs(30))), None);
        rests.begin(Endpoint::Token, now, Duration::from_secs(u64::MAX));
        assert_eq!(rests.left(Endpoint::Token, now), Some(LONGEST_REST));
        assert_eq!(rests.left(Endpoint::Token, now.before(Duration::from_secs(1))), None);
    }

    #[test]
    fn r16_what_may_have_been_acted_upon_is_not_made_twice() {
        let answer = |status: u16| Ok(http::Response::builder().status(status).body(Vec::new()).unwrap());
        for (outcome, token, keys) in [
            (answer(200), false, false),
            (answer(400), false, false),
            (answer(429), true, true),
            (answer(500), false, false),
            (answer(502), false, true),
            (answer(503), true, true),
            (Err(FetchError::Connect(std::io::ErrorKind::ConnectionRefused)), true, true),
            (Err(FetchError::Protocol), false, true),
            (Err(FetchError::TimedOut), false, false),
            (Err(FetchError::TooLarge), false, false),
        ] {
            assert_eq!(is_worth_another(Endpoint::Token, &outcome), token, "{outcome:?}");
            assert_eq!(is_worth_another(Endpoint::Keys, &outcome), keys, "{outcome:?}");
        }
    }

    #[test]
    fn pauses_differ_and_are_never_longer_than_said() {
        let pauses: std::collections::BTreeSet<Duration> = (0..64).map(|_| jittered(PAUSE)).collect();
        assert!(pauses.len() > 8 && pauses.iter().all(|pause| *pause <= PAUSE && *pause >= PAUSE * 3 / 4));
    }

    /// A provider that turns away every request, with the next of these words in `Retry-After`.
    async fn turning_away(retry_after: [&'static str; 2]) -> std::sync::Arc<Provider> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for after in retry_after {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 2048]).await;
                let answer = format!("HTTP/1.1 503 -\r\nRetry-After: {after}\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let mut settings = crate::oidc::ProviderSettings::new("idp", &issuer, "lychgate");
        settings.client_secret = Some(crate::crypto::Secret::new("secret".to_owned()));
        Provider::new(settings, crate::clock::Clock::system()).ok().unwrap()
    }

    #[tokio::test]
    async fn r16_the_longest_retry_after_that_can_be_written_is_a_rest_like_any_other() {
        // A second has passed when it comes: the sum would be longer than any duration.
        let provider = turning_away(["1", "18446744073709551615"]).await;
        assert!(provider.discovered_now().await.is_err());
        let rests = provider.resting();
        assert!(matches!(rests[..], [(Endpoint::Metadata, left)] if left > LONGEST_REST / 2), "{rests:?}");
    }
}
