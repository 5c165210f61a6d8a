//! What becomes of a request with a token: from the field to the application, and every way of being refused.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use lychgate::app::{Options, Plan};
use lychgate::config::Environment;
use serde_json::{Value, json};

use super::{AUDIENCE, Api, HOST, ask, assert_refused, error_of, policy, signed};
use crate::harness::browser::Browser;
use crate::harness::keys::{KEYS, Signing};
use crate::harness::log;
use crate::harness::provider::{Answer, CLIENT_ID, CLIENT_SECRET};
use crate::harness::site::{SESSION, line_of};
use crate::harness::wire::Wire;

/// The whole answer to these bytes.
async fn exchange(api: &Api, request: &str) -> Vec<u8> {
    let mut wire = Wire::connect(api.gateway.address()).await;
    wire.send(request).await.unwrap();
    wire.rest().await
}

#[tokio::test]
async fn s03_an_accepted_token_tells_the_application_who_it_is_and_is_kept_from_it() {
    let api = Api::new("").await;
    for _ in 0..3 {
        let reply = api.bearer("/", &api.token(json!({}))).await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, "hello"));
        assert_eq!(reply.header("set-cookie"), None);
    }
    let seen = api.application.last();
    assert_eq!(seen.header("x-remote-user").as_deref(), Some("ada"));
    assert_eq!(seen.header("x-remote-groups").as_deref(), Some("staff"));
    assert_eq!(seen.header("x-kind").as_deref(), Some("bearer"));
    assert_eq!(seen.header("x-client").as_deref(), Some("export"));
    assert_eq!(seen.header("authorization"), None);
    let log = api.gateway.stop().await;
    let line = log.last().unwrap();
    let found = ["auth", "who", "client_id", "decision", "session"].map(|name| line.get(name).cloned());
    assert_eq!(found, [Some(json!("bearer")), Some(json!("ada")), Some(json!("export")), Some(json!("allow")), None]);
}

#[tokio::test]
async fn the_application_gets_the_accepted_token_only_where_the_policy_says_so() {
    let api = Api::new("forward = true").await;
    let token = api.token(json!({}));
    assert_eq!(api.bearer("/", &token).await.status, 200);
    assert_eq!(api.application.last().header("authorization"), Some(format!("Bearer {token}")));
    // What is public tells nothing of anybody, and what is no token of ours is nobody's to pass on.
    assert_eq!(api.bearer("/public/x", &token).await.status, 200);
    assert_eq!(api.application.last().header("authorization"), None);
    assert_eq!(api.get("/public/x", "Basic YTpi").await.status, 200);
    assert_eq!(api.application.last().header("authorization"), None);
}

#[tokio::test]
async fn no_token_is_a_challenge_without_an_error_and_a_browser_is_still_sent_to_the_provider() {
    let api = Api::new("").await;
    let reply = ask(&api.gateway.url("/"), &[("accept", "*/*")]).await;
    assert_eq!((reply.status.as_u16(), reply.header("www-authenticate")), (401, Some("Bearer realm=\"app\"")));
    // Another scheme is nobody, too.
    assert_eq!(api.get("/", "Basic YTpi").await.header("www-authenticate"), Some("Bearer realm=\"app\""));
    let reply = Browser::new().get(&api.gateway.url("/")).await;
    assert!(reply.location().unwrap().starts_with(api.provider.issuer()));
    assert!(api.application.seen().is_empty());
}

#[tokio::test]
async fn c07_a_request_with_a_token_is_never_redirected_and_never_given_a_cookie() {
    let api = Api::new("").await;
    let navigation = [("accept", "text/html"), ("sec-fetch-mode", "navigate")];
    for (token, path, status) in [
        ("junk".to_owned(), "/", 401),
        (api.token(json!({"aud": "x"})), "/", 401),
        (api.token(json!({})), "/strong/x", 401),
        (api.token(json!({})), "/admin/x", 403),
        (api.token(json!({})), "/nothing/x", 200),
    ] {
        let mut headers = vec![("authorization", format!("Bearer {token}"))];
        headers.extend(navigation.map(|(name, value)| (name, value.to_owned())));
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let reply = ask(&api.gateway.url(path), &headers).await;
        assert_eq!(reply.status, status, "{path}");
        assert_eq!((reply.header("location"), reply.header("set-cookie")), (None, None), "{path}");
    }
}

#[tokio::test]
async fn authorization_fields_in_doubt_are_refused() {
    let api = Api::new("").await;
    let token = api.token(json!({}));
    for (name, lines) in [
        ("two tokens", format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n")),
        ("a token and a password", format!("Authorization: Bearer {token}\r\nAuthorization: Basic YTpi\r\n")),
        ("two passwords", "Authorization: Basic YTpi\r\nAuthorization: Basic YTpi\r\n".to_owned()),
        ("an empty token", "Authorization: Bearer\r\n".to_owned()),
        ("two in one field", format!("Authorization: Bearer {token}, Bearer {token}\r\n")),
        ("quoted", format!("Authorization: Bearer \"{token}\"\r\n")),
        ("a tab", format!("Authorization: Bearer\t{token}\r\n")),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{lines}Connection: close\r\n\r\n");
        let answer = exchange(&api, &request).await;
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(text.starts_with("http/1.1 400"), "{name}: {text}");
        assert!(text.contains("error=\"invalid_request\""), "{name}: {text}");
    }
    assert!(api.application.seen().is_empty());
}

#[tokio::test]
async fn a_token_in_the_query_is_none_and_beside_one_in_the_field_a_mistake() {
    let api = Api::new("").await;
    let token = api.token(json!({}));
    let reply = ask(&api.gateway.url(&format!("/?access_token={token}")), &[("accept", "*/*")]).await;
    assert_eq!((reply.status.as_u16(), error_of(&reply)), (401, None));
    let reply = api.bearer(&format!("/?a=b&access_token={token}"), &token).await;
    assert_refused(&reply, 400, "invalid_request", "both");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = bytes::Bytes::from(format!("access_token={token}"));
    let reply = Browser::new().send(Method::POST, &api.gateway.url("/"), &form, body).await;
    assert_eq!((reply.status.as_u16(), error_of(&reply)), (401, None));
    assert!(api.application.seen().is_empty());
}

#[tokio::test]
async fn a_bad_token_is_never_taken_for_none() {
    let api = Api::new("").await;
    for path in ["/public/x", "/maybe/x"] {
        assert_refused(&api.bearer(path, "junk").await, 401, "invalid_token", path);
        assert_eq!(ask(&api.gateway.url(path), &[]).await.status, 200);
        assert_eq!(api.bearer(path, &api.token(json!({}))).await.status, 200);
    }
    assert_eq!(api.application.last().header("x-remote-user").as_deref(), Some("ada"));
}

#[tokio::test]
async fn a_token_wins_over_a_session_and_a_bad_one_does_not_fall_back_on_it() {
    let api = Api::new("").await;
    let mut browser = Browser::new();
    assert_eq!(browser.open(&api.gateway.url("/")).await.text(), "hello");
    assert_eq!(api.application.last().header("x-kind").as_deref(), Some("browser"));
    let cookie = browser.cookie(HOST, SESSION).unwrap().clone();
    // Old enough to be renewed, were it a session's request.
    api.clock.advance(Duration::from_secs(600));
    let both = |token: String| format!("Bearer {token}");
    let good = both(api.token(json!({"preferred_username": "grace"})));
    let reply =
        browser.send(Method::GET, &api.gateway.url("/"), &[("authorization", &good)], bytes::Bytes::new()).await;
    assert_eq!((reply.status.as_u16(), reply.header("set-cookie")), (200, None));
    assert_eq!(api.application.last().header("x-remote-user").as_deref(), Some("grace"));
    let before = api.application.seen().len();
    let bad = both(api.token(json!({"aud": "other"})));
    let reply =
        browser.send(Method::POST, &api.gateway.url("/"), &[("authorization", &bad)], bytes::Bytes::new()).await;
    assert_refused(&reply, 401, "invalid_token", "a bad token beside a session");
    assert_eq!(api.application.seen().len(), before);
    assert_eq!(browser.cookie(HOST, SESSION), Some(&cookie));
}

#[tokio::test]
async fn r13_step_up_is_told_to_api_clients_and_rests_on_what_the_token_says() {
    let api = Api::new("").await;
    let now = api.claims()["iat"].as_i64().unwrap();
    for (name, changes, passes) in [
        ("nothing said", json!({}), false),
        ("only the context", json!({"acr": "phr"}), false),
        ("too long ago", json!({"acr": "phr", "auth_time": now - 601}), false),
        ("another context", json!({"acr": "mfa", "auth_time": now}), false),
        ("in the future", json!({"acr": "phr", "auth_time": now + 9999}), true),
        ("enough", json!({"acr": "phr", "auth_time": now - 599}), true),
    ] {
        let reply = api.bearer("/strong/x", &api.token(changes)).await;
        let challenge = "Bearer error=\"insufficient_user_authentication\", acr_values=\"phr\", max_age=\"600\"";
        if passes {
            assert_eq!(reply.status, 200, "{name}");
        } else {
            assert_eq!((reply.status.as_u16(), reply.header("www-authenticate")), (401, Some(challenge)), "{name}");
        }
    }
}

#[tokio::test]
async fn scopes_that_are_missing_are_named() {
    let api = Api::new("scopes = [\"read\", \"export\"]").await;
    let reply = api.bearer("/", &api.token(json!({}))).await;
    assert_refused(&reply, 403, "insufficient_scope", "scope");
    assert!(reply.header("www-authenticate").unwrap().ends_with(", scope=\"read export\""));
}

#[tokio::test]
async fn c09_a_token_that_is_remembered_ends_when_it_says() {
    let api = Api::new("").await;
    let token = api.token(json!({}));
    assert_eq!(api.bearer("/", &token).await.status, 200);
    // 300 s, and 60 s of leeway.
    api.clock.advance(Duration::from_secs(359));
    assert_eq!(api.bearer("/", &token).await.status, 200);
    api.clock.advance(Duration::from_secs(1));
    let reply = api.bearer("/", &token).await;
    assert_refused(&reply, 401, "invalid_token", "expired");
    let log = api.gateway.stop().await;
    assert_eq!(line_of(&log, &reply)["reason"], "token_expired");
}

#[tokio::test]
async fn r14_new_keys_are_fetched_once_and_tokens_of_old_ones_are_not_remembered() {
    let api = Api::new("").await;
    let old = api.token(json!({}));
    for _ in 0..4 {
        assert_eq!(api.bearer("/", &old).await.status, 200);
    }
    api.provider.script().jwks = Some(vec![KEYS.stranger_jwk("next")]);
    let header = [("typ".to_owned(), json!("at+jwt")), ("kid".to_owned(), json!("next"))];
    let new = KEYS.token(Signing::Stranger, &header, &api.claims().to_string(), CLIENT_SECRET);
    assert_eq!(api.bearer("/", &new).await.status, 200);
    assert_eq!(api.provider.requests("/jwks").len(), 2);
    for _ in 0..4 {
        assert_refused(&api.bearer("/", &old).await, 401, "invalid_token", "a key that was withdrawn");
    }
    assert_eq!(api.provider.requests("/jwks").len(), 2, "more than one fetch in a minute");
}

#[tokio::test]
async fn r14_a_token_without_a_kid_that_new_keys_signed_is_accepted_at_once() {
    let api = Api::new("").await;
    assert_eq!(api.bearer("/", &api.token(json!({}))).await.status, 200);
    api.provider.script().jwks = Some(vec![KEYS.stranger_jwk("rsa")]);
    let header = [("typ".to_owned(), json!("at+jwt")), ("kid".to_owned(), json!("rsa"))];
    let new = KEYS.token(Signing::Stranger, &header, &api.claims().to_string(), CLIENT_SECRET);
    assert_eq!(api.bearer("/", &new).await.status, 200);
    let forged = KEYS.token(Signing::Broken, &header, &api.claims().to_string(), CLIENT_SECRET);
    for _ in 0..4 {
        assert_refused(&api.bearer("/", &forged).await, 401, "invalid_token", "a bad signature");
    }
    assert_eq!(api.provider.requests("/jwks").len(), 2, "more than one fetch in a minute");
}

#[tokio::test]
async fn an_assertion_names_the_host_that_a_token_was_brought_to() {
    let api = Api::with("", |setup, url| {
        let text = policy(url, HOST, "")
            .replace("X-Kind =", "X-Remote-Assertion = { jwt = { audience = \"app\", ttl = \"2m\" } }\nX-Kind =");
        let hosts = format!("hosts = [\"{HOST}\", \"second.localhost\"]");
        setup.settings("state = \"state\"").policy("app", &text.replace(&format!("hosts = [\"{HOST}\"]"), &hosts))
    })
    .await;
    let token = api.token(json!({}));
    let issuer_at = async |host: &str| {
        let url = api.gateway.url("/").replace(HOST, host);
        assert_eq!(ask(&url, &[("authorization", &format!("Bearer {token}"))]).await.status, 200);
        let assertion = api.application.last().header("x-remote-assertion").unwrap();
        let content = URL_SAFE_NO_PAD.decode(assertion.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice::<Value>(&content).unwrap()["iss"].clone()
    };
    for host in [HOST, HOST, "second.localhost", "second.localhost", HOST, "second.localhost"] {
        assert_eq!(issuer_at(host).await, format!("https://{host}"));
    }
}

#[tokio::test]
async fn r16_without_keys_nothing_is_known_of_a_token() {
    let clock = crate::harness::gateway::clock();
    let provider = crate::harness::gateway::provider(&clock).await;
    provider.script().discovery_answer = Answer::Status(500);
    let application = crate::harness::application::Application::start(&[]).await;
    let gateway = crate::harness::gateway::Setup::new(&clock)
        .provider(&provider)
        .policy("app", &policy(&application.url(), HOST, ""))
        .start_unready();
    let reply = ask(&gateway.url("/"), &[("authorization", &format!("Bearer {}", signed("{}")))]).await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (503, Some("5")));
    assert_eq!(
        (reply.header("www-authenticate"), reply.json()["error"].as_str()),
        (None, Some("provider_unavailable"))
    );
    let log = gateway.stop().await;
    assert_eq!(line_of(&log, &reply)["reason"], "token_provider_unavailable");
}

#[tokio::test]
async fn one_token_for_two_applications_is_each_ones_own() {
    let other = "other.localhost";
    let api = Api::with("", |setup, url| {
        let policy = policy(url, other, "").replace("'staff' in user.groups", "'nobody' in user.groups");
        setup.policy("other", &policy)
    })
    .await;
    let token = api.token(json!({}));
    let at_other = format!("http://{other}:{}/", api.gateway.address().port());
    for _ in 0..4 {
        assert_eq!(api.bearer("/", &token).await.status, 200);
        assert_eq!(ask(&at_other, &[("authorization", &format!("Bearer {token}"))]).await.status, 403);
    }
}

#[tokio::test]
async fn an_application_without_login_takes_tokens_and_redirects_nobody() {
    let api = Api::with("", |setup, url| {
        let policy = policy(url, "api.localhost", "").replace("[login]\nprovider = \"idp\"\n", "");
        setup.policy("api", &policy)
    })
    .await;
    let url = format!("http://api.localhost:{}/", api.gateway.address().port());
    let reply = Browser::new().get(&url).await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (401, None));
    assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"api\""));
    let token = api.token(json!({}));
    assert_eq!(ask(&url, &[("authorization", &format!("Bearer {token}"))]).await.status, 200);
}

#[tokio::test]
async fn s01_other_applications_do_not_lose_their_own_authorization() {
    let api = Api::with("", |setup, url| {
        let policy =
            format!("[app]\nhosts = [\"old.localhost\"]\nupstream = \"{url}\"\n[[rules]]\naccess = \"public\"\n");
        setup.policy("old", &policy)
    })
    .await;
    let url = format!("http://old.localhost:{}/", api.gateway.address().port());
    assert_eq!(ask(&url, &[("authorization", "Bearer its-own")]).await.status, 200);
    assert_eq!(api.application.last().header("authorization").as_deref(), Some("Bearer its-own"));
}

#[tokio::test]
async fn r17_no_token_stands_in_any_log_and_all_are_counted() {
    log::record();
    let api = Api::new("").await;
    let (good, bad) = (api.token(json!({})), api.token(json!({"aud": "x"})));
    for token in [&good, &good, &bad] {
        let _ = api.bearer("/", token).await;
    }
    let metrics = ask(&format!("http://{}/metrics", api.gateway.admin()), &[]).await.text();
    for line in [
        "lychgate_bearer_requests_total{app=\"app\",outcome=\"accepted\"} 2",
        "lychgate_bearer_requests_total{app=\"app\",outcome=\"refused\"} 1",
        "lychgate_bearer_requests_total{app=\"app\",outcome=\"unavailable\"} 0",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    let lines = api.gateway.stop().await;
    let all = format!("{}{lines:?}", log::recorded());
    for token in [good, bad] {
        let parts: Vec<&str> = token.split('.').collect();
        assert!(!all.contains(parts[1]) && !all.contains(parts[2]));
    }
}

#[tokio::test]
async fn a_token_in_clear_text_is_refused_and_not_sent_on_to_https() {
    let api = Api::with("", |setup, url| {
        let setup = setup.listeners(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\nscheme = \"https\"\n",
        );
        setup.policy("real", &policy(url, "api.gmr.example", ""))
    })
    .await;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: api.gmr.example\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        api.token(json!({}))
    );
    let answer = exchange(&api, &request).await;
    let text = String::from_utf8_lossy(&answer).to_lowercase();
    assert!(text.starts_with("http/1.1 400") && !text.contains("location:"), "{text}");
    assert!(AUDIENCE.starts_with("https"));
}

#[tokio::test]
async fn tokens_of_any_type_for_the_gateways_own_client_are_refused_before_anything_starts() {
    let clock = crate::harness::gateway::clock();
    let provider = crate::harness::gateway::provider(&clock).await;
    let text = policy("http://127.0.0.1:9", HOST, "type = \"any\"").replace(AUDIENCE, CLIENT_ID);
    let setup = crate::harness::gateway::Setup::new(&clock).provider(&provider).policy("app", &text);
    let path = setup.write();
    let (plan, report) = Plan::read(&path, &Environment::from_iter([]), &[]);
    let plan = plan.unwrap_or_else(|| panic!("{}", report.render()));
    let error = plan.start(Options::default()).err().unwrap().to_string();
    assert!(error.contains("which is the audience of ID tokens, too"), "{error}");
}

#[tokio::test]
async fn groups_that_a_token_leaves_out_are_never_taken_for_none() {
    let blocked = "!has(user.groups) || !('blocked' in user.groups)";
    let api = Api::with("", |setup, url| {
        let reads = policy(url, "groups.localhost", "").replace("'staff' in user.groups", blocked);
        let reads_none = policy(url, "none.localhost", "")
            .replace("X-Remote-Groups = { list = \"${user.groups}\", separator = \";\" }\n", "")
            .replace("'admins' in user.groups", "true")
            .replace("'staff' in user.groups", "true");
        setup.policy("groups", &reads).policy("none", &reads_none)
    })
    .await;
    let token = |changes: Value| {
        let mut claims = api.claims();
        claims.as_object_mut().unwrap().remove("groups");
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        signed(&claims.to_string())
    };
    let url = |host: &str| api.gateway.url("/").replace(HOST, host);
    let cases = [
        (json!({}), 200),
        (json!({"hasgroups": false}), 200),
        (json!({"groups": ["blocked"]}), 403),
        (json!({"hasgroups": true}), 401),
        (json!({"hasgroups": "true"}), 401),
        (
            json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x.example"}}}),
            401,
        ),
        (json!({"hasgroups": true, "groups": []}), 200),
    ];
    let mut refused = Vec::new();
    for (changes, status) in cases {
        let bearer = format!("Bearer {}", token(changes.clone()));
        for _ in 0..2 {
            let reply = ask(&url("groups.localhost"), &[("authorization", &bearer)]).await;
            assert_eq!(reply.status, status, "{changes}");
            if status == 401 {
                assert_refused(&reply, 401, "invalid_token", "groups");
                refused.push(reply);
            }
        }
        let reply = ask(&url("none.localhost"), &[("authorization", &bearer)]).await;
        assert_eq!(reply.status, 200, "{changes}: it reads none");
    }
    let log = api.gateway.stop().await;
    for reply in &refused {
        assert_eq!(line_of(&log, reply)["reason"], "token_claim_left_out");
    }
}
