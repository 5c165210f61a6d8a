//! What the tests talk to in place of the world.

pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod provider;
