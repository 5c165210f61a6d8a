//! Reading everything anew while the gateway runs, and putting it in use in one step, or not at all.
//!
//! An attempt reads and compiles all files beside the set in use, runs the policies' own tests, builds a new snapshot and only then swaps it
//! in. Whatever is wrong, the set in use stays as it is. How an attempt ended is told to the log, the metrics and the admin listener.
//!
//! May touch: the administrator's files; runs on a thread of its own, never on a worker. Bound: one attempt at a time.
//! Trust boundary: the administrator's files, which may be half-written.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;

use super::built::{Before, Built, Providers};
use super::certificates;
use super::fronts::Fronts;
use super::plan::{Origin, Plan, Reading};
use super::{LevelSetter, StartError};
use crate::admin::{Attempt, Board, Configured, InUse};
use crate::config::{self, Dated, FilesRead, Identity, Part, Settings};
use crate::diagnostic::{Diagnostic, Report};
use crate::gateway::Common;
use crate::observe::{Metrics, Reloaded, Reopen};
use crate::oidc::Readiness;
use crate::snapshot::Snapshot;

/// Reads everything anew when it is told to.
pub(super) struct Reloader {
    pub(super) origin: Origin,
    /// The settings that the gateway was started with, and the files that they named.
    pub(super) start: (Settings, Arc<FilesRead>),
    /// The state directory of the start.
    pub(super) folder: Option<PathBuf>,
    pub(super) common: Arc<Common>,
    pub(super) fronts: Fronts,
    pub(super) board: Arc<Board>,
    pub(super) providers: Arc<ArcSwap<Vec<Configured>>>,
    pub(super) skip_tests: bool,
    pub(super) set_level: Option<LevelSetter>,
    /// Has the access log's file opened anew.
    pub(super) log: Reopen,
    pub(super) state: Mutex<State>,
}

/// What an attempt is compared with.
pub(super) struct State {
    /// The files of the set in use.
    pub(super) files: Arc<FilesRead>,
    pub(super) providers: Providers,
    /// Where the keys that sign assertions come from.
    pub(super) identity: Identity,
    /// Until when what the listeners show is good.
    pub(super) dated: Vec<Dated>,
    /// Whether the gateway has stopped.
    pub(super) over: bool,
}

/// How an attempt ended, and what to watch from now on.
pub(super) struct Tried {
    pub(super) attempt: Attempt,
    /// The files of the set in use, and of the attempt.
    pub(super) files: [Arc<FilesRead>; 2],
}

/// What an attempt put in use.
struct Applied {
    in_use: InUse,
    report: Report,
}

impl Reloader {
    /// Reads everything anew and puts it in use if nothing is wrong; the access log's file is opened anew in any case. Blocks for as long as that takes.
    pub(super) fn attempt(&self) -> Tried {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.over {
            let attempt = self.note(Reloaded::Unchanged, None, &Report::default());
            return Tried { attempt, files: [Arc::clone(&state.files), Arc::clone(&state.files)] };
        }
        let began = Instant::now();
        self.log.ask();
        let Reading { plan, mut report, files } = self.origin.read();
        let unchanged = files.is_same_as(&state.files);
        let ended = match plan {
            Some(_) if unchanged => Ok(None),
            Some(plan) => self.renew(plan, &mut state, began, &mut report).map(Some),
            None => Err(()),
        };
        let attempt = match ended {
            Ok(None) => self.note(Reloaded::Unchanged, None, &Report::default()),
            Ok(Some(applied)) => self.note(Reloaded::Applied, Some(applied.in_use), &applied.report),
            Err(()) => self.note(Reloaded::Refused, None, &report),
        };
        Tried { attempt, files: [Arc::clone(&state.files), files] }
    }

    /// Tests and builds what was read, and swaps it in. On an error the report says why, and nothing is different.
    fn renew(&self, mut plan: Plan, state: &mut State, began: Instant, report: &mut Report) -> Result<Applied, ()> {
        report.append(plan.tested(self.skip_tests));
        if report.has_errors() {
            return Err(());
        }
        let signs = plan.signs();
        let current = self.common.state.load_full();
        let before = Before { providers: &state.providers, snapshot: &current };
        let built = Built::new(&mut plan, Some(before), &self.common.clock, &self.common.metrics);
        let built = built.and_then(|built| Ok((built, self.fronts.prepare(&plan.config.listeners)?)));
        let (Built { providers, snapshot }, fronts) = built.map_err(|error| match error {
            StartError::Refused(found) => report.append(found),
            other => report.push(Diagnostic::error(other.to_string())),
        })?;
        let identity = plan.config.identity.clone().kept_in(self.folder.as_deref());
        // Keys come before the policies that need them; those that are published already stay so.
        if signs || self.common.identity.are_there() {
            let made = identity.ensure(&self.common.identity, self.common.clock.now().seconds());
            made.map_err(|error| report.push(error))?.into_iter().for_each(|notice| report.push(notice));
        }
        state.identity = identity;
        state.dated = config::dated(&plan.config.listeners);
        state.dated.extend(fronts.dated_behind().cloned());
        fronts.tell(report);
        for key in self.waiting(&plan) {
            report.push(Diagnostic::warning(format!("`{key}` changed and takes effect at the next start")));
        }
        let in_use = in_use(&snapshot, &plan.files, self.common.clock.now().to_string());
        self.replace_providers(providers, state);
        let version = snapshot.version();
        self.common.revocations.sessions_last(snapshot.longest_session());
        fronts.show();
        tell_dates(&state.dated, &self.common.metrics);
        // The one step: every request sees the whole old set or the whole new one.
        self.common.state.store(Arc::new(snapshot));
        self.common.metrics.policy_version.set(version);
        self.common.metrics.policy_applied.set(self.common.clock.now().seconds());
        if let Some(set_level) = &self.set_level {
            set_level(&plan.config.log.level);
        }
        let Differences { new, changed, removed } = Differences::between(&state.files, &plan.files);
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(version, %new, %changed, %removed, took_ms, "policies applied");
        state.files = plan.files;
        Ok(Applied { in_use, report: std::mem::take(report) })
    }

    /// Makes or turns a key that signs assertions where that is due, once such keys are in use. Blocks for as long as that takes.
    pub(super) fn turn_identity_keys(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.over || !self.common.identity.are_there() {
            return;
        }
        match state.identity.ensure(&self.common.identity, self.common.clock.now().seconds()) {
            Ok(None) => {}
            Ok(Some(notice)) => tracing::warn!("{}", notice.message),
            Err(error) => tracing::error!("the keys in use stay: {}", error.message),
        }
    }

    /// Waits for what is under way; nothing is read or written any more after it.
    pub(super) fn finish(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).over = true;
    }

    /// Tells the log of certificates and revocation lists that are over, or soon will be.
    pub(super) fn look_at_dates(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for finding in certificates::dates(&state.dated, self.common.clock.now()) {
            tracing::warn!("{} ({})", finding.message, finding.help.unwrap_or_default());
        }
    }

    /// The keys of the settings, and the files that they name, which differ and wait for a start.
    fn waiting(&self, plan: &Plan) -> BTreeSet<String> {
        let (settings, files) = &self.start;
        let mut keys: BTreeSet<String> = plan.config.settings.waiting(settings).into_iter().collect();
        for part in plan.files.changed_since(files) {
            if let Part::Key(key) = part
                && Settings::waits_for_start(&key)
                && !keys.iter().any(|known| key.starts_with(known.as_str()))
            {
                keys.insert(key.into());
            }
        }
        keys
    }

    /// Those that are unchanged go on; the control thread begins to ask the new ones and lets go of the others.
    fn replace_providers(&self, providers: Providers, state: &mut State) {
        let required = |name: &str| {
            let before = self.providers.load();
            before.iter().any(|known| {
                known.required && known.provider.name() == name && {
                    // What was a reason stays one until it was known: other settings make no provider of the start a new one.
                    let is_unknown = matches!(known.provider.readiness(), Readiness::NotYet { .. });
                    is_unknown || providers.get(name).is_some_and(|now| Arc::ptr_eq(now, &known.provider))
                }
            })
        };
        let configured = providers
            .iter()
            .map(|(name, provider)| Configured { provider: Arc::clone(provider), required: required(name) });
        self.providers.store(Arc::new(configured.collect()));
        for name in state.providers.keys().filter(|name| !providers.contains_key(*name)) {
            self.common.metrics.forget_provider(name);
        }
        state.providers = providers;
    }

    /// Tells everybody how an attempt ended.
    fn note(&self, outcome: Reloaded, in_use: Option<InUse>, report: &Report) -> Attempt {
        self.common.metrics.reloaded(outcome);
        let version = in_use.as_ref().map_or_else(|| self.board.version(), |in_use| in_use.version);
        let findings = report.render();
        match outcome {
            Reloaded::Refused => {
                tracing::error!("not reloaded, version {version} stays in use\n{}", findings.trim_end())
            }
            Reloaded::Applied if !findings.is_empty() => tracing::warn!("reloaded\n{}", findings.trim_end()),
            Reloaded::Applied => {}
            Reloaded::Unchanged => tracing::info!(version, "nothing to reload: no file has changed"),
        }
        let attempt = Attempt { at: self.common.clock.now().to_string(), outcome, version, findings };
        self.board.note(attempt.clone(), in_use);
        attempt
    }
}

/// Tells the metrics until when each file is good.
pub(super) fn tell_dates(dated: &[Dated], metrics: &Metrics) {
    metrics.certificates_expire(dated.iter().map(|one| (one.path().display().to_string(), one.until())));
}

/// What the admin listener tells of a set.
pub(super) fn in_use(snapshot: &Snapshot, files: &FilesRead, since: String) -> InUse {
    InUse {
        version: snapshot.version(),
        since,
        applications: snapshot.applications().iter().map(|one| one.name().to_owned()).collect(),
        files: files.paths().iter().map(|path| path.display().to_string()).collect(),
    }
}

/// Which applications' files differ between two readings, as lists of names.
struct Differences {
    new: String,
    changed: String,
    removed: String,
}

impl Differences {
    fn between(before: &FilesRead, now: &FilesRead) -> Self {
        let (old, new) = (before.policies(), now.policies());
        let changed = now.changed_since(before).into_iter().filter_map(|part| match part {
            Part::Policy(name) if old.contains(&name) && new.contains(&name) => Some(name),
            _ => None,
        });
        let list = |names: BTreeSet<Box<str>>| names.iter().map(|name| &**name).collect::<Vec<_>>().join(",");
        Self {
            new: list(new.difference(&old).cloned().collect()),
            removed: list(old.difference(&new).cloned().collect()),
            changed: list(changed.collect()),
        }
    }
}
