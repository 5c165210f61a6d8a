//! Several applications behind one gateway: two on one host by path, two on hosts of their own, and what they share.

use std::time::Duration;

use http::{Method, StatusCode};
use lychgate::clock::ManualClock;
use serde_json::json;

use crate::harness::application::Application;
use crate::harness::browser::Browser;
use crate::harness::gateway::{HOST, Setup, TestGateway, clock, provider};
use crate::harness::provider::{CLIENT_ID, Claim, FakeProvider, value};
use crate::harness::site::{IDENTITY, ada, policy};

const OTHER: &str = "other.localhost";

/// The usual policy for an application below `path`.
fn below(path: &str, upstream: &str) -> String {
    let text = policy(upstream).replace("[\"/", &format!("[\"{path}/"));
    text.replace("[login]", &format!("path = \"{path}\"\n[login]"))
}

struct Pair {
    clock: ManualClock,
    provider: FakeProvider,
    ledger: Application,
    reports: Application,
    gateway: TestGateway,
}

/// `ledger` and `reports`, as the two policies say.
async fn pair(policies: impl Fn(&str, &str) -> (String, String)) -> Pair {
    let clock = clock();
    let provider = provider(&clock).await;
    provider.script().person = ada();
    let (ledger, reports) = (Application::start(IDENTITY).await, Application::start(IDENTITY).await);
    let (first, second) = policies(&ledger.url(), &reports.url());
    let setup = Setup::new(&clock).provider(&provider).policy("ledger", &first).policy("reports", &second);
    let gateway = setup.start().await;
    Pair { clock, provider, ledger, reports, gateway }
}

async fn on_one_host() -> Pair {
    pair(|ledger, reports| (below("/ledger", ledger), below("/reports", reports))).await
}

#[tokio::test]
async fn two_applications_on_one_host_have_sessions_of_their_own_and_one_sign_in() {
    let pair = on_one_host().await;
    let url = |path: &str| pair.gateway.url(path);
    let mut browser = Browser::new();
    assert_eq!(browser.open(&url("/ledger/2026")).await.url, url("/ledger/2026"));
    assert_eq!(browser.fetch(Method::GET, &url("/reports/")).await.status, StatusCode::UNAUTHORIZED);
    // The provider knows the person: the second login asks nothing.
    assert_eq!(browser.open(&url("/reports/1")).await.url, url("/reports/1"));
    assert_eq!(pair.ledger.only().target, "/ledger/2026");
    assert_eq!(pair.reports.only().target, "/reports/1");
    let names = browser.cookie_names(HOST);
    assert_eq!(names, ["lychgate-app-ledger", "lychgate-app-reports", "lychgate-hint"]);

    let reply = browser.get(&url("/elsewhere")).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.get(&url("/ledgers")).await.status, StatusCode::NOT_FOUND, "a prefix ends at a slash");

    let own = url("");
    browser.post(&url("/.lychgate/logout"), "", &[("origin", &own)]).await;
    assert!(browser.cookie_names(HOST).is_empty(), "signing out ends every session of the host");
    let log = pair.gateway.stop().await;
    // The lines of two workers may change places.
    let apps = log.iter().filter(|line| line["decision"] == "allow").filter_map(|line| line["app"].as_str());
    let mut apps: Vec<_> = apps.collect();
    apps.sort_unstable();
    assert_eq!(apps, ["ledger", "reports"]);
}

#[tokio::test]
async fn c02_a_session_of_one_application_is_none_at_its_neighbour() {
    let pair = on_one_host().await;
    let mut browser = Browser::new();
    browser.open(&pair.gateway.url("/ledger/")).await;
    let session = browser.cookie(HOST, "lychgate-app-ledger").unwrap().value.clone();
    let mut thief = Browser::new();
    thief.plant(HOST, "lychgate-app-reports", &session);
    let status = thief.fetch(Method::GET, &pair.gateway.url("/reports/")).await.status;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(pair.reports.seen().len(), 0);
}

#[tokio::test]
async fn the_application_with_the_longest_path_answers() {
    let pair = pair(|whole, part| (policy(whole), below("/reports", part))).await;
    let mut browser = Browser::new();
    assert_eq!(browser.open(&pair.gateway.url("/reports")).await.status, StatusCode::OK);
    assert_eq!(browser.open(&pair.gateway.url("/reportsx")).await.status, StatusCode::OK);
    assert_eq!(pair.reports.only().target, "/reports");
    assert_eq!(pair.ledger.only().target, "/reportsx");
}

#[tokio::test]
async fn two_hosts_have_sessions_of_their_own() {
    let pair = pair(|first, second| (policy(first), policy(second).replace(HOST, OTHER))).await;
    let other = |path: &str| pair.gateway.url(path).replace(HOST, OTHER);
    let mut browser = Browser::new();
    browser.open(&pair.gateway.url("/")).await;
    let stolen = browser.cookie(HOST, "lychgate").unwrap().value.clone();
    browser.plant(OTHER, "lychgate", &stolen);
    assert_eq!(browser.fetch(Method::GET, &other("/")).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(browser.open(&other("/x")).await.url, other("/x"));
    assert_ne!(browser.cookie(OTHER, "lychgate").unwrap().value, stolen);
    let callbacks: Vec<_> = pair.provider.requests("/authorize");
    assert_eq!(value(&callbacks[1].query, "redirect_uri"), Some(other("/.lychgate/callback").as_str()));
    assert_eq!((pair.ledger.seen().len(), pair.reports.seen().len()), (1, 1));
}

#[tokio::test]
async fn p05_hosts_are_compared_without_case_port_or_last_dot_and_unknown_ones_are_refused() {
    let pair = pair(|first, second| (policy(first), policy(second).replace(HOST, OTHER))).await;
    let mut wire = crate::harness::wire::Wire::connect(pair.gateway.address()).await;
    for (host, status) in [
        (HOST, 200),
        ("APP.localhost", 200),
        ("app.localhost.", 200),
        ("app.localhost:1", 200),
        ("OTHER.LOCALHOST.:80", 200),
        ("unknown.localhost", 404),
        ("app.localhost.evil.example", 404),
        ("localhost", 404),
    ] {
        wire.send(format!("GET /public/x HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.unwrap();
        assert_eq!(wire.reply(false).await.unwrap().status, status, "{host}");
    }
    assert_eq!((pair.ledger.seen().len(), pair.reports.seen().len()), (4, 1));
}

#[tokio::test]
async fn r04_an_id_token_goes_to_no_other_provider_than_the_one_that_made_it() {
    let clock = clock();
    let (first, second) = (provider(&clock).await, provider(&clock).await);
    first.script().person = ada();
    second.script().person =
        vec![("groups".to_owned(), json!(["staff"])), ("preferred_username".to_owned(), json!("ada"))];
    let (ledger, reports) = (Application::start(IDENTITY).await, Application::start(IDENTITY).await);
    let other = format!(
        "[providers.other]\nissuer = \"{}\"\nclient_id = \"{CLIENT_ID}\"\nclient_secret = {{ file = \"client.secret\" }}\ncallback = \"own\"\n",
        second.issuer()
    );
    let gateway = Setup::new(&clock)
        .provider(&first)
        .settings(&other)
        .policy("ledger", &below("/ledger", &ledger.url()))
        .policy("reports", &below("/reports", &reports.url()).replace("\"idp\"", "\"other\""))
        .start()
        .await;
    for order in [["/ledger/", "/reports/"], ["/reports/", "/ledger/"]] {
        let mut browser = Browser::new();
        for path in order {
            assert_eq!(browser.open(&gateway.url(path)).await.status, StatusCode::OK);
        }
        let own = gateway.url("");
        let reply = browser.post(&gateway.url("/.lychgate/logout"), "", &[("origin", &own)]).await;
        browser.open(&reply.location().unwrap()).await;
        assert!(browser.cookie_names(HOST).is_empty());
    }
    let mut hints = 0;
    for provider in [&first, &second] {
        for request in provider.requests("/logout") {
            let hint = value(&request.query, "id_token_hint");
            hints += usize::from(hint.is_some());
            assert!(hint.is_none_or(|hint| issuer_of(hint) == provider.issuer()), "{hint:?}");
        }
    }
    assert_eq!(hints, 1, "only one of the two is the last login's");
}

fn issuer_of(id_token: &str) -> String {
    use base64::Engine as _;
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(id_token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<serde_json::Value>(&payload).unwrap()["iss"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn p02_an_encoded_slash_that_leads_to_a_neighbour_is_refused() {
    // The application of the whole host wants encoded slashes kept; to a server that splits there, some of its paths are its neighbour's.
    let keeping = |upstream: &str| policy(upstream).replacen("[app]", "[app]\nencoded_slash = \"keep\"", 1);
    let pair = pair(|whole, reports| (keeping(whole), below("/reports", reports))).await;
    let mut browser = Browser::new();
    let url = |path: &str| pair.gateway.url(path);
    assert_eq!(browser.open(&url("/notes%2f1")).await.status, StatusCode::OK);
    assert_eq!(pair.ledger.only().target, "/notes%2F1");
    for path in ["/reports%2f1", "/reports%2F1/x", "/x/../reports%2f1"] {
        assert_eq!(browser.fetch(Method::GET, &url(path)).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!((pair.ledger.seen().len(), pair.reports.seen().len()), (1, 0));
    let log = pair.gateway.stop().await;
    assert_eq!(log.iter().filter(|line| line["reason"] == "path_encoded_slash").count(), 3);
}

/// `whole` at the root, whose logins ask for nothing, and `reports`, whose logins want credentials of the last minute.
async fn strict_neighbour(with_root: bool) -> Pair {
    pair(|first, second| {
        let root = if with_root { policy(first) } else { below("/ledger", first) };
        (
            root,
            below("/reports", second)
                .replace("provider = \"idp\"", "provider = \"idp\"\nmax_age = \"1m\"\nacr = [\"mfa\"]"),
        )
    })
    .await
}

#[tokio::test]
async fn r08_an_address_that_cannot_be_kept_leads_to_its_own_application_and_to_no_neighbour() {
    let long = format!("/reports/?{}", "x".repeat(2100));
    for with_root in [true, false] {
        let pair = strict_neighbour(with_root).await;
        for path in ["/reports/?d=C:\\x", &long] {
            let mut browser = Browser::new();
            let reply = browser.open(&pair.gateway.url(path)).await;
            assert_eq!(
                (reply.status, reply.url),
                (StatusCode::OK, pair.gateway.url("/reports")),
                "{with_root} {path:.20}"
            );
            assert_eq!(browser.cookie_names(HOST), ["lychgate-app-reports", "lychgate-hint"]);
        }
        // Too little for this application: the neighbour does not take the person in instead.
        pair.provider.script().claims = vec![Claim::Set("acr", json!("pwd"))];
        for path in ["/reports/?d=C:\\x", &long] {
            let mut browser = Browser::new();
            assert_eq!(browser.open(&pair.gateway.url(path)).await.status, StatusCode::FORBIDDEN);
            assert!(browser.cookie_names(HOST).is_empty(), "{:?}", browser.cookie_names(HOST));
        }
        assert_eq!(pair.ledger.seen().len(), 0);
    }
}

/// Two applications on one host, and a person with so many groups that a session takes several cookies.
async fn with_large_sessions() -> Pair {
    // The groups stay here: the applications' own limits are not the matter.
    let quiet = |path: &str, upstream: &str| {
        below(path, upstream).lines().filter(|line| !line.starts_with("X-Remote-Groups")).collect::<Vec<_>>().join("\n")
    };
    let pair = pair(|ledger, reports| (quiet("/ledger", ledger), quiet("/reports", reports))).await;
    let groups = (0..80).map(|index| format!("{index:04}-{}", "g".repeat(90)));
    pair.provider.script().person[1].1 = json!(std::iter::once("staff".to_owned()).chain(groups).collect::<Vec<_>>());
    pair
}

#[tokio::test]
async fn c05_a_large_session_at_one_application_keeps_nobody_from_its_neighbour() {
    let pair = with_large_sessions().await;
    let url = |path: &str| pair.gateway.url(path);
    let mut browser = Browser::new();
    assert_eq!(browser.open(&url("/ledger/2026")).await.text(), "hello");
    assert!(browser.cookie(HOST, "lychgate-app-ledger.2").is_some());
    // At once, while the browser remembers that it was given a large session.
    assert_eq!(browser.open(&url("/reports/1")).await.text(), "hello");
    // One that was ended is none that the browser did not keep.
    let own = url("");
    let old = browser.clone();
    browser.post(&url("/.lychgate/logout"), "everywhere=1", &[("origin", &own)]).await;
    pair.clock.advance(Duration::from_secs(1));
    assert_eq!(old.clone().open(&url("/reports/1")).await.text(), "hello");
    // Nor does it matter which of the two a browser did not keep.
    let mut forgetful = Browser::new();
    assert_eq!(forgetful.open(&url("/reports/1")).await.text(), "hello");
    forgetful.cookies.get_mut(HOST).unwrap().retain(|name, _| !name.starts_with("lychgate-app-reports"));
    let reply = forgetful.get(&url("/reports/1")).await;
    assert_eq!((reply.status, reply.location()), (StatusCode::INTERNAL_SERVER_ERROR, None));
    assert!(forgetful.get(&url("/ledger/2026")).await.location().is_some());
}

#[tokio::test]
async fn c08_logins_at_the_neighbour_of_a_large_session_do_not_lock_the_browser_out() {
    let pair = with_large_sessions().await;
    let url = |path: &str| pair.gateway.url(path);
    let mut browser = Browser::new();
    browser.open(&url("/ledger/2026")).await;
    let mut begun = Vec::new();
    for tab in 0..8 {
        let reply = browser.get(&url(&format!("/reports/{tab}?{}", "x".repeat(1950)))).await;
        begun.push(reply.location().unwrap_or_else(|| panic!("tab {tab}: {}", reply.status)));
    }
    assert_eq!(browser.open(begun.last().unwrap()).await.text(), "hello");
    for path in ["/ledger/", "/reports/"] {
        assert_eq!(browser.fetch(Method::GET, &url(path)).await.status, StatusCode::OK, "{path}");
    }
}
