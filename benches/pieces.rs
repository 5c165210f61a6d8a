//! The pieces of the hot path, each alone: `cargo bench --bench pieces`.
//!
//! For comparing two versions of a piece on one machine; `benches/compare` measures the whole.

#![expect(clippy::unwrap_used, reason = "a benchmark")]

use std::sync::Arc;

use bytes::BytesMut;
use divan::{Bencher, black_box};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use lychgate::claims::Claims;
use lychgate::clock::Timestamp;
use lychgate::crypto::{Binding, KeyRing};
use lychgate::diagnostic::{Report, SourceFile};
use lychgate::forward::{ScrubSet, scrub};
use lychgate::http::request::HeadReader;
use lychgate::http::{CanonicalPath, HostName, Scheme, cookie};
use lychgate::policy::{self, Policy, RequestFacts, SessionFacts, SessionKind, Subject};

fn main() {
    divan::main();
}

const BINDING: Binding<'static> = Binding { purpose: "session", name: "__Host-lychgate", scope: "a.example/app" };

fn ring() -> KeyRing {
    KeyRing::new(&[KeyRing::generate_key()]).ok().unwrap()
}

#[divan::bench(args = [200, 1000, 3000])]
fn seal(bencher: Bencher, size: usize) {
    let (ring, content) = (ring(), vec![7u8; size]);
    bencher.bench(|| ring.seal(BINDING, black_box(&content)));
}

#[divan::bench(args = [200, 1000, 3000])]
fn open(bencher: Bencher, size: usize) {
    let ring = ring();
    let sealed = ring.seal(BINDING, &vec![7u8; size]);
    bencher.bench(|| ring.open(BINDING, black_box(sealed.as_bytes())));
}

#[divan::bench(args = ["/statements/2026/07", "/a/./b/../%63%2e/c"])]
fn canonical_path(path: &str) -> bool {
    CanonicalPath::parse(black_box(path)).is_ok()
}

fn request() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "royalty.gmr.example"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("accept", "text/html,application/xhtml+xml"),
        ("accept-encoding", "gzip, br"),
        ("accept-language", "en"),
        ("referer", "https://royalty.gmr.example/"),
        ("sec-fetch-mode", "navigate"),
        ("x-remote-user", "forged"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let cookies = format!("theme=dark; __Host-lychgate={}; JSESSIONID=abc", "x".repeat(500));
    headers.insert("cookie", HeaderValue::try_from(cookies).unwrap());
    headers
}

#[divan::bench]
fn read_the_head_of_a_request(bencher: Bencher) {
    let mut head = "GET /statements/2026/07 HTTP/1.1\r\n".to_owned();
    for (name, value) in &request() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    head.push_str("\r\n");
    let mut reader = HeadReader::new(64 << 10, 100);
    bencher
        .with_inputs(|| BytesMut::from(head.as_bytes()))
        .bench_local_values(|mut bytes| reader.take(&mut bytes).unwrap());
}

#[divan::bench]
fn scrub_a_request(bencher: Bencher) {
    let set = ScrubSet::new([]);
    bencher.with_inputs(request).bench_values(|headers| scrub(headers, &set));
}

#[divan::bench]
fn withhold_our_cookies(bencher: Bencher) {
    bencher.with_inputs(request).bench_refs(|headers| {
        let mut line = Vec::with_capacity(1024);
        cookie::write_clients(headers, &cookie::IdentityCookies::default(), &mut line, 0);
        line
    });
}

fn shipped() -> Policy {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/policies/royalty.toml");
    let source = SourceFile::new(path, std::fs::read_to_string(path).unwrap());
    let secrets = |_: &policy::SecretSource| Err(policy::NoSecret { message: "none".to_owned(), help: String::new() });
    let identity = Arc::default();
    let providers = [policy::ProviderFacts { name: "demo", scopes: None }];
    let environment = policy::Environment {
        secrets: &secrets,
        files: &policy::no_files,
        providers: &providers,
        identity: Some(&identity),
    };
    policy::compile("royalty", &source, &environment, &mut Report::default()).unwrap()
}

#[divan::bench]
fn decide_for_a_known_person(bencher: Bencher) {
    let policy = shipped();
    let claims = br#"{"preferred_username":"ada","name":"Ada","email":"ada@gmr.example","email_verified":true,"groups":["royalty-artists"]}"#;
    let session = SessionFacts {
        kind: SessionKind::Browser,
        provider: "demo".into(),
        acr: policy.login().and_then(|login| login.acr.first()).map(Into::into),
        amr: Vec::new(),
        authenticated_at: Timestamp::from_seconds(1_795_000_000),
    };
    let prepared = policy.prepare(Arc::new(Subject { claims: Claims::from_json(claims).unwrap(), session }));
    let (host, path) = (HostName::parse("royalty.localhost").unwrap(), CanonicalPath::parse("/statements").unwrap());
    let facts = RequestFacts {
        method: &Method::GET,
        host: &host,
        path: &path,
        query: None,
        client: [127, 0, 0, 1].into(),
        scheme: Scheme::Https,
        tls: None,
        headers: &HeaderMap::new(),
        has_content: false,
    };
    let now = Timestamp::from_seconds(1_795_000_060);
    bencher.bench(|| matches!(policy.decide(black_box(&facts), Some(&prepared), now), policy::Decision::Allow(_)));
}
