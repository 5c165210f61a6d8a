//! The thread beside the workers: it keeps providers discovered, serves the admin listener, and has the files read anew.
//!
//! Reading and compiling happen on a thread of their own, so that the admin listener answers meanwhile. A change of the files waits until they
//! have been quiet for a moment and what was written to is closed; a signal or an operator does not wait. Whoever asks while an attempt runs gets the outcome of the next one.
//!
//! May touch: the network through `oidc`, the admin socket. Trust boundary: who may reach the admin listener or signal the process.
//! Bounds: one attempt at a time, [`WAITING`] askers; changes of files cause at most one attempt a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::StartError;
use super::open_files::OpenFiles;
use super::reload::{Reloader, Tried};
use super::watch::FileWatch;
use crate::admin::{Admin, Attempt, Configured};
use crate::config::FilesRead;

/// How many may wait for a reload.
pub(super) const WAITING: usize = 16;
/// How long files must be quiet before they are read.
const QUIET: Duration = Duration::from_millis(300);
/// How long files that do not become quiet are waited for, and the least time between two attempts that files cause.
const LONGEST: Duration = Duration::from_secs(1);
/// How long files are waited for that were written to and are not closed.
const LONGEST_OPEN: Duration = Duration::from_secs(30);

/// How long after a task that ended, though it never should, it is begun again.
const BEGUN_AGAIN: Duration = Duration::from_secs(10);
/// How often it is looked whether a key is to be turned; far less than a key is published before it signs.
const KEYS_LOOKED_AT: Duration = Duration::from_secs(60 * 60);

/// How often the log is told of certificates that are over, or soon will be.
const DATES_LOOKED_AT: Duration = Duration::from_secs(12 * 60 * 60);

/// What the thread does.
pub(super) struct Duties {
    pub(super) providers: Arc<ArcSwap<Vec<Configured>>>,
    pub(super) admin: Arc<Admin>,
    pub(super) listener: Option<std::net::TcpListener>,
    pub(super) reloader: Arc<Reloader>,
    pub(super) asked: mpsc::Receiver<oneshot::Sender<Attempt>>,
    /// The files to watch; none when only signals count.
    pub(super) watched: Option<Arc<FilesRead>>,
}

/// The running thread; it ends when this is dropped.
pub(super) struct Control {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    pub(super) fn start(duties: Duties) -> Result<Self, StartError> {
        let system = |error| StartError::System("the control thread cannot be started", error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
        let (stop, mut stopped) = watch::channel(false);
        let reloader = Arc::clone(&duties.reloader);
        let run = move || {
            runtime.block_on(async move {
                tokio::select! {
                    () = duties.run() => {}
                    _ = stopped.wait_for(|stopped| *stopped) => {}
                }
            });
            // What writes files is waited for; a name that is looked up in vain is not.
            runtime.shutdown_background();
            reloader.finish();
        };
        let thread = std::thread::Builder::new().name("control".to_owned()).spawn(run).map_err(system)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Duties {
    async fn run(mut self) {
        let mut discovery = Discovery::default();
        discovery.follow(&self.providers.load());
        if let Some(Ok(listener)) = self.listener.take().map(TcpListener::from_std) {
            tokio::spawn(Arc::clone(&self.admin).serve(listener));
        }
        tokio::spawn(turn_identity_keys(Arc::clone(&self.reloader)));
        tokio::spawn(look_at_dates(Arc::clone(&self.reloader)));
        let changed = Arc::new(Notify::new());
        let open = Arc::<OpenFiles>::default();
        let mut watching = self.watched.take().and_then(|files| FileWatch::begin(&[files], &changed, &open));
        let mut last = None;
        loop {
            let mut askers = Vec::new();
            tokio::select! {
                () = settled(&changed, &open, (last, LONGEST_OPEN)) => {}
                // Also while files are waited for: the attempt reads what they are waited for with.
                asker = self.asked.recv() => match asker {
                    Some(asker) => askers.push(asker),
                    None => return,
                },
            }
            while let Ok(asker) = self.asked.try_recv() {
                askers.push(asker);
            }
            let reloader = Arc::clone(&self.reloader);
            let tried = tokio::task::spawn_blocking(move || reloader.attempt()).await;
            last = Some(Instant::now());
            let Ok(Tried { attempt, files }) = tried else {
                tracing::error!("an attempt to reload ended with a panic; nothing was changed");
                continue;
            };
            discovery.follow(&self.providers.load());
            if let Some(watching) = &mut watching {
                watching.follow(&files, &changed);
            }
            for asker in askers {
                // Who asked may have gone.
                let _ = asker.send(attempt.clone());
            }
        }
    }
}

/// Looks now and then whether a key that signs assertions is to be turned.
async fn turn_identity_keys(reloader: Arc<Reloader>) {
    loop {
        tokio::time::sleep(KEYS_LOOKED_AT).await;
        let reloader = Arc::clone(&reloader);
        if tokio::task::spawn_blocking(move || reloader.turn_identity_keys()).await.is_err() {
            tracing::error!("turning the identity keys ended with a panic; the keys in use stay");
        }
    }
}

/// Looks now and then at the dates of certificates; the start and every reload have told of them already.
async fn look_at_dates(reloader: Arc<Reloader>) {
    loop {
        tokio::time::sleep(DATES_LOOKED_AT).await;
        let reloader = Arc::clone(&reloader);
        // It waits for a reload that is under way.
        let _ = tokio::task::spawn_blocking(move || reloader.look_at_dates()).await;
    }
}

/// Waits for a change, then until nothing has changed for a moment and no file is open any more; neither for ever, and not sooner than a second after the
/// `last` attempt. Files that are open are given up after `patience`.
async fn settled(changed: &Notify, open: &OpenFiles, (last, patience): (Option<Instant>, Duration)) {
    changed.notified().await;
    let began = Instant::now();
    let earliest = last.map_or(began, |last| last + LONGEST);
    let mut latest = earliest.max(began + LONGEST);
    let mut was_open = false;
    loop {
        let quiet = tokio::time::timeout(QUIET, changed.notified()).await.is_err();
        let now = Instant::now();
        if open.are_some() && now < began + patience {
            was_open = true;
            continue;
        }
        if std::mem::take(&mut was_open) {
            // What comes after it was closed is waited for as at the beginning.
            latest = earliest.max(now + LONGEST);
        }
        if (quiet && now >= earliest) || now >= latest {
            break;
        }
    }
    if began.elapsed() >= patience && open.are_some() {
        let files = open.give_up().join(", ");
        tracing::warn!(%files, "still open for writing after {} s, and read all the same", patience.as_secs());
    }
}

/// The tasks that keep providers discovered, by provider.
#[derive(Default)]
struct Discovery(HashMap<usize, AbortHandle>);

impl Discovery {
    /// Begins with providers that are new, and lets go of those that are gone.
    fn follow(&mut self, providers: &[Configured]) {
        // The task holds its provider, so an address is not used again while it stands here.
        let address = |one: &Configured| Arc::as_ptr(&one.provider).addr();
        let wanted: Vec<usize> = providers.iter().map(address).collect();
        self.0.retain(|known, task| {
            let stays = wanted.contains(known);
            if !stays {
                task.abort();
            }
            stays
        });
        for one in providers {
            self.0.entry(address(one)).or_insert_with(|| {
                let provider = Arc::clone(&one.provider);
                tokio::spawn(kept_up(BEGUN_AGAIN, move || Arc::clone(&provider).keep_discovered())).abort_handle()
            });
        }
    }
}

/// Runs what should never end, and begins it again when it ends all the same: after a panic, its provider would be asked for nothing until
/// a restart. It ends with the task that this runs in.
async fn kept_up<F: Future<Output = ()> + Send + 'static>(pause: Duration, begin: impl Fn() -> F) {
    loop {
        let mut task = JoinSet::new();
        task.spawn(begin());
        if let Some(Err(error)) = task.join_next().await {
            tracing::error!(%error, "keeping a provider discovered ended with a panic; it is begun again");
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_never_closed_is_read_all_the_same_and_what_is_closed_is_read_when_it_is_quiet() {
        use notify::event::{AccessKind, AccessMode, DataChange, EventKind, ModifyKind};

        let (changed, open) = (Notify::new(), OpenFiles::default());
        let hear = |kind| {
            open.hear(&notify::Event::new(kind).add_path("/p/a".into()), |_| true);
            changed.notify_one();
        };
        let patience = Duration::from_millis(700);
        hear(EventKind::Modify(ModifyKind::Data(DataChange::Any)));
        let began = Instant::now();
        settled(&changed, &open, (None, patience)).await;
        assert!(began.elapsed() >= patience && !open.are_some());

        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        for kind in [closed, EventKind::Modify(ModifyKind::Data(DataChange::Any))] {
            hear(kind);
        }
        let closes = async {
            tokio::time::sleep(2 * QUIET).await;
            hear(closed);
            Instant::now()
        };
        let waits = async {
            settled(&changed, &open, (None, 100 * patience)).await;
            Instant::now()
        };
        let (is_closed, is_over) = tokio::join!(closes, waits);
        let after = is_over.duration_since(is_closed);
        assert!(after >= QUIET && after < 50 * patience, "{after:?}");
    }

    #[tokio::test]
    async fn r16_what_keeps_a_provider_discovered_is_begun_again_after_a_panic_and_ends_when_it_is_let_go() {
        let (begun, mut beginnings) = mpsc::unbounded_channel();
        let first = std::sync::atomic::AtomicBool::new(true);
        let kept = tokio::spawn(kept_up(Duration::ZERO, move || {
            let (lives, life) = oneshot::channel::<()>();
            begun.send(life).unwrap();
            let first = first.swap(false, std::sync::atomic::Ordering::Relaxed);
            async move {
                let _lives = lives;
                assert!(!first, "the first one dies");
                std::future::pending::<()>().await;
            }
        }));
        assert!(beginnings.recv().await.unwrap().await.is_err());
        let mut second = beginnings.recv().await.unwrap();
        assert!(second.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        kept.abort();
        assert!(second.await.is_err());
    }
}
