//! The configuration as administrators get it wrong, and right.
//!
//! `tests/data/configs/bad/*.toml` holds one mistake each; its first lines say which findings must come, with line and
//! column: `# error: 4:1 unknown key`. Each file is read in a folder with the certificates, keys and policies below.

mod digests;
mod secrets;
mod tree;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::crypto::{ClientKey, KeyRing, SignatureAlgorithm, random};
use crate::diagnostic::Severity;
use crate::http::Scheme;
use crate::limit::Rate;

/// A folder with what configurations name; removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = Self(std::env::temp_dir().join(format!("lychgate-config-{}", random::token())));
        fs::create_dir_all(folder.0.join("policies")).unwrap();
        fs::create_dir_all(folder.0.join("more")).unwrap();
        folder.write("policies/app.toml", "[app]\n");
        folder.write("policies/notes.txt", "no policy\n");
        folder.write("more/app.toml", "[app]\n");
        folder.write("more/other.toml", "[app]\n");
        let certified = rcgen::generate_simple_self_signed(["gate.example".to_owned()]).unwrap();
        folder.write("cert.pem", &certified.cert.pem());
        folder.write("key.pem", &certified.signing_key.serialize_pem());
        let other = rcgen::generate_simple_self_signed(["gate.example".to_owned()]).unwrap();
        folder.write("again.pem", &other.cert.pem());
        folder.write("other-key.pem", &other.signing_key.serialize_pem());
        folder.write("clients-ca.pem", &authority().self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem());
        folder.write("revoked.pem", &revocation_list());
        folder.write("garbage-crl.pem", "-----BEGIN X509 CRL-----\nZ2FyYmFnZQ==\n-----END X509 CRL-----\n");
        let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        folder.write("p384.pem", &p384.serialize_pem());
        folder.write("client.pem", &rcgen::KeyPair::generate().unwrap().serialize_pem());
        folder.write("broken.pem", "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n");
        folder.write("garbage.pem", "-----BEGIN CERTIFICATE-----\nZ2FyYmFnZQ==\n-----END CERTIFICATE-----\n");
        folder.write("good.key", &format!("{}\n", KeyRing::generate_key().expose()));
        folder.write("old.key", KeyRing::generate_key().expose());
        folder.write("short.key", "c2hvcnQ=\n");
        folder.write("okta.secret", "s3cret\n");
        folder.write("empty.secret", "\n");
        folder
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }

    fn load(&self, text: &str, variables: &[(&str, &str)]) -> (Result<Config, Incomplete>, Report) {
        self.load_with(text, variables, &[])
    }

    fn load_with(
        &self,
        text: &str,
        variables: &[(&str, &str)],
        overrides: &[Override],
    ) -> (Result<Config, Incomplete>, Report) {
        self.write("lychgate.toml", text);
        let variables = [("GOOD_SECRET", "from the environment")].iter().chain(variables);
        let environment = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        load(&self.0.join("lychgate.toml"), &environment, overrides)
    }

    /// The report as it is shown, with this folder's random name left out.
    fn shown(&self, report: &Report) -> String {
        report.render().replace(&format!("{}/", self.0.display()), "")
    }
}

/// An authority that signs certificates of clients.
fn authority() -> rcgen::CertificateParams {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    params
}

/// A revocation list of that authority's name.
fn revocation_list() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let list = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2026, 1, 1),
        next_update: rcgen::date_time_ymd(2027, 1, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    list.signed_by(&rcgen::Issuer::new(authority(), key)).unwrap().pem().unwrap()
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn data(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/configs").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap())).collect()
}

/// Every error as `line:column message`, with `-` for one without a place.
fn errors(folder: &Folder, report: &Report) -> Vec<String> {
    let errors = report.findings().iter().filter(|finding| finding.severity == Severity::Error);
    let place = |finding: &Diagnostic| {
        finding.place.as_ref().map_or("-".to_owned(), |(file, span)| {
            let (line, column) = file.line_column(span.start);
            format!("{line}:{column}")
        })
    };
    let shown = errors.map(|finding| format!("{} {}", place(finding), finding.message));
    shown.map(|text| text.replace(&format!("{}/", folder.0.display()), "")).collect()
}

#[test]
fn every_mistake_is_found_at_its_place() {
    let folder = Folder::new();
    let cases = data("bad");
    assert!(cases.len() >= 70, "only {} cases", cases.len());
    let mut failures = String::new();
    for (path, text) in cases {
        let expected: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("# error: ")).collect();
        let (config, report) = folder.load(&text, &[]);
        let found = errors(&folder, &report);
        let same = found.len() == expected.len()
            && found.iter().zip(&expected).all(|(found, expected)| found.starts_with(expected));
        if !same || expected.is_empty() || config.is_ok() {
            failures.push_str(&format!("{path}\n  expected {expected:#?}\n  found {found:#?}\n"));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn every_key_reaches_its_place() {
    let folder = Folder::new();
    let (config, report) = folder.load(&data("good")[0].1, &[]);
    let Ok(config) = config else { panic!("{report}") };
    assert!(report.findings().is_empty(), "{report}");

    let addresses: Vec<SocketAddr> = config.listeners.iter().map(|listener| listener.address).collect();
    let expected = ["[::1]:8443", "127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"];
    assert_eq!(addresses, expected.map(|text| text.parse().unwrap()));
    let schemes: Vec<Scheme> = config.listeners.iter().map(|listener| listener.scheme).collect();
    assert_eq!(schemes, [Scheme::Https, Scheme::Https, Scheme::Http, Scheme::Http, Scheme::Https]);
    let hsts: Vec<&Hsts> = config.listeners.iter().map(|listener| &listener.hsts).collect();
    let (long, usual) = ("max-age=31557600; includeSubDomains; preload".to_owned(), "max-age=15552000".to_owned());
    assert_eq!(hsts, [&Hsts::Off, &Hsts::Always(long), &Hsts::Off, &Hsts::Off, &Hsts::Unless(usual)]);
    let redirects: Vec<_> = config.listeners.iter().map(|listener| listener.redirect).collect();
    assert_eq!(redirects, [None, None, None, Some(HttpsRedirect { port: 8443, moved: true }), None]);
    let clients = config.listeners.iter().map(|listener| listener.tls.as_ref().and_then(|tls| tls.client.as_ref()));
    let required: Vec<_> = clients.map(|client| client.map(|client| client.required)).collect();
    assert_eq!(required, [Some(true), None, None, None, None]);
    assert_eq!(config.listeners[0].tls.as_ref().map(|tls| tls.certificates.all().len()), Some(1));
    assert!(config.listeners[1].tls.is_none());
    let admits =
        |listener: usize, address: &str| config.listeners[listener].admits.networks.admit(address.parse().unwrap());
    assert!(config.listeners[1].admits.proxy_protocol && !config.listeners[0].admits.proxy_protocol);
    assert!(admits(1, "10.1.2.3") && admits(1, "2001:db8::1") && !admits(1, "10.9.2.3") && !admits(1, "192.0.2.1"));
    assert!(admits(0, "192.0.2.1") && admits(0, "::1"));
    assert_eq!(config.workers, 3);
    assert_eq!(config.state, Some(folder.0.join("state")));
    assert!(matches!(config.session_keys, SessionKeys::Ready(_)));
    assert_eq!(
        config.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]
    );
    let strangers = Rate::new(60, Duration::from_secs(120), 7).unwrap();
    let (header_bytes, header_count, body) = (16 << 10, 50, 2 << 20);
    let (connections, connections_per_address) = (77, 7);
    let limits = Limits { header_bytes, header_count, body, connections, connections_per_address, strangers };
    assert_eq!(config.limits, limits);
    assert_eq!(
        config.timeouts,
        Timeouts {
            handshake: Duration::from_secs(1),
            first_byte: Duration::from_secs(2),
            header: Duration::from_secs(3),
            idle: Duration::from_secs(240),
            body_stall: Duration::from_secs(5),
            drain: Duration::from_secs(5400),
        }
    );
    assert_eq!(config.admin, Some("127.0.0.1:9999".parse().unwrap()));
    assert_eq!(
        config.log,
        Log { access: AccessLog::File(folder.0.join("access.log")), level: "debug".to_owned(), replay: true }
    );
    let policies: Vec<&Path> = config.policies.iter().map(|file| file.path()).collect();
    assert_eq!(policies, [folder.0.join("more/other.toml"), folder.0.join("policies/app.toml")]);
}

#[test]
fn an_at_sign_in_the_path_of_an_issuer_is_no_password() {
    let folder = Folder::new();
    for (issuer, fits) in [
        ("https://idp.example/realms/a@b", true),
        ("https://a@idp.example/", false),
        ("joe:hunter2@idp.example", false),
    ] {
        let provider = format!("[providers.okta]\nissuer = \"{issuer}\"\nclient_id = \"x\"\nclient_auth = \"none\"\n");
        let (config, report) = folder.load(&format!("{SMALLEST}{provider}"), &[]);
        assert_eq!(config.is_ok(), fits, "{report}");
        assert!(!report.render().contains("hunter2"), "{report}");
    }
}

#[test]
fn providers_keep_their_issuer_to_the_letter() {
    let folder = Folder::new();
    let (config, report) = folder.load(&data("good")[0].1, &[]);
    let Ok(config) = config else { panic!("{report}") };
    let [_, okta, public] = config.providers.as_slice() else { panic!("three providers") };
    assert_eq!((&*okta.name, okta.issuer_text.as_str()), ("okta", "https://idp.example/oauth2/default/"));
    assert_eq!(okta.client_secret.as_ref().map(|secret| secret.expose().as_str()), Some("s3cret"));
    assert_eq!((okta.client_auth, okta.userinfo, okta.clock_skew), (ClientAuth::Post, true, Duration::from_secs(5)));
    assert_eq!(okta.scopes, ["openid", "groups"]);
    assert!(okta.ca.is_some());
    let Some(events) = &okta.signals.events else { panic!("no events") };
    assert_eq!(
        (events.issuer.as_deref(), events.audience.as_deref()),
        (Some("https://transmitter.example"), Some("gate"))
    );
    assert_eq!(events.jwks_uri.as_ref().map(url::Url::as_str), Some("https://transmitter.example/keys"));
    assert_eq!(events.authorization.as_ref().map(|secret| secret.expose().as_str()), Some("s3cret"));
    assert_eq!(okta.signals.okta_hooks.as_ref().map(|secret| secret.expose().as_str()), Some("from the environment"));
    assert!(public.signals.events.is_none() && public.signals.okta_hooks.is_none());
    assert_eq!((&*public.name, public.issuer_text.as_str()), ("public", "https://login.example"));
    assert!(public.client_secret.is_none() && public.client_auth == ClientAuth::None);
    assert_eq!(public.scopes, ["openid", "profile", "email"]);
}

#[test]
fn what_a_provider_is_asked_for_and_how_reaches_its_place() {
    let folder = Folder::new();
    let (config, report) = folder.load(&data("good")[0].1, &[]);
    let Ok(config) = config else { panic!("{report}") };
    let entra = &config.providers[0];
    assert!(entra.client_auth == ClientAuth::PrivateKeyJwt && entra.client_secret.is_none());
    assert_eq!(entra.client_key.as_ref().map(ClientKey::algorithm), Some(SignatureAlgorithm::Es256));
    assert_eq!(entra.client_key_id.as_deref(), Some("2026-11"));
    assert_eq!(entra.assertion_audience, AssertionAudience::Issuer);
    assert!(entra.pushed_requests && entra.response_mode == ResponseMode::FormPost);
    assert_eq!((entra.callback, entra.callback.path(&entra.name)), (Callback::Own, "/.lychgate/callback/entra".into()));
    assert_eq!(entra.algorithms, [SignatureAlgorithm::Ps256, SignatureAlgorithm::Es256]);
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let asking = Asking {
        acr_values: texts(&["mfa", "phr"]),
        max_age: Some(Duration::from_hours(12)),
        prompt: Some("consent select_account".to_owned()),
        ui_locales: texts(&["de-AT", "de"]),
        parameters: vec![("domain_hint".to_owned(), "gmr.example".to_owned())],
    };
    assert_eq!(entra.asking, asking);
    let public = &config.providers[2];
    assert_eq!((public.asking.clone(), public.response_mode), (Asking::default(), ResponseMode::Query));
    assert!(public.algorithms.is_empty() && !public.pushed_requests);
    assert_eq!((public.callback, public.callback.path(&public.name)), (Callback::Shared, CALLBACK.into()));
}

#[test]
fn what_is_set_for_another_client_authentication_is_a_warning() {
    let folder = Folder::new();
    let text = "policies = [\"policies\"]\nstate = \"state\"\n[[listeners]]\naddress = \"127.0.0.1:8080\"\n[providers.idp]\nissuer = \"https://idp.example\"\nclient_id = \"x\"\nclient_secret = { file = \"okta.secret\" }\nclient_auth = \"private_key_jwt\"\nclient_key = { file = \"client.pem\" }\n";
    let (config, report) = folder.load(text, &[]);
    assert!(config.is_ok() && report.to_string().contains("`providers.idp.client_secret` is not used"), "{report}");
    let text = text.replace("private_key_jwt", "basic");
    let (config, report) = folder.load(&text, &[]);
    assert!(config.is_ok() && report.to_string().contains("`providers.idp.client_key` is not used"), "{report}");
}

#[test]
fn the_smallest_file_has_the_documented_defaults() {
    let folder = Folder::new();
    let (config, report) = folder.load(&data("good")[1].1, &[]);
    let Ok(config) = config else { panic!("{report}") };
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.timeouts, Timeouts::default());
    assert_eq!(config.admin, Some("127.0.0.1:9180".parse().unwrap()));
    assert_eq!(config.log, Log { access: AccessLog::Stdout, level: "info".to_owned(), replay: false });
    assert!(config.workers >= 1 && config.trusted_proxies.is_empty() && config.providers.is_empty());
}

const SMALLEST: &str = "policies = [\"policies\"]\nstate = \"state\"\n[[listeners]]\naddress = \"127.0.0.1:8080\"\n";

#[test]
fn the_environment_is_stronger_than_the_file_and_flags_are_stronger_still() {
    let folder = Folder::new();
    let text = format!("{SMALLEST}[admin]\naddress = \"127.0.0.1:1\"\n[limits]\nheader_count = 11\n");
    let variables = [
        ("LYCHGATE_ADMIN__ADDRESS", "127.0.0.1:2"),
        ("LYCHGATE_WORKERS", "7"),
        ("LYCHGATE_LIMITS__BODY", "5MiB"),
        ("LYCHGATE_LISTENERS", "[{ address = \"127.0.0.1:5\" }]"),
        ("LYCHGATE_PROVIDERS__OKTA__ISSUER", "https://idp.example"),
        ("LYCHGATE_PROVIDERS__OKTA__CLIENT_ID", "12345"),
        ("LYCHGATE_PROVIDERS__OKTA__CLIENT_SECRET", "{ env = \"LYCHGATE_OKTA_SECRET\" }"),
        ("LYCHGATE_OKTA_SECRET", "1"),
        ("LYCHGATE_PORT", "tcp://10.0.0.1:443"),
    ];
    let flags = [Override { flag: "--admin-address", key: "admin.address", value: "127.0.0.1:3".to_owned() }];
    let (config, report) = folder.load_with(&text, &variables, &flags);
    let Ok(config) = config else { panic!("{report}") };
    assert_eq!(config.admin, Some("127.0.0.1:3".parse().unwrap()));
    assert_eq!((config.workers, config.limits.body, config.limits.header_count), (7, 5 << 20, 11));
    assert_eq!(config.listeners[0].address, "127.0.0.1:5".parse().unwrap());
    assert_eq!(config.providers[0].client_id, "12345");
    assert_eq!(config.providers[0].client_secret.as_ref().map(|secret| secret.expose().as_str()), Some("1"));
}

#[test]
fn a_mistake_in_the_environment_or_a_flag_names_the_variable_or_the_flag() {
    let folder = Folder::new();
    let variables = [
        ("LYCHGATE_ADMIN__ADRESS", "127.0.0.1:2"),
        ("LYCHGATE_LIMITS__BODY", "much"),
        ("LYCHGATE_WORKERS", "many"),
        ("LYCHGATE_LISTENERS__0__ADDRESS", "127.0.0.1:80"),
    ];
    let flags = [Override { flag: "--log-level", key: "log.level", value: "loud".to_owned() }];
    let (config, report) = folder.load_with(SMALLEST, &variables, &flags);
    assert!(config.is_err());
    insta::assert_snapshot!(errors(&folder, &report).join("\n"));
}

#[test]
fn all_findings_are_shown_at_once_with_their_lines() {
    let folder = Folder::new();
    let text = "\
# the gateway of the old mill
policies  = [\"policies/*.toml\"]
trusted_proxies = [\"10.0.0.7/8\"]
workers   = 0

[[listener]]
address = \"0.0.0.0:443\"

[providers.okta]
issuer        = \"http://idp.example\"
client_secret = \"hunter2-must-not-be-shown\"
scope         = [\"openid\"]

[limits]
body = \"1 gigabyte\"

[log]
level = \"inf\"
";
    let (config, report) = folder.load(text, &[("LYCHGATE_TIMEOUTS__DRAIN", "30")]);
    assert!(config.is_err());
    insta::assert_snapshot!(folder.shown(&report));
}

#[test]
fn a_configuration_with_errors_still_names_its_policies_and_providers() {
    let folder = Folder::new();
    let text = format!("{SMALLEST}[providers.okta]\nissuer = \"no\"\n[log]\nlevel = \"no\"\n");
    let (config, _) = folder.load(&text, &[]);
    let Err(incomplete) = config else { panic!("the file has errors") };
    assert_eq!(incomplete.policies.len(), 1);
    assert_eq!(incomplete.providers, ["okta".into()]);
}

#[test]
fn what_works_but_is_unwise_is_a_warning() {
    let folder = Folder::new();
    folder.write("open.secret", "s3cret");
    #[cfg(unix)]
    fs::set_permissions(folder.0.join("open.secret"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let text = format!(
        "trusted_proxies = [\"0.0.0.0/0\"]\n{SMALLEST}[providers.inline]\nissuer = \"http://idp.localhost:1234\"\nclient_id = \"x\"\n\
         client_secret = {{ value = \"s3cret\" }}\n[providers.open]\nissuer = \"https://idp.example\"\nclient_id = \"x\"\n\
         client_secret = {{ file = \"open.secret\" }}\n[providers.public]\nissuer = \"https://idp.example\"\nclient_id = \"x\"\n\
         client_auth = \"none\"\nclient_secret = {{ file = \"okta.secret\" }}\n"
    );
    let (config, report) = folder.load(&text, &[]);
    assert!(config.is_ok(), "{report}");
    insta::assert_snapshot!(folder.shown(&report));
}

#[test]
fn a_file_that_cannot_be_read_says_which() {
    let environment: Environment = std::iter::empty().collect();
    let (config, report) = load(Path::new("absent/lychgate.toml"), &environment, &[]);
    assert!(config.is_err());
    assert!(report.render().contains("cannot read the configuration absent/lychgate.toml"), "{report}");
}

#[test]
fn a_policy_file_that_is_no_text_is_named() {
    let folder = Folder::new();
    fs::write(folder.0.join("policies/app.toml"), b"[app]\nname = \"\xff\"\n").unwrap();
    let (config, report) = folder.load(SMALLEST, &[]);
    assert!(config.is_err());
    assert!(report.render().contains("cannot read the policy file"), "{report}");
    assert!(report.render().contains("policies/app.toml"), "{report}");
}
