//! Sessions as a browser and as an attacker holds them: keys that change, cookies that are moved, damaged, planted, too large or too old.

mod caches;
mod forms;
mod forms_due;
mod forms_refused;
mod forms_under_way;
mod groups;
mod late;
mod many_tabs;
mod nodes;
mod optional;
mod refresh;
mod refresh_slow;
mod superseded;

use std::time::Duration;

use http::{Method, StatusCode};
use lychgate::clock::ManualClock;
use lychgate::crypto::KeyRing;
use serde_json::json;

use crate::harness::application::Application;
use crate::harness::browser::Browser;
use crate::harness::gateway::{HOST, Setup, TestGateway, clock, provider};
use crate::harness::provider::FakeProvider;
use crate::harness::site::{IDENTITY, SESSION, Site, ada, line_of, policy};

/// The attributes of the session's cookie over https; the prefix demands the first two (RFC 6265bis).
const ATTRIBUTES: &str = "Path=/; HttpOnly; SameSite=Lax; Secure";

/// Gateways in front of one application that need not have the same keys.
struct Fleet {
    clock: ManualClock,
    provider: FakeProvider,
    application: Application,
    /// An old and a new one.
    keys: [String; 2],
}

impl Fleet {
    async fn new() -> Self {
        let clock = clock();
        let provider = provider(&clock).await;
        provider.script().person = ada();
        let application = Application::start(IDENTITY).await;
        Self { clock, provider, application, keys: [(); 2].map(|()| KeyRing::generate_key().expose().clone()) }
    }

    /// Another gateway, with these keys.
    async fn start(&self, keys: &[&str]) -> TestGateway {
        let setup = Setup::new(&self.clock).provider(&self.provider).keys(keys);
        setup.policy("app", &policy(&self.application.url())).start().await
    }
}

#[tokio::test]
async fn c01_keys_rotate_without_anybody_being_signed_out() {
    let fleet = Fleet::new().await;
    let [old, new] = fleet.keys.each_ref().map(String::as_str);
    let status = async |browser: &mut Browser, url: String| browser.fetch(Method::GET, &url).await.status.as_u16();

    let first = fleet.start(&[old]).await;
    let mut early = Browser::new();
    assert_eq!(early.open(&first.url("/")).await.status, StatusCode::OK);
    first.stop().await;

    let both = fleet.start(&[new, old]).await;
    assert_eq!(status(&mut early, both.url("/")).await, 200, "the old key still opens");
    let mut late = Browser::new();
    assert_eq!(late.open(&both.url("/")).await.status, StatusCode::OK);
    // The session that is used gets a cookie under the new key.
    let mut moved = early.clone();
    fleet.clock.advance(Duration::from_secs(10 * 60));
    assert_eq!(status(&mut moved, both.url("/")).await, 200);
    assert_ne!(moved.cookie(HOST, SESSION), early.cookie(HOST, SESSION));
    both.stop().await;

    let only_new = fleet.start(&[new]).await;
    assert_eq!(status(&mut late, only_new.url("/")).await, 200, "the first key seals");
    assert_eq!(status(&mut moved, only_new.url("/")).await, 200);
    assert_eq!(status(&mut early, only_new.url("/")).await, 401, "the old key is gone");
    let log = only_new.stop().await;
    assert!(log.iter().any(|line| line["reason"] == "session_unreadable"));
}

#[tokio::test]
async fn c02_a_cookie_that_is_moved_to_another_host_application_or_name_is_no_session() {
    let site = Site::with(policy, |setup| {
        let below = |path: &str| {
            let text = policy("http://127.0.0.1:9").replace("[\"/", &format!("[\"{path}/"));
            text.replace("[login]", &format!("path = \"{path}\"\n[login]"))
        };
        setup
            .policy("elsewhere", &policy("http://127.0.0.1:9").replace(HOST, "elsewhere.localhost"))
            .policy("reports", &below("/reports"))
            .policy("ledger", &below("/ledger"))
    })
    .await;
    let browser = site.signed_in().await;
    let session = browser.cookie(HOST, SESSION).unwrap().value.clone();
    let hint = browser.cookie(HOST, "lychgate-hint").unwrap().value.clone();
    let elsewhere = site.url("/").replace(HOST, "elsewhere.localhost");
    let cases = [
        ("another host", "elsewhere.localhost", SESSION, &session, elsewhere),
        ("another application's name", HOST, "lychgate-app-reports", &session, site.url("/reports")),
        ("another application's name", HOST, "lychgate-app-ledger", &session, site.url("/ledger/x")),
        ("another purpose", HOST, SESSION, &hint, site.url("/")),
        ("another name", HOST, "lychgate-session", &session, site.url("/")),
        ("the name of a TLS site", HOST, "__Host-lychgate", &session, site.url("/")),
    ];
    for (case, host, name, value, url) in cases {
        let mut thief = Browser::new();
        thief.plant(host, name, value);
        assert_eq!(thief.fetch(Method::GET, &url).await.status, StatusCode::UNAUTHORIZED, "{case}");
    }
    let mut again = Browser::new();
    again.plant(HOST, SESSION, &session);
    assert_eq!(site.status(&mut again).await, 200, "in its own place it is one");
}

#[tokio::test]
async fn c02_a_session_that_a_worker_has_opened_under_one_name_does_not_open_under_another() {
    let listeners =
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\nscheme = \"https\"\n";
    let site = Site::with(policy, |setup| setup.listeners(listeners)).await;
    let secure = format!("http://{HOST}:{}/", site.gateway.addresses()[1].port());
    let mut plain = site.signed_in().await;
    let mut tls = Browser::new();
    tls.plant(HOST, "__Host-lychgate", &plain.cookie(HOST, SESSION).unwrap().value);
    for _ in 0..20 {
        assert_eq!(site.status(&mut plain).await, 200);
        assert_eq!(tls.fetch(Method::GET, &secure).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn c03_whatever_is_wrong_with_a_cookie_the_answer_is_the_same() {
    let site = Site::new().await;
    let browser = site.signed_in().await;
    let good = browser.cookie(HOST, SESSION).unwrap().value.clone();
    let mut cases: Vec<String> = flipped(&good);
    cases.extend([good[1..].to_owned(), good[..good.len() - 1].to_owned(), format!("{good}A"), format!("{good}=")]);
    cases.extend([good.to_uppercase(), format!("2.{good}"), "A".to_owned(), "null".to_owned(), "A".repeat(3000)]);
    let mut answers = std::collections::BTreeSet::new();
    let absent = Browser::new().fetch(Method::GET, &site.url("/")).await;
    answers.insert(shape(&absent));
    for value in &cases {
        let mut thief = Browser::new();
        thief.plant(HOST, SESSION, value);
        let reply = thief.fetch(Method::GET, &site.url("/")).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{value}");
        answers.insert(shape(&reply));
    }
    assert_eq!(answers.len(), 1, "a stranger can tell damaged cookies apart: {answers:#?}");
    assert_eq!(site.application.seen().len(), 1);
    let mut owner = browser.clone();
    assert_eq!(site.status(&mut owner).await, 200);
    let log = site.gateway.stop().await;
    let unreadable = log.iter().filter(|line| line["reason"] == "session_unreadable").count();
    assert_eq!(unreadable, cases.len());
}

/// The cookie with one character changed, at every place where that changes a bit.
fn flipped(good: &str) -> Vec<String> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut all = Vec::new();
    for at in 0..good.len() {
        let digit = ALPHABET.iter().position(|letter| *letter == good.as_bytes()[at]).unwrap();
        let mut changed = good.as_bytes().to_vec();
        changed[at] = ALPHABET[digit ^ 0b10_0000];
        all.push(String::from_utf8(changed).unwrap());
    }
    all
}

/// Everything of an answer that a stranger can compare, without what differs anyway.
fn shape(reply: &crate::harness::browser::Reply) -> String {
    let mut headers = reply.headers.clone();
    headers.remove("date");
    let mut body = reply.json();
    body["request_id"] = json!("");
    format!("{} {headers:?} {body}", reply.status)
}

#[tokio::test]
async fn c04_cookies_over_tls_carry_every_attribute_and_deletion_the_same_ones() {
    let site = Site::with(policy, Setup::behind_tls).await;
    let url = |path: &str| site.url(path).replace("http://", "https://");
    let mut browser = Browser::new();
    let begun = browser.get(&url("/")).await;
    let pending = browser.cookie_names(HOST).pop().unwrap();
    assert!(pending.starts_with("__Host-lychgate-login-"), "{pending}");
    assert_eq!(browser.cookie(HOST, &pending).unwrap().attributes, format!("{ATTRIBUTES}; Max-Age=3600"));
    let back = browser.get(&begun.location().unwrap()).await.location().unwrap();
    assert!(back.starts_with("https://app.localhost:"), "{back}");
    let reply = browser.get(&back).await;
    let session = browser.cookie(HOST, "__Host-lychgate").unwrap();
    assert_eq!(session.attributes, ATTRIBUTES);
    let hint = browser.cookie(HOST, "__Secure-lychgate-hint").unwrap();
    assert_eq!(hint.attributes, "Path=/.lychgate/logout; HttpOnly; SameSite=Lax; Secure");
    assert!(set_cookies(&reply).contains(&format!("{pending}=; {ATTRIBUTES}; Max-Age=0")), "{:?}", set_cookies(&reply));

    let origin = url("");
    let reply = browser.post(&url("/.lychgate/logout"), "", &[("origin", &origin)]).await;
    let removed = set_cookies(&reply);
    assert!(removed.contains(&format!("__Host-lychgate=; {ATTRIBUTES}; Max-Age=0")), "{removed:?}");
    assert!(browser.cookie_names(HOST).is_empty(), "{:?}", browser.cookies);
}

fn set_cookies(reply: &crate::harness::browser::Reply) -> Vec<String> {
    reply.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap().to_owned()).collect()
}

/// Groups that compress badly: none is a prefix of another.
fn groups(count: usize) -> serde_json::Value {
    let names = (0..count).map(|index| format!("{index:04}-{}", "g".repeat(90)));
    json!(std::iter::once("staff".to_owned()).chain(names).collect::<Vec<_>>())
}

/// The usual policy, without sending the groups on: the application's own limits are not the matter here.
fn quiet(upstream: &str) -> String {
    let text = policy(upstream);
    text.lines().filter(|line| !line.starts_with("X-Remote-Groups")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn c05_a_large_session_is_cut_into_cookies_that_all_go_at_the_end() {
    let site = Site::with(quiet, Setup::behind_tls).await;
    let url = |path: &str| site.url(path).replace("http://", "https://");
    for (count, chunks) in [(10, 1), (40, 2), (80, 3), (115, 4), (145, 5)] {
        site.provider.script().person =
            vec![("preferred_username".to_owned(), json!("ada")), ("groups".to_owned(), groups(count))];
        let mut browser = Browser::new();
        assert_eq!(browser.open(&url("/")).await.text(), "hello", "{count} groups");
        let names: Vec<String> =
            browser.cookie_names(HOST).into_iter().filter(|name| name.starts_with("__Host-lychgate")).collect();
        let names: Vec<String> = names.into_iter().filter(|name| !name.ends_with("-arrived")).collect();
        assert_eq!(names.len(), chunks, "{count} groups: {names:?}");
        for name in &names {
            let cookie = browser.cookie(HOST, name).unwrap();
            assert_eq!(cookie.attributes, ATTRIBUTES);
            assert!(name.len() + cookie.value.len() + cookie.attributes.len() < 4096, "{name}");
        }
        for name in &names[1..] {
            let mut damaged = browser.clone();
            damaged.cookies.get_mut(HOST).unwrap().remove(name);
            assert_eq!(damaged.fetch(Method::GET, &url("/")).await.status, StatusCode::UNAUTHORIZED, "without {name}");
        }
        let origin = url("");
        browser.post(&url("/.lychgate/logout"), "", &[("origin", &origin)]).await;
        assert!(browser.cookie_names(HOST).is_empty(), "{:?}", browser.cookie_names(HOST));
    }
}

#[tokio::test]
async fn c05_a_session_that_cannot_fit_is_a_clear_error_and_no_loop() {
    let site = Site::with(quiet, |setup| setup).await;
    site.provider.script().person =
        vec![("preferred_username".to_owned(), json!("ada")), ("groups".to_owned(), groups(400))];
    let mut browser = Browser::new();
    let reply = browser.open(&site.url("/")).await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    let text = reply.text();
    assert!(text.contains("carries more information") && text.contains("fewer or smaller claims"), "{text}");
    assert!(browser.cookie_names(HOST).is_empty(), "{:?}", browser.cookie_names(HOST));
    assert_eq!(site.provider.requests("/authorize").len(), 1);
    let log = site.gateway.stop().await;
    assert_eq!(line_of(&log, &reply)["reason"], "session_too_large");
}

#[tokio::test]
async fn c05_a_browser_that_does_not_keep_a_large_session_is_told_and_sent_round_in_no_circle() {
    let site = Site::with(quiet, |setup| setup).await;
    site.provider.script().person =
        vec![("preferred_username".to_owned(), json!("ada")), ("groups".to_owned(), groups(80))];
    let mut browser = Browser::new();
    let address = site.begin(&mut browser, "/").await;
    let back = site.come_back(&mut browser, &address).await;
    assert_eq!(browser.get(&back).await.location(), Some(site.url("/")));
    let whole = browser.clone();
    browser.cookies.get_mut(HOST).unwrap().remove("lychgate.2");
    let reply = browser.get(&site.url("/")).await;
    assert_eq!((reply.status, reply.location()), (StatusCode::INTERNAL_SERVER_ERROR, None));
    assert!(reply.text().contains("fewer or smaller claims"), "{}", reply.text());
    let mut browser = whole;
    assert_eq!(browser.get(&site.url("/")).await.text(), "hello");
    // Whoever signs out at once may sign in again at once.
    browser.post(&site.url("/.lychgate/logout"), "", &[("origin", &site.url(""))]).await;
    assert_eq!(browser.open(&site.url("/")).await.text(), "hello");
}

#[tokio::test]
async fn c05_claims_that_no_policy_reads_are_not_kept() {
    let site = Site::new().await;
    site.provider.script().person.push(("photograph".to_owned(), json!("p".repeat(60_000))));
    let browser = site.signed_in().await;
    assert!(browser.cookie(HOST, SESSION).unwrap().value.len() < 1000);
}

#[tokio::test]
async fn c07_every_login_has_a_new_session_and_a_planted_cookie_is_never_adopted() {
    let site = Site::new().await;
    let attacker = site.signed_in().await;
    let planted = attacker.cookie(HOST, SESSION).unwrap().value.clone();
    // The victim's browser holds the attacker's session when the victim signs in.
    let mut victim = Browser::new();
    let address = site.begin(&mut victim, "/").await;
    site.provider.script().person[0].1 = json!("grace");
    site.provider.script().person.push(("sub".to_owned(), json!("grace-8")));
    victim.plant(HOST, SESSION, &planted);
    let back = site.come_back(&mut victim, &address).await;
    assert_eq!(victim.open(&back).await.text(), "hello");
    assert_ne!(victim.cookie(HOST, SESSION).unwrap().value, planted);
    assert_eq!(site.application.last().header("x-remote-user").as_deref(), Some("grace"));
    let log = site.gateway.stop().await;
    let sessions: std::collections::BTreeSet<_> = log.iter().filter_map(|line| line["session"].as_str()).collect();
    assert_eq!(sessions.len(), 2, "{sessions:?}");
}

#[tokio::test]
async fn c07_a_step_up_makes_a_new_session() {
    let stronger = |upstream: &str| {
        policy(upstream).replace("allow = \"'admins' in user.groups\"", "step_up = { acr = [\"phr\"] }")
    };
    let site = Site::with(stronger, |setup| setup).await;
    let mut browser = site.signed_in().await;
    let weak = browser.clone();
    assert_eq!(browser.open(&site.url("/admin/")).await.text(), "hello");
    assert_ne!(browser.cookie(HOST, SESSION), weak.cookie(HOST, SESSION));
    assert_eq!(weak.clone().fetch(Method::GET, &site.url("/admin/")).await.status, StatusCode::UNAUTHORIZED);
    let log = site.gateway.stop().await;
    let sessions: std::collections::BTreeSet<_> = log.iter().filter_map(|line| line["session"].as_str()).collect();
    assert_eq!(sessions.len(), 1, "it stands under the identifier of the one that it grew out of: {sessions:?}");
}

#[tokio::test]
async fn c11_nodes_whose_clocks_are_minutes_apart_take_each_others_sessions() {
    let (here, ahead) = (clock(), clock());
    ahead.advance(Duration::from_secs(3 * 60));
    let key = KeyRing::generate_key().expose().clone();
    let provider = provider(&here).await;
    provider.script().person = ada();
    let application = Application::start(IDENTITY).await;
    let start = async |clock| {
        let setup = Setup::new(clock).issuer(provider.issuer(), "clock_skew = \"5m\"\n").keys(&[&key]);
        setup.policy("app", &policy(&application.url())).start().await
    };
    let (first, second) = (start(&here).await, start(&ahead).await);
    for (one, other) in [(&first, &second), (&second, &first)] {
        let mut browser = Browser::new();
        assert_eq!(browser.open(&one.url("/")).await.text(), "hello");
        assert_eq!(browser.fetch(Method::GET, &other.url("/")).await.status, StatusCode::OK);
        assert_eq!(browser.fetch(Method::GET, &one.url("/")).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn c09_a_session_that_was_not_used_for_too_long_is_over() {
    let site = Site::new().await;
    let mut browser = site.signed_in().await;
    site.clock.advance(Duration::from_secs(29 * 60));
    let first = browser.clone();
    assert_eq!(site.status(&mut browser).await, 200);
    site.clock.advance(Duration::from_secs(29 * 60));
    assert_eq!(site.status(&mut browser).await, 200, "renewed by use");
    assert_eq!(site.status(&mut first.clone()).await, 401, "the cookie from before is idle");
    site.clock.advance(Duration::from_secs(30 * 60));
    let reply = browser.fetch(Method::GET, &site.url("/")).await;
    assert_eq!((reply.status, reply.json()["error"].as_str()), (StatusCode::UNAUTHORIZED, Some("sign_in_required")));
    let log = site.gateway.stop().await;
    assert_eq!(log.iter().filter(|line| line["reason"] == "session_idle").count(), 2);
}

#[tokio::test]
async fn c09_a_session_ends_after_its_whole_time_however_busy_it_is() {
    let site = Site::new().await;
    let mut browser = site.signed_in().await;
    for _ in 0..(8 * 60 / 20 - 1) {
        site.clock.advance(Duration::from_secs(20 * 60));
        assert_eq!(site.status(&mut browser).await, 200);
    }
    site.clock.advance(Duration::from_secs(20 * 60));
    assert_eq!(site.status(&mut browser).await, 401);
    let log = site.gateway.stop().await;
    assert_eq!(log.iter().filter(|line| line["reason"] == "session_expired").count(), 1);
}

#[tokio::test]
async fn c09_a_session_in_use_is_renewed_now_and_then_and_never_on_a_public_page() {
    let site = Site::new().await;
    let mut browser = site.signed_in().await;
    let cookies = async |browser: &mut Browser, path: &str| {
        let reply = browser.fetch(Method::GET, &site.url(path)).await;
        assert_eq!(reply.status, StatusCode::OK);
        set_cookies(&reply).len()
    };
    assert_eq!(cookies(&mut browser, "/").await, 0, "young");
    site.clock.advance(Duration::from_secs(4 * 60));
    assert_eq!(cookies(&mut browser, "/public/style.css").await, 0, "a cache may keep this answer for everybody");
    assert_eq!(cookies(&mut browser, "/").await, 1);
    assert_eq!(cookies(&mut browser, "/").await, 0);
}

#[tokio::test]
async fn c06_crafted_cookie_fields_crash_nothing_and_are_no_session() {
    let site = Site::new().await;
    let session = site.signed_in().await.cookie(HOST, SESSION).unwrap().value.clone();
    let crumbs = |count: usize| (0..count).map(|index| format!("c{index}={index}")).collect::<Vec<_>>().join("; ");
    let chunks = (1..200).map(|index| format!("lychgate.{index}=A")).collect::<Vec<_>>().join("; ");
    let logins = (0..200).map(|index| format!("lychgate-login-AAAAA{index:03}=A")).collect::<Vec<_>>().join("; ");
    let cases = [
        ";;=;".to_owned(),
        "=".to_owned(),
        "lychgate".to_owned(),
        "lychgate=".to_owned(),
        "lychgate=\"".to_owned(),
        "lychgate=99999999.A; lychgate.1=A".to_owned(),
        "lychgate=5.A; lychgate.1=A; lychgate.2=A; lychgate.3=A; lychgate.4=A".to_owned(),
        format!("lychgate=9.A; {chunks}"),
        format!("LYCHGATE={session}"),
        format!(" lychgate ={session}x"),
        crumbs(1000),
        logins,
    ];
    for cookie in &cases {
        let headers = [("cookie", cookie.as_str()), ("accept", "text/html")];
        for (method, status) in [(Method::POST, 401), (Method::GET, 302)] {
            let reply = Browser::new().send(method, &site.url("/"), &headers, bytes::Bytes::new()).await;
            assert_eq!(reply.status.as_u16(), status, "{cookie:.60}");
            assert!(set_cookies(&reply).len() <= 33, "{cookie:.60}");
        }
    }
    let among = format!("{}; lychgate={session}; =; ;", crumbs(500));
    let reply = Browser::new().send(Method::GET, &site.url("/"), &[("cookie", &among)], bytes::Bytes::new()).await;
    assert_eq!(reply.status, StatusCode::OK);
}

#[tokio::test]
async fn c11_sessions_work_beyond_2038() {
    let site = Site::new().await;
    site.clock.advance(Duration::from_secs(15 * 365 * 24 * 3600));
    let mut browser = site.signed_in().await;
    assert_eq!(site.status(&mut browser).await, 200);
    site.clock.advance(Duration::from_secs(31 * 60));
    assert_eq!(site.status(&mut browser).await, 401);
}
