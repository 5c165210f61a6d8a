//! The one place where the demonstration meets the gateway.
//!
//! It is handed a configuration file, as `lychgate run` is, and an empty environment, so that settings of a gateway
//! that somebody runs from the same shell do not reach the demonstration.

use std::path::Path;

use lychgate::app::{Options, Plan, Running};
use lychgate::config::Environment;

/// The gateway while it runs.
pub(crate) struct Gateway {
    running: Running,
}

impl Gateway {
    /// Starts the gateway with this configuration file; returns when it listens.
    ///
    /// # Errors
    /// Everything that the gateway has to say about a configuration that it refuses.
    pub(crate) async fn start(configuration: &Path) -> Result<Self, String> {
        let (plan, report) = Plan::read(configuration, &Environment::from_iter([]), &[]);
        let plan = plan.ok_or_else(|| report.render())?;
        let running = plan.start(Options::default()).map_err(|error| error.to_string())?;
        for provider in running.providers() {
            provider.ready().await;
        }
        Ok(Self { running })
    }

    /// Lets requests that are under way finish, and stops.
    pub(crate) async fn stop(self) {
        // Draining blocks, and the demonstration's provider and applications must go on answering meanwhile.
        let _ = tokio::task::spawn_blocking(move || self.running.stop()).await;
    }
}
