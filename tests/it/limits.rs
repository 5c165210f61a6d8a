//! How often, how many at once, and from where: limits of applications, rules and strangers (D03).

mod concurrency;
mod networks;
mod own_answers;
mod rates;
mod reasons;
mod strangers;
mod tools;

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use crate::harness::browser::{Browser, Reply};
use crate::harness::gateway::{HOST, Setup, TestGateway};
use crate::harness::site::{Site, policy};

/// The gateway believes whoever connects when they say who sent them.
const BEHIND_A_PROXY: &str = "trusted_proxies = [\"127.0.0.0/8\"]\nreload = \"signal\"";

/// The usual policy with these tables before its rules.
fn limited(upstream: &str, tables: &str) -> String {
    policy(upstream).replacen("[[rules]]", &format!("{tables}\n[[rules]]"), 1)
}

/// The usual site with further tables in its policy, behind a proxy that says who clients are.
async fn site(tables: &str) -> Site {
    site_with(tables, "").await
}

async fn site_with(tables: &str, settings: &str) -> Site {
    let settings = format!("{BEHIND_A_PROXY}\n{settings}");
    let change = |setup: Setup| setup.settings(&settings);
    Site::with(|upstream| limited(upstream, tables), change).await
}

impl Site {
    /// A navigation from this address.
    async fn get_from(&self, browser: &mut Browser, client: &str, path: &str) -> Reply {
        let fields = [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("x-forwarded-for", client)];
        browser.send(Method::GET, &self.url(path), &fields, Bytes::new()).await
    }

    /// The statuses of so many requests of nobody from this address.
    async fn flood(&self, client: &str, path: &str, requests: usize) -> Vec<u16> {
        let mut statuses = Vec::new();
        for _ in 0..requests {
            statuses.push(self.get_from(&mut Browser::new(), client, path).await.status.as_u16());
        }
        statuses
    }

    async fn count(&self, sample: &str) -> Option<u64> {
        let address = format!("http://127.0.0.1:{}/metrics", self.gateway.admin().port());
        let text = Browser::new().get(&address).await.text();
        text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
    }

    /// Writes the policy anew with these tables and puts it in use.
    async fn change_tables(&self, tables: &str) {
        self.gateway.write("policies/app.toml", &limited(&self.application.url(), tables));
        let address = format!("http://127.0.0.1:{}/reload", self.gateway.admin().port());
        let reply = Browser::new().fetch(Method::POST, &address).await;
        assert_eq!(reply.json()["outcome"], "applied", "{}", reply.text());
    }
}

/// How many of these statuses there are.
fn how_many(statuses: &[u16], wanted: u16) -> usize {
    statuses.iter().filter(|status| **status == wanted).count()
}

/// The lines of requests with this reason.
fn with_reason<'a>(log: &'a [Value], reason: &str) -> Vec<&'a Value> {
    log.iter().filter(|line| line["reason"] == reason).collect()
}

/// Every line of the log.
async fn log(gateway: TestGateway) -> Vec<Value> {
    crate::harness::soon(gateway.stop()).await
}

/// An address of the gateway under another host.
fn elsewhere(url: &str, host: &str) -> String {
    url.replace(HOST, host)
}
