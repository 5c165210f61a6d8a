//! The integration tests: one binary, one module per topic, everything in process on port 0 with a moving clock.
//!
//! Test names begin with the id of the statement that they show (`r07_…`). A test waits on state, never on time.

#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod access_log;
mod admin;
mod applications;
mod architecture;
mod bearer;
mod callback;
mod challenge;
mod check;
mod claims;
mod cli;
mod doctor;
mod documentation;
mod examples;
mod explain;
mod form_post;
mod harness;
mod hostile_provider;
mod init;
mod limits;
mod login;
mod logout;
mod mix_up;
mod oidc;
mod out_of_reach;
mod policy_tests;
mod proxying;
mod published;
mod reference;
mod reload;
mod replay;
mod resolution;
mod return_to;
mod revocation;
mod rules;
mod seeds;
mod sessions;
mod shipped;
mod telling;
mod tls;
