//! The end of sessions: who may end which, from when on, and that it stays so (L01 to L07).
//!
//! Refusals are tables; each case names the paragraph that it rests on. Every table ends with a message that is accepted, so that no case
//! passes because everything is refused.

mod admin;
mod ahead;
mod back_channel;
mod events;
mod front_channel;
mod grown;
mod me;
mod okta;
pub(crate) mod signing_out;
mod streams;
mod transmitters;

use std::time::Duration;

use bytes::Bytes;
use http::Method;

use crate::harness::browser::{Browser, Reply};
use crate::harness::gateway::Setup;
use crate::harness::site::{Site, policy};

/// A gateway that keeps what was ended, and hears events and hooks.
fn listening(setup: Setup) -> Setup {
    setup
        .settings("state = \"state\"")
        .file("hook.secret", "Bearer of-the-okta-hook-0123456789\n")
        .provider_settings("events = {}\nokta_hooks = { authorization = { file = \"hook.secret\" } }\n")
}

async fn site() -> Site {
    Site::with(policy, listening).await
}

/// What a provider sends, from nobody's browser.
async fn post(site: &Site, path: &str, kind: &str, headers: &[(&str, &str)], body: impl Into<String>) -> Reply {
    let mut all = vec![("content-type", kind), ("accept", "*/*")];
    all.extend_from_slice(headers);
    Browser::new().send(Method::POST, &site.url(path), &all, Bytes::from(body.into())).await
}

/// Time goes on by a moment, so that what comes next is later.
fn later(site: &Site) {
    site.clock.advance(Duration::from_millis(10));
}
