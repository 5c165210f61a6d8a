//! Whole logins: what goes out, what was asked for and must be reached, logout, and what the log may not hold.
//!
//! Specifications: RFC 7636, RFC 9470, RP-Initiated Logout 1.0.

use std::time::Duration;

use lychgate::http::ReturnTo;
use lychgate::oidc::{LoginError, LoginRequest, PendingLogin};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use url::Url;

use super::{CALLBACK, Pair, header, params, says_400, set};
use crate::harness::keys::Signing;
use crate::harness::log;
use crate::harness::provider::{Answer, CLIENT_ID, CLIENT_SECRET, Claim, Script, value};

#[tokio::test]
async fn r11_every_login_has_its_own_state_nonce_and_s256_challenge_and_no_secret_in_its_address() {
    let pair = Pair::new().await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..10 {
        let begun = pair.begin().await;
        let url = Url::parse(&begun.authorize_url).unwrap();
        let query: Vec<_> = url.query_pairs().into_owned().collect();
        let get = |name: &str| value(&query, name).unwrap_or_default();
        assert_eq!((get("response_type"), get("code_challenge_method")), ("code", "S256"));
        assert_eq!(
            (get("client_id"), get("redirect_uri"), get("scope")),
            (CLIENT_ID, CALLBACK, "openid profile email")
        );
        for name in ["state", "nonce", "code_challenge"] {
            assert_eq!(get(name).len(), 43, "{name}");
            assert!(seen.insert(get(name).to_owned()), "{name} repeats");
        }
        assert!(query.iter().all(|(name, _)| name != "client_secret" && name != "code_verifier"));
        assert_eq!((get("state"), get("nonce")), (begun.pending.state.as_str(), begun.pending.nonce.as_str()));
    }
    pair.sign_in().await.ok().unwrap();
    let verifier = value(&pair.fake.requests("/token")[0].form, "code_verifier").unwrap().to_owned();
    assert!(verifier.len() == 43 && !seen.contains(&verifier));
}

#[tokio::test]
async fn r13_what_was_asked_of_the_login_is_checked_in_the_new_id_token() {
    let pair = Pair::new().await;
    let acr = ["phr".to_owned(), "urn:mfa".to_owned()];
    let begin = async || {
        let mut request = LoginRequest::new(CALLBACK, ReturnTo::root());
        request.acr = &acr;
        request.max_age = Some(Duration::from_secs(600));
        request.force = true;
        pair.provider.begin(request).await.ok().unwrap()
    };
    let address = begin().await.authorize_url;
    for part in ["&acr_values=phr+urn%3Amfa", "&max_age=600", "&prompt=login"] {
        assert!(address.contains(part), "{part} missing in {address}");
    }
    let cases: &[(&str, Vec<Claim>, &str)] = &[
        ("the first", vec![], "signed in"),
        ("another of the list", set("acr", "urn:mfa"), "signed in"),
        ("too little", set("acr", "pwd"), "acr_not_reached"),
        ("nothing said", vec![Claim::Remove("acr")], "acr_not_reached"),
        ("a list", set("acr", json!(["phr"])), "acr_not_reached"),
        ("authenticated in time", vec![Claim::At("auth_time", -600)], "signed in"),
        ("authenticated in time by what clocks may be apart", vec![Claim::At("auth_time", -660)], "signed in"),
        ("authenticated too long ago", vec![Claim::At("auth_time", -661)], "authentication_too_old"),
        ("authenticated now by a clock that is ahead", vec![Claim::At("auth_time", 60)], "signed in"),
        ("authenticated in the future", vec![Claim::At("auth_time", 61)], "authentication_too_old"),
        ("no auth_time", vec![Claim::Remove("auth_time")], "auth_time_missing"),
    ];
    for (name, claims, code) in cases {
        pair.play(|s| s.claims = claims.clone());
        let outcome = pair.come_back(begin().await).await.err();
        assert_eq!(outcome.as_ref().map_or("signed in", LoginError::code), *code, "{name}");
        let forbidden = matches!(*code, "acr_not_reached" | "authentication_too_old");
        assert_eq!(outcome.is_some_and(|error| error.status().as_u16() == 403), forbidden, "{name}");
    }
}

#[tokio::test]
async fn a_plain_http_client_can_walk_through_the_fake_provider() {
    let pair = Pair::new().await;
    let begun = pair.begin().await;
    let at_provider = begun.authorize_url.strip_prefix(pair.fake.issuer()).unwrap();
    let address = pair.fake.issuer().strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {at_provider} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let back = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    assert!(answer.starts_with("HTTP/1.1 302 ") && back.starts_with(CALLBACK), "{answer}");
    assert!(pair.provider.finish(&begun.pending, &params(back).ok().unwrap(), CALLBACK).await.is_ok());
}

#[tokio::test]
async fn r04_logout_names_the_session_and_where_to_come_back() {
    let pair = Pair::new().await;
    let signed_in = pair.sign_in().await.ok().unwrap();
    let hint = signed_in.id_token.expose();
    let back = "https://app.example/.lychgate/signed-out";
    let url = Url::parse(&pair.provider.end_session_url(Some(hint), back, Some("st&te")).unwrap()).unwrap();
    let query: Vec<_> = url.query_pairs().into_owned().collect();
    assert_eq!(url.path(), "/logout");
    let expected = [
        ("id_token_hint", hint.as_str()),
        ("client_id", CLIENT_ID),
        ("post_logout_redirect_uri", back),
        ("state", "st&te"),
    ];
    assert_eq!(query, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));

    let silent = Pair::with(|_| {}, |s| s.metadata = header("end_session_endpoint", json!(null))).await;
    assert_eq!(silent.provider.end_session_url(None, back, None), None);
}

#[tokio::test]
async fn r17_no_log_line_at_any_level_holds_a_secret() {
    log::record();

    let pair = Pair::with(|settings| settings.userinfo = true, |_| {}).await;
    let mut secrets = vec![CLIENT_SECRET.to_owned(), "access-token-of-the-person".to_owned()];
    let mut outcomes = 0;
    let scripts: &[fn(&mut Script)] = &[
        |_| {},
        |s| s.signing = Signing::Broken,
        |s| s.claims = set("nonce", "x"),
        |s| s.header = header("kid", "nobody"),
        |s| s.token_answer = says_400("invalid_grant"),
        |s| s.userinfo = set("sub", "eve"),
        |s| s.jwks_answer = Answer::Status(500),
    ];
    for script in scripts {
        pair.time.advance(Duration::from_secs(60));
        pair.play(script);
        let begun = pair.begin().await;
        let pending: &PendingLogin = &begun.pending;
        secrets.extend([pending.state.clone(), pending.nonce.clone()]);
        let outcome = pair.come_back(begun).await;
        outcomes += usize::from(outcome.is_ok());
        if let Ok(signed_in) = outcome {
            secrets.push(signed_in.id_token.expose().clone());
        }
    }
    for request in pair.fake.requests("/token") {
        secrets.extend(["code", "code_verifier"].map(|name| value(&request.form, name).unwrap().to_owned()));
        secrets.extend(request.authorization);
    }
    let text = log::recorded();
    assert_eq!(outcomes, 2);
    assert!(text.contains("provider discovered"), "{text}");
    for secret in secrets {
        assert!(!secret.is_empty() && !text.contains(&secret), "{secret} in:\n{text}");
    }
}
