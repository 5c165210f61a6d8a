//! One refresh for each session and token, however many requests ask for it at once and on however many workers (C10).
//!
//! The first request that finds a session due leads; those that come while the provider is asked follow and share what it brings, and wait no
//! longer than the first one does. Until [`GRACE`] after an answer took it to the browser, and at most for [`LONGEST_GRACE`], requests that
//! still bring the old cookie are given the same; later ones have no session, and never does a token that
//! was exchanged go to the provider a second time, which would take it for stolen. After a failure nobody asks until a pause is over. What seems
//! to be further in the future than it can be is over: the clock was set back.
//!
//! Shared by all workers behind a lock that only sessions that are due take, and answers that renew one, for as long as a look-up, and now and then whoever tidies. Bounds:
//! [`SESSIONS`] sessions, the oldest falls out (its old token may then be tried once more, and the provider decides); [`CARGO`] results, the
//! oldest is let go early. An entry is made for a sealed ticket only, so a stranger can fill nothing.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::session::{RefreshTicket, Session, SessionId};

/// How long requests wait for the provider, from the moment that it is asked.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the cookie from before a refresh is good once an answer has carried the new one.
const GRACE: Duration = Duration::from_secs(60);
/// How long it is at most, as when all answers are late.
const LONGEST_GRACE: Duration = Duration::from_secs(600);
const SESSIONS: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
const CARGO: usize = 4096;
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// How a refresh ended.
#[derive(Clone)]
pub(super) enum Landing {
    /// The session goes on with this.
    Renewed(Arc<Brought>),
    /// The provider does not stand by the session.
    Ended,
    /// The provider could not be asked; it is not asked again before this moment.
    Kept(Timestamp),
}

/// What a refresh brought.
pub(super) struct Brought {
    pub(super) session: Session,
    pub(super) ticket: RefreshTicket,
    /// When the first answer took it to the browser, in milliseconds since the epoch.
    arrived: AtomicI64,
}

const NOT_YET: i64 = i64::MIN;

impl Brought {
    pub(super) const fn new(session: Session, ticket: RefreshTicket) -> Self {
        Self { session, ticket, arrived: AtomicI64::new(NOT_YET) }
    }

    /// Notes that an answer takes it to the browser; the first one counts.
    pub(super) fn arrives(&self, now: Timestamp) {
        let _ = self.arrived.compare_exchange(NOT_YET, now.millis(), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether the cookie from before is no longer good, for a refresh that landed then.
    fn is_over(&self, landed: Timestamp, now: Timestamp) -> bool {
        let away = |at: Timestamp| now.since(at).max(at.since(now));
        let arrived = self.arrived.load(Ordering::Relaxed);
        away(landed) >= LONGEST_GRACE || (arrived != NOT_YET && away(Timestamp::from_millis(arrived)) >= GRACE)
    }
}

/// What a request that finds a session due is to do.
pub(super) enum Boarding {
    /// Ask the provider, and land.
    Lead(Lead),
    /// Wait for the one who asks.
    Follow(Waiting),
    /// It was asked just now.
    Landed(Landing),
    /// It was asked, and the grace is over.
    Late,
}

/// Whoever asks the provider; dropped without landing, the next one may ask.
pub(super) struct Lead {
    flights: Arc<Flights>,
    key: (SessionId, u32),
    failures: u32,
    landed: watch::Sender<Option<Landing>>,
    until: Instant,
}

/// What a request waits on, and until when.
#[derive(Clone)]
pub(super) struct Waiting {
    landed: watch::Receiver<Option<Landing>>,
    until: Instant,
}

/// All refreshes under way and those of the last time.
pub(super) struct Flights(Mutex<Table>);

struct Table {
    sessions: LruCache<SessionId, Flight>,
    /// Results in the order in which they came.
    cargo: VecDeque<(SessionId, u32)>,
}

struct Flight {
    /// Of the ticket that is being exchanged or was.
    generation: u32,
    failures: u32,
    state: State,
}

enum State {
    Flying(Waiting),
    Landed(Landing, Timestamp),
    Past,
}

impl Default for Flights {
    fn default() -> Self {
        Self(Mutex::new(Table { sessions: LruCache::new(SESSIONS), cargo: VecDeque::new() }))
    }
}

impl Flights {
    /// Decides who asks the provider for the session of this ticket.
    pub(super) fn board(self: &Arc<Self>, ticket: &RefreshTicket, now: Timestamp) -> Boarding {
        let key = (ticket.session, ticket.generation);
        let mut table = self.table();
        let mut failures = 0;
        match table.sessions.peek(&ticket.session) {
            Some(flight) if flight.generation > ticket.generation => return Boarding::Late,
            Some(flight) if flight.generation == ticket.generation => {
                match &flight.state {
                    State::Flying(waiting) if waiting.landed.has_changed().is_ok() => {
                        return Boarding::Follow(waiting.clone());
                    }
                    // Who led went away without landing.
                    State::Flying(_) => {}
                    State::Landed(Landing::Kept(until), _) if now >= *until || until.since(now) > LONGEST_PAUSE => {}
                    State::Landed(Landing::Renewed(brought), at) if brought.is_over(*at, now) => return Boarding::Late,
                    State::Landed(landing, _) => return Boarding::Landed(landing.clone()),
                    State::Past => return Boarding::Late,
                }
                failures = flight.failures;
            }
            _ => {}
        }
        let (landed, following) = watch::channel(None);
        let until = Instant::now() + PATIENCE;
        let state = State::Flying(Waiting { landed: following, until });
        table.sessions.put(ticket.session, Flight { generation: ticket.generation, failures, state });
        Boarding::Lead(Lead { flights: Arc::clone(self), key, failures, landed, until })
    }

    /// What is to reach the browser now in place of this: what a later refresh brought, or the same; none where the browser has had what is
    /// newer for a while, or the session is over.
    pub(super) fn newest(&self, brought: Arc<Brought>, now: Timestamp) -> Option<Arc<Brought>> {
        let table = self.table();
        let flight = table.sessions.peek(&brought.session.id);
        let Some(flight) = flight.filter(|flight| flight.generation >= brought.ticket.generation) else {
            return Some(brought);
        };
        match &flight.state {
            State::Landed(Landing::Renewed(newer), at) if !newer.is_over(*at, now) => Some(Arc::clone(newer)),
            State::Landed(Landing::Renewed(_) | Landing::Ended, _) | State::Past => None,
            // It is what is being exchanged, and good meanwhile.
            State::Flying(_) | State::Landed(Landing::Kept(_), _) => {
                (flight.generation == brought.ticket.generation).then_some(brought)
            }
        }
    }

    /// Whether a refresh of this session, or of a later one, has landed: what is newer than it is on its way to the browser.
    pub(super) fn has_gone_on(&self, session: &Session) -> bool {
        let table = self.table();
        table.sessions.peek(&session.id).is_some_and(|flight| match &flight.state {
            _ if flight.generation != session.generation => flight.generation > session.generation,
            State::Flying(_) | State::Landed(Landing::Kept(_), _) => false,
            State::Landed(Landing::Renewed(_) | Landing::Ended, _) | State::Past => true,
        })
    }

    /// Lets go of results whose grace is over; to be called now and then.
    pub(super) fn tidy(&self, now: Timestamp) {
        self.table().tidy(now);
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn tidy(&mut self, now: Timestamp) {
        let Self { sessions, cargo } = self;
        cargo.retain(|(session, generation)| {
            let flight = sessions.peek_mut(session).filter(|flight| flight.generation == *generation);
            match flight.map(|flight| &mut flight.state) {
                Some(State::Landed(Landing::Renewed(brought), at)) if !brought.is_over(*at, now) => true,
                Some(state @ State::Landed(..)) => {
                    *state = State::Past;
                    false
                }
                _ => false,
            }
        });
    }

    fn add_cargo(&mut self, key: (SessionId, u32)) {
        self.cargo.push_back(key);
        if self.cargo.len() <= CARGO {
            return;
        }
        if let Some((session, generation)) = self.cargo.pop_front()
            && let Some(flight) = self.sessions.peek_mut(&session).filter(|flight| flight.generation == generation)
        {
            flight.state = State::Past;
        }
    }

    fn land(&mut self, (session, generation): (SessionId, u32), failures: u32, landing: Landing, now: Timestamp) {
        let Some(flight) = self.sessions.peek_mut(&session).filter(|flight| flight.generation == generation) else {
            return;
        };
        // A session that ended stays ended; a failure is no result.
        let is_cargo = matches!(landing, Landing::Renewed(_));
        flight.failures = failures;
        flight.state = State::Landed(landing, now);
        if is_cargo {
            self.add_cargo((session, generation));
        }
    }
}

impl Lead {
    /// What the one who leads waits on.
    pub(super) fn waiting(&self) -> Waiting {
        Waiting { landed: self.landed.subscribe(), until: self.until }
    }

    /// Tells everybody what the provider said.
    pub(super) fn land(self, landing: Landing, now: Timestamp) {
        let failures = 0;
        self.flights.table().land(self.key, failures, landing.clone(), now);
        self.landed.send_replace(Some(landing));
    }

    /// Tells everybody that the provider could not be asked, and when it may be again: after a pause that grows with every failure.
    pub(super) fn fail(self, now: Timestamp) {
        let pause = (FIRST_PAUSE * 2u32.saturating_pow(self.failures)).min(LONGEST_PAUSE);
        let landing = Landing::Kept(now.after(pause));
        self.flights.table().land(self.key, self.failures.saturating_add(1).min(10), landing.clone(), now);
        self.landed.send_replace(Some(landing));
    }
}

impl Waiting {
    /// Waits for the landing; none when [`PATIENCE`] is over, or nobody leads any more.
    pub(super) async fn landing(mut self) -> Option<Landing> {
        let landed = tokio::time::timeout_at(self.until, self.landed.wait_for(Option::is_some)).await;
        landed.ok()?.ok().and_then(|landing| landing.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Secret;
    use crate::session::tests::session;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn ticket() -> RefreshTicket {
        RefreshTicket::first(SessionId::new(), "nonce", Secret::new("token".to_owned()))
    }

    fn brought(ticket: &RefreshTicket) -> Arc<Brought> {
        Arc::new(Brought::new(session(NOW), ticket.next(None)))
    }

    fn renewed(ticket: &RefreshTicket) -> Landing {
        Landing::Renewed(brought(ticket))
    }

    fn lead(flights: &Arc<Flights>, ticket: &RefreshTicket, now: Timestamp) -> Lead {
        let Boarding::Lead(lead) = flights.board(ticket, now) else { panic!("somebody leads already") };
        lead
    }

    #[tokio::test]
    async fn c10_one_leads_and_all_others_get_what_it_brings() {
        let (flights, ticket) = (Arc::new(Flights::default()), ticket());
        let lead = lead(&flights, &ticket, NOW);
        let mut followers = Vec::new();
        for _ in 0..50 {
            let Boarding::Follow(waiting) = flights.board(&ticket, NOW) else { panic!("a second one leads") };
            followers.push(tokio::spawn(waiting.landing()));
        }
        lead.land(renewed(&ticket), NOW);
        for follower in followers {
            assert!(matches!(follower.await.unwrap(), Some(Landing::Renewed(_))));
        }
    }

    #[test]
    fn c10_the_old_cookie_is_good_for_the_grace_and_its_token_is_never_used_again() {
        let (flights, ticket) = (Arc::new(Flights::default()), ticket());
        let result = brought(&ticket);
        lead(&flights, &ticket, NOW).land(Landing::Renewed(Arc::clone(&result)), NOW);
        let at = |seconds| NOW.after(Duration::from_secs(seconds));
        let good = |seconds| {
            flights.tidy(at(seconds));
            matches!(flights.board(&ticket, at(seconds)), Boarding::Landed(Landing::Renewed(_)))
        };
        assert!(good(0) && good(500), "no answer has brought the new one yet");
        result.arrives(at(500));
        result.arrives(at(550));
        assert!(good(559) && !good(560), "it counts from the first one");
        assert!(matches!(flights.board(&ticket, at(560)), Boarding::Late));
        assert!(matches!(flights.board(&ticket, at(100_000)), Boarding::Late));
        let next = ticket.next(None);
        assert!(matches!(flights.board(&next, at(600)), Boarding::Lead(_)), "the new one is");
        assert!(matches!(flights.board(&ticket, at(601)), Boarding::Late), "two behind");
        assert!(flights.table().cargo.is_empty());
    }

    #[test]
    fn c10_a_session_has_gone_on_when_a_refresh_of_it_or_of_a_later_one_has_landed() {
        let flights = Arc::new(Flights::default());
        let first = session(NOW);
        let ticket = RefreshTicket::first(first.id, "nonce", Secret::new("token".to_owned()));
        let second = Session { generation: 1, ..first.clone() };
        assert!(!flights.has_gone_on(&first));
        let asking = lead(&flights, &ticket, NOW);
        assert!(!flights.has_gone_on(&first), "nobody knows yet");
        asking.fail(NOW);
        assert!(!flights.has_gone_on(&first), "the provider could not be asked");
        let later = NOW.after(LONGEST_PAUSE);
        lead(&flights, &ticket, later).land(renewed(&ticket), later);
        assert!(flights.has_gone_on(&first) && !flights.has_gone_on(&second));
        flights.tidy(later.after(LONGEST_GRACE));
        assert!(flights.has_gone_on(&first) && !flights.has_gone_on(&second), "long ago");
        let asking = lead(&flights, &ticket.next(None), later);
        assert!(flights.has_gone_on(&first) && !flights.has_gone_on(&second), "an older one is older still");
        asking.land(Landing::Ended, later);
        assert!(flights.has_gone_on(&second) && !flights.has_gone_on(&session(NOW)));
    }

    #[test]
    fn c10_the_old_cookie_is_not_good_for_ever_where_no_answer_brings_the_new_one() {
        let (flights, ticket) = (Arc::new(Flights::default()), ticket());
        lead(&flights, &ticket, NOW).land(renewed(&ticket), NOW);
        let at = |seconds| NOW.after(Duration::from_secs(seconds));
        assert!(matches!(flights.board(&ticket, at(599)), Boarding::Landed(_)));
        assert!(matches!(flights.board(&ticket, at(600)), Boarding::Late));
    }

    #[test]
    fn c11_a_clock_that_is_set_back_keeps_nothing_good_and_nothing_waiting() {
        let flights = Arc::new(Flights::default());
        let (first, second, failed) = (ticket(), ticket(), ticket());
        let (early, before) = (brought(&first), NOW.before(Duration::from_secs(3600)));
        lead(&flights, &first, NOW).land(Landing::Renewed(Arc::clone(&early)), NOW);
        early.arrives(NOW);
        lead(&flights, &failed, NOW).fail(NOW);
        let late = brought(&second);
        lead(&flights, &second, before).land(Landing::Renewed(Arc::clone(&late)), before);
        late.arrives(before);
        flights.tidy(before);
        assert_eq!(flights.table().cargo.len(), 1, "what seems to come from the future is over");
        assert!(matches!(flights.board(&first, before), Boarding::Late));
        assert!(matches!(flights.board(&failed, before), Boarding::Lead(_)), "and a pause of an hour is none");
        let now = before.after(Duration::from_secs(59));
        assert!(matches!(flights.board(&second, now), Boarding::Landed(_)));
        flights.tidy(before.after(GRACE));
        assert!(flights.table().cargo.is_empty(), "nothing stands before it that stays");
        // A small step is no reason to take anything for over.
        let third = ticket();
        lead(&flights, &third, NOW).land(renewed(&third), NOW);
        assert!(matches!(flights.board(&third, NOW.before(Duration::from_secs(5))), Boarding::Landed(_)));
    }

    #[tokio::test]
    async fn r03_all_wait_as_long_as_the_first_one_and_later_ones_not_at_all() {
        let (flights, ticket) = (Arc::new(Flights::default()), ticket());
        let lead = lead(&flights, &ticket, NOW);
        let Boarding::Follow(mut waiting) = flights.board(&ticket, NOW) else { panic!("a second one leads") };
        assert_eq!(waiting.until, lead.waiting().until, "it counts from when the provider was asked");
        waiting.until = Instant::now();
        assert!(waiting.clone().landing().await.is_none(), "it is still under way");
        lead.land(renewed(&ticket), NOW);
        assert!(waiting.landing().await.is_some(), "what is there needs no waiting");
    }

    #[test]
    fn r03_after_a_failure_nobody_asks_until_a_growing_pause_is_over() {
        let (flights, ticket) = (Arc::new(Flights::default()), ticket());
        let mut now = NOW;
        for pause in [5, 10, 20, 40, 80, 160, 300, 300] {
            lead(&flights, &ticket, now).fail(now);
            let just_before = now.after(Duration::from_secs(pause - 1));
            assert!(matches!(flights.board(&ticket, just_before), Boarding::Landed(Landing::Kept(_))), "{pause}");
            now = now.after(Duration::from_secs(pause));
        }
        lead(&flights, &ticket, now).land(Landing::Ended, now);
        assert!(matches!(flights.board(&ticket, now.after(LONGEST_GRACE)), Boarding::Landed(Landing::Ended)));
    }

    #[tokio::test]
    async fn c10_a_leader_that_goes_away_keeps_nobody_waiting() {
        let (flights, ticket) = (Arc::new(Flights::default()), ticket());
        let first = lead(&flights, &ticket, NOW);
        let Boarding::Follow(waiting) = flights.board(&ticket, NOW) else { panic!("a second one leads") };
        drop(first);
        assert!(waiting.landing().await.is_none());
        lead(&flights, &ticket, NOW);
    }

    #[test]
    fn c10_memory_is_bounded() {
        let flights = Arc::new(Flights::default());
        for _ in 0..SESSIONS.get() + 100 {
            let ticket = ticket();
            lead(&flights, &ticket, NOW).land(renewed(&ticket), NOW);
        }
        let table = flights.table();
        assert_eq!((table.sessions.len(), table.cargo.len()), (SESSIONS.get(), CARGO));
        let kept = table.sessions.iter().filter(|(_, flight)| !matches!(flight.state, State::Past)).count();
        assert_eq!(kept, CARGO);
    }
}
