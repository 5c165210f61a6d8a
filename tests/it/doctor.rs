//! `lychgate doctor` against a provider, an application and a machine that are well, and against ones that are not.
//!
//! The program itself is run; what it prints as JSON is looked at.

use serde_json::{Value, json};

use crate::harness::application::Application;
use crate::harness::gateway::Folder;
use crate::harness::program::{lychgate, lychgate_with_files};
use crate::harness::provider::{Answer, CLIENT_ID, CLIENT_SECRET, FakeProvider, Script};
use lychgate::clock::Clock;
use lychgate::crypto::KeyRing;

struct Ward {
    folder: Folder,
    provider: FakeProvider,
    application: Application,
}

impl Ward {
    /// A whole configuration.
    async fn new() -> Self {
        let (folder, provider) = (Folder::new(), FakeProvider::start(Clock::system()).await);
        let application = Application::start(&[]).await;
        folder.write("session.key", KeyRing::generate_key().expose());
        folder.write("client.secret", CLIENT_SECRET);
        folder.write("state/.keep", "");
        set_mode(&folder.path().join("state"), 0o700);
        let ward = Self { folder, provider, application };
        ward.configure("");
        ward
    }

    /// Writes the configuration with further lines for the provider.
    fn configure(&self, more: &str) {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        self.configure_listener(&format!("address = \"{free}\""), more);
    }

    /// The same with the lines of its listener.
    fn configure_listener(&self, listener: &str, more: &str) {
        let issuer = self.provider.issuer();
        self.folder.write(
            "lychgate.toml",
            &format!(
                "policies = [\"policies/*.toml\"]\nstate = \"state\"\ntrusted_proxies = [\"127.0.0.1\"]\n[[listeners]]\n{listener}\n[keys]\nsession = [{{ file = \"session.key\" }}]\n[limits]\nconnections = 100\n[admin]\naddress = \"127.0.0.1:0\"\n[providers.idp]\nissuer = \"{issuer}\"\nclient_id = \"{CLIENT_ID}\"\nclient_secret = {{ file = \"client.secret\" }}\n{more}"
            ),
        );
        let upstream = self.application.url();
        let policy = format!(
            "[app]\nhosts = [\"app.localhost\"]\nupstream = \"{upstream}\"\n[login]\n[[rules]]\nallow = \"true\"\n"
        );
        self.folder.write("policies/app.toml", &policy);
    }

    fn play(&self, script: impl FnOnce(&mut Script)) {
        let mut current = self.provider.script();
        *current = Script::default();
        script(&mut current);
    }

    /// Runs the program: its exit code and its findings.
    async fn examine(&self) -> (i32, Vec<Value>) {
        let config = self.folder.path().join("lychgate.toml");
        let output = tokio::task::spawn_blocking(move || {
            lychgate(&["doctor", "--format", "json", "--config"]).arg(config).output().unwrap()
        });
        let output = output.await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let code = output.status.code().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let found: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}\n{errors}"));
        assert_eq!(found["version"], 1);
        assert!(!text.contains(CLIENT_SECRET) && !errors.contains(CLIENT_SECRET), "R17: {text}");
        (code, found["findings"].as_array().unwrap().clone())
    }
}

fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The finding of one check.
fn of<'a>(findings: &'a [Value], check: &str) -> &'a Value {
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("{check} in {findings:#?}"))
}

fn verdict<'a>(findings: &'a [Value], check: &str) -> &'a str {
    of(findings, check)["verdict"].as_str().unwrap()
}

#[tokio::test]
async fn doctor_finds_nothing_wrong_where_nothing_is() {
    let ward = Ward::new().await;
    ward.play(|s| {
        s.error = Some("login_required");
        s.metadata = vec![
            ("backchannel_logout_supported".to_owned(), json!(true)),
            ("token_endpoint_auth_methods_supported".to_owned(), json!(["client_secret_basic"])),
        ];
    });
    let (code, findings) = ward.examine().await;
    assert_eq!(code, 0, "{findings:#?}");
    for finding in &findings {
        assert_eq!(finding["verdict"], "ok", "{finding}");
        assert_eq!(finding["advice"], Value::Null, "{finding}");
    }
    for check in [
        "system_clock",
        "key_ring",
        "key_file",
        "open_files",
        "state_permissions",
        "state_writable",
        "address",
        "reachable",
        "clock",
        "metadata",
        "algorithms",
        "pkce",
        "client_auth",
        "iss",
        "pushed_requests",
        "logout",
        "backchannel_logout",
        "keys",
        "client",
        "redirect_uri",
        "server",
    ] {
        of(&findings, check);
    }
    assert!(of(&findings, "metadata")["found"].as_str().unwrap().contains("endpoints are http, "), "{findings:#?}");
    let redirect = of(&findings, "redirect_uri")["found"].as_str().unwrap();
    assert!(redirect.contains("http://app.localhost:") && redirect.contains("/.lychgate/callback"), "{redirect}");
    let asked = ward.provider.requests("/authorize").remove(0);
    assert!(asked.query.contains(&("prompt".to_owned(), "none".to_owned())), "no person may be asked anything");
    let made = std::fs::read_dir(ward.folder.path().join("state")).unwrap().count();
    assert_eq!(made, 1, "nothing is left behind in the state directory");
}

#[tokio::test]
async fn doctor_looks_at_the_limit_of_open_files() {
    let ward = Ward::new().await;
    let config = ward.folder.path().join("lychgate.toml");
    let examined = |files| {
        let mut command = lychgate_with_files(files, &["doctor", "--format", "json", "--config"]);
        command.arg(&config);
        tokio::task::spawn_blocking(move || serde_json::from_slice(&command.output().unwrap().stdout).unwrap())
    };
    let found: Value = examined((64, 4096)).await.unwrap();
    assert_eq!(verdict(found["findings"].as_array().unwrap(), "open_files"), "ok", "a start raises it");
    let found: Value = examined((128, 128)).await.unwrap();
    let finding = of(found["findings"].as_array().unwrap(), "open_files").clone();
    assert_eq!(finding["verdict"], "warning");
    assert!(finding["found"].as_str().unwrap().contains("128 open files are allowed"), "{finding}");
    assert!(finding["advice"].as_str().unwrap().contains("LimitNOFILE"), "{finding}");
}

#[tokio::test]
async fn r10_doctor_asks_for_the_address_that_is_the_provider_s_own() {
    let ward = Ward::new().await;
    ward.configure("callback = \"own\"\n");
    ward.play(|s| {
        s.error = Some("login_required");
        s.metadata = vec![("authorization_response_iss_parameter_supported".to_owned(), json!(null))];
    });
    let (_, findings) = ward.examine().await;
    let redirect = of(&findings, "redirect_uri")["found"].as_str().unwrap();
    assert!(redirect.ends_with("/.lychgate/callback/idp"), "{redirect}");
    let iss = of(&findings, "iss")["found"].as_str().unwrap();
    assert!(iss.contains("no redirect address of another provider"), "{iss}");
}

#[tokio::test]
async fn doctor_names_what_is_wrong_with_a_provider_and_what_to_do() {
    let ward = Ward::new().await;
    type Case = (&'static str, fn(&mut Script), &'static str, &'static str, &'static str);
    let cases: &[Case] = &[
        ("500", |s| s.discovery_answer = Answer::Status(500), "metadata", "problem", "status page"),
        ("404", |s| s.discovery_answer = Answer::Status(404), "metadata", "problem", "`issuer`"),
        ("403", |s| s.discovery_answer = Answer::Status(403), "metadata", "problem", "turns this machine away"),
        (
            "another issuer",
            |s| s.metadata = vec![("issuer".into(), json!("https://x"))],
            "metadata",
            "problem",
            "issuer",
        ),
        (
            "a clear-text endpoint",
            |s| s.metadata = vec![("token_endpoint".into(), json!("http://idp.example/token"))],
            "metadata",
            "problem",
            "issuer",
        ),
        (
            "no PKCE",
            |s| s.metadata = vec![("code_challenge_methods_supported".into(), json!(["plain"]))],
            "metadata",
            "problem",
            "issuer",
        ),
        (
            "PKCE not said",
            |s| s.metadata = vec![("code_challenge_methods_supported".into(), Value::Null)],
            "pkce",
            "warning",
            "S256",
        ),
        (
            "shared secrets alone",
            |s| s.metadata = vec![("id_token_signing_alg_values_supported".into(), json!(["HS256", "none"]))],
            "algorithms",
            "problem",
            "asymmetric",
        ),
        (
            "another client authentication",
            |s| s.metadata = vec![("token_endpoint_auth_methods_supported".into(), json!(["private_key_jwt"]))],
            "client_auth",
            "warning",
            "private_key_jwt",
        ),
        (
            "no logout",
            |s| s.metadata = vec![("end_session_endpoint".into(), Value::Null)],
            "logout",
            "warning",
            "stay signed in",
        ),
        ("no back-channel logout", |_| {}, "backchannel_logout", "warning", "their own limits"),
        ("no keys", |s| s.jwks = Some(Vec::new()), "keys", "problem", "jwks_uri"),
        (
            "a token endpoint that is busy",
            |s| s.token_answer = Answer::TurnsAway { status: 429, retry_after: Some("60"), times: 9 },
            "client",
            "problem",
            "wait",
        ),
        (
            "a token endpoint that says nothing",
            |s| s.token_answer = Answer::Status(500),
            "client",
            "warning",
            "sign in once",
        ),
        ("a scope that is not known", |s| s.error = Some("invalid_scope"), "redirect_uri", "problem", "scopes"),
    ];
    for (name, script, check, expected, advice) in cases {
        ward.play(script);
        let (code, findings) = ward.examine().await;
        assert_eq!(verdict(&findings, check), *expected, "{name}: {findings:#?}");
        let said = of(&findings, check)["advice"].as_str().unwrap();
        assert!(said.contains(advice), "{name}: {said}");
        assert_eq!(code == 1, *expected == "problem", "{name}: {findings:#?}");
    }
}

#[tokio::test]
async fn doctor_tells_good_credentials_from_bad_ones_without_a_login() {
    let ward = Ward::new().await;
    let (_, findings) = ward.examine().await;
    assert_eq!(verdict(&findings, "client"), "ok");
    ward.folder.write("client.secret", "wrong");
    let (code, findings) = ward.examine().await;
    assert_eq!((code, verdict(&findings, "client")), (1, "problem"), "{findings:#?}");
    assert!(of(&findings, "client")["advice"].as_str().unwrap().contains("client_auth"));
}

#[tokio::test]
async fn doctor_pushes_the_request_where_requests_are_pushed() {
    let ward = Ward::new().await;
    ward.configure("pushed_requests = true\n");
    ward.play(|s| s.pushed_only = true);
    let (_, findings) = ward.examine().await;
    assert_eq!(verdict(&findings, "redirect_uri"), "ok", "{findings:#?}");
    ward.play(|s| s.pushed_answer = Answer::Says(400, "application/json", r#"{"error":"invalid_request"}"#.to_owned()));
    let (code, findings) = ward.examine().await;
    assert_eq!((code, verdict(&findings, "redirect_uri")), (1, "problem"));
    assert!(of(&findings, "redirect_uri")["advice"].as_str().unwrap().contains("register exactly this address"));
}

#[tokio::test]
async fn doctor_looks_at_keys_state_addresses_and_applications() {
    let ward = Ward::new().await;
    set_mode(&ward.folder.path().join("session.key"), 0o640);
    set_mode(&ward.folder.path().join("state"), 0o755);
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    let key = std::fs::File::options().write(true).open(ward.folder.path().join("session.key")).unwrap();
    key.set_modified(old).unwrap();
    let (code, findings) = ward.examine().await;
    assert_eq!(code, 0, "warnings are no failure: {findings:#?}");
    for (check, advice) in [("key_file", "chmod 600"), ("state_permissions", "chmod 700"), ("key_age", "keygen")] {
        assert_eq!(verdict(&findings, check), "warning", "{check}");
        assert!(of(&findings, check)["advice"].as_str().unwrap().contains(advice), "{check}");
    }

    // An application that is gone, and an address that somebody has.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let path = ward.folder.path().join("lychgate.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let line = text.lines().find(|line| line.starts_with("address")).unwrap().to_owned();
    let taken_line = format!("address = \"{}\"", taken.local_addr().unwrap());
    ward.folder.write("lychgate.toml", &text.replacen(&line, &taken_line, 1));
    let policy = format!(
        "[app]\nhosts = [\"app.localhost\"]\nupstream = \"http://{gone}\"\n[login]\n[[rules]]\nallow = \"true\"\n"
    );
    ward.folder.write("policies/app.toml", &policy);
    let (code, findings) = ward.examine().await;
    assert_eq!((code, verdict(&findings, "server"), verdict(&findings, "address")), (1, "problem", "warning"));
    assert!(of(&findings, "server")["advice"].as_str().unwrap().contains("application runs"), "{findings:#?}");
}

#[tokio::test]
async fn doctor_ends_with_64_when_the_files_cannot_be_used_and_speaks_to_people_by_default() {
    let ward = Ward::new().await;
    let config = ward.folder.path().join("lychgate.toml");
    let path = config.clone();
    let output = tokio::task::spawn_blocking(move || lychgate(&["doctor", "--config"]).arg(path).output().unwrap());
    let output = output.await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("provider idp\n  ok       reachable: "), "{text}");
    assert!(text.contains("-> sessions here end by their own limits"), "{text}");
    assert!(text.ends_with("0 problems, 1 warning\n"), "{text}");

    ward.folder.write("lychgate.toml", "policies = 7\n");
    let output = tokio::task::spawn_blocking(move || lychgate(&["doctor", "--config"]).arg(config).output().unwrap());
    let output = output.await.unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0));
}

#[tokio::test]
async fn doctor_looks_at_the_dates_of_certificates_and_knows_which_port_browsers_use() {
    let ward = Ward::new().await;
    ward.play(|s| s.error = Some("login_required"));
    let authority = crate::harness::tls::Authority::new();
    let mut params = rcgen::CertificateParams::new(["app.localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2021, 5, 1);
    for (name, certified) in [("good", authority.certify("app.localhost")), ("old", authority.sign(params))] {
        ward.folder.write(&format!("{name}.pem"), &certified.certificate);
        ward.folder.write(&format!("{name}.key"), &certified.key);
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listener =
        |name: &str| format!("address = \"{free}\"\ntls = {{ certificate = \"{name}.pem\", key = \"{name}.key\" }}");
    ward.configure_listener(&listener("old"), "");
    let (code, findings) = ward.examine().await;
    let dates = of(&findings, "dates");
    assert_eq!((code, dates["verdict"].as_str()), (1, Some("problem")), "{findings:#?}");
    assert!(dates["found"].as_str().unwrap().contains("old.pem: the certificate expired on 2021-05-01"), "{dates}");
    // A port that may be mapped: what the provider says of it is no problem by itself.
    ward.play(|s| {
        s.pushed_answer = Answer::Says(400, "application/json", r#"{"error":"invalid_request"}"#.to_owned());
    });
    ward.configure_listener(&listener("good"), "pushed_requests = true\n");
    let (code, findings) = ward.examine().await;
    assert_eq!(verdict(&findings, "dates"), "ok");
    let redirect = of(&findings, "redirect_uri");
    assert_eq!((code, redirect["verdict"].as_str()), (0, Some("warning")), "{redirect}");
    let port = format!("only where browsers use port {}", free.port());
    assert!(redirect["advice"].as_str().unwrap().contains(&port), "{redirect}");
    // Behind a proxy that says whom it speaks for, they use that one's.
    ward.configure_listener(&format!("{}\nproxy_protocol = true", listener("good")), "");
    let (_, findings) = ward.examine().await;
    let redirect = of(&findings, "redirect_uri");
    assert!(redirect["found"].as_str().unwrap().contains("https://app.localhost/.lychgate/callback"), "{redirect}");
}
