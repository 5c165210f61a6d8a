//! The provider as a relying party and a browser see it, without sockets and with a clock of its own.
//!
//! ID tokens are verified by the `openidconnect` crate, which knows nothing of how they were made.

mod browser;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, StatusCode};
use openidconnect::core::{CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreProviderMetadata};
use openidconnect::{ClientId, ClientSecret, IssuerUrl, Nonce};
use serde_json::Value;

use super::*;
use browser::{Browser, seen};

const ISSUER: &str = "http://login.localhost:8081";
const CALLBACK: &str = "http://app.localhost:8080/callback";
const SIGNED_OUT: &str = "http://app.localhost:8080/signed-out";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const ASK: &str = "client_id=client&redirect_uri=http%3A%2F%2Fapp.localhost%3A8080%2Fcallback&response_type=code\
    &scope=openid+profile+email+groups&state=st%26te&nonce=nonce&code_challenge_method=S256\
    &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const TWO: &str = "&acr_values=urn:lychgate:demo:2fa";

fn provider(algorithm: Algorithm) -> Provider {
    let person = |user: &str| Person {
        user: user.into(),
        password: format!("{user} password"),
        name: user.to_uppercase(),
        email: format!("{user}@example.com"),
        email_verified: true,
        groups: vec!["group".into()],
        note: String::new(),
    };
    let client = |id: &str| Client {
        id: id.into(),
        secret: "s:e%c+r&t".into(),
        algorithm,
        redirect_uris: vec![CALLBACK.into()],
        post_logout_redirect_uris: vec![SIGNED_OUT.into()],
    };
    let config = ProviderConfig {
        issuer: ISSUER.into(),
        clients: vec![client("client"), client("other")],
        people: vec![person("ada"), person("otis")],
    };
    Provider::new(config).unwrap()
}

fn claims(tokens: &Value) -> Value {
    let payload = tokens["id_token"].as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[test]
fn an_independent_relying_party_accepts_metadata_keys_and_id_token() {
    for algorithm in Algorithm::ALL {
        let provider = provider(algorithm);
        let mut browser = Browser::new(&provider);
        browser.now = unix_time();
        let metadata = browser.send("GET", metadata::PATH, "").text;
        let metadata: CoreProviderMetadata = serde_json::from_str(&metadata).unwrap();
        assert_eq!(metadata.issuer().as_str(), ISSUER);
        let keys = browser.send("GET", "/jwks", "").text;
        let keys: CoreJsonWebKeySet = serde_json::from_str(&keys).unwrap();
        let code = browser.sign_in("ada").code();
        let tokens = browser.redeem(&code).1;
        let token: CoreIdToken = tokens["id_token"].as_str().unwrap().parse().unwrap();
        let verifier = CoreIdTokenVerifier::new_confidential_client(
            ClientId::new("client".into()),
            ClientSecret::new("s:e%c+r&t".into()),
            IssuerUrl::new(ISSUER.into()).unwrap(),
            keys,
        )
        .set_allowed_algs([serde_json::from_value(algorithm.name().into()).unwrap()]);
        let claims = token.claims(&verifier, &Nonce::new("nonce".into())).unwrap();
        assert_eq!(claims.preferred_username().unwrap().as_str(), "ada");
        assert!(token.claims(&verifier, &Nonce::new("another".into())).is_err());
    }
}

#[test]
fn the_answer_carries_state_and_issuer() {
    let provider = provider(Algorithm::Rs256);
    let answer = Browser::new(&provider).sign_in("ada");
    assert_eq!(answer.returned("state").as_deref(), Some("st&te"));
    assert_eq!(answer.returned("iss").as_deref(), Some(ISSUER));
}

#[test]
fn acr_amr_and_auth_time_tell_what_was_done() {
    let provider = provider(Algorithm::Rs256);
    let mut browser = Browser::new(&provider);
    let ticket = browser.ask("").ticket();
    let code = browser.password(&ticket, "ada").code();
    let first = claims(&browser.redeem(&code).1);
    assert_eq!(first["acr"], "urn:lychgate:demo:1fa");
    assert_eq!(first["amr"], serde_json::json!(["pwd"]));
    assert_eq!(first["auth_time"], 1_000_000);

    // The second factor alone completes what the password began.
    browser.now += 100;
    let ticket = browser.ask(TWO).ticket();
    let shown = browser.shown_code(&ticket);
    let code = browser.type_code(&ticket, &shown).code();
    let second = claims(&browser.redeem(&code).1);
    assert_eq!(second["acr"], "urn:lychgate:demo:2fa");
    assert_eq!(second["amr"], serde_json::json!(["pwd", "otp", "mfa"]));
    assert_eq!(second["auth_time"], 1_000_100);
    assert_eq!(first["sid"], second["sid"]);

    // Single sign-on: nothing is done, and the time stays.
    browser.now += 100;
    let code = browser.ask(TWO).code();
    assert_eq!(claims(&browser.redeem(&code).1)["auth_time"], 1_000_100);
}

#[test]
fn prompt_and_max_age_are_heeded() {
    let provider = provider(Algorithm::Rs256);
    let mut browser = Browser::new(&provider);
    assert_eq!(browser.ask("&prompt=none").error(), "login_required");
    browser.sign_in("ada");
    browser.now += 100;
    browser.ask("&prompt=none").code();
    browser.ask("&max_age=101").code();
    browser.ask("&max_age=100").ticket();
    browser.ask("&max_age=0").ticket();
    browser.ask("&prompt=login").ticket();
    assert_eq!(browser.ask("&prompt=none&max_age=100").error(), "login_required");
    assert_eq!(browser.ask("&max_age=soon").error(), "invalid_request");
    browser.now += sessions::LIFE;
    assert_eq!(browser.ask("&prompt=none").error(), "login_required");
}

#[test]
fn nothing_is_sent_to_an_address_that_is_not_the_clients() {
    let provider = provider(Algorithm::Rs256);
    let mut browser = Browser::new(&provider);
    for (from, to) in [
        ("localhost%3A8080%2Fcallback", "localhost%3A8080%2Fcallback%2F"),
        ("app.localhost", "evil.example"),
        ("client_id=client", "client_id=nobody"),
        ("client_id=client&", ""),
    ] {
        let seen = browser.send("GET", &format!("/authorize?{}", ASK.replace(from, to)), "");
        assert_eq!((seen.status, &*seen.location), (StatusCode::BAD_REQUEST, ""), "{to}");
    }
}

#[test]
fn pkce_is_required() {
    let provider = provider(Algorithm::Rs256);
    let ask = ASK.replace("code_challenge_method=S256", "code_challenge_method=plain");
    let seen = Browser::new(&provider).send("GET", &format!("/authorize?{ask}"), "");
    assert_eq!(seen.error(), "invalid_request");
}

#[test]
fn wrong_passwords_and_codes_are_told_and_counted() {
    let provider = provider(Algorithm::Rs256);
    let mut browser = Browser::new(&provider);
    let ticket = browser.ask(TWO).ticket();
    let wrong = format!("sign_in={ticket}&user=ada&password=wrong");
    let seen = browser.send("POST", "/sign-in/password", &wrong);
    assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(seen.text.contains("User name or password is wrong"));
    browser.password(&ticket, "ada");
    for _ in 2..10 {
        let seen = browser.type_code(&ticket, "x");
        assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(seen.text.contains("That code is wrong or too old"));
    }
    assert_eq!(browser.type_code(&ticket, "x").status, StatusCode::FORBIDDEN);
    let target = format!("/sign-in?sign_in={ticket}");
    assert_eq!(browser.send("GET", &target, "").status, StatusCode::BAD_REQUEST);
}

#[test]
fn a_sign_in_belongs_to_the_browser_that_began_it_and_to_the_steps_in_order() {
    let provider = provider(Algorithm::Rs256);
    let mut browser = Browser::new(&provider);
    let ticket = browser.ask(TWO).ticket();
    let stranger = Browser::new(&provider).password(&ticket, "ada");
    assert_eq!(stranger.status, StatusCode::BAD_REQUEST);
    let early = browser.type_code(&ticket, "000000");
    assert!(early.text.contains("name=\"password\""), "the code comes after the password");
    assert!(!browser.cookies.contains_key(SESSION_COOKIE));
}

#[test]
fn a_code_shown_in_one_sign_in_is_wrong_in_another() {
    let provider = provider(Algorithm::Rs256);
    let mut browser = Browser::new(&provider);
    let (first, second) = (browser.ask(TWO).ticket(), browser.ask(TWO).ticket());
    browser.password(&first, "ada");
    browser.password(&second, "ada");
    let shown = browser.shown_code(&first);
    // One time in a million two secrets show the same digits.
    if shown != browser.shown_code(&second) {
        assert_eq!(browser.type_code(&second, &shown).status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    browser.type_code(&first, &shown).code();
    assert_eq!(browser.type_code(&first, &shown).status, StatusCode::BAD_REQUEST);
}

#[test]
fn cancelling_tells_the_client() {
    let provider = provider(Algorithm::Rs256);
    let mut browser = Browser::new(&provider);
    let ticket = browser.ask(TWO).ticket();
    let seen = browser.send("POST", "/sign-in/cancel", &format!("sign_in={ticket}"));
    assert_eq!(seen.error(), "access_denied");
    assert!(browser.cookies.is_empty());
}

#[test]
fn refreshing_keeps_who_and_when_and_repeats_no_nonce() {
    let provider = provider(Algorithm::Rs256);
    let mut browser = Browser::new(&provider);
    let code = browser.sign_in("ada").code();
    let tokens = browser.redeem(&code).1;
    browser.now += 200;
    let refreshed = browser.refresh(&tokens).1;
    let (before, after) = (claims(&tokens), claims(&refreshed));
    for claim in ["iss", "sub", "aud", "auth_time", "acr", "sid"] {
        assert_eq!(before[claim], after[claim], "{claim}");
    }
    assert_eq!(before["nonce"], "nonce");
    assert_eq!(after.get("nonce"), None);
    assert_eq!(after["iat"], 1_000_200);
}

#[test]
fn userinfo_tells_what_the_scopes_cover_while_the_session_lasts() {
    let provider = provider(Algorithm::Rs256);
    let mut browser = Browser::new(&provider);
    let code = browser.sign_in("ada").code();
    let tokens = browser.redeem(&code).1;
    let told: Value = serde_json::from_str(&browser.userinfo(&tokens).text).unwrap();
    assert_eq!(told["sub"], claims(&tokens)["sub"]);
    assert_eq!(told["groups"], serde_json::json!(["group"]));
    let hint = tokens["id_token"].as_str().unwrap();
    browser.send("GET", &format!("/end-session?id_token_hint={hint}"), "");
    assert_eq!(browser.userinfo(&tokens).status, StatusCode::UNAUTHORIZED);
    let (status, error) = browser.refresh(&tokens);
    assert_eq!((status, error["error"].as_str()), (StatusCode::BAD_REQUEST, Some("invalid_grant")));
}

#[test]
fn a_client_that_does_not_prove_itself_gets_nothing() {
    let provider = provider(Algorithm::Rs256);
    for form in ["grant_type=refresh_token", "client_id=client&client_secret=wrong", "client_id=nobody&client_secret=x"]
    {
        let head = Request::post("/token").body(()).unwrap().into_parts().0;
        let reply = provider.route(&head, &Params::parse(form.as_bytes()).unwrap(), 0);
        assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
        assert!(reply.headers().contains_key(http::header::WWW_AUTHENTICATE));
        assert!(seen(reply).text.contains("invalid_client"));
    }
}

#[test]
fn a_good_hint_signs_out_at_once_and_the_rest_asks() {
    let provider = provider(Algorithm::Rs256);
    let mut browser = Browser::new(&provider);
    let code = browser.sign_in("ada").code();
    let earlier = browser.redeem(&code).1["id_token"].as_str().unwrap().to_owned();
    browser.cookies.clear();
    let code = browser.sign_in("otis").code();
    let hint = browser.redeem(&code).1["id_token"].as_str().unwrap().to_owned();
    let address = "post_logout_redirect_uri=http%3A%2F%2Fapp.localhost%3A8080%2Fsigned-out&state=x";

    for asks in [String::new(), format!("client_id=client&{address}"), format!("id_token_hint={earlier}&{address}")] {
        let seen = browser.send("GET", &format!("/end-session?{asks}"), "");
        assert_eq!(seen.status, StatusCode::OK, "{asks}");
        assert!(seen.text.contains("Sign out?"));
    }
    for bad in [
        format!("id_token_hint={hint}&post_logout_redirect_uri=http://evil.example/"),
        format!("id_token_hint={hint}x&{address}"),
        format!("id_token_hint={hint}&client_id=other"),
        address.to_owned(),
    ] {
        let seen = browser.send("GET", &format!("/end-session?{bad}"), "");
        assert_eq!((seen.status, &*seen.location), (StatusCode::BAD_REQUEST, ""), "{bad}");
    }
    let seen = browser.send("POST", "/end-session/confirm", "guard=made+up");
    assert_eq!(seen.status, StatusCode::BAD_REQUEST);
    browser.ask("&prompt=none").code();

    // The hint may have expired long ago.
    browser.now += 10_000;
    let seen = browser.send("GET", &format!("/end-session?id_token_hint={hint}&{address}"), "");
    assert_eq!(seen.location, format!("{SIGNED_OUT}?state=x"));
    assert!(!browser.cookies.contains_key(SESSION_COOKIE));
    assert_eq!(browser.ask("&prompt=none").error(), "login_required");
}

#[test]
fn a_person_who_is_asked_can_sign_out() {
    let provider = provider(Algorithm::Rs256);
    let mut browser = Browser::new(&provider);
    browser.sign_in("ada");
    let page = browser.send("GET", "/end-session", "").text;
    let guard = page.split("name=\"guard\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let seen = browser.send("POST", "/end-session/confirm", &format!("guard={guard}"));
    assert_eq!(seen.status, StatusCode::OK);
    assert_eq!(browser.ask("&prompt=none").error(), "login_required");
}

#[test]
fn an_issuer_that_is_no_origin_is_refused() {
    for issuer in
        ["", "login.localhost", "http://login.localhost/", "http://login.localhost/path", "HTTP://login.localhost"]
    {
        let config = ProviderConfig { issuer: issuer.into(), clients: vec![], people: vec![] };
        assert!(matches!(Provider::new(config), Err(ProviderError::BadIssuer(_))), "{issuer}");
    }
}
