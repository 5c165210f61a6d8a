//! How long a body may be silent, and whether it may still go on.
//!
//! May touch: a timer, made only once something had to be waited for. Trust boundary: none.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::BodyError;
use super::leash::Held;

/// Notices when nothing comes for too long; a timer exists only once something had to be waited for.
pub(super) struct Silence {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// When the present silence has lasted too long.
    over_at: Option<Instant>,
}

impl Silence {
    pub(super) const fn new(limit: Duration) -> Self {
        Self { limit, timer: None, over_at: None }
    }

    /// Something came.
    pub(super) const fn broken(&mut self) {
        self.over_at = None;
    }

    /// Nothing is there: ready once the silence has lasted too long, or `held` does not hold any more.
    pub(super) fn poll_over(&mut self, context: &mut Context<'_>, mut held: Option<&mut Held>) -> Poll<BodyError> {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        let over_at = match self.over_at {
            Some(over_at) => over_at,
            None => {
                let now = Instant::now();
                let over_at = *self.over_at.insert(now + limit);
                timer.as_mut().reset(wake_at(held.as_deref_mut(), now, over_at));
                over_at
            }
        };
        loop {
            ready!(timer.as_mut().poll(context));
            let now = Instant::now();
            if now >= over_at {
                return Poll::Ready(BodyError::Stalled);
            }
            if held.as_mut().is_some_and(|held| !held.look(now)) {
                return Poll::Ready(BodyError::Recalled);
            }
            timer.as_mut().reset(wake_at(held.as_deref_mut(), now, over_at));
        }
    }
}

fn wake_at(held: Option<&mut Held>, now: Instant, over_at: Instant) -> Instant {
    held.map_or(over_at, |held| held.next(now).min(over_at))
}
