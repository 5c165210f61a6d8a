//! Access tokens of somebody whose sessions were ended: what was issued before is refused, what comes after is good.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::{AUDIENCE, Api, ask, assert_refused};
use crate::harness::browser::Browser;
use crate::harness::gateway::HOST;
use crate::harness::provider::{Answer, Mutation};
use crate::harness::soon;
use crate::harness::wire::RawApplication;

async fn revoke(api: &Api, body: Value) {
    let address = format!("http://127.0.0.1:{}/revocations", api.gateway.admin().port());
    let headers = [("content-type", "application/json")];
    let reply = Browser::new().send(Method::POST, &address, &headers, Bytes::from(body.to_string())).await;
    assert!(reply.status.is_success(), "{body}: {}", reply.text());
}

#[tokio::test]
async fn l04_tokens_of_whoever_is_named_are_refused_and_those_of_others_are_not() {
    let claims = json!({"email": "ada@gmr.example", "sid": "session-1"});
    for (body, refused) in [
        (json!({"provider": "idp", "subject": "ada-7"}), true),
        (json!({"provider": "idp", "provider_session": "session-1"}), true),
        (json!({"who": "ada"}), true),
        (json!({"email": "ADA@gmr.example"}), true),
        (json!({"provider": "idp", "subject": "grace-8"}), false),
        (json!({"provider": "idp", "provider_session": "session-2"}), false),
        (json!({"who": "grace"}), false),
    ] {
        let api = Api::new("").await;
        let (known, unknown) = (
            api.token(claims.clone()),
            api.token(json!({"email": "ada@gmr.example", "sid": "session-1", "jti": "t-2"})),
        );
        assert_eq!(api.bearer("/", &known).await.status.as_u16(), 200);
        revoke(&api, body.clone()).await;
        for token in [&known, &unknown] {
            let reply = api.bearer("/", token).await;
            match refused {
                true => assert_refused(&reply, 401, "invalid_token", &body.to_string()),
                false => assert_eq!(reply.status.as_u16(), 200, "{body}"),
            }
        }
        // What is issued afterwards is good, as soon as it is sure that it was.
        api.clock.advance(Duration::from_secs(61));
        assert_eq!(api.bearer("/", &api.token(claims.clone())).await.status.as_u16(), 200, "{body}");
        let log = api.gateway.stop().await;
        assert_eq!(log.iter().filter(|line| line["reason"] == "token_revoked").count(), if refused { 2 } else { 0 });
    }
}

#[tokio::test]
async fn l04_c11_a_token_of_a_clock_that_is_ahead_does_not_escape_what_ends_its_person_meanwhile() {
    let api = Api::new("").await;
    let ahead = |seconds: i64, id: &str| {
        let now = api.claims()["iat"].as_i64().unwrap();
        api.token(json!({"iat": now + seconds, "exp": now + 300, "jti": id}))
    };
    // `clock_skew` is a minute: the clock of the provider may be so much ahead.
    let (known, unknown) = (ahead(50, "t-1"), ahead(50, "t-2"));
    assert_eq!(api.bearer("/", &known).await.status.as_u16(), 200);
    api.clock.advance(Duration::from_secs(20));
    revoke(&api, json!({"provider": "idp", "subject": "ada-7"})).await;
    // Nor when that moment has come.
    for seconds in [0, 40] {
        api.clock.advance(Duration::from_secs(seconds));
        assert_refused(&api.bearer("/", &known).await, 401, "invalid_token", "seen before");
        assert_refused(&api.bearer("/", &unknown).await, 401, "invalid_token", "not seen before");
    }
    // What may have been issued before is asked for once more; what cannot is good.
    assert_refused(&api.bearer("/", &ahead(20, "t-3")).await, 401, "invalid_token", "sixty seconds after");
    assert_eq!(api.bearer("/", &ahead(21, "t-4")).await.status.as_u16(), 200);
}

#[tokio::test]
async fn l04_a_request_that_waits_for_its_answer_is_refused_when_its_token_is() {
    let application = RawApplication::start().await;
    let policy = super::policy(&application.url(), HOST, "");
    let api = Api::with("", |setup, _| setup.policy("app", &policy)).await;
    let token = api.token(json!({}));
    let (reply, ()) = soon(async {
        tokio::join!(api.bearer("/", &token), async {
            let mut waiting = application.accept().await;
            assert!(waiting.request_head().await.is_some());
            revoke(&api, json!({"who": "ada"})).await;
            assert_eq!(waiting.rest().await, b"");
        })
    })
    .await;
    assert_refused(&reply, 401, "invalid_token", "waiting");
    assert_eq!(api.gateway.stop().await[0]["reason"], "token_revoked");
}

#[tokio::test]
async fn l04_a_logout_token_of_the_provider_and_signing_out_everywhere_end_tokens_too() {
    let api = Api::new("").await;
    let mut browser = Browser::new();
    assert_eq!(browser.open(&api.gateway.url("/")).await.status.as_u16(), 200);
    let token = api.token(json!({}));
    assert_eq!(api.bearer("/", &token).await.status.as_u16(), 200);
    let origin = api.gateway.url("");
    let everywhere = async |browser: &mut Browser, form: &str| {
        let reply = browser.post(&api.gateway.url("/.lychgate/logout"), form, &[("origin", origin.as_str())]).await;
        assert_eq!(reply.status.as_u16(), 302);
    };
    everywhere(&mut browser, "").await;
    assert_eq!(api.bearer("/", &token).await.status.as_u16(), 200, "one browser's sign-out ends no token");
    assert_eq!(browser.open(&api.gateway.url("/")).await.status.as_u16(), 200);
    everywhere(&mut browser, "everywhere=1").await;
    assert_refused(&api.bearer("/", &token).await, 401, "invalid_token", "everywhere");

    api.clock.advance(Duration::from_secs(200));
    let token = api.token(json!({}));
    assert_eq!(api.bearer("/", &token).await.status.as_u16(), 200);
    let logout = api.provider.logout_token(&Mutation::default());
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("host", HOST)];
    let form = format!("logout_token={logout}");
    let address = api.gateway.url("/.lychgate/backchannel-logout");
    let reply = Browser::new().send(Method::POST, &address, &headers[..1], Bytes::from(form)).await;
    assert_eq!(reply.status.as_u16(), 200);
    // By `sid` and `sub`: a token that does not say of which of the provider's sessions it is is not of that one.
    assert_eq!(api.bearer("/", &token).await.status.as_u16(), 200);
    let of_it = api.token(json!({"sid": "session-1"}));
    assert_refused(&api.bearer("/", &of_it).await, 401, "invalid_token", "of the session that is over");
}

#[tokio::test]
async fn l04_an_opaque_token_that_does_not_say_when_it_was_issued_is_older_than_every_entry() {
    let api = Api::new("tokens = \"opaque\"").await;
    let mut says = api.claims();
    says["active"] = true.into();
    says["token_type"] = "Bearer".into();
    says.as_object_mut().unwrap().remove("iat");
    api.provider.script().introspection_answer = Answer::json(&says.to_string());
    let bearer = [("authorization", "Bearer opaque-1")];
    assert_eq!(ask(&api.gateway.url("/"), &bearer).await.status.as_u16(), 200, "{AUDIENCE}");
    revoke(&api, json!({"provider": "idp", "subject": "ada-7"})).await;
    assert_refused(&ask(&api.gateway.url("/"), &bearer).await, 401, "invalid_token", "known");
    api.clock.advance(Duration::from_secs(60));
    assert_refused(&ask(&api.gateway.url("/"), &bearer).await, 401, "invalid_token", "asked about again");
}

/// A gateway whose one policy takes tokens and signs nobody in, so that its provider is named in `[bearer]` alone.
async fn machines_only(bearer: &str) -> Api {
    let signals = "events = {}\nokta_hooks = { authorization = { file = \"hook.secret\" } }\n";
    Api::with("", |setup, upstream| {
        let policy = super::policy(upstream, HOST, &format!("provider = \"idp\"\n{bearer}"));
        let policy = policy.replace("[login]\nprovider = \"idp\"\n", "");
        setup.policy("app", &policy).file("hook.secret", "Bearer of-the-okta-hook").provider_settings(signals)
    })
    .await
}

/// What a provider sends to `path`.
async fn signal(api: &Api, path: &str, kind: &str, body: String) -> u16 {
    let address = api.gateway.url(&format!("/.lychgate/{path}"));
    let headers = [("content-type", kind), ("authorization", "Bearer of-the-okta-hook")];
    Browser::new().send(Method::POST, &address, &headers, Bytes::from(body)).await.status.as_u16()
}

#[tokio::test]
async fn l04_a_provider_that_only_vouches_for_tokens_is_listened_to() {
    let api = machines_only("").await;
    let event = |subject: Value| {
        let kind = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
        api.provider.event_token(kind, json!({}), subject, &Mutation::default())
    };
    let by_subject = || event(json!({"format": "iss_sub", "iss": api.provider.issuer(), "sub": "ada-7"}));
    let by_email = || event(json!({"format": "email", "email": "ada@GMR.example"}));
    let logout = || format!("logout_token={}", api.provider.logout_token(&Mutation::default()));
    let hook = || {
        let target = json!([{"id": "ada-7", "type": "User"}]);
        json!({"data": {"events": [{"uuid": "u", "eventType": "user.lifecycle.suspend", "target": target}]}})
            .to_string()
    };
    let (form, set) = ("application/x-www-form-urlencoded", "application/secevent+jwt");
    let messages: [(&str, &str, &dyn Fn() -> String, u16); 4] = [
        ("backchannel-logout", form, &logout, 200),
        ("events/set", set, &by_subject, 202),
        ("events/set", set, &by_email, 202),
        ("events/okta", "application/json", &hook, 200),
    ];
    for (path, kind, message, accepted) in messages {
        api.clock.advance(Duration::from_secs(120));
        let token = api.token(json!({"sid": "session-1", "email": "Ada@gmr.example"}));
        assert_eq!(api.bearer("/", &token).await.status.as_u16(), 200, "{path}");
        assert_eq!(signal(&api, path, kind, message()).await, accepted, "{path}");
        assert_refused(&api.bearer("/", &token).await, 401, "invalid_token", path);
    }
}

#[tokio::test]
async fn l04_an_event_that_names_the_address_of_an_opaque_token_ends_it() {
    let api = machines_only("tokens = \"opaque\"").await;
    let mut says = api.claims();
    says["active"] = true.into();
    says["email"] = "ada@gmr.example".into();
    api.provider.script().introspection_answer = Answer::json(&says.to_string());
    let bearer = [("authorization", "Bearer opaque-1")];
    assert_eq!(ask(&api.gateway.url("/"), &bearer).await.status.as_u16(), 200);
    let kind = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
    let subject = json!({"format": "email", "email": "ada@gmr.example"});
    let event = api.provider.event_token(kind, json!({}), subject, &Mutation::default());
    assert_eq!(signal(&api, "events/set", "application/secevent+jwt", event).await, 202);
    assert_refused(&ask(&api.gateway.url("/"), &bearer).await, 401, "invalid_token", "by its address");
}
