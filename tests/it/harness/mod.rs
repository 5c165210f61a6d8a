//! What the tests talk to in place of the world.

pub(crate) mod application;
pub(crate) mod browser;
pub(crate) mod gateway;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod program;
pub(crate) mod provider;
pub(crate) mod site;
pub(crate) mod wire;
