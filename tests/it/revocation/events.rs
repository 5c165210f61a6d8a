//! Security event tokens by push: RFC 8417, RFC 8935, SSF 1.0, CAEP 1.0, RISC 1.0.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Site, later, listening, post, site};
use crate::harness::browser::{Browser, Reply};
use crate::harness::keys::Signing;
use crate::harness::provider::{Answer, Mutation};
use crate::harness::site::policy;

pub(super) const PATH: &str = "/.lychgate/events/set";
pub(super) const SET: &str = "application/secevent+jwt";
pub(super) const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";

pub(super) fn ada(site: &Site) -> Value {
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
