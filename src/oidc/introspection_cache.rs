//! What a provider has said of tokens lately, and which questions are under way.
//!
//! One for each provider, shared by all workers; it is asked only about tokens that a worker does not remember itself. Keys are SHA-256
//! of a random key and the token: no token is kept, and nobody outside can make two of them meet. Bounds: [`KEPT`] tokens that
//! are good and as many that are not, apart from each other, so that made-up tokens push out no real one; the one used
//! longest ago falls out. [`FLIGHTS`] questions at once: made-up tokens cost the provider no more than that, and further
//! unknown tokens get 503.
//!
//! May touch: nothing but memory. Trust boundary: tokens are a stranger's.

use std::collections::HashMap;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use super::token_error::TokenError;
use crate::claims::Claims;
use crate::clock::Timestamp;
use crate::crypto::random;

/// Tokens whose answers are kept, of either kind.
const KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);
/// Questions that may be under way.
const FLIGHTS: usize = 64;

type Key = [u8; 32];
type Outcome = Result<Answer, TokenError>;

/// What the provider said of a token.
#[derive(Clone)]
pub(super) struct Answer {
    /// The claims; none when the token is not active.
    pub(super) claims: Option<Arc<Claims>>,
    /// When it was said.
    pub(super) at: Timestamp,
}

/// The answers and the questions of one provider.
pub(super) struct Introspections {
    secret: [u8; 32],
    state: Mutex<State>,
}

struct State {
    active: LruCache<Key, Answer>,
    inactive: LruCache<Key, Answer>,
    flights: HashMap<Key, Arc<OnceCell<Outcome>>>,
}

/// What is known of a token.
pub(super) enum Found<'a> {
    /// This, and it is young enough.
    Answer(Answer),
    /// Nothing yet: there is a question to wait for, or to ask.
    Flight(Flight<'a>),
}

/// A question under way. Whoever holds one may be the one who asks; when that one goes away, the next asks.
pub(super) struct Flight<'a> {
    home: &'a Introspections,
    key: Key,
    cell: Arc<OnceCell<Outcome>>,
}

impl Introspections {
    pub(super) fn new() -> Self {
        let state = State {
            active: LruCache::new(KEPT),
            inactive: LruCache::new(KEPT),
            flights: HashMap::with_capacity(FLIGHTS),
        };
        Self { secret: random::bytes(), state: Mutex::new(state) }
    }

    /// An answer not older than `max_age`, or the question about this token.
    pub(super) fn look_up(&self, token: &str, max_age: Duration, now: Timestamp) -> Result<Found<'_>, TokenError> {
        let key = self.key(token);
        let mut state = self.state();
        if let Some(answer) = state.answer(&key).filter(|answer| now.since(answer.at) < max_age && answer.at <= now) {
            return Ok(Found::Answer(answer.clone()));
        }
        if state.flights.len() >= FLIGHTS && !state.flights.contains_key(&key) {
            return Err(TokenError::Busy);
        }
        let cell = Arc::clone(state.flights.entry(key).or_default());
        Ok(Found::Flight(Flight { home: self, key, cell }))
    }

    fn key(&self, token: &str) -> Key {
        Sha256::new_with_prefix(self.secret).chain_update(token.as_bytes()).finalize().into()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, key: Key, answer: &Answer) {
        let mut state = self.state();
        let State { active, inactive, .. } = &mut *state;
        let (here, there) = if answer.claims.is_some() { (active, inactive) } else { (inactive, active) };
        there.pop(&key);
        here.put(key, answer.clone());
    }
}

impl State {
    fn answer(&mut self, key: &Key) -> Option<&Answer> {
        self.active.get(key).or_else(|| self.inactive.get(key))
    }
}

impl Flight<'_> {
    /// Waits for the outcome; `ask` is run by one of those who wait.
    pub(super) async fn land(self, ask: impl Future<Output = Outcome>) -> Outcome {
        let ask = async {
            let outcome = ask.await;
            if let Ok(answer) = &outcome {
                self.home.keep(self.key, answer);
            }
            outcome
        };
        self.cell.get_or_init(|| ask).await.clone()
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut state = self.home.state();
        // The list's own and this one: nobody else waits.
        if Arc::strong_count(&self.cell) <= 2 {
            state.flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(30);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn answer(active: bool, seconds: i64) -> Answer {
        Answer { claims: active.then(Arc::default), at: at(seconds) }
    }

    async fn asked(cache: &Introspections, token: &str, seconds: i64, says: Outcome) -> (bool, Outcome) {
        match cache.look_up(token, AGE, at(seconds)) {
            Err(error) => (false, Err(error)),
            Ok(Found::Answer(answer)) => (false, Ok(answer)),
            Ok(Found::Flight(flight)) => (true, flight.land(async { says }).await),
        }
    }

    #[tokio::test]
    async fn answers_of_both_kinds_are_kept_for_their_time_and_failures_are_not() {
        let cache = Introspections::new();
        for active in [true, false] {
            let token = if active { "good" } else { "bad" };
            assert!(asked(&cache, token, 100, Ok(answer(active, 100))).await.0);
            let (again, outcome) = asked(&cache, token, 129, Err(TokenError::Unavailable)).await;
            assert_eq!((again, outcome.ok().map(|answer| answer.claims.is_some())), (false, Some(active)));
            assert!(asked(&cache, token, 130, Ok(answer(active, 130))).await.0, "too old");
            assert!(asked(&cache, token, 99, Ok(answer(active, 99))).await.0, "the clock went back");
        }
        assert!(asked(&cache, "away", 100, Err(TokenError::Unavailable)).await.0);
        assert!(asked(&cache, "away", 100, Ok(answer(true, 100))).await.0, "a failure was kept");
        assert!(cache.state().flights.is_empty());
    }

    #[tokio::test]
    async fn a_token_that_is_withdrawn_is_no_longer_among_the_good_ones() {
        let cache = Introspections::new();
        let _ = asked(&cache, "token", 100, Ok(answer(true, 100))).await;
        let _ = asked(&cache, "token", 200, Ok(answer(false, 200))).await;
        let (_, outcome) = asked(&cache, "token", 201, Err(TokenError::Busy)).await;
        assert!(outcome.ok().unwrap().claims.is_none());
    }

    #[tokio::test]
    async fn one_question_serves_all_who_wait_and_the_next_asks_when_the_first_goes_away() {
        let cache = Introspections::new();
        let flight = || match cache.look_up("token", AGE, at(100)) {
            Ok(Found::Flight(flight)) => flight,
            _ => panic!("no flight"),
        };
        let (first, second, third) = (flight(), flight(), flight());
        let mut gone = Box::pin(first.land(std::future::pending()));
        assert!(futures_pending(&mut gone).await);
        drop(gone);
        let (second, third) =
            tokio::join!(second.land(async { Ok(answer(true, 100)) }), third.land(async { panic!("asked twice") }));
        assert!(second.is_ok() && third.is_ok() && cache.state().flights.is_empty());
    }

    async fn futures_pending<F: Future + Unpin>(future: &mut F) -> bool {
        tokio::select! {
            biased;
            _ = future => false,
            () = std::future::ready(()) => true,
        }
    }

    #[tokio::test]
    async fn questions_under_way_are_bounded() {
        let cache = Introspections::new();
        let tokens: Vec<String> = (0..FLIGHTS).map(|number| number.to_string()).collect();
        let flights: Vec<_> = tokens.iter().map(|token| cache.look_up(token, AGE, at(1)).ok().unwrap()).collect();
        assert!(matches!(cache.look_up("one more", AGE, at(1)), Err(TokenError::Busy)));
        assert!(cache.look_up("7", AGE, at(1)).is_ok(), "joining costs nothing");
        drop(flights);
        assert!(cache.look_up("one more", AGE, at(1)).is_ok());
    }

    #[tokio::test]
    async fn made_up_tokens_push_out_no_real_one() {
        let cache = Introspections::new();
        let _ = asked(&cache, "real", 100, Ok(answer(true, 100))).await;
        for number in 0..KEPT.get() + 10 {
            let _ = asked(&cache, &format!("junk-{number}"), 100, Ok(answer(false, 100))).await;
        }
        assert!(!asked(&cache, "real", 101, Err(TokenError::Busy)).await.0);
        assert_eq!(cache.state().inactive.len(), KEPT.get());
    }
}
