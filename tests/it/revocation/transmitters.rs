//! Transmitters of security events beside the provider: their names, their keys, and what junk does to these.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::events::{CAEP, PATH, SET, ada};
use super::{Site, later, post};
use crate::harness::browser::Browser;
use crate::harness::keys::{KEYS, Signing};
use crate::harness::provider::{Answer, CLIENT_ID, Claim, FakeProvider, Mutation};
use crate::harness::site::policy;
use crate::harness::wire::Wire;

/// A transmitter that is not the provider, and a site that listens to it.
async fn beside_the_provider() -> (FakeProvider, Site) {
    let transmitter = FakeProvider::start(crate::harness::gateway::clock().clock()).await;
    transmitter.script().jwks = Some(vec![KEYS.stranger_jwk("t")]);
    let events = format!(
        "events = {{ issuer = \"https://transmitter.example\", audience = \"gate\", jwks_uri = \"{}/jwks\", authorization = {{ file = \"events.secret\" }} }}\n",
        transmitter.issuer()
    );
    let site = Site::with(policy, |setup| {
        setup
            .settings("state = \"state\"")
            .file("events.secret", "Bearer of-the-transmitter")
            .provider_settings(&events)
    })
    .await;
    (transmitter, site)
}

/// What the transmitter says, signed with the key of this name.
fn by_the_transmitter(key: &str) -> Mutation {
    Mutation {
        claims: vec![Claim::Set("iss", json!("https://transmitter.example")), Claim::Set("aud", json!("gate"))],
        header: vec![("kid", json!(key))],
        signing: Signing::Stranger,
    }
}

#[tokio::test]
async fn l02_a_transmitter_beside_the_provider_has_its_own_issuer_audience_keys_and_secret() {
    let (transmitter, site) = beside_the_provider().await;
    let mut browser = site.signed_in().await;
    let kind = format!("{CAEP}session-revoked");
    let mutation = by_the_transmitter("t");
    let good = [("authorization", "Bearer of-the-transmitter")];
    let mint = |mutation: &Mutation| site.provider.event_token(&kind, json!({}), ada(&site), mutation);
    for (why, headers, token, status, err) in [
        ("no authorization", &[][..], mint(&mutation), 401, "authentication_failed"),
        ("another authorization", &[("authorization", "Bearer x")], mint(&mutation), 401, "authentication_failed"),
        ("the provider's own", &good, mint(&Mutation::default()), 400, "invalid_issuer"),
        (
            "the client id",
            &good,
            mint(&mutation.clone().and(Mutation::set("aud", json!(CLIENT_ID)))),
            400,
            "invalid_audience",
        ),
        (
            "the provider's key",
            &good,
            mint(&Mutation { signing: Signing::Rs256, ..mutation.clone() }),
            400,
            "invalid_key",
        ),
    ] {
        let reply = post(&site, PATH, SET, headers, token).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["err"]), (status, &json!(err)), "{why}");
    }
    assert_eq!(site.status(&mut browser).await, 200);
    assert_eq!(post(&site, PATH, SET, &good, mint(&mutation)).await.status.as_u16(), 202);
    assert_eq!(site.status(&mut browser).await, 401);
    assert_eq!(transmitter.requests("/jwks").len(), 1);
}

#[tokio::test]
async fn l05_messages_of_different_senders_are_not_replays_of_each_other() {
    let (_transmitter, site) = beside_the_provider().await;
    let same = |mutation: Mutation| mutation.and(Mutation::set("jti", json!("1")));
    let mut browser = site.signed_in().await;
    let logout = format!("logout_token={}", site.provider.logout_token(&same(Mutation::default())));
    let form = "application/x-www-form-urlencoded";
    assert_eq!(post(&site, "/.lychgate/backchannel-logout", form, &[], logout.clone()).await.status.as_u16(), 200);
    assert_eq!(site.status(&mut browser).await, 401);
    later(&site);
    let mut again = site.signed_in().await;
    let kind = format!("{CAEP}session-revoked");
    let event = site.provider.event_token(&kind, json!({}), ada(&site), &same(by_the_transmitter("t")));
    let authorization = [("authorization", "Bearer of-the-transmitter")];
    assert_eq!(post(&site, PATH, SET, &authorization, event.as_str()).await.status.as_u16(), 202);
    assert_eq!(site.status(&mut again).await, 401, "the transmitter's message counts for itself");
    // Each of them once.
    later(&site);
    let mut after = site.signed_in().await;
    assert_eq!(post(&site, "/.lychgate/backchannel-logout", form, &[], logout).await.status.as_u16(), 200);
    assert_eq!(post(&site, PATH, SET, &authorization, event).await.status.as_u16(), 202);
    assert_eq!(site.status(&mut after).await, 200);
}

#[tokio::test]
async fn l02_a_transmitter_may_name_people_as_of_its_own_issuer_and_whom_nobody_knows_is_told() {
    let (_transmitter, site) = beside_the_provider().await;
    let kind = format!("{CAEP}session-revoked");
    let send = async |subject: Value| {
        let token = site.provider.event_token(&kind, json!({}), subject, &by_the_transmitter("t"));
        post(&site, PATH, SET, &[("authorization", "Bearer of-the-transmitter")], token).await.status.as_u16()
    };
    let of = |issuer: &str| json!({"format": "iss_sub", "iss": issuer, "sub": "ada-7"});
    for (subject, status) in [
        (of("https://other.example"), 200),
        (json!({"format": "phone_number", "phone_number": "+15550100"}), 200),
        (of("https://transmitter.example"), 401),
        (of(site.provider.issuer()), 401),
    ] {
        later(&site);
        let mut browser = site.signed_in().await;
        assert_eq!((send(subject.clone()).await, site.status(&mut browser).await), (202, status), "{subject}");
    }
    let metrics = format!("http://localhost:{}/metrics", site.gateway.admin().port());
    let metrics = Browser::new().get(&metrics).await.text();
    for (outcome, count) in [("signal_nobody", 2), ("accepted", 2)] {
        let counted = format!("lychgate_signals_total{{endpoint=\"events_set\",outcome=\"{outcome}\"}} {count}");
        assert!(metrics.contains(&counted), "{counted} in {metrics}");
    }
    let log = site.gateway.stop().await;
    let reasons = log.iter().filter(|line| line["path"] == PATH).filter_map(|line| line["reason"].as_str());
    // Two workers write their lines in any order.
    let mut reasons: Vec<_> = reasons.collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["signal_accepted", "signal_accepted", "signal_nobody", "signal_nobody"]);
}

#[tokio::test]
async fn r14_a_fetch_of_a_transmitters_keys_is_finished_though_whoever_caused_it_leaves() {
    let (transmitter, site) = beside_the_provider().await;
    let held = Arc::new(Semaphore::new(0));
    transmitter.script().jwks_held = Some(Arc::clone(&held));
    let kind = format!("{CAEP}session-revoked");
    let mint = |key: &str| site.provider.event_token(&kind, json!({}), ada(&site), &by_the_transmitter(key));
    let nonsense = mint("nonsense");
    let mut leaving = Wire::connect(site.gateway.address()).await;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: app.localhost\r\nAuthorization: Bearer of-the-transmitter\r\nContent-Type: {SET}\r\nContent-Length: {}\r\n\r\n{nonsense}",
        nonsense.len()
    );
    leaving.send(head).await.unwrap();
    while transmitter.requests("/jwks").is_empty() {
        tokio::task::yield_now().await;
    }
    drop(leaving);
    // The gateway has seen it leave.
    let metrics = format!("http://localhost:{}/metrics", site.gateway.admin().port());
    while !Browser::new().get(&metrics).await.text().contains("\nlychgate_connections 0\n") {
        tokio::task::yield_now().await;
    }
    held.add_permits(1);
    let reply = post(&site, PATH, SET, &[("authorization", "Bearer of-the-transmitter")], mint("t")).await;
    assert_eq!((reply.status.as_u16(), transmitter.requests("/jwks").len()), (202, 1));
}

#[tokio::test]
async fn r14_events_follow_a_key_that_a_transmitter_changed_under_its_name() {
    let (transmitter, site) = beside_the_provider().await;
    let mut browser = site.signed_in().await;
    let kind = format!("{CAEP}session-revoked");
    let send = async |mutation: &Mutation| {
        let token = site.provider.event_token(&kind, json!({}), ada(&site), mutation);
        let reply = post(&site, PATH, SET, &[("authorization", "Bearer of-the-transmitter")], token).await;
        (reply.status.as_u16(), reply.header("retry-after").map(str::to_owned))
    };
    let again = || (503, Some("5".to_owned()));
    transmitter.script().jwks = Some(vec![KEYS.jwks()[0].clone()]);
    transmitter.script().jwks.as_mut().unwrap()[0]["kid"] = json!("t");
    let old = Mutation { signing: Signing::Rs256, ..by_the_transmitter("t") };
    let mut other = site.signed_in().await;
    assert_eq!((send(&old).await, site.status(&mut other).await), ((202, None), 401));
    later(&site);
    browser.open(&site.url("/")).await;
    transmitter.script().jwks = Some(vec![KEYS.stranger_jwk("t")]);
    assert_eq!((send(&by_the_transmitter("t")).await, site.status(&mut browser).await), (again(), 200));
    site.clock.advance(Duration::from_secs(60));
    assert_eq!((send(&by_the_transmitter("t")).await, site.status(&mut browser).await), ((202, None), 401));
    assert_eq!(transmitter.requests("/jwks").len(), 2);
}

#[tokio::test]
async fn l06_tokens_that_come_together_wait_for_one_answer() {
    let (transmitter, site) = beside_the_provider().await;
    let kind = format!("{CAEP}session-revoked");
    let send = async || {
        let token = site.provider.event_token(&kind, json!({}), ada(&site), &by_the_transmitter("t"));
        post(&site, PATH, SET, &[("authorization", "Bearer of-the-transmitter")], token).await.status.as_u16()
    };
    let (a, b, c, d, e, f) = tokio::join!(send(), send(), send(), send(), send(), send());
    assert_eq!([a, b, c, d, e, f], [202; 6]);
    assert_eq!(transmitter.requests("/jwks").len(), 1);
}

#[tokio::test]
async fn l06_the_keys_of_a_transmitter_are_asked_for_once_a_minute_whatever_comes() {
    let (transmitter, site) = beside_the_provider().await;
    let kind = format!("{CAEP}session-revoked");
    let headers = [("authorization", "Bearer of-the-transmitter")];
    let mut after = 0;
    for (advance, fetched) in [(0, 1), (59, 1), (1, 2), (59, 2), (1, 3), (120, 4)] {
        site.clock.advance(Duration::from_secs(advance));
        let before = transmitter.requests("/jwks").len();
        for number in 0..5 {
            after += 1;
            let token =
                site.provider.event_token(&kind, json!({}), ada(&site), &by_the_transmitter(&format!("k{after}")));
            let reply = post(&site, PATH, SET, &headers, token).await;
            // The one for which the newest keys were fetched is refused; of the others nobody knows.
            let refused = number == 0 && fetched > before;
            let expected = if refused { (400, json!("invalid_key")) } else { (503, json!("invalid_request")) };
            assert_eq!((reply.status.as_u16(), reply.json()["err"].clone()), expected, "{number} {advance}");
        }
        assert_eq!(transmitter.requests("/jwks").len(), fetched, "{advance} seconds later");
    }
}

#[tokio::test]
async fn r14_a_key_that_a_transmitter_withdrew_is_believed_as_long_as_its_answer_is_good() {
    let (transmitter, site) = beside_the_provider().await;
    let kind = format!("{CAEP}session-revoked");
    let send = async || {
        let token = site.provider.event_token(&kind, json!({}), ada(&site), &by_the_transmitter("t"));
        post(&site, PATH, SET, &[("authorization", "Bearer of-the-transmitter")], token).await.status.as_u16()
    };
    let later = |seconds| site.clock.advance(Duration::from_secs(seconds));
    let asked = || transmitter.requests("/jwks").len();
    transmitter.script().cache_control = Some("max-age=600");
    assert_eq!((send().await, asked()), (202, 1));
    later(599);
    assert_eq!((send().await, asked()), (202, 1));
    // While it is away, the last good keys hold, and it is asked once a minute.
    transmitter.script().jwks_answer = Answer::Status(500);
    for (seconds, fetched) in [(1, 2), (59, 2), (1, 3)] {
        later(seconds);
        assert_eq!((send().await, asked()), (202, fetched), "{seconds}");
    }
    transmitter.script().jwks_answer = Answer::Normal;
    transmitter.script().cache_control = None;
    later(60);
    assert_eq!((send().await, asked()), (202, 4));
    transmitter.script().jwks = Some(KEYS.jwks());
    later(3599);
    assert_eq!((send().await, asked()), (202, 4));
    later(1);
    assert_eq!((send().await, asked()), (400, 5));
}
