//! The way of a change to the disk: who writes it, and who waits for it.
//!
//! A job is told of by its [`Done`], which goes with it: whoever waits may leave, and what became of the job is known all the same.
//!
//! May touch: memory only; a [`Keeper`] writes. Trust boundary: none.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::entry::Tag;
use super::list::Change;

/// Hearsay on its way to the disk at a time; more is kept in memory only, so that it never stands in the way of anything else.
const HEARSAY_AT_ONCE: u64 = 64;

/// Where changes are kept so that they survive a restart. Jobs are written in the order in which they come.
pub trait Keeper: Send {
    /// Whether one more job can come. Who asks is the only one who brings jobs, so what is free stays free.
    fn has_room(&self) -> bool;
    /// Has the changes written, all or none of them.
    fn keep(&self, changes: Vec<Change>, done: Done);
    /// Is over when nobody should wait for jobs any longer.
    fn patience(&self) -> Patience;
}

/// As long as somebody waits.
pub type Patience = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tells whoever waits for a job what became of it; when it is dropped untold, the job was not written.
pub struct Done {
    job: Writing,
    _slot: Option<Slot>,
}

impl Done {
    /// For a job; hearsay gives its place back when the job is done, not when whoever brought it has left.
    pub(super) fn new(slot: Option<Slot>) -> (Self, Writing) {
        let job = Writing::default();
        (Self { job: job.clone(), _slot: slot }, job)
    }

    /// It is written, or could not be.
    pub fn tell(self, written: bool) {
        self.job.end(written);
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        // After `tell` this is too late to be heard.
        self.job.end(false);
    }
}

/// A job on its way.
#[derive(Clone, Default)]
pub(super) struct Writing(Arc<Mutex<Job>>);

#[derive(Default)]
struct Job {
    written: Option<bool>,
    waiting: Vec<Waker>,
}

impl Writing {
    /// Whether it was written, once that is known.
    fn outcome(&self) -> Option<bool> {
        self.job().written
    }

    fn poll(&self, context: &Context<'_>) -> Poll<bool> {
        let mut job = self.job();
        match job.written {
            Some(written) => return Poll::Ready(written),
            None if job.waiting.iter().any(|known| known.will_wake(context.waker())) => {}
            None => job.waiting.push(context.waker().clone()),
        }
        Poll::Pending
    }

    fn end(&self, written: bool) {
        let waiting = {
            let mut job = self.job();
            job.written.get_or_insert(written);
            std::mem::take(&mut job.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    fn job(&self) -> std::sync::MutexGuard<'_, Job> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Messages whose jobs are on their way, the first job first. Bound: that of the keeper's jobs.
#[derive(Default)]
pub(super) struct UnderWay(VecDeque<(Vec<Tag>, Writing)>);

impl UnderWay {
    pub(super) fn add(&mut self, messages: Vec<Tag>, writing: Writing) {
        self.0.push_back((messages, writing));
    }

    /// The job that a message is in; none when it is done.
    pub(super) fn job_of(&self, message: Tag) -> Option<Writing> {
        self.0.iter().find(|(messages, _)| messages.contains(&message)).map(|(_, writing)| writing.clone())
    }

    /// Lets go of the jobs that are done; the messages that were not written come back.
    pub(super) fn settle(&mut self) -> Vec<Tag> {
        let mut unwritten = Vec::new();
        while let Some(written) = self.0.front().and_then(|(_, writing)| writing.outcome()) {
            let messages = self.0.pop_front().map(|(messages, _)| messages);
            unwritten.extend(messages.filter(|_| !written).into_iter().flatten());
        }
        unwritten
    }
}

/// The way of a change to the disk.
#[must_use]
#[derive(Default)]
pub struct Keeping {
    refused: bool,
    jobs: Vec<Writing>,
    patience: Option<Patience>,
}

impl Keeping {
    /// Of what will not be written, because too much waits.
    pub(super) fn refused() -> Self {
        Self { refused: true, ..Self::default() }
    }

    /// Of these jobs; none when there is nothing to write, or nowhere to.
    pub(super) const fn of(jobs: Vec<Writing>, patience: Option<Patience>) -> Self {
        Self { refused: false, jobs, patience }
    }

    /// Both, with one patience for them.
    pub fn and(mut self, other: Self) -> Self {
        self.refused |= other.refused;
        self.jobs.extend(other.jobs);
        self.patience = self.patience.or(other.patience);
        self
    }

    /// Waits until all of it is written, as long as the keeper thinks is right; false when it is not.
    pub async fn is_kept(mut self) -> bool {
        let written = poll_fn(|context| {
            while let Some(job) = self.jobs.last() {
                match job.poll(context) {
                    Poll::Ready(true) => drop(self.jobs.pop()),
                    Poll::Ready(false) => return Poll::Ready(false),
                    Poll::Pending => {
                        return self
                            .patience
                            .as_mut()
                            .map_or(Poll::Pending, |span| span.as_mut().poll(context).map(|()| false));
                    }
                }
            }
            Poll::Ready(true)
        });
        written.await && !self.refused
    }
}

/// A place among the hearsay that is on its way.
pub(super) struct Slot(Arc<AtomicU64>);

impl Slot {
    /// One of [`HEARSAY_AT_ONCE`].
    pub(super) fn take(taken: &Arc<AtomicU64>) -> Option<Self> {
        let slot = Self(Arc::clone(taken));
        // Given back by `drop`, whether there was room or not.
        (taken.fetch_add(1, Ordering::Relaxed) < HEARSAY_AT_ONCE).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
