//! What each fuzz target does with its bytes, and what must hold afterwards.
//!
//! One function a parser of untrusted bytes. The targets in `fuzz_targets/` call them with bytes that libFuzzer makes; the ordinary test
//! run calls them with every file in `seeds/NAME/`, where what a fuzzer has found stays for good (T01).

use std::sync::Arc;

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue};
use lychgate::certificate::Certificate;
use lychgate::claims::Claims;
use lychgate::clock::Timestamp;
use lychgate::crypto::{KeyRing, Secret};
use lychgate::diagnostic::{Report, SourceFile};
use lychgate::http::authorization::{self, Authorization};
use lychgate::http::forwarded::Origin;
use lychgate::http::{CanonicalPath, HostName, PathSwitches, ReturnTo, Scheme, cookie};
use lychgate::oidc::pending;
use lychgate::policy::{self, RequestFacts, SessionFacts, SessionKind, Subject};
use lychgate::session::{CookieNames, SealedSessions};

#[path = "answers.rs"]
mod answers;
#[path = "framed.rs"]
mod framed;
#[path = "http2.rs"]
mod http2;
#[path = "judged.rs"]
mod judged;
#[path = "parts.rs"]
mod parts;
#[path = "providers.rs"]
mod providers;
#[path = "queries.rs"]
mod queries;
#[path = "recorder.rs"]
mod recorder;
#[path = "started.rs"]
mod started;
#[path = "tokens.rs"]
mod tokens;
#[path = "whole.rs"]
mod whole;
#[path = "wire.rs"]
mod wire;

/// What a target does with its bytes.
pub(crate) type Entry = fn(&[u8]);

/// All targets by name.
pub(crate) const ENTRIES: &[(&str, Entry)] = &[
    ("path", path),
    ("host", host),
    ("return_to", return_to),
    ("cookies", cookies),
    ("session", session),
    ("pending", pending_login),
    ("callback", callback),
    ("forwarded", forwarded),
    ("framing", framing),
    ("proxy_protocol", proxy_protocol),
    ("frames", frames),
    ("claims", claims),
    ("authorization", authorization),
    ("access_token", access_token),
    ("logout_token", logout_token),
    ("event_token", event_token),
    ("okta_hook", okta_hook),
    ("metadata", metadata),
    ("key_set", key_set),
    ("certificate", certificate),
    ("provider", provider),
    ("policy", policy_file),
    ("query", query),
    ("gateway", gateway),
    ("http2", http2),
    ("answers", answers),
];

pub(crate) use answers::answers;
pub(crate) use http2::http2;
pub(crate) use providers::provider;
pub(crate) use queries::query;
pub(crate) use tokens::{access_token, callback, claims, event_token, key_set, logout_token, metadata, okta_hook};
pub(crate) use whole::gateway;
pub(crate) use wire::{frames, framing, proxy_protocol};

/// What may stand in a field's name (RFC 9110 section 5.6.2), apart from the gateway's own idea of it.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// A key that is the same in every run, so that a finding can be repeated.
fn ring() -> KeyRing {
    let key = Secret::new("hzdWUpfL4Q0GIxnEONPWs6VIZvBkiktT0afun+tkyoY=".to_owned());
    KeyRing::new(&[key]).ok().unwrap()
}

fn cookie_field(data: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, HeaderValue::from_bytes(data).ok()?);
    Some(headers)
}

/// A canonical path parses to itself and has no segment left to resolve; so does one that has something kept, in both of its readings.
pub(crate) fn path(data: &[u8]) {
    if let Some(Ok(kept)) = text(data).map(|text| CanonicalPath::parse_keeping(text, PathSwitches::ALL)) {
        let again = CanonicalPath::parse_keeping(&kept.to_string(), kept.needs());
        assert_eq!(again.as_ref(), Ok(&kept));
        let as_read = CanonicalPath::parse_keeping(kept.as_str(), PathSwitches::ALL).unwrap();
        assert_eq!((as_read.as_str(), as_read.other_reading()), (kept.as_str(), kept.other_reading()));
        assert!(!kept.as_str().contains([';', '\\']) && !kept.parameters().contains('/'));
        for reading in [Some(kept.clone()), kept.other_reading()].into_iter().flatten() {
            assert!(reading.as_str().starts_with('/') && !reading.as_str().contains("//"));
            assert!(reading.segments().all(|segment| segment != "." && segment != ".."));
        }
    }
    let Some(Ok(once)) = text(data).map(CanonicalPath::parse) else { return };
    assert_eq!(CanonicalPath::parse(&once.to_string()).as_ref(), Ok(&once));
    assert_eq!(CanonicalPath::parse(once.as_str()).unwrap().as_str(), once.as_str());
    assert!(once.segments().all(|segment| segment != "." && segment != ".."));
    assert!(once.as_str().starts_with('/') && !once.as_str().contains("//") && !once.as_str().contains('\\'));
}

/// A host name parses to itself and has no upper case.
pub(crate) fn host(data: &[u8]) {
    let Some(Ok((host, _))) = text(data).map(HostName::parse_authority) else { return };
    assert_eq!(HostName::parse(host.as_str()).as_ref(), Ok(&host));
    assert!(!host.as_str().bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'@'));
}

/// No return address leaves the origin.
pub(crate) fn return_to(data: &[u8]) {
    let Some(kept) = text(data).and_then(ReturnTo::parse) else { return };
    let origin = url::Url::parse("https://app.example/some/page").unwrap();
    assert_eq!(origin.join(kept.as_str()).unwrap().origin(), origin.origin(), "{kept}");
}

/// None of our cookies is left for the application, nor one that poses as a cookie by which it is told who asks. Read as lenient parsers do: also
/// behind commas and blanks, with escapes in names.
pub(crate) fn cookies(data: &[u8]) {
    let Some(headers) = cookie_field(data) else { return };
    let told = cookie::IdentityCookies::new(["user", "remote.id"]);
    for identity in ["", "user=ada"] {
        let mut line = format!("Cookie: {identity}").into_bytes();
        cookie::write_clients(&headers, &told, &mut line, "Cookie: ".len());
        let left = line["Cookie: ".len()..].strip_prefix(identity.as_bytes()).unwrap();
        assert!(identity.is_empty() || left.is_empty() || left.starts_with(b"; "), "{left:?}");
        for pair in left.split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
            assert!(!is_ours(pair), "{left:?}");
            for part in pair.split(|byte| matches!(byte, b',' | b'"') || byte.is_ascii_whitespace()) {
                let name = cookie_name(part);
                assert!(!part.contains(&b'=') || name != "user" && name != "remote_id", "{name} in {left:?}");
            }
        }
    }
}

/// A cookie's name as a lenient parser has it: decoded, cut at a bracket or a NUL, in small letters and with `_` for what no variable has.
fn cookie_name(pair: &[u8]) -> String {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    let (mut decoded, mut rest) = (Vec::new(), name);
    while let [first, after @ ..] = rest {
        rest = after;
        let digit = |at: usize| char::from(after.get(at).copied().unwrap_or_default()).to_digit(16);
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high << 4 | low).unwrap());
                rest = &after[2..];
            }
            _ => decoded.push(*first),
        }
    }
    let bare = decoded.split(|byte| matches!(byte, b'[' | 0)).next().unwrap_or_default();
    let fold = |byte: &u8| if byte.is_ascii_alphanumeric() { char::from(byte.to_ascii_lowercase()) } else { '_' };
    bare.trim_ascii().iter().map(fold).collect()
}

/// Whether a cookie has a name of the gateway's own, as it stands.
fn is_ours(pair: &[u8]) -> bool {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    let name = String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase();
    let bare = name.strip_prefix("__host-").or_else(|| name.strip_prefix("__secure-")).unwrap_or(&name);
    bare.strip_prefix("lychgate").is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
}

/// Nothing that was not sealed opens; an input that begins beyond ASCII mixes parts of what was (`parts.rs`).
pub(crate) fn session(data: &[u8]) {
    if let [which @ 0x80..=0xff, changes @ ..] = data {
        return parts::mixed(*which, changes);
    }
    let Some(headers) = cookie_field(data) else { return };
    let (keys, names) = (ring(), CookieNames::new(true, None));
    let sealed = SealedSessions { keys: &keys, names: &names, scope: "app.example/app" };
    if let Ok(joined) = sealed.text(&headers) {
        assert!(sealed.open(&joined).is_err());
    }
    assert!(sealed.remove(&headers).len() <= 8);
}

/// Nothing that was not sealed is a pending login.
pub(crate) fn pending_login(data: &[u8]) {
    assert!(pending::open("__Host-lychgate-login-AAAAAAAA", data, &ring(), "app.example").is_err());
    let names = [("__Host-lychgate-login-AAAAAAAA", data)];
    let gone = pending::to_drop(
        names.into_iter(),
        &ring(),
        ("app.example", true),
        (7, 0, 24 << 10),
        Timestamp::from_seconds(0),
    );
    assert_eq!(gone, ["__Host-lychgate-login-AAAAAAAA"]);
}

/// A peer that is not trusted is the client, whatever it says.
pub(crate) fn forwarded(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let peer = "203.0.113.9:443".parse().unwrap();
    let trusted = ["203.0.113.0/24".parse().unwrap()];
    for name in ["x-forwarded-for", "forwarded"] {
        let mut headers = HeaderMap::from_iter([(HeaderName::from_static(name), value.clone())]);
        assert_eq!(Origin::find(peer, &headers, &[]).unwrap().client, peer.ip());
        let Ok(origin) = Origin::find(peer, &headers, &trusted) else { continue };
        // What is told of it says the same again, in either field and in both.
        let told = [origin.x_forwarded_for(), origin.forwarded("app.example", "https")].map(Option::unwrap);
        for fields in [&[0][..], &[1], &[0, 1]] {
            headers.clear();
            for field in fields {
                headers.insert(["x-forwarded-for", "forwarded"][*field], told[*field].clone());
            }
            // One address more than came, which may be one too many.
            if told[0].as_bytes().split(|byte| *byte == b',').count() <= 32 {
                let again = Origin::find(peer, &headers, &trusted).map(|again| again.client);
                assert_eq!(again, Ok(origin.client));
            }
        }
        // A proxy of ours that puts itself behind what it was sent is the client then, whatever stood before, or nothing is.
        let mut behind = data.to_vec();
        behind.extend_from_slice(if name == "forwarded" { b", for=198.51.100.7" } else { b", 198.51.100.7" });
        headers.clear();
        headers.insert(name, HeaderValue::from_bytes(&behind).unwrap());
        let found = Origin::find(peer, &headers, &trusted).map(|found| found.client.to_string());
        assert!(found.as_deref().is_ok_and(|found| found == "198.51.100.7") || found.is_err(), "{found:?}");
    }
}

/// Whatever stands in the field, none of it is left in the request, and a token is of the grammar's characters.
pub(crate) fn authorization(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(4) {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(AUTHORIZATION, value);
    }
    let (lines, mentions) = (headers.len(), authorization::mentions_bearer(&headers));
    let taken = authorization::take(&mut headers);
    assert!(headers.is_empty());
    if let Ok(Authorization::Bearer(token)) = taken {
        assert!(lines == 1 && mentions && !token.text().is_empty());
        assert!(token.text().bytes().all(|byte| byte.is_ascii_graphic() && byte != b',' && byte != b'"'));
        assert!(token.field().is_sensitive());
    }
}

/// Whom a fuzzed policy is asked about.
const ADA: &[u8] = br#"{"sub": "1", "preferred_username": "ada", "name": "Zo\u00eb", "email": "Ada@Gmr.example", "email_verified": true,
    "groups": ["staff", "royalty-admins"], "n": 20, "rate": 1.50, "none": null, "a": {"b": ["c"]}, "until": "2026-12-31"}"#;

/// A policy file compiles or says why; what compiles decides.
pub(crate) fn policy_file(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let mut report = Report::default();
    let secrets = |_: &policy::SecretSource| Ok(Secret::new("secret".to_owned()));
    let identity = Arc::default();
    let providers = [policy::ProviderFacts { name: "idp", scopes: None }];
    // The same text once more, as a file of definitions.
    let included = |path: &std::path::Path| Ok(SourceFile::new(path, text));
    let environment =
        policy::Environment { secrets: &secrets, files: &included, providers: &providers, identity: Some(&identity) };
    let compiled = policy::compile("fuzzed", &SourceFile::new("fuzzed.toml", text), &environment, &mut report);
    assert_eq!(compiled.is_none(), report.has_errors(), "{}", report.render());
    let Some(policy) = compiled else { return };
    let (host, path) = (HostName::parse("app.example").unwrap(), CanonicalPath::parse("/a/b").unwrap());
    let method = http::Method::GET;
    let mut headers = HeaderMap::new();
    headers.insert("accept-language", HeaderValue::from_static("de-AT, en"));
    let facts = RequestFacts {
        method: &method,
        host: &host,
        path: &path,
        query: Some("view=full%20page&a=1"),
        client: [192, 0, 2, 1].into(),
        scheme: Scheme::Https,
        tls: None,
        headers: &headers,
        has_content: false,
    };
    let now = Timestamp::from_seconds(1_000_000);
    let session = SessionFacts {
        kind: SessionKind::Browser,
        provider: "idp".into(),
        acr: Some("mfa".into()),
        amr: Vec::new(),
        authenticated_at: now,
    };
    let ada = policy.prepare(Arc::new(Subject { claims: Claims::from_json(ADA).unwrap(), session }));
    for who in [None, Some(&ada)] {
        if let policy::Decision::Deny(denial) = policy.decide(&facts, who, now) {
            assert!(!denial.reason().to_string().contains("panicked"), "{}", denial.reason());
        }
        let _ = policy.observe(&facts, who, now);
    }
    let _ = policy.run_tests();
}

/// What is read of a certificate is the whole of it, without a control character, and a name's text can be taken apart into what it was made of.
pub(crate) fn certificate(data: &[u8]) {
    let Ok(read) = Certificate::parse(data) else { return };
    assert_eq!(Certificate::parse(data).as_ref(), Ok(&read));
    assert!(Certificate::parse(&[data, &[0]].concat()).is_err());
    assert!(data.split_last().is_none_or(|(_, shorter)| Certificate::parse(shorter).is_err()));
    let lists = [&read.dns_names, &read.emails, &read.uris, &read.addresses];
    let texts = lists.into_iter().flatten().chain([&read.subject, &read.issuer, &read.common_name]);
    assert!(texts.clone().all(|text| !text.contains(char::is_control)));
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    assert!(is_hex(&read.serial) && (read.serial.len() <= 2 || !read.serial.starts_with("00")));
    assert!(is_hex(&read.fingerprint) && read.fingerprint.len() == 64);
    for address in &read.addresses {
        assert_eq!(address.parse::<std::net::IpAddr>().unwrap().to_string(), *address);
    }
    let parts = parts_of_name(&read.subject);
    let _ = parts_of_name(&read.issuer);
    let mut common = parts.iter().filter(|(kind, _)| kind == "CN" || kind == "2.5.4.3");
    match (common.next(), common.next()) {
        (Some((kind, name)), None) if kind == "CN" => assert_eq!(*name, read.common_name),
        _ => assert_eq!(read.common_name, ""),
    }
}

/// Types and values of a name as RFC 4514 section 3 reads it; values in hexadecimal stay so. Nothing may be left that is in no rule of it.
fn parts_of_name(text: &str) -> Vec<(String, String)> {
    let mut letters = text.chars().peekable();
    let mut parts = Vec::new();
    while letters.peek().is_some() {
        let kind: String = letters.by_ref().take_while(|letter| *letter != '=').collect();
        assert!(
            !kind.is_empty() && kind.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '.'),
            "{text}"
        );
        let is_bytes = letters.peek() == Some(&'#');
        let mut value = String::new();
        let mut ends_in_space = false;
        while let Some(letter) = letters.next_if(|letter| !matches!(letter, ',' | '+')) {
            ends_in_space = letter == ' ';
            let begins_with_space = value.is_empty() && ends_in_space;
            assert!(!begins_with_space && !matches!(letter, '"' | ';' | '<' | '>'), "{text}");
            value.push(if letter == '\\' { letters.next().unwrap() } else { letter });
        }
        assert!(!ends_in_space, "{text}");
        assert!(!is_bytes || value.bytes().skip(1).all(|byte| byte.is_ascii_hexdigit()), "{text}");
        assert!(letters.next().is_none() || letters.peek().is_some(), "{text}");
        parts.push((kind, value));
    }
    parts
}
