//! Hostile tokens from a table of data, and the sound ones that must still pass.

use std::path::Path;

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Api, HOST, assert_refused, error_of, policy};
use crate::harness::browser::{Browser, Reply};
use crate::harness::keys::{KEYS, Signing};
use crate::harness::provider::CLIENT_SECRET;
use crate::harness::site::line_of;

const ANY_HOST: &str = "any.localhost";
/// What the second application asks of tokens.
const ANY: &str = "type = \"any\"\nalgorithms = [\"RS256\"]\nclients = [\"export\"]\nscopes = \"read\"\n";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

/// See the head of `tests/data/hostile-access-tokens.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    rests_on: String,
    #[serde(default)]
    policy: String,
    #[serde(default)]
    header: Map<String, Value>,
    #[serde(default)]
    header_without: Vec<String>,
    #[serde(default)]
    claims: Map<String, Value>,
    #[serde(default)]
    without: Vec<String>,
    #[serde(default)]
    at: Map<String, Value>,
    payload: Option<String>,
    token: Option<String>,
    #[serde(default)]
    signing: String,
    reason: String,
    status: Option<u16>,
}

impl Case {
    fn token(&self, api: &Api) -> String {
        if let Some(token) = &self.token {
            return token.clone();
        }
        let payload = self.payload.clone().unwrap_or_else(|| self.claims(api).to_string());
        let payload = payload.replace("{issuer}", api.provider.issuer());
        let payload = payload.replace("{long}", &"a".repeat(9000));
        let payload = payload.replace("{deep}", &format!("{}1{}", "{\"a\":".repeat(40), "}".repeat(40)));
        let mut header: Vec<(String, Value)> = vec![("typ".to_owned(), json!("at+jwt"))];
        for (name, value) in &self.header {
            let value = if *value == "{stranger}" { KEYS.stranger_jwk("mine") } else { value.clone() };
            header.push((name.clone(), value));
        }
        header.extend(self.header_without.iter().map(|name| (name.clone(), Value::Null)));
        KEYS.token(self.signing(), &header, &payload, CLIENT_SECRET)
    }

    fn claims(&self, api: &Api) -> Value {
        let mut claims = api.claims();
        for (name, value) in &self.claims {
            claims[name] = value.clone();
        }
        for (name, seconds) in &self.at {
            claims[name] = (claims["iat"].as_i64().unwrap() + seconds.as_i64().unwrap()).into();
        }
        let members = claims.as_object_mut().unwrap();
        self.without.iter().for_each(|name| drop(members.remove(name)));
        claims
    }

    fn signing(&self) -> Signing {
        match self.signing.as_str() {
            "" => Signing::Rs256,
            "rs512" => Signing::Rs512,
            "es256" => Signing::Es256,
            "none" => Signing::Unsigned,
            "client-secret" => Signing::ClientSecret,
            "public-key-as-secret" => Signing::PublicKeyAsSecret,
            "stranger" => Signing::Stranger,
            "broken" => Signing::Broken,
            "empty" => Signing::EmptySignature,
            other => panic!("unknown signing {other}"),
        }
    }

    fn host(&self) -> &str {
        match self.policy.as_str() {
            "" => HOST,
            "any" => ANY_HOST,
            other => panic!("unknown policy {other}"),
        }
    }
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hostile-access-tokens.toml");
    let table: Table = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    table.case
}

/// Both applications behind one gateway.
async fn both() -> Api {
    Api::with("scopes = [\"read\"]", |setup, url| setup.policy("any", &policy(url, ANY_HOST, ANY))).await
}

async fn brought(api: &Api, host: &str, token: &str) -> Reply {
    let url = format!("http://{host}:{}/", api.gateway.address().port());
    // As a browser would ask for a page: even then nobody is redirected.
    let headers =
        [("authorization", &*format!("Bearer {token}")), ("accept", "text/html"), ("sec-fetch-mode", "navigate")];
    Browser::new().send(Method::GET, &url, &headers, bytes::Bytes::new()).await
}

#[tokio::test]
async fn hostile_access_tokens_are_refused_by_the_rule_that_they_break() {
    let api = both().await;
    let cases = cases();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let mut replies = Vec::new();
    for case in &cases {
        let reply = brought(&api, case.host(), &case.token(&api)).await;
        let status = case.status.unwrap_or(401);
        let error = if status == 403 { "insufficient_scope" } else { "invalid_token" };
        assert_refused(&reply, status, error, &case.name);
        replies.push(reply);
    }
    assert!(api.application.seen().is_empty(), "something reached the application");
    assert!(api.provider.requests("/userinfo").is_empty());
    assert!(api.provider.requests("/jwks").len() <= 2, "the flood of unknown keys reached the provider");
    let log = api.gateway.stop().await;
    for (case, reply) in cases.iter().zip(&replies) {
        let line = line_of(&log, reply);
        assert_eq!(line["reason"], *case.reason, "{} ({})", case.name, case.rests_on);
        assert_eq!((&line["auth"], &line["decision"]), (&json!("bearer"), &json!("refused")), "{}", case.name);
        assert_eq!(line.get("who"), None, "{}", case.name);
    }
}

#[test]
fn each_case_says_what_it_rests_on_and_no_name_stands_twice() {
    let mut names: Vec<String> = cases().into_iter().map(|case| case.name).collect();
    assert!(cases().iter().all(|case| case.rests_on.contains("RFC") || case.rests_on.contains("OIDC")));
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[tokio::test]
async fn tokens_that_keep_every_rule_are_accepted() {
    let api = both().await;
    let header = |kind: Value| vec![("typ".to_owned(), kind)];
    let with = |changes: Value| {
        let mut claims = api.claims();
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        claims.to_string()
    };
    let now = api.claims()["iat"].as_i64().unwrap();
    let at = || header(json!("at+jwt"));
    let sound: Vec<(&str, &str, Signing, Vec<(String, Value)>, String)> = vec![
        ("RS256", HOST, Signing::Rs256, at(), with(json!({}))),
        ("RS512", HOST, Signing::Rs512, at(), with(json!({}))),
        ("PS256", HOST, Signing::Ps256, at(), with(json!({}))),
        ("ES256", HOST, Signing::Es256, at(), with(json!({}))),
        ("ES384", HOST, Signing::Es384, at(), with(json!({}))),
        ("EdDSA", HOST, Signing::EdDsa, at(), with(json!({}))),
        ("the long type", HOST, Signing::Rs256, header(json!("application/AT+JWT")), with(json!({}))),
        ("several audiences", HOST, Signing::Rs256, at(), with(json!({"aud": ["x", super::AUDIENCE]}))),
        ("scp as a list", HOST, Signing::Rs256, at(), with(json!({"scope": null, "scp": ["read"]}))),
        ("scp as a text", HOST, Signing::Rs256, at(), with(json!({"scope": null, "scp": "a read"}))),
        ("exp within the leeway", HOST, Signing::Rs256, at(), with(json!({"exp": now - 59}))),
        ("nbf and iat within the leeway", HOST, Signing::Rs256, at(), with(json!({"nbf": now + 60, "iat": now + 60}))),
        ("exp past 2038", HOST, Signing::Rs256, at(), with(json!({"exp": 4_102_444_800_i64}))),
        ("a nonce in a typed token", HOST, Signing::Rs256, at(), with(json!({"nonce": "n"}))),
        ("JWT where any is taken", ANY_HOST, Signing::Rs256, header(json!("JWT")), with(json!({}))),
        ("no type where any is taken", ANY_HOST, Signing::Rs256, header(json!(null)), with(json!({}))),
        ("Keycloak", ANY_HOST, Signing::Rs256, header(json!("JWT")), {
            with(json!({"typ": "Bearer", "nonce": "n", "client_id": null, "azp": "export"}))
        }),
        ("Okta", ANY_HOST, Signing::Rs256, header(json!(null)), with(json!({"client_id": null, "cid": "export"}))),
        ("Entra ID v1", ANY_HOST, Signing::Rs256, header(json!("JWT")), {
            with(json!({"client_id": null, "appid": "export", "scope": null, "scp": "read", "jti": null}))
        }),
    ];
    for (name, host, signing, header, payload) in sound {
        let mut claims: Value = serde_json::from_str(&payload).unwrap();
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let token = KEYS.token(signing, &header, &claims.to_string(), CLIENT_SECRET);
        let reply = brought(&api, host, &token).await;
        assert_eq!(reply.status, 200, "{name}: {:?} {}", error_of(&reply), reply.text());
        let seen = api.application.last();
        assert_eq!(seen.header("x-remote-user").as_deref(), Some("ada"), "{name}");
        assert_eq!(seen.header("authorization"), None, "{name}");
    }
}
