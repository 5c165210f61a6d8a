//! Security event tokens by push: RFC 8417, RFC 8935, SSF 1.0, CAEP 1.0, RISC 1.0.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{Site, later, listening, post, site};
use crate::harness::browser::{Browser, Reply};
use crate::harness::keys::{KEYS, Signing};
use crate::harness::provider::{Answer, CLIENT_ID, Claim, FakeProvider, Mutation};
use crate::harness::site::policy;
use crate::harness::wire::Wire;

const PATH: &str = "/.lychgate/events/set";
const SET: &str = "application/secevent+jwt";
const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";

fn ada(site: &Site) -> Value {
    json!({"format": "iss_sub", "iss": site.provider.issuer(), "sub": "ada-7"})
}

async fn send(site: &Site, kind: &str, event: Value, subject: Value, mutation: &Mutation) -> Reply {
    post(site, PATH, SET, &[], site.provider.event_token(kind, event, subject, mutation)).await
}

async fn revoked(site: &Site, mutation: &Mutation) -> Reply {
    send(site, &format!("{CAEP}session-revoked"), json!({}), ada(site), mutation).await
}

#[tokio::test]
async fn l02_what_breaks_a_rule_is_refused_with_its_error_and_ends_nothing() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    let set = Mutation::set;
    for (paragraph, err, mutation) in [
        ("RFC 8935 2.4 signature of a stranger", "invalid_key", Mutation::signed(Signing::Stranger)),
        ("RFC 8935 2.4 one bit", "invalid_key", Mutation::signed(Signing::Broken)),
        ("RFC 8417 2.2 no signature", "invalid_key", Mutation::signed(Signing::EmptySignature)),
        ("RFC 8725 3.1 alg none", "invalid_key", Mutation::signed(Signing::Unsigned)),
        ("RFC 8725 3.1 HS256 with the secret", "invalid_key", Mutation::signed(Signing::ClientSecret)),
        ("RFC 8725 2.1 HS256 with the public key", "invalid_key", Mutation::signed(Signing::PublicKeyAsSecret)),
        ("RFC 8935 2.4 unknown kid", "invalid_key", Mutation::header("kid", json!("nobody"))),
        ("SSF 11.1.1 typ missing", "invalid_request", Mutation::header("typ", json!(null))),
        ("SSF 11.1.1 typ of an ID token", "invalid_request", Mutation::header("typ", json!("JWT"))),
        ("SSF 11.1.1 typ of a logout token", "invalid_request", Mutation::header("typ", json!("logout+jwt"))),
        ("RFC 8417 2.2 iss missing", "invalid_issuer", Mutation::remove("iss")),
        ("RFC 8417 2.2 iss of another", "invalid_issuer", set("iss", json!("https://other.example"))),
        ("RFC 8417 2.2 aud missing", "invalid_audience", Mutation::remove("aud")),
        ("RFC 8417 2.2 aud of another", "invalid_audience", set("aud", json!(["another"]))),
        ("RFC 8417 2.2 iat missing", "invalid_request", Mutation::remove("iat")),
        ("RFC 8417 2.2 iat in the future", "invalid_request", Mutation::at("iat", 61)),
        ("RFC 8417 2.2 jti missing", "invalid_request", Mutation::remove("jti")),
        ("RFC 8417 2.2 jti empty", "invalid_request", set("jti", json!(""))),
        ("SSF 11.1.3 exp", "invalid_request", Mutation::at("exp", 300)),
        ("RFC 8417 2.2 events missing", "invalid_request", Mutation::remove("events")),
        ("RFC 8417 2.2 events empty", "invalid_request", set("events", json!({}))),
        ("RFC 8417 2.2 events is a list", "invalid_request", set("events", json!([{}]))),
        (
            "RFC 8417 2.2 event is no object",
            "invalid_request",
            set("events", json!({format!("{CAEP}session-revoked"): []})),
        ),
        ("SSF 3 subject missing", "invalid_request", Mutation::remove("sub_id")),
        ("RFC 9493 3 subject is a text", "invalid_request", set("sub_id", json!("ada-7"))),
        ("RFC 9493 3 subject is empty", "invalid_request", set("sub_id", json!({}))),
    ] {
        let mut reply = revoked(&site, &mutation).await;
        if reply.status.as_u16() == 503 {
            site.clock.advance(Duration::from_secs(60));
            reply = revoked(&site, &mutation).await;
        }
        assert_eq!((reply.status.as_u16(), &reply.json()["err"]), (400, &json!(err)), "{paragraph}");
        assert!(reply.json()["description"].is_string() && reply.header("cache-control") == Some("no-store"));
        assert_eq!(reply.header("content-language"), Some("en"), "RFC 8935 2.3");
    }
    for kind in ["application/jwt", "application/json", "application/x-www-form-urlencoded", ""] {
        let token =
            site.provider.event_token(&format!("{CAEP}session-revoked"), json!({}), ada(&site), &Mutation::default());
        assert_eq!(post(&site, PATH, kind, &[], token).await.status.as_u16(), 400, "RFC 8935 2.1 {kind}");
    }
    for body in [String::new(), "x".to_owned(), "a.b.c.d.e".to_owned(), "x".repeat(17_000), "\u{e9}".repeat(9)] {
        assert_eq!(post(&site, PATH, SET, &[], body).await.status.as_u16(), 400);
    }
    assert_eq!(site.status(&mut browser).await, 200);
    let reply = revoked(&site, &Mutation::default()).await;
    assert_eq!((reply.status.as_u16(), &*reply.text()), (202, ""));
    assert_eq!(site.status(&mut browser).await, 401);
}

#[tokio::test]
async fn l02_each_event_does_what_the_documentation_says() {
    let site = site().await;
    let (ended, outdated, nothing) = (Some("session_revoked"), Some("session_outdated"), None);
    for (kind, event, reason) in [
        (format!("{CAEP}session-revoked"), json!({"reason_admin": {"en": "policy"}}), ended),
        (format!("{RISC}account-disabled"), json!({"reason": "hijacking"}), ended),
        (format!("{RISC}account-purged"), json!({}), ended),
        (format!("{RISC}sessions-revoked"), json!({}), ended),
        (format!("{RISC}account-credential-change-required"), json!({}), ended),
        (format!("{RISC}credential-compromise"), json!({"credential_type": "password"}), ended),
        (format!("{CAEP}token-claims-change"), json!({"claims": {"groups": []}}), outdated),
        (format!("{CAEP}credential-change"), json!({"change_type": "revoke"}), outdated),
        (format!("{CAEP}credential-change"), json!({"change_type": "create"}), nothing),
        (format!("{CAEP}assurance-level-change"), json!({"change_direction": "decrease"}), outdated),
        (format!("{CAEP}assurance-level-change"), json!({"change_direction": "increase"}), nothing),
        (format!("{CAEP}device-compliance-change"), json!({"current_status": "not-compliant"}), outdated),
        (format!("{CAEP}device-compliance-change"), json!({"current_status": "compliant"}), nothing),
        (format!("{CAEP}risk-level-change"), json!({"current_level": "HIGH"}), outdated),
        (format!("{CAEP}risk-level-change"), json!({"current_level": "LOW"}), nothing),
        (format!("{RISC}identifier-changed"), json!({"new-value": "x@gmr.example"}), outdated),
        (format!("{RISC}account-enabled"), json!({}), nothing),
        (format!("{CAEP}session-established"), json!({}), nothing),
        (format!("{SSF}verification"), json!({"state": "s"}), nothing),
        (format!("{SSF}stream-updated"), json!({"status": "paused"}), nothing),
        ("https://example.com/unknown".to_owned(), json!({}), nothing),
    ] {
        later(&site);
        let mut browser = site.signed_in().await;
        let reply = send(&site, &kind, event.clone(), ada(&site), &Mutation::default()).await;
        assert_eq!(reply.status.as_u16(), 202, "{kind}");
        let status = site.status(&mut browser).await;
        assert_eq!(status, if reason.is_some() { 401 } else { 200 }, "{kind} {event}");
        if reason == outdated {
            // The person passes through the provider once more and notices nothing.
            later(&site);
            assert_eq!(browser.open(&site.url("/")).await.text(), "hello", "{kind}");
            assert_eq!(site.status(&mut browser).await, 200, "{kind}");
        }
    }
    let log = site.gateway.stop().await;
    for code in ["session_revoked", "session_outdated"] {
        assert!(log.iter().any(|line| line["reason"] == code), "{code}");
    }
}

#[tokio::test]
async fn l02_each_form_of_a_subject_means_whom_it_says() {
    let site = site().await;
    site.provider.script().person.push(("email".to_owned(), json!("Ada@gmr.example")));
    let iss = site.provider.issuer().to_owned();
    let user = json!({"format": "iss_sub", "iss": iss, "sub": "ada-7"});
    for (subject, status) in [
        (user.clone(), 401),
        (json!({"format": "email", "email": "ada@GMR.example"}), 401),
        (json!({"format": "opaque", "id": "ada-7"}), 401),
        (json!({"format": "complex", "user": user, "session": {"format": "opaque", "id": "session-1"}}), 401),
        (
            json!({"user": {"format": "email", "email": "ada@gmr.example"}, "session": {"format": "opaque", "id": "session-1"}}),
            401,
        ),
        (json!({"user": user, "tenant": {"format": "opaque", "id": "t"}}), 401),
        (json!({"session": {"format": "opaque", "id": "session-1"}}), 401),
        (json!({"format": "aliases", "identifiers": [{"format": "opaque", "id": "x"}, user]}), 401),
        (json!({"user": user, "session": {"format": "opaque", "id": "session-2"}}), 200),
        (
            json!({"user": {"format": "opaque", "id": "grace-8"}, "session": {"format": "opaque", "id": "session-1"}}),
            200,
        ),
        (json!({"format": "iss_sub", "iss": "https://transmitter.example", "sub": "ada-7"}), 200),
        (json!({"format": "email", "email": "grace@gmr.example"}), 200),
        (json!({"format": "phone_number", "phone_number": "+15550100"}), 200),
        (json!({"device": {"format": "opaque", "id": "d"}}), 200),
    ] {
        later(&site);
        let mut browser = site.signed_in().await;
        let kind = format!("{CAEP}session-revoked");
        let reply = send(&site, &kind, json!({}), subject.clone(), &Mutation::default()).await;
        assert_eq!((reply.status.as_u16(), site.status(&mut browser).await), (202, status), "{subject}");
    }
    // The older spelling, with the subject inside the event.
    later(&site);
    let mut browser = site.signed_in().await;
    let event = json!({"subject": {"subject_type": "iss-sub", "iss": iss, "sub": "ada-7"}});
    let reply = send(&site, &format!("{RISC}sessions-revoked"), event, json!(null), &Mutation::remove("sub_id")).await;
    assert_eq!((reply.status.as_u16(), site.status(&mut browser).await), (202, 401));
}

#[tokio::test]
async fn l05_a_late_event_means_what_began_before_it_and_a_replay_changes_nothing() {
    let site = site().await;
    let kind = format!("{CAEP}session-revoked");
    let token = site.provider.event_token(&kind, json!({}), ada(&site), &Mutation::default());
    site.clock.advance(Duration::from_secs(120));
    let mut browser = site.signed_in().await;
    assert_eq!(post(&site, PATH, SET, &[], token.as_str()).await.status.as_u16(), 202);
    assert_eq!(site.status(&mut browser).await, 200);
    assert_eq!(revoked(&site, &Mutation::set("jti", json!("j"))).await.status.as_u16(), 202);
    assert_eq!(site.status(&mut browser).await, 401);
    later(&site);
    let mut again = site.signed_in().await;
    assert_eq!(revoked(&site, &Mutation::set("jti", json!("j"))).await.status.as_u16(), 202);
    assert_eq!(site.status(&mut again).await, 200);
}

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
    assert_eq!(reasons.collect::<Vec<_>>(), ["signal_nobody", "signal_nobody", "signal_accepted", "signal_accepted"]);
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
async fn l02_keys_that_cannot_be_fetched_are_a_reason_to_try_again_later() {
    let events = "events = { jwks_uri = \"http://127.0.0.1:9/keys\" }\n";
    let site = Site::with(policy, |setup| setup.provider_settings(events)).await;
    let reply = revoked(&site, &Mutation::default()).await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (503, Some("5")));
    site.provider.script().jwks_answer = Answer::Status(500);
}

#[tokio::test]
async fn l02_without_configuration_there_is_no_such_address() {
    let site = Site::new().await;
    assert_eq!(revoked(&site, &Mutation::default()).await.status.as_u16(), 404);
    let site = Site::with(policy, listening).await;
    let get = Browser::new().get(&site.url(PATH)).await;
    assert_eq!((get.status.as_u16(), get.header("allow")), (405, Some("POST")));
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
