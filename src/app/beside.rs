//! A set of policies built beside a running gateway: the same snapshot that it would decide with, and nothing bound.
//!
//! May touch: the files that the configuration and the policies name. Trust boundary: the administrator's files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::built::Built;
use super::plan::{Origin, check_claims, check_schemes, facts_of};
use super::{Plan, StartError, callbacks};
use crate::clock::Clock;
use crate::config::{self, Config, Environment, FilesRead, Override, Part};
use crate::diagnostic::{Diagnostic, Report, SourceFile};
use crate::observe::Metrics;
use crate::snapshot::Snapshot;

impl Plan {
    /// Builds what a start would decide requests with.
    pub fn into_snapshot(mut self) -> Result<(Config, Snapshot), StartError> {
        let Built { snapshot, .. } = Built::new(&mut self, None, &Clock::system(), &Metrics::new())?;
        Ok((self.config, snapshot))
    }

    /// Reads the configuration with other policies than it names: files, and folders with all their `*.toml`.
    pub fn read_with_policies(
        path: &Path,
        environment: &Environment,
        overrides: &[Override],
        policies: &[PathBuf],
    ) -> (Option<Self>, Report) {
        let origin = Origin {
            file: path.to_owned(),
            environment: environment.clone(),
            overrides: overrides.to_vec(),
            identity: Arc::default(),
        };
        let files = Arc::new(FilesRead::default());
        let (config, mut report) = config::load_noting(path, environment, overrides, &files);
        let Ok(mut config) = config else { return (None, report) };
        config.policies = sources(policies, &files, &mut report);
        let compiled = origin.compile(
            &config.policies,
            (&facts_of(&config.providers), Some(&origin.identity)),
            &files,
            &mut report,
        );
        check_claims(&config.policies, &compiled, &mut report);
        check_schemes(&config, &compiled, &mut report);
        callbacks::check(&config, &compiled, &mut report);
        let plan = Self { config, policies: compiled, origin, files };
        (Some(plan).filter(|_| !report.has_errors()), report)
    }
}

fn sources(policies: &[PathBuf], files: &FilesRead, report: &mut Report) -> Vec<Arc<SourceFile>> {
    let mut sources = Vec::new();
    let mut paths = Vec::new();
    policies.iter().for_each(|path| paths.extend(listed(path, files, report)));
    for path in paths {
        let name = path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
        match files.read_text(&Part::policy(&name), &path) {
            Ok(text) => sources.push(SourceFile::new(path, text)),
            Err(error) => report.push(Diagnostic::error(format!("cannot read {}: {error}", path.display()))),
        }
    }
    if sources.is_empty() && !report.has_errors() {
        report.push(Diagnostic::error("there is no policy file").help("name files, or a folder that has `*.toml`"));
    }
    sources
}

/// The file itself, or all policies in a folder in the order of their names.
fn listed(path: &Path, files: &FilesRead, report: &mut Report) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    match files.list(path) {
        Ok(all) => {
            let is_policy = |file: &PathBuf| file.is_file() && file.extension().is_some_and(|end| end == "toml");
            all.into_iter().filter(is_policy).collect()
        }
        Err(error) => {
            report.push(Diagnostic::error(format!("cannot list {}: {error}", path.display())));
            Vec::new()
        }
    }
}
