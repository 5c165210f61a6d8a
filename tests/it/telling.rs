//! What an application is told, byte by byte: spelling of names, cookies, assertions and the keys to verify them with; and what is changed on
//! its answers (S01-S03, S07).

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lychgate::app::Plan;
use lychgate::clock::ManualClock;
use lychgate::config::Environment;
use serde_json::{Value, json};

use crate::harness::gateway::{HOST, Setup, TestGateway, clock, provider};
use crate::harness::provider::FakeProvider;
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire, WireReply, WireRequest};
use crate::proxying::sign_in;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A gateway in front of an application that is played by the test, and Ada's cookies.
struct Told {
    gateway: TestGateway,
    application: RawApplication,
    cookie: String,
    clock: ManualClock,
    _provider: FakeProvider,
}

fn policy(upstream: &str, tables: &str) -> String {
    format!(
        "[app]\nhosts = [\"{HOST}\"]\nupstream = \"{upstream}\"\n[login]\n{tables}\n\
         [[rules]]\npaths = [\"/public/**\"]\naccess = \"public\"\n[[rules]]\n"
    )
}

impl Told {
    async fn new(tables: &str, settings: &str) -> Self {
        let clock = clock();
        let provider = provider(&clock).await;
        provider.script().person = vec![
            ("preferred_username".to_owned(), json!("ada")),
            ("email".to_owned(), json!("ada@gmr.example")),
            ("groups".to_owned(), json!(["staff", "a;b"])),
        ];
        let application = RawApplication::start().await;
        let gateway = Setup::new(&clock)
            .provider(&provider)
            .settings(settings)
            .file("policies/app.secret", "pr00f\n")
            .policy("app", &policy(&application.url(), tables))
            .start()
            .await;
        let cookie = sign_in(&gateway).await;
        Self { gateway, application, cookie, clock, _provider: provider }
    }

    /// Sends a request with these fields, answers it with `answer`, and gives what both sides saw.
    async fn exchange(&self, line: &str, fields: &str, answer: &str) -> (WireRequest, WireReply) {
        soon(async {
            let mut client = Wire::connect(self.gateway.address()).await;
            client.send(format!("{line} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{fields}\r\n")).await.unwrap();
            let mut upstream = self.application.accept().await;
            let seen = upstream.request().await.unwrap();
            upstream.send(answer).await.unwrap();
            drop(upstream);
            (seen, client.reply(false).await.unwrap())
        })
        .await
    }

    /// A request of Ada's, with further cookies.
    async fn of_ada(&self, cookies: &str) -> WireRequest {
        let fields = format!("Cookie: {}{cookies}\r\n", self.cookie);
        self.exchange("GET /mine", &fields, OK).await.0
    }

    /// The keys as an application fetches them.
    async fn keys(&self) -> WireReply {
        soon(async {
            let mut client = Wire::connect(self.gateway.address()).await;
            client.send(format!("GET /.lychgate/jwks HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.unwrap();
            client.reply(false).await.unwrap()
        })
        .await
    }
}

/// The claims of a token whose signature one of the keys verifies.
fn verified(token: &str, keys: &[u8]) -> Value {
    let set: Value = serde_json::from_slice(keys).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (head, content) = signed.split_once('.').unwrap();
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let head: Value = serde_json::from_slice(&decode(head)).unwrap();
    let key = set["keys"].as_array().unwrap().iter().find(|key| key["kid"] == head["kid"]).unwrap();
    let part = |name: &str| decode(key[name].as_str().unwrap());
    let point = [vec![4], part("x"), part("y")].concat();
    let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    verifier.verify(signed.as_bytes(), &decode(signature)).unwrap();
    serde_json::from_slice(&decode(content)).unwrap()
}

#[tokio::test]
async fn header_names_reach_the_application_as_the_policy_spells_them() {
    let told = Told::new(
        "[headers]\nSM_USER = \"${user.preferred_username}\"\niv-user = \"${user.preferred_username}\"\n\
         X-Remote-User = \"${user.preferred_username}\"\nX-ID = { secret = { file = \"app.secret\" } }\n\"x.dotted\" = \"d\"",
        "",
    )
    .await;
    let head = told.of_ada("").await.head;
    for line in
        ["SM_USER: ada", "iv-user: ada", "X-Remote-User: ada", "X-ID: pr00f", "x.dotted: d", "X-Forwarded-Proto: http"]
    {
        assert_eq!(head.lines().filter(|found| *found == line).count(), 1, "{line} in {head}");
    }
    let (public, _) = told.exchange("GET /public/x", "sm-user: root\r\nX.Id: root\r\n", OK).await;
    assert!(public.head.lines().any(|line| line == "X-ID: pr00f"), "{}", public.head);
    assert!(!public.head.contains("root") && !public.head.contains(": ada"), "{}", public.head);
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_spelled_alike() {
    let told = Told::new("[headers]\nSM_USER = \"${user.preferred_username}\"", "").await;
    soon(async {
        let mut client = Wire::connect(told.gateway.address()).await;
        let request = format!("GET /mine HTTP/1.1\r\nHost: {HOST}\r\nCookie: {}\r\n\r\n", told.cookie);
        client.send(&request).await.unwrap();
        let mut first = told.application.accept().await;
        first.request().await.unwrap();
        first.send(OK).await.unwrap();
        client.reply(false).await.unwrap();
        client.send(&request).await.unwrap();
        first.request().await.unwrap();
        drop(first);
        let mut second = told.application.accept().await;
        let head = second.request().await.unwrap().head;
        assert!(head.lines().any(|line| line == "SM_USER: ada"), "{head}");
    })
    .await;
}

#[tokio::test]
async fn s01_s02_s03_identity_cookies_are_the_gateways_and_come_first() {
    let told = Told::new(
        "[cookies]\nuser = \"${user.preferred_username}\"\n\"remote.id\" = { list = \"${user.groups}\", separator = \"|\" }\nproof = { secret = { file = \"app.secret\" } }",
        "",
    )
    .await;
    let identity = "user=ada; remote.id=staff|a%3Bb; proof=pr00f";
    assert_eq!(told.of_ada("").await.all("cookie"), [identity]);
    assert_eq!(told.of_ada("; theme=dark; sid=\"x").await.all("cookie"), [format!("{identity}; theme=dark; sid=\"x")]);
    for forged in [
        "user=root",
        "USER=root",
        "remote_id=root",
        "remote-id=root",
        "us%65r=root",
        "user[0]=root",
        "user =root",
        "user",
        "x=1, user=root",
        "x=1 user=root",
        "x=\"1\"user=root",
        "x=\"a; user=root; b\"",
        "proof=guessed",
    ] {
        let (seen, _) = told.exchange("GET /public/x", &format!("Cookie: theme=dark; {forged}\r\n"), OK).await;
        let line = seen.all("cookie");
        assert!(line.len() == 1 && line[0].starts_with("proof=pr00f; theme=dark"), "{forged}: {line:?}");
        assert!(!line[0].contains("root") && !line[0].contains("guessed"), "{forged}: {line:?}");
        let seen = told.of_ada(&format!("; {forged}")).await;
        let line = seen.all("cookie");
        assert!(line.len() == 1 && line[0].starts_with(identity), "{forged}: {line:?}");
        assert!(!line[0].contains("root") && !line[0].contains("guessed"), "{forged}: {line:?}");
    }
}

#[tokio::test]
async fn s07_the_application_can_set_its_own_cookies_and_none_that_tell_who_asks() {
    let told = Told::new("[cookies]\nuser = \"${user.preferred_username}\"", "").await;
    let answer = "HTTP/1.1 200 OK\r\nSet-Cookie: theme=dark\r\nSet-Cookie: user=root; Path=/\r\nSet-Cookie: USER=x\r\nSet-Cookie: lychgate=x\r\nSet-Cookie: users=1\r\nContent-Length: 0\r\n\r\n";
    let (_, reply) = told.exchange("GET /public/x", "", answer).await;
    let set: Vec<&str> = reply.head.lines().filter(|line| line.to_lowercase().starts_with("set-cookie")).collect();
    assert_eq!(set, ["set-cookie: theme=dark", "set-cookie: users=1"]);
}

#[tokio::test]
async fn answers_are_changed_as_the_policy_says_and_its_names_are_spelled_alike() {
    let told = Told::new(
        "[response]\nremove = [\"Server\", \"x-powered-by\"]\nset = { X-Frame-Options = \"DENY\", X-ETag-Of = \"1\" }\nadd = { Vary = [\"Cookie\", \"Accept\"] }",
        "",
    )
    .await;
    let answer = "HTTP/1.1 200 OK\r\nServer: Old/1\r\nX-Powered-By: Old\r\nX-Powered-By: Older\r\nx-frame-options: ALLOWALL\r\nVary: Origin\r\nETag: e\r\nContent-Length: 2\r\n\r\nok";
    let (_, reply) = told.exchange("GET /public/x", "", answer).await;
    let head = &reply.head;
    assert!(!head.contains("Old"), "{head}");
    for line in ["X-Frame-Options: DENY", "X-ETag-Of: 1", "etag: e"] {
        assert_eq!(head.lines().filter(|found| *found == line).count(), 1, "{line} in {head}");
    }
    let vary: Vec<&str> = head
        .lines()
        .filter(|line| line.to_lowercase().starts_with("vary"))
        .map(|line| line.split_once(": ").unwrap().1)
        .collect();
    assert_eq!(vary, ["Origin", "Cookie", "Accept"]);
    assert_eq!((reply.status, reply.body.as_slice()), (200, &b"ok"[..]));
}

const JWT: &str = "[headers]\nX-Jwt = { jwt = { audience = \"app\", claims = [\"email\", \"groups\"], ttl = \"2m\" } }";

#[tokio::test]
async fn an_assertion_verifies_with_the_keys_that_the_gateway_publishes() {
    let told = Told::new(JWT, "state = \"state\"").await;
    let seen = told.of_ada("").await;
    let token = seen.all("x-jwt")[0].to_owned();
    let keys = told.keys().await;
    assert_eq!((keys.status, keys.header("content-type")), (200, Some("application/jwk-set+json")));
    assert_eq!(keys.header("cache-control"), Some("public, max-age=3600"));
    let claims = verified(&token, &keys.body);
    assert_eq!(
        (claims["iss"].as_str(), claims["aud"].as_str()),
        (Some(format!("https://{HOST}").as_str()), Some("app"))
    );
    assert_eq!((claims["email"].as_str(), &claims["groups"]), (Some("ada@gmr.example"), &json!(["staff", "a;b"])));
    assert!(claims["sub"].as_str().is_some_and(|sub| !sub.is_empty()));
    // Each of the two workers makes one at the first sight of a session, and one at the second, which it keeps.
    let mut kept = BTreeSet::from([token.clone()]);
    for _ in 0..12 {
        kept.insert(told.of_ada("").await.all("x-jwt")[0].to_owned());
    }
    assert!((2..=4).contains(&kept.len()), "{} were made", kept.len());
    told.clock.advance(Duration::from_secs(61));
    let next = told.of_ada("").await.all("x-jwt")[0].to_owned();
    assert!(!kept.contains(&next));
    assert_eq!(verified(&next, &told.keys().await.body)["exp"].as_i64(), claims["exp"].as_i64().map(|exp| exp + 61));
    let (public, _) = told.exchange("GET /public/x", "X_Jwt: forged\r\n", OK).await;
    assert_eq!(public.all("x-jwt"), Vec::<&str>::new());
    let kept = std::fs::read_to_string(told.gateway.folder().join("state/identity.keys")).unwrap();
    assert_eq!(kept.lines().count(), 1);
}

#[tokio::test]
async fn keys_are_published_only_where_something_is_signed_and_only_to_be_read() {
    let told = Told::new("[headers]\nX-User = \"${user.email}\"", "state = \"state\"").await;
    assert_eq!(told.keys().await.body, br#"{"keys":[]}"#);
    assert!(!told.gateway.folder().join("state/identity.keys").exists());
    soon(async {
        let mut client = Wire::connect(told.gateway.address()).await;
        client
            .send(format!("POST /.lychgate/jwks HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n"))
            .await
            .unwrap();
        assert_eq!(client.reply(false).await.unwrap().status, 405);
    })
    .await;
}

/// A private key in PEM.
fn pem() -> String {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem()
}

#[tokio::test]
async fn configured_keys_are_turned_by_a_reload_and_a_reload_keeps_what_is_not_changed() {
    let clock = clock();
    let provider = provider(&clock).await;
    provider.script().person = vec![("preferred_username".to_owned(), json!("ada"))];
    let application = RawApplication::start().await;
    let settings = "reload = \"signal\"\n[identity]\nkeys = [{ file = \"one.pem\" }, { file = \"two.pem\" }]\n";
    let setup = Setup::new(&clock).provider(&provider).settings(settings);
    let setup = setup.file("one.pem", &pem()).file("two.pem", &pem());
    let gateway = setup.policy("app", &policy(&application.url(), JWT)).start().await;
    let cookie = sign_in(&gateway).await;
    let told = Told { gateway, application, cookie, clock, _provider: provider };
    let kids = |reply: &WireReply| -> Vec<Value> {
        let set: Value = serde_json::from_slice(&reply.body).unwrap();
        set["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect()
    };
    let signed_by = |seen: &WireRequest| -> Value {
        let head = URL_SAFE_NO_PAD.decode(seen.all("x-jwt")[0].split('.').next().unwrap()).unwrap();
        serde_json::from_slice::<Value>(&head).unwrap()["kid"].clone()
    };
    let before = kids(&told.keys().await);
    assert_eq!((before.len(), signed_by(&told.of_ada("").await)), (2, before[0].clone()));

    // A policy changes: the keys stay.
    told.gateway.write("policies/app.toml", &format!("{}# changed\n", policy(&told.application.url(), JWT)));
    assert_eq!(reload(&told).await, "applied");
    assert_eq!(kids(&told.keys().await), before);

    // The operator turns them: the second signs now, and the first is still published.
    let toml = told.gateway.read("lychgate.toml");
    let turned = "keys = [{ file = \"two.pem\" }, { file = \"one.pem\" }]";
    told.gateway
        .write("lychgate.toml", &toml.replace("keys = [{ file = \"one.pem\" }, { file = \"two.pem\" }]", turned));
    assert_eq!(reload(&told).await, "applied");
    let after = kids(&told.keys().await);
    assert_eq!(after, [before[1].clone(), before[0].clone()]);
    assert_eq!(signed_by(&told.of_ada("").await), before[1]);
}

async fn reload(told: &Told) -> String {
    let attempt = soon(told.gateway.running().reload().unwrap()).await.unwrap();
    assert!(!attempt.findings.contains("next start") && !attempt.findings.contains("error"), "{}", attempt.findings);
    format!("{:?}", attempt.outcome).to_lowercase()
}

#[tokio::test]
async fn a_policy_that_signs_without_a_place_for_keys_is_refused_where_it_stands() {
    let clock = clock();
    let provider = provider(&clock).await;
    let setup = Setup::new(&clock).provider(&provider).policy("app", &policy("http://127.0.0.1:1", JWT));
    let (plan, report) = Plan::read(&setup.write(), &Environment::from_iter([]), &[]);
    assert!(plan.is_none());
    let text = report.render();
    assert!(text.contains("there is no key to sign with") && text.contains("app.toml:6:"), "{text}");
}
