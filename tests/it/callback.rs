//! What comes back from the provider, or from somebody who pretends to: which of it makes a session, and what is said of the rest.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::application::Application;
use crate::harness::browser::{Browser, Reply};
use crate::harness::gateway::{HOST, Setup, TestGateway, clock, provider};
use crate::harness::keys::Signing;
use crate::harness::program::Program;
use crate::harness::provider::{CLIENT_ID, Claim, FakeProvider, Script};
use crate::harness::site::{IDENTITY, SESSION, Site, ada, line_of, parameter, policy, with_parameter};
use lychgate::clock::Clock;
use lychgate::oidc::pending::LIFETIME;

/// A login that must fail: nobody is signed in, nothing reached the application, and the page and the log say so.
fn assert_refused(browser: &Browser, reply: &Reply) {
    assert!(reply.status.is_client_error() || reply.status.is_server_error(), "{}", reply.status);
    assert!(reply.location().is_none());
    let text = reply.text();
    assert!(text.contains("Signing in did not work") && text.contains("Try again"), "{text}");
    assert_eq!(browser.cookie(HOST, SESSION), None);
    assert_eq!(browser.cookie(HOST, "lychgate-hint"), None);
}

#[tokio::test]
async fn r01_a_refused_id_token_makes_no_session_and_asks_for_no_userinfo() {
    let site = Site::with(policy, |setup| setup.provider_settings("userinfo = true")).await;
    type Case = (&'static str, fn(&mut Script));
    let cases: [Case; 9] = [
        ("id_token_nonce", |script| script.claims = vec![Claim::Set("nonce", json!("of another login"))]),
        ("id_token_nonce", |script| script.claims = vec![Claim::Remove("nonce")]),
        ("id_token_issuer", |script| script.claims = vec![Claim::Set("iss", json!("https://other.example"))]),
        ("id_token_audience", |script| script.claims = vec![Claim::Set("aud", json!(["someone-else"]))]),
        ("id_token_expired", |script| script.claims = vec![Claim::At("exp", -3600), Claim::At("iat", -3660)]),
        ("id_token_issued_at", |script| script.claims = vec![Claim::At("iat", 3600)]),
        ("id_token_subject", |script| script.claims = vec![Claim::Set("sub", json!(""))]),
        ("id_token_authorized_party", |script| {
            script.claims = vec![Claim::Set("aud", json!([CLIENT_ID])), Claim::Set("azp", json!("someone-else"))];
        }),
        ("id_token_missing", |script| script.id_token = Some(String::new())),
    ];
    let mut expected = Vec::new();
    for (reason, change) in cases {
        *site.provider.script() = Script { person: ada(), ..Script::default() };
        change(&mut site.provider.script());
        let mut browser = Browser::new();
        let reply = browser.open(&site.url("/statements")).await;
        assert_refused(&browser, &reply);
        assert_eq!(site.status(&mut browser).await, 401, "{reason}");
        expected.push((reason, reply));
    }
    assert_eq!(site.provider.requests("/token").len(), expected.len());
    assert_eq!(site.provider.requests("/userinfo").len(), 0);
    assert_eq!(site.application.seen().len(), 0);

    *site.provider.script() = Script { person: ada(), ..Script::default() };
    site.signed_in().await;
    assert_eq!(site.provider.requests("/userinfo").len(), 1);
    let log = site.gateway.stop().await;
    for (reason, reply) in &expected {
        let line = line_of(&log, reply);
        assert_eq!((line["reason"].as_str(), line["decision"].as_str()), (Some(*reason), Some("reserved")));
        assert_eq!(line["who"], Value::Null);
    }
}

#[tokio::test]
async fn r01_an_id_token_that_is_not_signed_by_the_provider_makes_no_session() {
    let site = Site::new().await;
    for signing in [Signing::Unsigned, Signing::ClientSecret, Signing::PublicKeyAsSecret, Signing::Stranger] {
        site.provider.script().signing = signing;
        let mut browser = Browser::new();
        let reply = browser.open(&site.url("/")).await;
        assert_refused(&browser, &reply);
    }
    site.provider.script().signing = Signing::default();
    site.signed_in().await;
}

#[tokio::test]
async fn r06_an_error_of_the_provider_is_told_in_our_own_words_only() {
    let site = Site::new().await;
    let cases = [
        ("access_denied", 403, "cancelled"),
        ("temporarily_unavailable", 502, "Please try again in a minute"),
        ("login_required", 502, "technical problem"),
        ("<script>alert(1)</script>", 502, "technical problem"),
    ];
    for (error, status, advice) in cases {
        site.provider.script().error = Some(error);
        let mut browser = Browser::new();
        let reply = browser.open(&site.url("/")).await;
        assert_refused(&browser, &reply);
        let text = reply.text();
        assert_eq!(reply.status.as_u16(), status, "{error}");
        assert!(text.contains(advice), "{text}");
        for foreign in ["555-0100", "<b>call", "&lt;b&gt;", "alert"] {
            assert!(!text.contains(foreign), "{foreign} in {text}");
        }
    }
    assert_eq!(site.provider.requests("/token").len(), 0);
    let log = site.gateway.stop().await;
    let text = serde_json::to_string(&log).unwrap();
    assert!(!text.contains("555-0100") && !text.contains("alert"), "{text}");
}

#[tokio::test]
async fn r06_an_error_of_the_token_endpoint_is_told_in_our_own_words_only() {
    let site = Site::with(policy, |setup| setup.file("client.secret", "wrong")).await;
    let mut browser = Browser::new();
    let reply = browser.open(&site.url("/")).await;
    assert_refused(&browser, &reply);
    assert!(!reply.text().contains("who?"), "{}", reply.text());
    let log = site.gateway.stop().await;
    assert_eq!(line_of(&log, &reply)["reason"], "token_endpoint_invalid_client");
}

#[tokio::test]
async fn r07_a_parameter_that_stands_twice_is_refused() {
    let site = Site::new().await;
    for name in ["state", "code", "iss", "error"] {
        let mut browser = Browser::new();
        let address = site.begin(&mut browser, "/").await;
        let back = site.come_back(&mut browser, &address).await;
        let value = parameter(&back, name).unwrap_or_default();
        let reply = browser.get(&format!("{back}&{name}={value}&{name}={value}")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{name}");
        assert_refused(&browser, &reply);
    }
    assert_eq!(site.provider.requests("/token").len(), 0);
    site.signed_in().await;
}

#[tokio::test]
async fn r08_a_state_that_is_missing_unknown_or_of_another_browser_asks_for_no_token() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    let address = site.begin(&mut browser, "/").await;
    let back = site.come_back(&mut browser, &address).await;
    let mut stranger = Browser::new();
    site.begin(&mut stranger, "/").await;
    let with_state = |state| with_parameter(&back, "state", state);
    let mut replies = Vec::new();
    for (case, reason, browser, address) in [
        ("missing", "state_missing", &mut browser.clone(), with_state(None)),
        ("empty", "state_missing", &mut browser.clone(), with_state(Some(""))),
        ("unknown", "state_unknown", &mut browser.clone(), with_state(Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))),
        ("of another browser", "state_unknown", &mut stranger, back.clone()),
        ("of a browser without any login", "state_unknown", &mut Browser::new(), back.clone()),
        ("no response at all", "state_missing", &mut browser.clone(), site.url("/.lychgate/callback")),
    ] {
        let reply = browser.get(&address).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{case}");
        assert_refused(browser, &reply);
        replies.push((reason, reply));
    }
    assert_eq!(site.provider.requests("/token").len(), 0);
    assert_eq!(browser.get(&back).await.location(), Some(site.url("/")), "the login that was under way goes on");
    assert_eq!(site.provider.requests("/token").len(), 1);
    let log = site.gateway.stop().await;
    for (reason, reply) in &replies {
        assert_eq!(line_of(&log, reply)["reason"], *reason);
    }
}

#[tokio::test]
async fn r08_a_response_works_once() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    let address = site.begin(&mut browser, "/statements").await;
    let back = site.come_back(&mut browser, &address).await;
    let before = browser.clone();
    assert_eq!(browser.get(&back).await.location(), Some(site.url("/statements")));
    assert_eq!(browser.cookie_names(HOST), [SESSION, "lychgate-hint"], "the login's own cookie is spent");

    // The person goes back to the callback's address: signed in already, so back to the application.
    let reply = browser.get(&back).await;
    assert_eq!((reply.status, reply.location()), (StatusCode::FOUND, Some(site.url("/"))));

    // A copy of the browser from before brings the response again: no token request, the login begins anew.
    let mut copy = before;
    let reply = copy.get(&back).await;
    assert!(reply.location().unwrap().starts_with(site.provider.issuer()));
    assert_eq!(copy.cookie(HOST, SESSION), None);
    assert_eq!(site.provider.requests("/token").len(), 1);
}

#[tokio::test]
async fn r08_a_login_that_took_too_long_begins_again_by_itself_and_at_most_once() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    let address = site.begin(&mut browser, "/statements?year=2026").await;
    let back = site.come_back(&mut browser, &address).await;
    site.clock.advance(LIFETIME + Duration::from_secs(1));
    let reply = browser.get(&back).await;
    let again = reply.location().unwrap();
    assert!(again.starts_with(site.provider.issuer()), "{again}");
    assert_eq!(site.provider.requests("/token").len(), 0);
    assert_ne!(parameter(&again, "state"), parameter(&address, "state"));
    // Twice is once too often.
    let mut slow = browser.clone();
    let back = site.come_back(&mut slow, &again).await;
    site.clock.advance(LIFETIME + Duration::from_secs(1));
    let reply = slow.get(&back).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_refused(&slow, &reply);
    assert!(reply.text().contains("took too long"), "{}", reply.text());
    assert_eq!(site.provider.requests("/token").len(), 0);
}

#[tokio::test]
async fn r08_browsers_keep_a_login_for_longer_than_it_is_good_so_that_it_can_begin_again() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    site.begin(&mut browser, "/").await;
    let name = browser.cookie_names(HOST).pop().unwrap();
    let attributes = browser.cookie(HOST, &name).unwrap().attributes.clone();
    let kept = attributes.split("Max-Age=").nth(1).unwrap().parse().unwrap();
    assert!(Duration::from_secs(kept) >= LIFETIME * 2, "{attributes}");
}

#[tokio::test]
async fn r08_a_login_that_began_again_arrives_at_the_page_asked_for() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    let address = site.begin(&mut browser, "/statements?year=2026").await;
    let back = site.come_back(&mut browser, &address).await;
    site.clock.advance(LIFETIME + Duration::from_secs(1));
    let reply = browser.open(&back).await;
    assert_eq!((reply.status, reply.url), (StatusCode::OK, site.url("/statements?year=2026")));
    assert_eq!(browser.cookie_names(HOST), [SESSION, "lychgate-hint"]);
}

#[tokio::test]
async fn r09_the_issuer_in_the_response_is_compared_and_must_be_there_when_promised() {
    let site = Site::new().await;
    let issuer = site.provider.issuer().to_owned();
    for (wrong, reason) in [
        (None, "issuer_missing"),
        (Some(format!("{issuer}/")), "issuer_mismatch"),
        (Some("https://attacker.example".to_owned()), "issuer_mismatch"),
    ] {
        let mut browser = Browser::new();
        let address = site.begin(&mut browser, "/").await;
        let back = site.come_back(&mut browser, &address).await;
        let reply = browser.get(&with_parameter(&back, "iss", wrong.as_deref())).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{reason}");
        assert_refused(&browser, &reply);
    }
    assert_eq!(site.provider.requests("/token").len(), 0);
    site.signed_in().await;
}

/// Two applications on hosts of their own, each with a provider of its own, the second one at an address of its own.
async fn two_providers(metadata: &[(&str, Value)]) -> (Vec<FakeProvider>, Vec<Application>, TestGateway) {
    let clock = clock();
    let (mut providers, mut applications) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let provider = provider(&clock).await;
        provider.script().person = ada();
        provider.script().metadata = metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        providers.push(provider);
        applications.push(Application::start(IDENTITY).await);
    }
    let other = format!(
        "[providers.other]\nissuer = \"{}\"\nclient_id = \"{CLIENT_ID}\"\nclient_secret = {{ file = \"client.secret\" }}\ncallback = \"own\"\n",
        providers[1].issuer()
    );
    let second = policy(&applications[1].url()).replace("\"idp\"", "\"other\"").replace(HOST, "other.localhost");
    let gateway = Setup::new(&clock)
        .provider(&providers[0])
        .settings(&other)
        .policy("app", &policy(&applications[0].url()))
        .policy("other", &second)
        .start()
        .await;
    (providers, applications, gateway)
}

#[tokio::test]
async fn r10_a_response_of_one_provider_is_never_redeemed_at_the_other() {
    let silent = [("authorization_response_iss_parameter_supported", json!(false))];
    for (metadata, iss_is_sent) in [(&[][..], true), (&silent[..], false)] {
        let (providers, applications, gateway) = two_providers(metadata).await;
        let other = |path: &str| gateway.url(path).replace(HOST, "other.localhost");
        if !iss_is_sent {
            providers.iter().for_each(|provider| provider.script().response_issuer = Some(String::new()));
        }
        // The victim begins at the second provider; the attacker brings a code of the first one under that state.
        let mut browser = Browser::new();
        let at_other = browser.get(&other("/")).await.location().unwrap();
        assert!(at_other.starts_with(providers[1].issuer()));
        let mut attacker = Browser::new();
        let at_first = attacker.get(&gateway.url("/")).await.location().unwrap();
        let stolen = attacker.get(&at_first).await.location().unwrap();
        let state = parameter(&at_other, "state");
        let mixed = with_parameter(&stolen, "state", state.as_deref()).replace(HOST, "other.localhost");
        let reply = browser.get(&mixed).await;
        assert!(reply.status.is_client_error() || reply.status.is_server_error(), "{}", reply.status);
        assert_eq!(browser.cookie("other.localhost", SESSION), None);
        assert!(providers.iter().all(|provider| provider.requests("/token").is_empty()), "the code goes to nobody");
        // Each is sound by itself.
        for (index, address) in [gateway.url("/"), other("/")].iter().enumerate() {
            assert_eq!(Browser::new().open(address).await.text(), "hello");
            assert_eq!(applications[index].seen().len(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r06_why_a_login_failed_is_in_the_program_s_own_log_with_the_number_of_its_page() {
    let provider = FakeProvider::start(Clock::system()).await;
    let setup = Setup::new(&clock()).provider(&provider).policy("app", &policy("http://127.0.0.1:9"));
    let program = Program::start(&setup.write());
    let port = program.address().port();
    let url = |path: &str| format!("http://{HOST}:{port}{path}");
    program.says("provider discovered");
    let long = format!("AADSTS50105: not assigned\n\u{1b}[31m \"{}", "x".repeat(300));
    let long: String = url::form_urlencoded::byte_serialize(long.as_bytes()).collect();
    let mut pages = Vec::new();
    let mut fail = async |change: &dyn Fn(&str) -> String| {
        let mut browser = Browser::new();
        let begun = browser.get(&url("/")).await.location().unwrap();
        let back = browser.get(&begun).await.location().unwrap();
        let reply = browser.get(&change(&back)).await;
        assert!(reply.status.is_client_error() || reply.status.is_server_error(), "{}", reply.status);
        pages.push(reply.text());
    };
    provider.script().error = Some("access_denied");
    fail(&str::to_owned).await;
    fail(&|back| with_parameter(back, "error_description", None) + "&error_description=" + &long).await;
    // What comes with a state that this browser does not have is not repeated.
    fail(&|back| with_parameter(back, "state", Some("unknown"))).await;
    provider.script().error = None;
    for claims in [Claim::At("exp", -3600), Claim::Set("iss", json!("https://other.example"))] {
        provider.script().claims = vec![claims];
        fail(&str::to_owned).await;
    }
    program.terminate();
    let (code, _, said) = tokio::task::spawn_blocking(move || program.wait()).await.unwrap();
    assert_eq!(code, 0, "{said}");
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("a login failed")).collect();
    assert_eq!(lines.len(), 4, "{said}");
    let reasons = ["access_denied", "access_denied", "id_token_expired", "id_token_issuer"];
    let shown = [&pages[0], &pages[1], &pages[3], &pages[4]];
    for ((line, reason), page) in lines.iter().zip(reasons).zip(shown) {
        let number = line.split_once("request_id=\"").unwrap().1.split('"').next().unwrap();
        assert!(number.len() >= 16 && page.contains(number), "{number}: {page}");
        assert!(line.contains(reason) && line.contains("\"app\"") && line.contains("\"idp\""), "{line}");
        assert_eq!(line.contains("help="), reason.starts_with("id_token"), "{line}");
    }
    assert!(lines[0].contains("described=\"<b>call 555-0100</b>\""), "{}", lines[0]);
    let start = "described=\"AADSTS50105: not assigned\\n\\u{1b}[31m \\\"xxx";
    assert!(lines[1].contains(start) && !lines[1].contains(&"x".repeat(200)), "{}", lines[1]);
    assert_eq!(said.matches("555-0100").count(), 1, "{said}");
}
