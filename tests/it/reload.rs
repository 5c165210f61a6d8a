//! Policies that change under a running gateway: all of it or nothing, and nobody notices.

mod definitions;
mod provider;
mod traffic;
mod watch;

use std::path::{Path, PathBuf};

use http::{Method, StatusCode};
use lychgate::app::{Options, Plan, StartError};
use lychgate::config::Environment;
use serde_json::{Value, json};

use crate::harness::browser::{Browser, Reply};
use crate::harness::gateway::{HOST, Setup, clock};
use crate::harness::program::{Program, ended, lychgate};
use crate::harness::site::{Site, ada, line_of, policy};

impl Site {
    fn admin_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.gateway.admin().port())
    }

    /// Asks the admin listener for a reload: status and outcome.
    async fn reload(&self) -> (u16, Value) {
        let reply = Browser::new().fetch(Method::POST, &self.admin_url("/reload")).await;
        (reply.status.as_u16(), reply.json())
    }

    /// What `/policies` says.
    async fn policies(&self) -> Value {
        Browser::new().get(&self.admin_url("/policies")).await.json()
    }

    async fn sample(&self, name: &str) -> Option<f64> {
        let text = Browser::new().get(&self.admin_url("/metrics")).await.text();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits until this version is in use.
    async fn version(&self, version: u64) {
        let reached = async { while self.policies().await["version"] != version {} };
        crate::harness::soon(reached).await;
    }

    /// The usual policy with something replaced, written in its place.
    fn change_policy(&self, from: &str, to: &str) -> PathBuf {
        let text = policy(&self.application.url());
        assert!(text.contains(from));
        self.gateway.write("policies/app.toml", &text.replace(from, to))
    }
}

/// A site whose files are read only when it is asked to.
async fn asked_site() -> Site {
    Site::with(policy, |setup| setup.settings("reload = \"signal\"")).await
}

#[tokio::test]
async fn a_changed_policy_is_applied_as_a_whole_and_everybody_is_told() {
    let site = asked_site().await;
    let mut browser = site.signed_in().await;
    let first = site.policies().await;
    assert_eq!(
        (&first["version"], &first["applications"], &first["last_attempt"]),
        (&json!(1), &json!(["app"]), &Value::Null)
    );
    let files: Vec<&str> = first["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    for name in ["lychgate.toml", "policies/app.toml", "client.secret", "session-1.key"] {
        assert!(files.iter().any(|file| file.ends_with(name)), "{name} {files:?}");
    }

    site.change_policy("'staff' in", "'directors' in");
    site.gateway.write("policies/more.toml", &policy(&site.application.url()).replace(HOST, "more.localhost"));
    let (status, attempt) = site.reload().await;
    assert_eq!((status, &attempt["outcome"], &attempt["version"]), (200, &json!("applied"), &json!(2)), "{attempt}");
    assert_eq!(browser.get(&site.url("/")).await.status, StatusCode::FORBIDDEN);
    let more = site.url("/public/x").replace(HOST, "more.localhost");
    assert_eq!(browser.get(&more).await.status, StatusCode::OK);
    let now = site.policies().await;
    assert_eq!((&now["version"], &now["applications"]), (&json!(2), &json!(["app", "more"])));
    assert_eq!(now["last_attempt"]["outcome"], "applied");
    assert_eq!(site.sample("lychgate_policy_version").await, Some(2.0));
    assert_eq!(site.sample(r#"lychgate_reloads_total{outcome="applied"}"#).await, Some(1.0));
    assert_eq!(site.sample("lychgate_reload_failed").await, Some(0.0));
    assert!(site.sample("lychgate_policy_applied_timestamp_seconds").await.unwrap() > 1e9);

    // The same files once more are no new version.
    let (status, attempt) = site.reload().await;
    assert_eq!((status, &attempt["outcome"], &attempt["version"]), (200, &json!("unchanged"), &json!(2)));

    // What is gone is gone, and its counters go on when it comes back.
    site.gateway.remove("policies/more.toml");
    assert_eq!(site.reload().await.1["version"], 3);
    assert_eq!(browser.get(&more).await.status, StatusCode::NOT_FOUND);
    site.gateway.write("policies/more.toml", &policy(&site.application.url()).replace(HOST, "more.localhost"));
    assert_eq!(site.reload().await.1["version"], 4);
    assert_eq!(browser.get(&more).await.status, StatusCode::OK);
    let counted = r#"lychgate_requests_total{app="more",decision="public",status="2xx"}"#;
    assert_eq!(site.sample(counted).await, Some(2.0));
    let log = site.gateway.stop().await;
    // Workers hand their lines over one after the other.
    let mut versions: Vec<u64> = log.iter().map(|line| line["policy_version"].as_u64().unwrap()).collect();
    versions.sort_unstable();
    assert!(versions.ends_with(&[1, 2, 2, 3, 4]), "{versions:?}");
}

/// Asserts that a reload is refused with these words and that nothing is different.
async fn refused(site: &Site, browser: &mut Browser, words: &[&str]) {
    let before = site.policies().await;
    let (status, attempt) = site.reload().await;
    assert_eq!((status, &attempt["outcome"], &attempt["version"]), (422, &json!("refused"), &before["version"]));
    let findings = attempt["findings"].as_str().unwrap();
    for word in words {
        assert!(findings.contains(word), "{word} missing in {findings}");
    }
    assert!(!findings.contains(crate::harness::provider::CLIENT_SECRET));
    let after = site.policies().await;
    assert_eq!(
        (&after["version"], &after["since"], &after["files"]),
        (&before["version"], &before["since"], &before["files"])
    );
    assert_eq!(after["last_attempt"], attempt);
    assert_eq!(site.sample("lychgate_reload_failed").await, Some(1.0));
    assert_eq!(Browser::new().get(&site.admin_url("/readyz")).await.status, StatusCode::OK);
    assert_eq!(site.status(browser).await, 200);
    assert_eq!(browser.get(&site.url("/admin/x")).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_bad_set_changes_nothing_and_is_reported_everywhere() {
    let site = asked_site().await;
    let mut browser = site.signed_in().await;
    site.gateway.write("policies/more.toml", &policy(&site.application.url()).replace(HOST, "more.localhost"));
    site.change_policy("'staff' in user.groups", "'staff' in usr.groups");
    refused(&site, &mut browser, &["policies/app.toml:", "usr"]).await;
    // Not even the good part of it is in use.
    let more = site.url("/public/x").replace(HOST, "more.localhost");
    assert_eq!(browser.get(&more).await.status, StatusCode::NOT_FOUND);

    // Half a file.
    let whole = policy(&site.application.url());
    site.gateway.write("policies/app.toml", &whole[..whole.len() / 2]);
    refused(&site, &mut browser, &["policies/app.toml:"]).await;
    // A test of the policy's own that fails.
    let test =
        "\n[[tests]]\nname = \"staff only\"\nuser = { groups = [\"staff\"] }\nrequest = \"GET /\"\nexpect = \"deny\"\n";
    site.gateway.write("policies/app.toml", &(whole.clone() + test));
    refused(&site, &mut browser, &["test `staff only` of policy `app` failed", "policies/app.toml:"]).await;
    // A provider that does not exist, a secret that is gone, settings that are no TOML.
    site.change_policy("\"idp\"", "\"other\"");
    refused(&site, &mut browser, &["other"]).await;
    site.gateway.write("policies/app.toml", &whole);
    site.gateway.remove("client.secret");
    refused(&site, &mut browser, &["client.secret"]).await;
    site.gateway.write("client.secret", crate::harness::provider::CLIENT_SECRET);
    let settings = site.gateway.read("lychgate.toml");
    site.gateway.write("lychgate.toml", &format!("{settings}\n[limits"));
    refused(&site, &mut browser, &["lychgate.toml:"]).await;
    assert_eq!(site.sample(r#"lychgate_reloads_total{outcome="refused"}"#).await, Some(6.0));

    // Back to what is in use, and then to something good.
    site.gateway.write("lychgate.toml", &settings);
    site.gateway.remove("policies/more.toml");
    assert_eq!(site.reload().await.1["outcome"], "unchanged");
    assert_eq!(site.sample("lychgate_reload_failed").await, Some(0.0));
    site.change_policy("'admins' in", "'artists' in");
    assert_eq!(site.reload().await.1["version"], 2);
    assert_eq!(browser.get(&site.url("/admin/x")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn pages_in_a_browser_cannot_cause_a_reload() {
    let site = asked_site().await;
    let url = site.admin_url("/reload");
    let reply: Reply = Browser::new().post(&url, "", &[("origin", "https://evil.example")]).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    let reply = Browser::new().get(&url).await;
    assert_eq!((reply.status, reply.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, Some("POST")));
    assert_eq!(site.policies().await["last_attempt"], Value::Null);
}

#[tokio::test]
async fn a_claim_that_a_new_policy_needs_is_fetched_silently_and_once() {
    let site = asked_site().await;
    let mut person = ada();
    person.push(("email".to_owned(), json!("ada@gmr.example")));
    site.provider.script().person = person;
    let mut browser = site.signed_in().await;
    let mut other = site.signed_in().await;
    site.change_policy("'staff' in user.groups", "'staff' in user.groups && user.email == 'ada@gmr.example'");
    assert_eq!(site.reload().await.1["outcome"], "applied");

    // A background request is told so; a page goes to the provider, which asks her nothing, and comes back.
    let denied = browser.fetch(Method::GET, &site.url("/statements")).await;
    assert_eq!(denied.status, StatusCode::UNAUTHORIZED);
    let to_provider = site.begin(&mut browser, "/statements").await;
    let back = site.come_back(&mut browser, &to_provider).await;
    let page = browser.get(&back).await;
    assert_eq!(page.location(), Some(site.url("/statements")));
    assert_eq!(browser.get(&site.url("/statements")).await.text(), "hello");
    assert_eq!(site.status(&mut browser).await, 200);
    // Whoever needs nothing new notices nothing: the public page of the other browser, and a second reload.
    assert_eq!(other.get(&site.url("/public/x")).await.status, StatusCode::OK);
    site.change_policy("'staff' in user.groups", "user.email == 'ada@gmr.example' && 'staff' in user.groups");
    assert_eq!(site.reload().await.1["version"], 3);
    assert_eq!(site.status(&mut browser).await, 200);
    let log = site.gateway.stop().await;
    assert_eq!(line_of(&log, &denied)["reason"], "session_claim_missing");
}

#[tokio::test]
async fn what_needs_a_start_is_named_and_the_rest_is_applied() {
    let site = asked_site().await;
    let mut browser = site.signed_in().await;
    let settings = site.gateway.read("lychgate.toml");
    site.gateway.write(
        "lychgate.toml",
        &settings.replace("workers = 2", "workers = 3").replace("[admin]", "[limits]\nbody = \"1KiB\"\n[admin]"),
    );
    site.gateway.write("session-2.key", lychgate::crypto::KeyRing::generate_key().expose());
    site.change_policy("'admins' in", "'artists' in");
    let (_, attempt) = site.reload().await;
    assert_eq!(attempt["outcome"], "applied");
    let findings = attempt["findings"].as_str().unwrap();
    for key in ["workers", "limits.body", "keys.session"] {
        assert!(findings.contains(&format!("`{key}` changed and takes effect at the next start")), "{key}: {findings}");
    }
    assert_eq!(findings.matches("at the next start").count(), 3, "{findings}");
    assert_eq!(browser.get(&site.url("/admin/x")).await.status, StatusCode::OK);
    assert_eq!(site.status(&mut browser).await, 200, "the session's key is the one of the start");
}

fn failing_test(folder: &Path) -> PathBuf {
    let policy = policy("http://127.0.0.1:9")
        .replace("[login]\nprovider = \"idp\"\n", "")
        .replace("allow = \"'staff' in user.groups\"", "access = \"public\"");
    let policy = policy.replace("allow = \"'admins' in user.groups\"", "access = \"public\"");
    let policy = policy.split("[headers]").next().unwrap().to_owned() + "[[rules]]\naccess = \"public\"\n";
    let test = "[[tests]]\nname = \"nobody\"\nrequest = \"GET /\"\nexpect = \"deny\"\n";
    std::fs::create_dir_all(folder.join("policies")).unwrap();
    std::fs::write(folder.join("policies/app.toml"), policy + test).unwrap();
    let settings = "policies = [\"policies\"]\nstate = \"state\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\nenabled = false\n";
    let path = folder.join("lychgate.toml");
    std::fs::write(&path, settings).unwrap();
    path
}

#[test]
fn a_start_with_failing_tests_is_refused_unless_that_is_put_up_with() {
    let folder = crate::harness::gateway::Folder::new();
    let config = failing_test(folder.path());
    let (plan, report) = Plan::read(&config, &Environment::from_iter([]), &[]);
    let Err(StartError::Refused(report)) = plan.unwrap_or_else(|| panic!("{report}")).start(Options::default()) else {
        panic!("it started")
    };
    assert!(report.render().contains("test `nobody` of policy `app` failed"), "{report}");
    assert!(!folder.path().join("state").exists(), "nothing is made before everything is good");

    let path = config.to_str().unwrap();
    let (code, _, said) = ended(&mut lychgate(&["run", "--config", path]));
    assert_eq!(code, 64, "{said}");
    assert!(
        said.contains("error: test `nobody` of policy `app` failed") && said.contains("policies/app.toml:"),
        "{said}"
    );
    let program = Program::start_with(&["run", "--skip-tests", "--config", path]);
    program.says("warning: test `nobody` of policy `app` failed");
    program.address();
    program.terminate();
    assert_eq!(program.wait().0, 0);
}

#[test]
fn sighup_reloads_and_the_log_says_how_that_went() {
    let folder = crate::harness::gateway::Folder::new();
    let config = failing_test(folder.path());
    let text = std::fs::read_to_string(folder.path().join("policies/app.toml")).unwrap();
    let good = text.replace("expect = \"deny\"", "expect = \"public\"");
    let settings = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("reload = \"signal\"\n{settings}")).unwrap();
    folder.write("policies/app.toml", &good);
    let program = Program::start(&config);
    program.address();
    folder.write("policies/app.toml", &text);
    program.signal("HUP");
    let said = program.says("not reloaded, version 1 stays in use");
    assert!(said.contains("ERROR"), "{said}");
    program.says("error: test `nobody` of policy `app` failed");
    folder.write("policies/app.toml", &good);
    folder.write("policies/more.toml", &good.replace(HOST, "more.localhost"));
    program.signal("HUP");
    let said = program.says("policies applied");
    let line = said.lines().find(|line| line.contains("policies applied")).unwrap();
    assert!(line.contains("version=2 new=more changed= removed= took_ms="), "{line}");
    // The log's level is one of the things that change at once.
    folder.write("lychgate.toml", &format!("reload = \"signal\"\n{settings}[log]\nlevel = \"debug\"\n"));
    program.signal("HUP");
    program.says("version=3");
    program.terminate();
    assert_eq!(program.wait().0, 0);
}

#[tokio::test]
async fn old_policies_leave_the_memory_with_their_last_request() {
    let site = Site::with(policy, |setup| setup.settings("reload = \"signal\"")).await;
    let mut browser = site.signed_in().await;
    for round in 0..20 {
        assert_eq!(site.status(&mut browser).await, 200);
        site.change_policy("'admins' in", &format!("'admins-{round}' in"));
        assert_eq!(site.reload().await.1["outcome"], "applied");
    }
    // Not used any more by anybody: the workers let go of the sessions that they had prepared for old policies.
    let alone = async { while site.sample("lychgate_policy_sets_in_memory").await != Some(1.0) {} };
    crate::harness::soon(alone).await;
    let series = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    let before = Browser::new().get(&site.admin_url("/metrics")).await.text();
    site.change_policy("'admins' in", "'others' in");
    site.reload().await;
    let after = Browser::new().get(&site.admin_url("/metrics")).await.text();
    assert_eq!(series(&before), series(&after), "no label names a version");
}

#[test]
fn a_wrong_word_for_when_to_reload_names_the_right_ones() {
    let setup = Setup::new(&clock()).settings("reload = \"wach\"");
    let (plan, report) = Plan::read(&setup.write(), &Environment::from_iter([]), &[]);
    assert!(plan.is_none());
    let text = report.render();
    assert!(text.contains("`reload` is \"wach\"") && text.contains("did you mean `watch`?"), "{text}");
}

#[tokio::test]
async fn the_access_log_is_opened_anew_so_that_it_can_be_moved_away() {
    let folder = crate::harness::gateway::Folder::new();
    let application = crate::harness::application::Application::start(&[]).await;
    let policy =
        format!("[app]\nhosts = [\"{HOST}\"]\nupstream = \"{}\"\n[[rules]]\naccess = \"public\"\n", application.url());
    folder.write("policies/app.toml", &policy);
    let log = folder.path().join("access.log");
    let settings = "policies = [\"policies\"]\nstate = \"state\"\nreload = \"signal\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n";
    let config =
        folder.write("lychgate.toml", &format!("{settings}[log]\naccess = {{ file = \"{}\" }}\n", log.display()));
    let plan = Plan::read(&config, &Environment::from_iter([]), &[]).0.unwrap();
    let running = plan.start(Options::default()).unwrap_or_else(|error| panic!("{error}"));
    let (port, admin) = (running.addresses()[0].port(), running.admin_address().unwrap());
    let get = async |path: &str| {
        let url = format!("http://{HOST}:{port}{path}");
        assert_eq!(Browser::new().get(&url).await.status, StatusCode::OK);
    };
    let written = async |path: &Path, lines: usize| {
        let enough = async {
            while std::fs::read_to_string(path).unwrap_or_default().lines().count() < lines {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        crate::harness::soon(enough).await;
        std::fs::read_to_string(path).unwrap()
    };
    get("/one").await;
    written(&log, 1).await;
    let moved = folder.path().join("access.log.1");
    std::fs::rename(&log, &moved).unwrap();
    // Nothing else has changed, and the file is opened anew all the same.
    let reply = Browser::new().fetch(Method::POST, &format!("http://{admin}/reload")).await;
    assert_eq!(reply.json()["outcome"], "unchanged");
    get("/two").await;
    assert!(written(&log, 1).await.contains("\"/two\""));
    assert!(!std::fs::read_to_string(&moved).unwrap().contains("\"/two\""));
    running.stop();
}

/// Tells the application who asks in a signed assertion.
const SIGNED: &str = "[headers.X-Assertion]\njwt = { audience = \"app\", claims = [\"email\"], ttl = \"2m\" }\n";

#[tokio::test]
async fn another_state_directory_waits_for_a_start_with_all_that_is_in_it() {
    let site = Site::with(
        |upstream| policy(upstream).replacen("[[rules]]", &format!("{SIGNED}[[rules]]"), 1),
        |setup| setup.settings("reload = \"signal\"\nstate = \"state\""),
    )
    .await;
    let keys = async || Browser::new().get(&site.url("/.lychgate/jwks")).await.json();
    let before = keys().await;
    assert_eq!(before["keys"].as_array().unwrap().len(), 1, "{before}");
    site.gateway.write("lychgate.toml", &site.gateway.read("lychgate.toml").replace("\"state\"", "\"elsewhere\""));
    let (status, attempt) = site.reload().await;
    let findings = attempt["findings"].as_str().unwrap();
    assert!(status == 200 && findings.contains("`state` changed and takes effect at the next start"), "{attempt}");
    assert_eq!(keys().await, before);
    assert!(!site.gateway.folder().join("elsewhere").exists());
}
