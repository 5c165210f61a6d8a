//! Rates: by address and by person, of an application and of a rule, tried and in force, across a reload.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{how_many, log, site, with_reason};
use crate::harness::browser::Browser;
use crate::harness::site::ada;

const PER_ADDRESS: &str = "[limits]\nrate = { per = \"address\", requests = 6, every = \"1m\", burst = 3 }";
const PER_PERSON: &str = "[limits]\nrate = { per = \"person\", requests = 6, every = \"1m\", burst = 3 }";

#[tokio::test]
async fn d03_a_flood_of_one_address_is_refused_and_hurts_nobody_else() {
    let site = site(PER_ADDRESS).await;
    let flood = site.flood("192.0.2.7", "/public/x", 40).await;
    assert_eq!((how_many(&flood[..3], 200), how_many(&flood[3..], 429)), (3, 37), "{flood:?}");
    assert_eq!(site.application.seen().len(), 3, "the application sees what is allowed and no more");
    assert_eq!(site.flood("192.0.2.8", "/public/x", 3).await, [200; 3], "a neighbour");
    let told = site.get_from(&mut Browser::new(), "192.0.2.7", "/public/x").await;
    assert_eq!((told.status, told.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, Some("10")));
    site.clock.advance(Duration::from_millis(9_999));
    assert_eq!(site.flood("192.0.2.7", "/public/x", 1).await, [429]);
    site.clock.advance(Duration::from_millis(1));
    assert_eq!(site.flood("192.0.2.7", "/public/x", 2).await, [200, 429], "what it was told is true");
    assert_eq!(site.count(r#"lychgate_requests_total{app="app",decision="refused",status="4xx"}"#).await, Some(40));
    let log = log(site.gateway).await;
    let refused = with_reason(&log, "rate_limited");
    assert_eq!(refused.len(), 40);
    let said = ["status", "app", "decision", "client"].map(|field| &refused[0][field]);
    assert_eq!(said, [&json!(429), &json!("app"), &json!("refused"), &json!("192.0.2.7")]);
}

#[tokio::test]
async fn d03_an_ipv6_network_of_one_connection_is_one_address() {
    let site = site(PER_ADDRESS).await;
    let mut statuses = Vec::new();
    for host in 1..=6 {
        statuses.extend(site.flood(&format!("2001:db8:1:2::{host}"), "/public/x", 1).await);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429]);
    assert_eq!(site.flood("2001:db8:1:3::1", "/public/x", 1).await, [200], "another network");
}

#[tokio::test]
async fn d03_a_person_is_counted_in_all_sessions_and_from_every_address() {
    let site = site("").await;
    let (mut one, mut other) = (site.signed_in().await, site.signed_in().await);
    site.provider.script().person = ada();
    site.provider.script().claims = vec![crate::harness::provider::Claim::Set("sub", json!("somebody-else"))];
    let mut else_where = site.signed_in().await;
    site.change_tables(PER_PERSON).await;
    let mut statuses = Vec::new();
    for (browser, client) in [(&mut one, "192.0.2.1"), (&mut other, "192.0.2.2")] {
        for _ in 0..3 {
            statuses.push(site.get_from(browser, client, "/").await.status.as_u16());
        }
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429]);
    assert_eq!(site.get_from(&mut else_where, "192.0.2.1", "/").await.status, StatusCode::OK, "somebody else");
    // Where nobody is known, the address counts.
    assert_eq!(site.flood("192.0.2.1", "/public/x", 4).await, [200, 200, 200, 429]);
    assert_eq!(site.flood("192.0.2.2", "/public/x", 1).await, [200]);
    let log = log(site.gateway).await;
    let who: Vec<_> = with_reason(&log, "rate_limited").iter().map(|line| line["who"].clone()).collect();
    assert_eq!((who.len(), who.iter().filter(|who| **who == json!("ada")).count()), (4, 3), "{who:?}");
}

#[tokio::test]
async fn d03_whoever_is_over_the_limit_starts_no_login() {
    let site = site(PER_ADDRESS).await;
    let statuses = site.flood("192.0.2.7", "/", 10).await;
    assert_eq!((how_many(&statuses, 302), how_many(&statuses, 429)), (3, 7));
    let refused = site.get_from(&mut Browser::new(), "192.0.2.7", "/").await;
    assert!(refused.header("set-cookie").is_none() && refused.header("location").is_none());
}

#[tokio::test]
async fn d03_programs_are_told_in_json_and_people_on_a_page_and_neither_learns_the_limit() {
    let site = site(PER_ADDRESS).await;
    site.flood("192.0.2.7", "/public/x", 3).await;
    let page = site.get_from(&mut Browser::new(), "192.0.2.7", "/public/x").await;
    let fields = [("accept", "application/json"), ("x-forwarded-for", "192.0.2.7")];
    let object = Browser::new().send(Method::GET, &site.url("/public/x"), &fields, Bytes::new()).await;
    assert_eq!(object.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(object.json()["error"], "too_many_requests");
    assert!(page.text().contains("<h1>Too many requests</h1>") && page.text().contains("Wait 10 seconds"));
    for reply in [&page, &object] {
        assert_eq!((reply.header("retry-after"), reply.header("cache-control")), (Some("10"), Some("no-store")));
        for inner in ["rate_limited", "192.0.2.7", "burst", "per address", "127.0.0.1"] {
            assert!(!reply.text().contains(inner), "{inner}");
        }
    }
    let head = Browser::new().send(Method::HEAD, &site.url("/public/x"), &fields, Bytes::new()).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (429, 0));
}

#[tokio::test]
async fn d03_a_rule_limits_what_it_decides_and_nothing_else() {
    let site = site(
        r#"[[rules]]
name = "sign-in page of the application"
paths = ["/public/login"]
access = "public"
limits = { rate = [{ per = "address", requests = 2, every = "1m" }, { per = "person", requests = 100, every = "1m" }] }
[[rules]]
name = "payouts"
paths = ["/payouts"]
allow = "'directors' in user.groups"
limits = { rate = { per = "person", requests = 1, every = "1m" } }"#,
    )
    .await;
    assert_eq!(site.flood("192.0.2.7", "/public/login", 4).await, [200, 200, 429, 429]);
    assert_eq!(site.flood("192.0.2.7", "/public/x", 4).await, [200; 4], "another rule");
    assert_eq!(site.flood("192.0.2.8", "/public/login", 1).await, [200], "another address");
    // What the rule denies counts as well.
    let mut browser = site.signed_in().await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(browser.get(&site.url("/payouts")).await.status.as_u16());
    }
    assert_eq!(statuses, [403, 429, 429]);
    let log = log(site.gateway).await;
    let mut rules: Vec<_> = with_reason(&log, "rate_limited").iter().map(|line| line["rule"].clone()).collect();
    rules.sort_by_key(Value::to_string);
    let page = json!("sign-in page of the application");
    assert_eq!(rules, [json!("payouts"), json!("payouts"), page.clone(), page]);
}

#[tokio::test]
async fn d03_all_rates_hold_and_the_longest_wait_is_told() {
    let rates = r#"[limits]
rate = [{ per = "address", requests = 2, every = "2s" }, { per = "address", requests = 4, every = "1h" }]"#;
    let site = site(rates).await;
    assert_eq!(site.flood("192.0.2.7", "/public/x", 3).await, [200, 200, 429]);
    site.clock.advance(Duration::from_secs(2));
    assert_eq!(site.flood("192.0.2.7", "/public/x", 3).await, [200, 200, 429], "what one refuses counts for none");
    let told = site.get_from(&mut Browser::new(), "192.0.2.7", "/public/x").await;
    assert_eq!(told.header("retry-after"), Some("898"));
}

#[tokio::test]
async fn d03_what_a_rule_refuses_of_a_person_counts_for_nobody_at_the_same_address() {
    let rule = r#"[[rules]]
name = "exports"
paths = ["/exports"]
access = "session"
limits = { rate = [{ per = "address", requests = 3, every = "1h" }, { per = "person", requests = 1, every = "1m" }] }"#;
    let site = site("").await;
    let mut eager = site.signed_in().await;
    site.provider.script().claims = vec![crate::harness::provider::Claim::Set("sub", json!("somebody-else"))];
    let mut other = site.signed_in().await;
    site.change_tables(rule).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(site.get_from(&mut eager, "192.0.2.7", "/exports").await.status.as_u16());
    }
    assert_eq!(statuses, [200, 429, 429, 429, 429, 429]);
    assert_eq!(site.get_from(&mut other, "192.0.2.7", "/exports").await.status, StatusCode::OK);
    site.clock.advance(Duration::from_secs(60));
    assert_eq!(site.get_from(&mut eager, "192.0.2.7", "/exports").await.status, StatusCode::OK);
    // Nor does what is refused of the address count for the person; and the longer wait is told.
    site.clock.advance(Duration::from_secs(60));
    let told = site.get_from(&mut eager, "192.0.2.7", "/exports").await;
    assert_eq!((told.status.as_u16(), told.header("retry-after")), (429, Some("1080")));
    assert_eq!(site.get_from(&mut eager, "192.0.2.8", "/exports").await.status, StatusCode::OK);
    let told = site.get_from(&mut eager, "192.0.2.7", "/exports").await;
    assert_eq!((told.status.as_u16(), told.header("retry-after")), (429, Some("1080")));
}

#[tokio::test]
async fn d03_a_limit_that_observes_refuses_nobody_and_says_whom_it_would() {
    let site = site("[limits]\nmode = \"observe\"\nrate = { per = \"address\", requests = 2, every = \"1m\" }").await;
    assert_eq!(site.flood("192.0.2.7", "/public/x", 5).await, [200; 5]);
    assert_eq!(site.count(r#"lychgate_observed_total{app="app",decision="refused"}"#).await, Some(3));
    let log = log(site.gateway).await;
    let mut observed: Vec<_> = log.iter().map(|line| json!([line["observed"], line["observed_reason"]])).collect();
    observed.sort_by_key(Value::to_string);
    let (would, nothing) = (json!(["refused", "rate_limited"]), json!([null, null]));
    assert_eq!(observed, [would.clone(), would.clone(), would, nothing.clone(), nothing]);
}

#[tokio::test]
async fn d03_a_reload_forgives_nobody_and_a_changed_limit_begins_anew() {
    let site = site(PER_ADDRESS).await;
    assert_eq!(site.flood("192.0.2.7", "/public/x", 4).await, [200, 200, 200, 429]);
    site.change_tables(&format!("{PER_ADDRESS}\nconcurrency = 7")).await;
    assert_eq!(site.flood("192.0.2.7", "/public/x", 1).await, [429], "the rate is the same");
    site.change_tables(&PER_ADDRESS.replace("requests = 6", "requests = 7")).await;
    assert_eq!(site.flood("192.0.2.7", "/public/x", 1).await, [200]);
    site.change_tables("").await;
    assert_eq!(site.flood("192.0.2.7", "/public/x", 5).await, [200; 5]);
}
