//! What others published as bugs of theirs, each tried here as a short attack (T03).
//!
//! What each of them was stands in `docs/threat-model.md`, one line and one test for each id.

mod envoy;
mod mod_auth_openidc;
mod oauth2_proxy;
mod others;
mod pomerium;
mod traefik;

use std::collections::BTreeSet;

use crate::harness::browser::{Browser, Reply};
use crate::harness::gateway::HOST;
use crate::harness::site::Site;
use crate::harness::soon;
use crate::harness::wire::{Wire, WireReply};

/// The `Cookie` line of a browser.
fn cookies(browser: &Browser) -> String {
    let pairs = browser.cookies[HOST].iter().map(|(name, cookie)| format!("{name}={}", cookie.value));
    format!("Cookie: {}\r\n", pairs.collect::<Vec<_>>().join("; "))
}

/// Sends exactly these bytes on a connection of their own; the first answer.
async fn send(site: &Site, bytes: impl AsRef<[u8]>) -> WireReply {
    soon(async {
        let mut wire = Wire::connect(site.gateway.address()).await;
        wire.send(bytes).await.unwrap();
        wire.reply(false).await.unwrap()
    })
    .await
}

/// A request line without version, and fields; the answer.
async fn ask(site: &Site, line: &str, fields: &str) -> WireReply {
    send(site, format!("{line} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n")).await
}

/// Fails when the last request told the application anybody but Ada, or anything that a client forged as `root`.
fn assert_ada_alone(site: &Site) {
    let seen = site.application.last();
    assert_eq!(seen.header("x-remote-user").as_deref(), Some("ada"));
    assert!(seen.headers.values().all(|value| value != "root"), "{:?}", seen.headers);
}

/// Fails when an answer sends the browser away from the gateway and its provider.
fn assert_stays(site: &Site, reply: &Reply, what: &str) {
    let Some(location) = reply.location() else { return };
    let own = [site.url("/"), site.provider.issuer().to_owned()].map(|url| url::Url::parse(&url).unwrap().origin());
    assert!(own.contains(&url::Url::parse(&location).unwrap().origin()), "{what} leads to {location}");
}

/// The ids of the table in the threat model, as they stand in test names.
fn listed() -> Vec<String> {
    let page = include_str!("../../docs/threat-model.md");
    let table = page.split_once("## Published bugs of others").unwrap().1.split_once("\n## ").unwrap().0;
    let rows = table.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    rows.map(|row| row.split('|').nth(1).unwrap().trim().to_lowercase().replace(" #", "_").replace('-', "_")).collect()
}

#[test]
fn t03_every_published_bug_of_the_table_has_its_test() {
    let sources = [
        include_str!("published/envoy.rs"),
        include_str!("published/mod_auth_openidc.rs"),
        include_str!("published/oauth2_proxy.rs"),
        include_str!("published/others.rs"),
        include_str!("published/pomerium.rs"),
        include_str!("published/traefik.rs"),
    ]
    .concat();
    let listed = listed();
    for id in &listed {
        let tests = sources.matches(&format!("fn t03_{id}_")).count();
        assert_eq!(tests, 1, "{id} has {tests} tests");
    }
    assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len());
    assert_eq!(listed.len(), 46);
    assert_eq!(sources.matches("fn t03_").count(), listed.len(), "a test is not in the table");
}
