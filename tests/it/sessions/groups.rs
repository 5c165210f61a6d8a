//! Applications of one group: the first question to the provider shows nothing, and the second one does.

use std::time::Duration;

use http::{Method, StatusCode};
use lychgate::oidc::pending::LIFETIME;
use serde_json::json;

use crate::harness::application::Application;
use crate::harness::browser::Browser;
use crate::harness::gateway::{HOST, Setup, TestGateway, clock, provider};
use crate::harness::provider::{FakeProvider, value};
use crate::harness::site::{IDENTITY, SESSION, ada, parameter, policy};

const SECOND: &str = "second.localhost";

fn grouped(upstream: &str) -> String {
    policy(upstream).replace("max = \"8h\"", "max = \"8h\"\ngroup = \"intranet\"")
}

async fn two_hosts() -> (FakeProvider, Application, TestGateway) {
    let clock = clock();
    let provider = provider(&clock).await;
    provider.script().person = ada();
    let application = Application::start(IDENTITY).await;
    let gateway = Setup::new(&clock)
        .provider(&provider)
        .policy("app", &grouped(&application.url()))
        .policy("second", &grouped(&application.url()).replace(HOST, SECOND))
        .start()
        .await;
    (provider, application, gateway)
}

fn prompts(provider: &FakeProvider) -> Vec<Option<String>> {
    let value =
        |query: &[(String, String)]| query.iter().find(|(name, _)| name == "prompt").map(|(_, value)| value.clone());
    provider.requests("/authorize").iter().map(|request| value(&request.query)).collect()
}

#[tokio::test]
async fn c08_a_group_asks_silently_first_and_with_pages_once() {
    let (provider, application, gateway) = two_hosts().await;
    provider.script().nobody = true;
    let mut browser = Browser::new();
    let reply = browser.open(&gateway.url("/statements?year=2026")).await;
    assert_eq!((reply.text().as_str(), reply.url), ("hello", gateway.url("/statements?year=2026")));
    let silent = Some("none".to_owned());
    assert_eq!(prompts(&provider), [silent.clone(), None]);
    assert_eq!(browser.cookie_names(HOST), [SESSION, "lychgate-hint"], "nothing is left of either");
    // Signed in at the provider now: the second host shows nothing.
    provider.script().nobody = false;
    let second = gateway.url("/").replace(HOST, SECOND);
    assert_eq!(browser.open(&second).await.text(), "hello");
    assert_eq!(prompts(&provider), [silent.clone(), None, silent]);
    assert_eq!(application.seen().len(), 2);
}

#[tokio::test]
async fn r13_a_silent_sign_in_that_reaches_too_little_is_made_again_with_pages() {
    let clock = clock();
    let provider = provider(&clock).await;
    provider.script().person = ada();
    let application = Application::start(IDENTITY).await;
    let text = grouped(&application.url()).replace("[login]", "[login]\nacr = [\"mfa\"]");
    let gateway = Setup::new(&clock).provider(&provider).policy("app", &text).start().await;
    provider.script().claims = vec![crate::harness::provider::Claim::Set("acr", json!("pwd"))];
    let mut browser = Browser::new();
    let reply = browser.open(&gateway.url("/")).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN, "and at most once");
    assert_eq!(prompts(&provider), [Some("none".to_owned()), None]);
}

#[tokio::test]
async fn r08_a_silent_answer_that_is_replayed_or_forged_begins_no_loop() {
    let (provider, _application, gateway) = two_hosts().await;
    provider.script().nobody = true;
    let mut browser = Browser::new();
    let address = browser.get(&gateway.url("/")).await.location().unwrap();
    let back = browser.get(&address).await.location().unwrap();
    let mut stranger = Browser::new();
    assert_eq!(stranger.get(&back).await.status, StatusCode::BAD_REQUEST, "of another browser");
    let again = browser.get(&back).await.location().unwrap();
    assert_eq!(parameter(&again, "prompt"), None);
    assert_eq!(browser.get(&back).await.status, StatusCode::BAD_REQUEST, "its login is spent");
    assert_eq!(provider.requests("/token").len(), 0);
}

#[tokio::test]
async fn r13_a_silent_sign_in_goes_before_a_configured_prompt_unless_it_asks_for_credentials() {
    for (prompt, expected) in
        [("select_account", vec![Some("none"), Some("select_account")]), ("consent login", vec![Some("consent login")])]
    {
        let clock = clock();
        let provider = provider(&clock).await;
        provider.script().person = ada();
        provider.script().nobody = true;
        let application = Application::start(IDENTITY).await;
        let text = grouped(&application.url()).replace("[login]", &format!("[login]\nprompt = \"{prompt}\""));
        let gateway = Setup::new(&clock).provider(&provider).policy("app", &text).start().await;
        assert_eq!(Browser::new().open(&gateway.url("/")).await.text(), "hello");
        assert_eq!(prompts(&provider), expected.into_iter().map(|word| word.map(str::to_owned)).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn l07_signing_out_at_one_application_of_a_group_ends_the_persons_sessions_in_the_whole_group() {
    let clock = clock();
    let provider = provider(&clock).await;
    provider.script().person = ada();
    let application = Application::start(IDENTITY).await;
    let on = |host: &str, group: &str| {
        grouped(&application.url()).replace(HOST, host).replace("\"intranet\"", &format!("\"{group}\""))
    };
    let gateway = Setup::new(&clock)
        .provider(&provider)
        .policy("app", &grouped(&application.url()))
        .policy("second", &on(SECOND, "intranet"))
        .policy("third", &on("third.localhost", "public"))
        .policy("fourth", &policy(&application.url()).replace(HOST, "fourth.localhost"))
        .start()
        .await;
    let at = |host: &str| gateway.url("/").replace(HOST, host);
    let hosts = [HOST, SECOND, "third.localhost", "fourth.localhost"];
    let (mut browser, mut phone, mut grace) = (Browser::new(), Browser::new(), Browser::new());
    for host in hosts {
        assert_eq!(browser.open(&at(host)).await.text(), "hello", "{host}");
    }
    assert_eq!(phone.open(&at(SECOND)).await.text(), "hello");
    provider.script().person.push(("sub".to_owned(), json!("grace-8")));
    assert_eq!(grace.open(&at(SECOND)).await.text(), "hello");
    provider.script().person.pop();

    let origin = gateway.url("");
    let reply = browser.post(&gateway.url("/.lychgate/logout"), "", &[("origin", origin.as_str())]).await;
    assert_eq!(reply.status, StatusCode::FOUND);
    for (host, status) in hosts.into_iter().zip([401, 401, 200, 200]) {
        assert_eq!(browser.fetch(Method::GET, &at(host)).await.status.as_u16(), status, "{host}");
    }
    assert_eq!(phone.fetch(Method::GET, &at(SECOND)).await.status.as_u16(), 401, "in another browser too");
    assert_eq!(grace.fetch(Method::GET, &at(SECOND)).await.status.as_u16(), 200, "of another person");
    // Who signs in afterwards has a new session.
    clock.advance(Duration::from_millis(10));
    for host in [HOST, SECOND] {
        assert_eq!(browser.open(&at(host)).await.text(), "hello", "{host}");
    }
}

/// The levels that each request asked for.
fn levels(provider: &FakeProvider) -> Vec<Option<String>> {
    let asked = provider.requests("/authorize");
    asked.iter().map(|request| value(&request.query, "acr_values").map(str::to_owned)).collect()
}

#[tokio::test]
async fn r13_a_login_that_begins_again_asks_for_no_more_than_the_policy_does() {
    let clock = clock();
    let provider = provider(&clock).await;
    provider.script().person = ada();
    provider.script().nobody = true;
    let application = Application::start(IDENTITY).await;
    let strong = "[[rules]]\npaths = [\"/strong\"]\nallow = \"true\"\nstep_up = { acr = [\"phr\"] }\n[[rules]]\nallow";
    let text = grouped(&application.url()).replace("[login]", "[login]\nacr = [\"mfa\"]");
    let text = text.replacen("[[rules]]\nallow", strong, 1);
    let gateway = Setup::new(&clock).provider(&provider).policy("app", &text).start().await;
    let mut browser = Browser::new();
    assert_eq!(browser.open(&gateway.url("/")).await.text(), "hello");
    let mfa = Some("mfa".to_owned());
    assert_eq!((prompts(&provider).len(), levels(&provider)), (2, vec![mfa.clone(), mfa.clone()]));
    // The same after one that took too long; and what is more than enough still is.
    provider.script().claims = vec![crate::harness::provider::Claim::Set("acr", json!("phr"))];
    let mut slow = Browser::new();
    let asked = slow.get(&gateway.url("/")).await.location().unwrap();
    clock.advance(LIFETIME + Duration::from_secs(1));
    let back = slow.get(&asked).await.location().unwrap();
    assert_eq!(slow.open(&back).await.text(), "hello");
    assert!(levels(&provider).iter().all(|level| *level == mfa), "{:?}", levels(&provider));
}
