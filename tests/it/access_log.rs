//! The access log as `docs/access-log.md` promises it: one line a request, the documented fields, nothing secret.

use std::collections::BTreeSet;

use http::Method;
use lychgate::clock::Clock;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::application::Application;
use crate::harness::browser::{Browser, Reply};
use crate::harness::gateway::{HOST, Setup, TestGateway, clock};
use crate::harness::keys::{KEYS, Signing};
use crate::harness::program::Program;
use crate::harness::provider::{CLIENT_SECRET, FakeProvider, value};
use crate::harness::site::{IDENTITY, Site, ada, parameter, policy};
use crate::harness::soon;
use crate::harness::wire::Wire;

/// The field of a client that acts for itself.
fn access_token(issuer: &str, audience: &str) -> String {
    let claims = serde_json::json!({
        "iss": issuer, "aud": audience, "sub": "export", "client_id": "export", "jti": "1", "iat": 1, "exp": 9_999_999_999_u64,
    });
    let header = [("typ".to_owned(), "at+jwt".into())];
    format!("Bearer {}", KEYS.token(Signing::Rs256, &header, &claims.to_string(), ""))
}

const DOCUMENT: &str = include_str!("../../docs/access-log.md");

/// The first column of the table that opens with this row.
fn documented(head: &str) -> BTreeSet<String> {
    let (_, table) = DOCUMENT.split_once(head).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| `"));
    rows.map(|line| line.split('`').nth(1).unwrap().to_owned()).collect()
}

fn fields(line: &Value) -> BTreeSet<String> {
    line.as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn the_fields_are_those_that_the_document_names() {
    let fields_of_the_document = documented("| field | type | meaning |");
    let decisions = documented("| `decision` | the request |");
    assert!(fields_of_the_document.len() > 15 && decisions.len() == 9, "{fields_of_the_document:?} {decisions:?}");
    let known: BTreeSet<String> =
        lychgate::observe::DECISIONS.iter().map(|decision| decision.as_str().to_owned()).collect();
    assert_eq!(decisions, known);

    let tried = |upstream: &str| format!("mode = \"observe\"\n{}", policy(upstream).replace("'staff'", "'admins'"));
    let with_clients = |upstream: &str| policy(upstream).replace("[login]", "[bearer]\naudience = \"api\"\n[login]");
    let site = Site::with(with_clients, |setup| setup.policy("tried", &tried("http://127.0.0.1:1"))).await;
    let mut browser = site.signed_in().await;
    browser.get(&site.url("/admin/x")).await;
    let token = access_token(site.provider.issuer(), "api");
    let headers = [("authorization", token.as_str())];
    browser.send(Method::GET, &site.url("/"), &headers, bytes::Bytes::new()).await;
    let log = site.gateway.stop().await;
    let seen: BTreeSet<String> = log.iter().flat_map(fields).collect();
    assert_eq!(seen, fields_of_the_document, "every documented field is written, and no other");
    let example = DOCUMENT.lines().find(|line| line.starts_with("{\"time\"")).unwrap();
    let example: Value = serde_json::from_str(example).unwrap();
    assert!(fields(&example).is_subset(&seen));
}

#[tokio::test]
async fn every_request_is_one_line_that_says_what_happened_to_it() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    browser.open(&site.url("/statements?q=1")).await;
    browser.get(&site.url("/admin/x")).await;
    browser.get(&site.url("/public/./a/../b?code=abc")).await;
    browser.fetch(Method::GET, &site.url("/.lychgate/unknown")).await;
    Browser::new().fetch(Method::POST, &site.url("/statements")).await;
    Browser::new().get(&site.url("/").replace(HOST, "unknown.localhost")).await;
    Browser::new().get(&site.url("/a%00b")).await;
    let log = site.gateway.stop().await;
    let said: Vec<Value> = log
        .iter()
        .map(|line| {
            let get = |name: &str| line[name].clone();
            json!([
                get("method"),
                get("path"),
                get("status"),
                get("app"),
                get("decision"),
                get("rule"),
                get("reason"),
                get("who")
            ])
        })
        .collect();
    let callback = "/.lychgate/callback";
    // Lines of the two workers may change places.
    let expected = [
        json!(["GET", "/statements", 302, "app", "sign_in", "#3", "session_absent", null]),
        json!(["GET", callback, 302, "app", "reserved", null, null, null]),
        json!(["GET", "/statements", 200, "app", "allow", "#3", null, "ada"]),
        json!(["GET", "/admin/x", 403, "app", "deny", "#2", "not_allowed", "ada"]),
        json!(["GET", "/public/b", 200, "app", "public", "#1", null, "ada"]),
        json!(["GET", "/.lychgate/unknown", 404, null, "reserved", null, "reserved_unknown", null]),
        json!(["POST", "/statements", 401, "app", "sign_in", "#3", "session_absent", null]),
        json!(["GET", "/", 404, null, "refused", null, "host_unknown", null]),
        json!(["GET", null, 400, "app", "refused", null, "path_control", null]),
    ];
    let sorted = |mut lines: Vec<Value>| {
        lines.sort_by_key(Value::to_string);
        lines
    };
    assert_eq!(sorted(said), sorted(expected.to_vec()));
    for line in &log {
        let version = u64::from(line["path"] != Value::Null);
        assert_eq!((&line["policy_version"], &line["complete"]), (&json!(version), &json!(true)), "{line}");
        assert_eq!((&line["protocol"], &line["scheme"]), (&json!("HTTP/1.1"), &json!("http")));
        assert!(line["client"] == "127.0.0.1" && line["time"].as_str().unwrap().ends_with('Z'), "{line}");
        assert!(line["duration_ms"].as_f64().unwrap() >= line["upstream_ms"].as_f64().unwrap_or(0.0), "{line}");
    }
    let ids: BTreeSet<_> = log.iter().map(|line| line["request_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), log.len(), "a request number is given once");
    let allowed = log.iter().find(|line| line["decision"] == "allow").unwrap();
    assert_eq!(allowed["bytes_out"], 5);
    let told = site.application.seen()[0].header("x-request-id");
    assert_eq!(told.as_deref(), allowed["request_id"].as_str());
}

#[tokio::test]
async fn a_request_that_is_no_sound_one_is_logged_too_and_breaks_no_line() {
    let site = Site::new().await;
    let targets = ["/a%0d%0a{\"status\":200}", "/%22,%22who%22:%22root", "/\u{1f}x", "/a\"b", "/public/%0a"];
    for target in targets {
        let mut wire = Wire::connect(site.gateway.address()).await;
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")).await.unwrap();
        assert!(wire.reply(false).await.is_none_or(|reply| reply.status != 200), "{target}");
    }
    let log = site.gateway.stop().await;
    assert!(log.iter().all(|line| line["who"] == Value::Null && line["status"] != 200), "{log:#?}");
}

/// Two applications on one host, and one that has its host for itself.
fn shared(path: &str) -> String {
    format!(
        "[app]\nhosts = [\"shared.localhost\"]\npath = \"{path}\"\nupstream = \"http://127.0.0.1:9\"\n\
         [[rules]]\naccess = \"public\"\n"
    )
}

#[tokio::test]
async fn a_request_with_a_refused_path_is_traced_to_its_host_application_and_client() {
    let settings = "trusted_proxies = [\"127.0.0.1\"]\nlog = { replay = true }";
    let site = Site::with(policy, |setup| {
        setup.settings(settings).policy("one", &shared("/one")).policy("rest", &shared("/"))
    })
    .await;
    let app = (Some(HOST), Some("app"));
    let cases = [
        ("GET /job/a%2Fb", HOST, "path_encoded_slash", app),
        ("GET /x;jsessionid=1", HOST, "path_parameter", app),
        ("TRACE /", HOST, "method_unsupported", app),
        ("GET /one/a%2Fb", "shared.localhost", "path_encoded_slash", (Some("shared.localhost"), None)),
        ("GET /a%2Fb", "unknown.localhost", "path_encoded_slash", (Some("unknown.localhost"), None)),
        ("GET /a%2Fb", "a@b", "host_invalid", (None, None)),
    ];
    for (request, host, ..) in cases {
        let mut wire = Wire::connect(site.gateway.address()).await;
        let fields = format!("Host: {host}\r\nX-Forwarded-For: 192.0.2.77\r\nConnection: close");
        wire.send(format!("{request} HTTP/1.1\r\n{fields}\r\n\r\n")).await.unwrap();
        assert_eq!(wire.reply(false).await.unwrap().status, 400, "{request}");
    }
    let mut wire = Wire::connect(site.gateway.address()).await;
    let fields = format!("Host: {HOST}\r\nX-Forwarded-For: nobody\r\nConnection: close");
    wire.send(format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n")).await.unwrap();
    assert_eq!(wire.reply(false).await.unwrap().status, 400);
    let metrics = Browser::new().get(&format!("http://{}/metrics", site.gateway.admin())).await.text();
    let counted = r#"lychgate_refused_total{app="app",reason="path_encoded_slash"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
    let log = site.gateway.stop().await;
    assert_eq!(log.len(), cases.len() + 1);
    for (request, _, reason, (host, app)) in cases {
        let of_it = |line: &&Value| (line["reason"].as_str(), line["host"].as_str()) == (Some(reason), host);
        let line = log.iter().find(of_it).unwrap_or_else(|| panic!("{request}: {log:#?}"));
        assert_eq!(line["app"].as_str(), app, "{request}: {line}");
        let client = if host.is_some() { "192.0.2.77" } else { "127.0.0.1" };
        assert_eq!(line["client"], client, "{request}: {line}");
        assert!(line.get("path").is_none() && line.get("replay").is_none(), "{request}: {line}");
    }
    let doubtful = log.iter().find(|line| line["reason"] == "forwarded_unreadable").unwrap();
    assert_eq!((doubtful["host"].as_str(), doubtful["app"].as_str()), app, "{doubtful}");
}

/// Everything that must stay between browser, gateway and provider, as it was seen on the wire.
#[derive(Default)]
struct Secrets(Vec<(String, String)>);

impl Secrets {
    fn add(&mut self, what: &str, secret: impl Into<String>) {
        let secret = secret.into();
        assert!(secret.len() >= 8, "{what} {secret:?} is too short to be looked for");
        self.0.push((what.to_owned(), secret));
    }

    /// The cookies, and what stands in the addresses.
    fn see(&mut self, reply: &Reply) {
        for line in reply.headers.get_all("set-cookie") {
            let pair = line.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if value.len() >= 8 {
                self.add(name, value);
            }
        }
        for address in reply.location().iter().chain([&reply.url]) {
            for name in ["state", "nonce", "code", "code_challenge", "id_token_hint"] {
                if let Some(secret) = parameter(address, name) {
                    self.add(name, secret);
                }
            }
        }
    }

    fn assert_absent(&self, from: &str, text: &str) {
        assert!(!text.is_empty(), "{from} is empty");
        for (what, secret) in &self.0 {
            assert!(!text.contains(secret.as_str()), "{what} {secret} stands in {from}");
        }
    }
}

/// Signs in, works, is denied, fails to sign in, and signs out; what was seen meanwhile.
async fn a_day(url: &dyn Fn(&str) -> String, provider: &FakeProvider) -> Secrets {
    let mut secrets = Secrets::default();
    let mut browser = Browser::new();
    let mut next = Some(url("/statements?password=hunter-of-snarks"));
    while let Some(address) = next {
        let reply = browser.get(&address).await;
        secrets.see(&reply);
        next = reply.location();
    }
    assert_eq!(browser.get(&url("/statements")).await.text(), "hello");
    browser.get(&url("/admin/x")).await;
    let page = browser.get(&url("/.lychgate/logout")).await.text();
    let token = page.split_once("name=\"token\" value=\"").unwrap().1.split('"').next().unwrap().to_owned();
    // A login that is refused, and a damaged cookie.
    provider.script().claims = vec![crate::harness::provider::Claim::Set("nonce", json!("of-another-login"))];
    let mut other = Browser::new();
    let mut next = Some(url("/"));
    while let Some(address) = next {
        let reply = other.get(&address).await;
        secrets.see(&reply);
        next = reply.location();
    }
    other.plant(HOST, "lychgate", "not-a-session-but-a-cookie");
    other.fetch(Method::GET, &url("/")).await;
    let reply = browser.post(&url("/.lychgate/logout"), &format!("token={token}"), &[]).await;
    secrets.see(&reply);
    browser.open(&reply.location().unwrap()).await;

    secrets.add("the query", "hunter-of-snarks");
    secrets.add("the damaged cookie", "not-a-session-but-a-cookie");
    secrets.add("the form's token", token);
    secrets.add("the client secret", CLIENT_SECRET);
    secrets.add("the access token", "access-token-of-the-person");
    for request in provider.requests("/token") {
        for name in ["code", "code_verifier"] {
            secrets.add(name, value(&request.form, name).unwrap());
        }
        secrets.add("Authorization", request.authorization.unwrap().trim_start_matches("Basic "));
    }
    let seen: BTreeSet<&str> = secrets.0.iter().map(|(what, _)| what.as_str()).collect();
    for what in ["lychgate", "lychgate-hint", "state", "nonce", "code", "code_verifier", "id_token_hint"] {
        assert!(seen.contains(what), "the day had no {what}: {seen:?}");
    }
    secrets
}

/// The usual policy with a password for the application.
fn with_password(upstream: &str) -> String {
    policy(upstream).replace(
        "X-Remote-User = \"${user.preferred_username}\"\n",
        "X-Remote-User = \"${user.preferred_username}\"\nAuthorization = { basic = { user = \"gate\", password = { file = \"app.pw\" } } }\n",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r17_no_secret_stands_in_any_line_of_the_program_at_the_finest_level() {
    let provider = FakeProvider::start(Clock::system()).await;
    provider.script().person = ada();
    let application = Application::start(&[IDENTITY, &["authorization"]].concat()).await;
    let key = lychgate::crypto::KeyRing::generate_key().expose().clone();
    let setup = Setup::new(&clock())
        .provider(&provider)
        .provider_settings("userinfo = true")
        .keys(&[&key])
        .settings("[log]\nlevel = \"trace\"")
        .file("policies/app.pw", "the-password-of-the-gate")
        .policy("app", &with_password(&application.url()));
    let program = Program::start(&setup.write());
    let port = program.address().port();
    program.says("provider discovered");
    let mut secrets = a_day(&|path| format!("http://{HOST}:{port}{path}"), &provider).await;
    secrets.add("the session key", key.trim());
    secrets.add("the application's password", "the-password-of-the-gate");
    assert!(application.seen()[0].header("authorization").is_some());
    program.terminate();
    let (code, out, err) = tokio::task::spawn_blocking(move || program.wait()).await.unwrap();
    assert_eq!(code, 0, "{err}");
    assert!(out.lines().count() >= 10 && err.contains("denied"), "{out}{err}");
    secrets.assert_absent("the access log", &out);
    secrets.assert_absent("the program's own log", &err);
}

/// A gateway before an application that the test plays by hand, and a client that has asked it for something public.
async fn by_hand() -> (TestGateway, Wire, tokio::net::TcpStream) {
    let application = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", application.local_addr().unwrap());
    let clock = clock();
    let provider = crate::harness::gateway::provider(&clock).await;
    let gateway = Setup::new(&clock).provider(&provider).policy("app", &policy(&upstream)).start().await;
    let mut client = Wire::connect(gateway.address()).await;
    client.send(format!("GET /public/x?token=abc HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.unwrap();
    let (mut asked, _) = application.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert!(asked.read_buf(&mut head).await.unwrap() > 0);
    }
    (gateway, client, asked)
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_has_its_one_line() {
    let (gateway, client, mut asked) = by_hand().await;
    drop(client);
    // The gateway gives the request up.
    assert_eq!(soon(asked.read(&mut [0])).await.unwrap(), 0);
    let log = gateway.stop().await;
    assert_eq!(log.len(), 1, "{log:#?}");
    assert_eq!((&log[0]["status"], &log[0]["complete"]), (&json!(499), &json!(false)));
    assert_eq!((&log[0]["decision"], &log[0]["path"]), (&json!("public"), &json!("/public/x")));
}

#[tokio::test]
async fn an_answer_that_breaks_off_has_its_one_line() {
    let (gateway, mut client, mut asked) = by_hand().await;
    asked.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await.unwrap();
    drop(asked);
    let answer = soon(client.rest()).await;
    assert!(answer.ends_with(b"abc"), "{:?}", String::from_utf8_lossy(&answer));
    let log = gateway.stop().await;
    assert_eq!(log.len(), 1, "{log:#?}");
    assert_eq!((&log[0]["status"], &log[0]["complete"]), (&json!(200), &json!(false)));
    assert_eq!((&log[0]["reason"], &log[0]["bytes_out"]), (&json!("upstream_broke_off"), &json!(3)));
}
