//! What the tests talk to in place of the world.

pub(crate) mod application;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod frames;
pub(crate) mod gateway;
pub(crate) mod grants;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod program;
pub(crate) mod provider;
pub(crate) mod site;
pub(crate) mod tls;
pub(crate) mod wire;

use std::time::Duration;

/// What `future` gives; a test that waits longer than any loaded machine needs fails instead of hanging.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.unwrap_or_else(|_| panic!("this never happened"))
}
