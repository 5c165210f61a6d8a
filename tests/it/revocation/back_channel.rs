//! Logout tokens: OpenID Connect Back-Channel Logout 1.0, sections 2.4 to 2.8.

use std::time::Duration;

use serde_json::{Value, json};
use url::form_urlencoded;

use super::{Site, later, listening, post, site};
use crate::harness::application::Application;
use crate::harness::browser::Reply;
use crate::harness::gateway::{Setup, clock, provider};
use crate::harness::keys::{KEYS, Signing};
use crate::harness::provider::{CLIENT_ID, Claim, Mutation};
use crate::harness::site::{IDENTITY, ada, policy};

const PATH: &str = "/.lychgate/backchannel-logout";
const FORM: &str = "application/x-www-form-urlencoded";

fn form(token: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", token).finish()
}

async fn logout(site: &Site, mutation: &Mutation) -> Reply {
    post(site, PATH, FORM, &[], form(&site.provider.logout_token(mutation))).await
}

fn event(value: Value) -> Value {
    json!({ "http://schemas.openid.net/event/backchannel-logout": value })
}

#[tokio::test]
async fn l01_what_breaks_a_rule_is_refused_with_400_and_ends_nothing() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    let set = Mutation::set;
    let cases = [
        ("2.6 rule 2, signature of a stranger", Mutation::signed(Signing::Stranger)),
        ("2.6 rule 2, one bit", Mutation::signed(Signing::Broken)),
        ("2.6 rule 2, no signature", Mutation::signed(Signing::EmptySignature)),
        ("2.6 rule 2, alg none", Mutation::signed(Signing::Unsigned)),
        ("2.6 rule 2, HS256 with the secret", Mutation::signed(Signing::ClientSecret)),
        ("2.6 rule 2, HS256 with the public key", Mutation::signed(Signing::PublicKeyAsSecret)),
        ("2.6 rule 2, unknown kid", Mutation::header("kid", json!("nobody"))),
        ("2.6 rule 2, alg of another key", Mutation::header("alg", json!("ES256"))),
        ("RFC 7515 4.1.11, crit", Mutation::header("crit", json!(["b64"]))),
        ("2.4, typ of an ID token's kin", Mutation::header("typ", json!("at+jwt"))),
        ("2.4, typ of an event", Mutation::header("typ", json!("secevent+jwt"))),
        ("2.4, typ is no text", Mutation::header("typ", json!(7))),
        ("2.6 rule 3, iss missing", Mutation::remove("iss")),
        ("2.6 rule 3, iss of another", set("iss", json!("https://other.example"))),
        ("2.6 rule 3, iss with a slash", set("iss", json!(format!("{}/", site.provider.issuer())))),
        ("2.6 rule 3, aud missing", Mutation::remove("aud")),
        ("2.6 rule 3, aud of another", set("aud", json!("another"))),
        ("2.6 rule 3, aud of others", set("aud", json!(["another", "third"]))),
        ("2.6 rule 3, aud is no text", set("aud", json!({ CLIENT_ID: true }))),
        ("2.6 rule 3, iat missing", Mutation::remove("iat")),
        ("2.6 rule 3, iat in the future", Mutation::at("iat", 61)),
        ("2.6 rule 3, iat long ago", Mutation::at("iat", -700)),
        ("2.6 rule 3, iat a second too long ago", Mutation::at("iat", -661)),
        ("2.6 rule 3, iat is a text", set("iat", json!("now"))),
        ("2.6 rule 3, exp missing", Mutation::remove("exp")),
        ("2.6 rule 3, exp past", Mutation::at("exp", -60)),
        ("2.6 rule 4, neither sub nor sid", Mutation::remove("sub").and(Mutation::remove("sid"))),
        ("2.6 rule 4, empty sid", set("sid", json!(""))),
        ("2.6 rule 4, sid is a number", set("sid", json!(1))),
        ("2.6 rule 4, sub is a list", set("sub", json!(["ada-7"]))),
        ("2.6 rule 4, sid too long", set("sid", json!("s".repeat(513)))),
        ("2.6 rule 5, events missing", Mutation::remove("events")),
        ("2.6 rule 5, events empty", set("events", json!({}))),
        ("2.6 rule 5, events is a list", set("events", json!(["http://schemas.openid.net/event/backchannel-logout"]))),
        ("2.6 rule 5, another event", set("events", json!({"http://schemas.openid.net/event/other": {}}))),
        ("2.6 rule 5, value is no object", set("events", event(json!(true)))),
        ("2.6 rule 5, value is null", set("events", event(json!(null)))),
        ("2.6 rule 6, nonce", set("nonce", json!("n"))),
        ("2.6 rule 6, nonce null", set("nonce", json!(null))),
        ("2.4, jti missing", Mutation::remove("jti")),
        ("2.4, jti empty", set("jti", json!(""))),
        ("2.4, jti is a number", set("jti", json!(7))),
    ];
    for (paragraph, mutation) in cases {
        let mut reply = logout(&site, &mutation).await;
        if reply.status.as_u16() == 503 {
            // What newer keys might verify is undecided until they can be asked for again.
            site.clock.advance(Duration::from_secs(60));
            reply = logout(&site, &mutation).await;
        }
        assert_eq!((reply.status.as_u16(), reply.header("cache-control")), (400, Some("no-store")), "{paragraph}");
        assert_eq!(reply.json()["error"], "invalid_request", "{paragraph}");
    }
    assert_eq!(site.status(&mut browser).await, 200);
    let reply = logout(&site, &Mutation::default()).await;
    assert_eq!((reply.status.as_u16(), reply.header("cache-control"), &*reply.text()), (200, Some("no-store"), ""));
    // The very next request is refused.
    assert_eq!(site.status(&mut browser).await, 401);
    let log = site.gateway.stop().await;
    let codes: Vec<_> = log.iter().filter(|line| line["path"] == PATH).map(|line| &line["reason"]).collect();
    assert!(codes.iter().all(|code| code.as_str().unwrap().starts_with("signal_")), "{codes:?}");
    assert_eq!(log.iter().filter(|line| line["reason"] == "session_revoked").count(), 1, "{log:#?}");
}

#[tokio::test]
async fn l01_what_is_no_form_with_one_token_is_refused() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    let token = site.provider.logout_token(&Mutation::default());
    let encrypted = "a.b.c.d.e";
    for (paragraph, kind, body) in [
        ("2.5 no form", "application/json", form(&token)),
        ("2.5 no form", "text/plain", form(&token)),
        ("2.5 no content type", "", form(&token)),
        ("2.5 no parameter", FORM, String::new()),
        ("2.5 another parameter", FORM, format!("token={token}")),
        ("RFC 6749 3.1 twice", FORM, format!("{0}&{0}", form(&token))),
        ("2.6 rule 1 encrypted", FORM, form(encrypted)),
        ("2.4 no JWT", FORM, form("x")),
        ("2.4 two parts", FORM, form("e30.e30")),
        ("2.4 no JSON", FORM, form("x.y.z")),
        ("2.4 too long", FORM, form(&"x".repeat(20_000))),
        ("2.4 far too long", FORM, form(&"x".repeat(200_000))),
    ] {
        let reply = post(&site, PATH, kind, &[], body).await;
        assert_eq!(reply.status.as_u16(), 400, "{paragraph} {kind}: {}", reply.text());
    }
    let get = crate::harness::browser::Browser::new().get(&site.url(&format!("{PATH}?{}", form(&token)))).await;
    assert_eq!((get.status.as_u16(), get.header("allow")), (405, Some("POST")));
    assert_eq!(site.status(&mut browser).await, 200);
    // 2.5: other parameters are ignored, and the form's charset says nothing.
    let kind = "Application/X-WWW-Form-Urlencoded; charset=utf-8";
    let reply = post(&site, PATH, kind, &[], format!("a=b&{}&c=d", form(&token))).await;
    assert_eq!((reply.status.as_u16(), site.status(&mut browser).await), (200, 401));
}

#[tokio::test]
async fn l01_accepted_tokens_end_what_they_name_and_nothing_else() {
    let ended = 401;
    for (paragraph, mutation, status) in [
        ("2.4 by sid and sub", Mutation::default(), ended),
        ("2.4 by sid alone", Mutation::remove("sub"), ended),
        ("2.4 by sub alone", Mutation::remove("sid"), ended),
        ("2.4 typ JWT", Mutation::header("typ", json!("JWT")), ended),
        ("2.4 typ absent", Mutation::header("typ", json!(null)), ended),
        ("2.4 typ with application/", Mutation::header("typ", json!("application/logout+jwt")), ended),
        ("2.4 typ in another case", Mutation::header("typ", json!("LOGOUT+JWT")), ended),
        ("2.4 aud is a list", Mutation::set("aud", json!(["another", CLIENT_ID])), ended),
        ("2.4 other claims are ignored", Mutation::set("trace", json!({"x": [1]})), ended),
        ("2.4 the event's value SHOULD be empty", Mutation::set("events", event(json!({"x": 1}))), ended),
        ("2.6 rule 3 leeway", Mutation::at("iat", 59), ended),
        // A provider's clock may be behind.
        ("2.6 rule 3 the oldest", Mutation::at("iat", -660), ended),
        ("2.6 rule 3 the oldest, by sid alone", Mutation::at("iat", -660).and(Mutation::remove("sub")), ended),
        ("2.6 rule 3 the oldest, by sub alone", Mutation::at("iat", -660).and(Mutation::remove("sid")), ended),
        ("2.6 rule 2 ES256", Mutation::signed(Signing::Es256), ended),
        ("2.6 rule 2 EdDSA", Mutation::signed(Signing::EdDsa), ended),
        ("2.6 rule 2 PS256", Mutation::signed(Signing::Ps256), ended),
        ("2.7 another sid", Mutation::set("sid", json!("session-2")), 200),
        ("2.7 another person", Mutation::remove("sid").and(Mutation::set("sub", json!("grace-8"))), 200),
        ("2.7 this sid, another person", Mutation::set("sub", json!("grace-8")), 200),
    ] {
        let site = site().await;
        let mut browser = site.signed_in().await;
        let reply = logout(&site, &mutation).await;
        assert_eq!((reply.status.as_u16(), site.status(&mut browser).await), (200, status), "{paragraph}");
    }
}

#[tokio::test]
async fn l01_by_sub_all_sessions_of_the_person_end_and_by_sid_one_and_new_ones_live() {
    let site = site().await;
    let mut first = site.signed_in().await;
    site.provider.script().claims = vec![Claim::Set("sid", json!("session-2"))];
    let mut second = site.signed_in().await;
    assert_eq!(logout(&site, &Mutation::default()).await.status.as_u16(), 200);
    assert_eq!((site.status(&mut first).await, site.status(&mut second).await), (401, 200));
    assert_eq!(logout(&site, &Mutation::remove("sid")).await.status.as_u16(), 200);
    assert_eq!(site.status(&mut second).await, 401);
    later(&site);
    let mut third = site.signed_in().await;
    assert_eq!(site.status(&mut third).await, 200);
}

#[tokio::test]
async fn l01_a_session_without_a_sid_cannot_be_told_from_the_one_that_is_meant() {
    let site = site().await;
    site.provider.script().claims = vec![Claim::Remove("sid")];
    let mut browser = site.signed_in().await;
    assert_eq!(logout(&site, &Mutation::remove("sub")).await.status.as_u16(), 200);
    assert_eq!(site.status(&mut browser).await, 200);
    assert_eq!(logout(&site, &Mutation::default()).await.status.as_u16(), 200);
    assert_eq!(site.status(&mut browser).await, 401);
}

#[tokio::test]
async fn l05_a_replay_changes_nothing() {
    let mut site = site().await;
    let mut browser = site.signed_in().await;
    let token = form(&site.provider.logout_token(&Mutation::remove("sid")));
    assert_eq!(post(&site, PATH, FORM, &[], token.as_str()).await.status.as_u16(), 200);
    assert_eq!(site.status(&mut browser).await, 401);
    later(&site);
    let mut again = site.signed_in().await;
    assert_eq!(post(&site, PATH, FORM, &[], token.as_str()).await.status.as_u16(), 200);
    assert_eq!(site.status(&mut again).await, 200);
    // Nor after a restart.
    site.gateway = site.gateway.restart(&site.clock).await;
    assert_eq!(post(&site, PATH, FORM, &[], token.as_str()).await.status.as_u16(), 200);
    assert_eq!(site.status(&mut again).await, 200);
}

#[tokio::test]
async fn l04_what_was_ended_stays_so_after_a_restart() {
    let mut site = site().await;
    let mut browser = site.signed_in().await;
    assert_eq!(logout(&site, &Mutation::default()).await.status.as_u16(), 200);
    site.gateway = site.gateway.restart(&site.clock).await;
    assert_eq!(site.status(&mut browser).await, 401);
    later(&site);
    let mut again = site.signed_in().await;
    assert_eq!(site.status(&mut again).await, 200);
}

#[tokio::test]
async fn l04_every_worker_refuses_at_once() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    // Connections are spread over the workers: each has the session in its cache.
    for _ in 0..16 {
        assert_eq!(site.status(&mut browser).await, 200);
    }
    assert_eq!(logout(&site, &Mutation::default()).await.status.as_u16(), 200);
    for _ in 0..16 {
        assert_eq!(site.status(&mut browser).await, 401);
    }
}

#[tokio::test]
async fn l06_junk_does_not_stand_in_the_way_of_a_real_token() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    // Hundreds of connections that promise a form and send none of it, and tokens that no key fits.
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut wire = crate::harness::wire::Wire::connect(site.gateway.address()).await;
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: app.localhost\r\nContent-Type: {FORM}\r\nContent-Length: 9000\r\n\r\nlogout_token="
        );
        wire.send(head).await.unwrap();
        held.push(wire);
    }
    for number in 0..40 {
        let unknown = Mutation::header("kid", json!(format!("k{number}")));
        let junk = if number % 2 == 0 { unknown } else { Mutation::signed(Signing::Broken) };
        // The first is refused by the newest keys. Of the others nobody knows.
        assert_eq!(logout(&site, &junk).await.status.as_u16(), if number == 0 { 400 } else { 503 });
    }
    assert_eq!(site.provider.requests("/jwks").len(), 2, "at most one fetch of keys for all of them");
    assert_eq!(logout(&site, &Mutation::default()).await.status.as_u16(), 200);
    assert_eq!(site.status(&mut browser).await, 401);
    drop(held);
}

/// Signed with the key that another provider's set would have under this name.
fn by_new_key(kid: &Value) -> Mutation {
    Mutation { header: vec![("kid", kid.clone())], ..Mutation::signed(Signing::Stranger) }
}

#[tokio::test]
async fn r14_a_logout_token_by_a_new_key_is_verified_with_it_whatever_its_name() {
    for kid in [json!("new"), json!("rsa"), json!(null)] {
        let site = site().await;
        let mut browser = site.signed_in().await;
        site.provider.script().jwks = Some(vec![KEYS.stranger_jwk(kid.as_str().unwrap_or("rsa"))]);
        assert_eq!(logout(&site, &by_new_key(&kid)).await.status.as_u16(), 200, "{kid}");
        assert_eq!(site.status(&mut browser).await, 401, "{kid}");
        assert_eq!(site.provider.requests("/jwks").len(), 2, "{kid}");
    }
}

#[tokio::test]
async fn l06_a_real_token_that_junk_leaves_no_keys_for_is_to_be_sent_again() {
    for kid in [json!("new"), json!("rsa")] {
        let site = site().await;
        let mut browser = site.signed_in().await;
        assert_eq!(logout(&site, &Mutation::header("kid", json!("nobody"))).await.status.as_u16(), 400);
        site.provider.script().jwks = Some(vec![KEYS.stranger_jwk(kid.as_str().unwrap())]);
        let token = form(&site.provider.logout_token(&by_new_key(&kid)));
        let reply = post(&site, PATH, FORM, &[], token.as_str()).await;
        assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (503, Some("5")), "{kid}");
        assert_eq!(site.status(&mut browser).await, 200);
        site.clock.advance(Duration::from_secs(60));
        assert_eq!(post(&site, PATH, FORM, &[], token.as_str()).await.status.as_u16(), 200, "{kid}");
        assert_eq!(site.status(&mut browser).await, 401);
        let log = site.gateway.stop().await;
        assert!(log.iter().any(|line| line["path"] == PATH && line["reason"] == "signal_unavailable"), "{log:#?}");
    }
}

#[tokio::test]
async fn l06_what_the_provider_never_signs_with_fetches_no_keys() {
    let clock = clock();
    let provider = provider(&clock).await;
    provider.script().person = ada();
    provider.script().metadata = vec![("id_token_signing_alg_values_supported".to_owned(), json!(["RS256"]))];
    let application = Application::start(IDENTITY).await;
    let setup = Setup::new(&clock).provider(&provider).policy("app", &policy(&application.url()));
    let site = Site { gateway: listening(setup).start().await, clock, provider, application };
    let mut browser = site.signed_in().await;
    for _ in 0..3 {
        let reply = logout(&site, &Mutation::signed(Signing::Es256)).await;
        assert_eq!(reply.status.as_u16(), 400, "{}", reply.text());
    }
    assert_eq!(site.provider.requests("/jwks").len(), 1);
    assert_eq!(site.status(&mut browser).await, 200);
    assert_eq!(logout(&site, &Mutation::default()).await.status.as_u16(), 200);
    assert_eq!(site.status(&mut browser).await, 401);
}
