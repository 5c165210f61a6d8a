//! What a provider has said of tokens lately, and which questions are under way.
//!
//! One for each provider, shared by all workers; it is asked only about tokens that a worker does not remember itself. Keys are SHA-256
//! of a random key and the token: no token is kept, and nobody outside can make two of them meet. Bounds: [`KEPT`] tokens that
//! are good and as many that are not, apart from each other, so that made-up tokens push out no real one; the one used
//! longest ago falls out. [`FLIGHTS`] questions at once, [`FLIGHTS_OF_STRANGERS`] of them about tokens that were not good when the provider
//! last spoke of them: made-up tokens leave places for those that were; what finds none gets 503.
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
/// Of these, as long as there are so many, no more may begin about tokens of which nobody knows that they are good.
const FLIGHTS_OF_STRANGERS: usize = 48;

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
    flights: HashMap<Key, Question>,
}

/// A question, and how many hold it. Counted under the lock, not by the `Arc`: of two who leave at once, one is the last.
#[derive(Default)]
struct Question {
    outcome: Arc<OnceCell<Outcome>>,
    holders: usize,
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
    outcome: Arc<OnceCell<Outcome>>,
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

    /// An answer not older than `max_age`, or the question about this token. `stranger` is run, under the lock, before a question is begun about
    /// a token that was not good when the provider last spoke of it, and can forbid it.
    pub(super) fn look_up(
        &self,
        token: &str,
        max_age: Duration,
        now: Timestamp,
        stranger: impl FnOnce() -> Result<(), TokenError>,
    ) -> Result<Found<'_>, TokenError> {
        let key = self.key(token);
        let mut state = self.state();
        if let Some(answer) = state.answer(&key).filter(|answer| now.since(answer.at) < max_age && answer.at <= now) {
            return Ok(Found::Answer(answer.clone()));
        }
        // One that is over is not asked again: its outcome is for those who waited.
        let is_open = state.flights.get(&key).is_some_and(|question| !question.outcome.initialized());
        if !is_open {
            let was_good = state.active.contains(&key);
            if state.flights.len() >= if was_good { FLIGHTS } else { FLIGHTS_OF_STRANGERS } {
                return Err(TokenError::Busy);
            }
            if !was_good {
                stranger()?;
            }
            state.flights.insert(key, Question::default());
        }
        let question = state.flights.entry(key).or_default();
        question.holders += 1;
        Ok(Found::Flight(Flight { home: self, key, outcome: Arc::clone(&question.outcome) }))
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
        self.outcome.get_or_init(|| ask).await.clone()
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut state = self.home.state();
        // Another one about the same token may have taken its place.
        let own = state.flights.get_mut(&self.key).filter(|question| Arc::ptr_eq(&question.outcome, &self.outcome));
        let Some(question) = own else { return };
        question.holders -= 1;
        if question.holders == 0 {
            state.flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const AGE: Duration = Duration::from_secs(30);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn answer(active: bool, seconds: i64) -> Answer {
        Answer { claims: active.then(Arc::default), at: at(seconds) }
    }

    fn flight<'a>(cache: &'a Introspections, token: &str) -> Flight<'a> {
        match cache.look_up(token, AGE, at(100), || Ok(())) {
            Ok(Found::Flight(flight)) => flight,
            _ => panic!("no flight"),
        }
    }

    async fn asked(cache: &Introspections, token: &str, seconds: i64, says: Outcome) -> (bool, Outcome) {
        match cache.look_up(token, AGE, at(seconds), || Ok(())) {
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
        let flight = || flight(&cache, "token");
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

    /// Waits, without sleeping, until both threads have come here for the `nth` time.
    fn meet(came: &AtomicUsize, nth: usize) {
        came.fetch_add(1, Ordering::SeqCst);
        let mut turns = 0_u32;
        while came.load(Ordering::SeqCst) < 2 * nth {
            turns += 1;
            // On one core the other thread needs a turn.
            if turns.is_multiple_of(128) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }

    #[test]
    fn of_two_who_leave_a_question_in_the_same_moment_the_last_takes_it_away() {
        const ROUNDS: usize = 1_000;
        let tokens: Vec<String> = (0..32).map(|number| number.to_string()).collect();
        let (cache, came, left_behind) = (Introspections::new(), AtomicUsize::new(0), AtomicUsize::new(0));
        let leave_together = || {
            for round in 0..ROUNDS {
                let flights: Vec<_> = tokens.iter().map(|token| flight(&cache, token)).collect();
                meet(&came, 3 * round + 1);
                drop(flights);
                meet(&came, 3 * round + 2);
                left_behind.fetch_add(cache.state().flights.len(), Ordering::SeqCst);
                meet(&came, 3 * round + 3);
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(leave_together);
            scope.spawn(leave_together);
        });
        assert_eq!(left_behind.into_inner(), 0, "of {ROUNDS} rounds");
    }

    #[tokio::test]
    async fn whoever_asks_after_an_outcome_gets_no_share_of_it() {
        let cache = Introspections::new();
        let (first, waiting) = (flight(&cache, "token"), flight(&cache, "token"));
        assert!(first.land(async { Err(TokenError::Unavailable) }).await.is_err());
        // Somebody still holds the question that failed.
        let late = flight(&cache, "token");
        assert_eq!(waiting.land(async { panic!("asked twice") }).await.err(), Some(TokenError::Unavailable));
        let joined = flight(&cache, "token");
        assert!(late.land(async { Ok(answer(true, 100)) }).await.is_ok(), "an old outcome");
        assert!(joined.land(async { panic!("asked twice") }).await.is_ok());
        assert!(cache.state().flights.is_empty());
    }

    #[tokio::test]
    async fn questions_under_way_are_bounded_and_made_up_tokens_leave_places_for_good_ones() {
        let cache = Introspections::new();
        let begin = |token: &str| cache.look_up(token, AGE, at(200), || Ok(()));
        let good: Vec<String> = (0..FLIGHTS).map(|number| format!("good-{number}")).collect();
        for token in &good {
            assert!(asked(&cache, token, 100, Ok(answer(true, 100))).await.1.is_ok());
        }
        let tokens: Vec<String> = (0..FLIGHTS_OF_STRANGERS).map(|number| number.to_string()).collect();
        let mut flights: Vec<_> = tokens.iter().map(|token| begin(token).ok().unwrap()).collect();
        assert!(matches!(begin("one more"), Err(TokenError::Busy)));
        assert!(begin("7").is_ok(), "joining costs nothing");
        flights.extend(good.iter().take(FLIGHTS - FLIGHTS_OF_STRANGERS).map(|token| begin(token).ok().unwrap()));
        assert!(matches!(begin(good.last().unwrap()), Err(TokenError::Busy)));
        drop(flights);
        assert!(begin("one more").is_ok() && cache.state().flights.is_empty());
    }

    #[tokio::test]
    async fn d03_a_question_is_a_strangers_where_it_is_begun_about_a_token_that_was_not_good() {
        let cache = Introspections::new();
        let begin = |token: &str, seconds: i64| {
            let mut strange = false;
            let found = cache.look_up(token, AGE, at(seconds), || {
                strange = true;
                Ok(())
            });
            (found.ok().unwrap(), strange)
        };
        let (first, strange) = begin("token", 100);
        assert!(strange && !begin("token", 100).1, "only who begins it");
        drop(first);
        for (seconds, active, strange) in
            [(100, true, true), (200, false, false), (300, true, true), (400, true, false)]
        {
            let (Found::Flight(flight), found) = begin("token", seconds) else { panic!("no flight") };
            assert_eq!(found, strange, "{seconds}");
            let _ = flight.land(async { Ok(answer(active, seconds)) }).await;
            assert!(!begin("token", seconds).1, "remembered");
        }
        let forbidden = cache.look_up("other", AGE, at(100), || Err(TokenError::Busy));
        assert!(forbidden.is_err() && cache.state().flights.is_empty());
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
