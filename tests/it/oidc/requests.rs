//! Authorization requests: what logins ask for, by the browser or pushed, and what nobody can set.
//!
//! Specifications: OIDC Core 3.1.2.1, RFC 9126, OAuth 2.0 Form Post Response Mode.

use std::collections::BTreeMap;
use std::time::Duration;

use lychgate::clock::Clock;
use lychgate::http::ReturnTo;
use lychgate::oidc::{
    CallbackParams, ClientAuth, LoginRequest, Provider, ProviderSettings, ResponseMode, SettingsError,
};
use serde_json::json;
use url::Url;

use super::{CALLBACK, NOW, Pair, header, params};
use crate::harness::provider::{Answer, CLIENT_ID, posted, value};

fn query(address: &str) -> BTreeMap<String, String> {
    Url::parse(address).unwrap().query_pairs().into_owned().collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn what_is_configured_is_asked_for_and_a_policy_goes_before_it() {
    let configure = |settings: &mut ProviderSettings| {
        settings.asking.acr_values = vec!["mfa".to_owned(), "phr".to_owned()];
        settings.asking.max_age = Some(Duration::from_secs(3600));
        settings.asking.prompt = Some("select_account".to_owned());
        settings.asking.ui_locales = vec!["de-AT".to_owned(), "de".to_owned()];
        settings.asking.parameters = pairs(&[("domain_hint", "gmr.example"), ("hd", "gmr.example")]);
    };
    let pair = Pair::with(configure, |_| {}).await;
    let asked = query(&pair.begin().await.authorize_url);
    let get = |asked: &BTreeMap<String, String>, name: &str| asked.get(name).cloned().unwrap_or_default();
    assert_eq!(get(&asked, "acr_values"), "mfa phr");
    assert_eq!((get(&asked, "max_age"), get(&asked, "prompt")), ("3600".to_owned(), "select_account".to_owned()));
    assert_eq!((get(&asked, "ui_locales"), get(&asked, "domain_hint")), ("de-AT de".into(), "gmr.example".into()));
    assert_eq!(get(&asked, "response_mode"), "");

    let (acr, parameters) = (["phr".to_owned()], pairs(&[("domain_hint", "archives.example"), ("state", "mine")]));
    let request = LoginRequest {
        acr: &acr,
        max_age: Some(Duration::from_secs(60)),
        prompt: Some("consent"),
        parameters: &parameters,
        ..LoginRequest::new(CALLBACK, ReturnTo::root())
    };
    let begun = pair.provider.begin(request.clone()).await.ok().unwrap();
    let asked = query(&begun.authorize_url);
    assert_eq!((get(&asked, "acr_values"), get(&asked, "max_age")), ("phr".to_owned(), "60".to_owned()));
    assert_eq!((get(&asked, "prompt"), get(&asked, "hd")), ("consent".to_owned(), "gmr.example".to_owned()));
    assert_eq!(get(&asked, "domain_hint"), "archives.example");
    assert_eq!(get(&asked, "state"), begun.pending.state, "R11: nobody sets what protects a login");

    let forced = pair.provider.begin(LoginRequest { force: true, ..request }).await.ok().unwrap();
    assert_eq!(get(&query(&forced.authorize_url), "prompt"), "login");
}

#[tokio::test]
async fn acr_values_are_a_wish_and_max_age_is_not() {
    let configure = |settings: &mut ProviderSettings| {
        settings.asking.acr_values = vec!["mfa".to_owned()];
        settings.asking.max_age = Some(Duration::from_secs(3600));
    };
    let pair = Pair::with(configure, |_| {}).await;
    pair.play(|s| s.claims = super::set("acr", "pwd"));
    assert_eq!(pair.refusal().await, "signed in");
    pair.play(|s| s.claims = super::set("auth_time", NOW.before(Duration::from_secs(3700)).seconds()));
    assert_eq!(pair.refusal().await, "authentication_too_old");
}

#[test]
fn r11_settings_that_would_set_what_protects_a_login_are_refused() {
    for name in ["state", "nonce", "code_challenge", "redirect_uri", "response_type", "request_uri", "scope"] {
        let mut settings = ProviderSettings::new("idp", "https://idp.example", "id");
        settings.client_auth = ClientAuth::None;
        settings.asking.parameters = pairs(&[(name, "x")]);
        let refused = Provider::new(settings, Clock::system()).err();
        assert_eq!(refused, Some(SettingsError::Parameter(name.to_owned())), "{name}");
    }
}

#[tokio::test]
async fn r12_pushed_requests_leave_only_client_id_and_a_reference_to_the_browser() {
    for auth in [ClientAuth::Basic, ClientAuth::Post, ClientAuth::SecretJwt] {
        let configure = |settings: &mut ProviderSettings| {
            settings.pushed_requests = true;
            settings.client_auth = auth;
        };
        let pair = Pair::with(configure, |s| s.pushed_only = true).await;
        let begun = pair.begin().await;
        let asked = query(&begun.authorize_url);
        assert_eq!(asked.keys().map(String::as_str).collect::<Vec<_>>(), ["client_id", "request_uri"], "{auth:?}");
        assert_eq!(asked["client_id"], CLIENT_ID);
        let pushed = pair.fake.requests("/par").remove(0);
        assert_eq!(value(&pushed.form, "state"), Some(begun.pending.state.as_str()));
        assert_eq!(value(&pushed.form, "redirect_uri"), Some(CALLBACK));
        assert_eq!(pushed.form.iter().filter(|(name, _)| name == "client_id").count(), 1, "{auth:?}");
        assert!(pair.come_back(begun).await.is_ok(), "{auth:?}");
    }
}

#[tokio::test]
async fn r12_a_provider_that_requires_pushed_requests_gets_them() {
    let requires = |s: &mut crate::harness::provider::Script| {
        s.metadata = header("require_pushed_authorization_requests", true);
        s.pushed_only = true;
    };
    let pair = Pair::with(|_| {}, requires).await;
    assert_eq!((pair.refusal().await, pair.asked("/par")), ("signed in", 1));
}

#[tokio::test]
async fn r12_pushed_requests_that_cannot_be_made_begin_no_login() {
    let cases: &[(&str, Answer, &str)] = &[
        ("invalid_client", super::says_400("invalid_client"), "pushed_request_invalid_client"),
        ("invalid_request", super::says_400("invalid_request"), "pushed_request_refused"),
        ("500", Answer::Status(500), "pushed_request_malformed"),
        ("a redirect", Answer::Redirect("https://evil.example/".to_owned()), "pushed_request_malformed"),
        ("no reference", Answer::Says(201, "application/json", "{}".to_owned()), "pushed_request_malformed"),
        (
            "an empty reference",
            Answer::Says(201, "application/json", r#"{"request_uri":""}"#.to_owned()),
            "pushed_request_malformed",
        ),
        ("100 MB", Answer::Huge(100_000_000), "pushed_request_unreachable"),
    ];
    let pair = Pair::with(|settings| settings.pushed_requests = true, |_| {}).await;
    for (name, answer, code) in cases {
        pair.play(|s| s.pushed_answer = answer.clone());
        let begun = pair.provider.begin(LoginRequest::new(CALLBACK, ReturnTo::root())).await;
        assert_eq!(begun.err().map(|error| error.code()), Some(*code), "{name}");
    }
    pair.play(|_| {});
    assert_eq!(pair.refusal().await, "signed in");

    let lacking = |s: &mut crate::harness::provider::Script| {
        s.metadata = header("pushed_authorization_request_endpoint", json!(null));
    };
    let pair = Pair::strangers(|settings| settings.pushed_requests = true, lacking).await;
    let reason = pair.provider.discovered_now().await.err().unwrap().reason;
    assert!(reason.contains("pushed_authorization_request_endpoint"), "{reason}");
}

#[tokio::test]
async fn a_response_counts_only_in_the_way_that_was_asked_for() {
    let pair = Pair::with(|settings| settings.response_mode = ResponseMode::FormPost, |_| {}).await;
    let begun = pair.begin().await;
    assert_eq!(query(&begun.authorize_url)["response_mode"], "form_post");
    let back = pair.fake.authorize(&begun.authorize_url);
    let in_query = pair.provider.finish(&begun.pending, &params(&back).ok().unwrap(), CALLBACK).await;
    assert_eq!(in_query.err().map(|error| error.code()), Some("response_mode"));
    assert_eq!(pair.asked("/token"), 0);

    let begun = pair.begin().await;
    let (_, body) = posted(&pair.fake.authorize(&begun.authorize_url));
    let form = CallbackParams::parse_form(body.as_bytes(), None).ok().unwrap();
    assert!(pair.provider.finish(&begun.pending, &form, CALLBACK).await.is_ok());

    let plain = Pair::new().await;
    let begun = plain.begin().await;
    let (_, body) = posted(&plain.fake.authorize(&begun.authorize_url));
    let form = CallbackParams::parse_form(body.as_bytes(), None).ok().unwrap();
    let error = plain.provider.finish(&begun.pending, &form, CALLBACK).await.err().unwrap();
    assert_eq!((error.code(), plain.asked("/token")), ("response_mode", 0));

    let lacking =
        |s: &mut crate::harness::provider::Script| s.metadata = header("response_modes_supported", json!(["query"]));
    let pair = Pair::strangers(|settings| settings.response_mode = ResponseMode::FormPost, lacking).await;
    assert!(pair.provider.discovered_now().await.err().unwrap().reason.contains("form_post"));
}
