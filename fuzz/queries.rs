//! A stranger's query and fields, as policies decide by them, judged by readers that know nothing of the gateway's.
//!
//! The first line of an input is the query, the others are fields of the head. Policies ask whether a parameter, or a field, is what the URL
//! standard's parser, or a look at all lines, finds there. What is allowed must be what every reader finds, and it alone (S01, S08): PHP's,
//! Rack's, Zope's, ASP's, those that split at `;`, and those that take bytes that are too many for a letter for it.

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use lychgate::claims::Claims;
use lychgate::clock::Timestamp;
use lychgate::crypto::Secret;
use lychgate::diagnostic::{Report, SourceFile};
use lychgate::http::{CanonicalPath, HostName, Scheme};
use lychgate::policy::{self, Decision, DenialReason, Policy, RequestFacts, SessionFacts, SessionKind, Subject};

/// What is asked for. None of them has a letter that folds to another one's, which the readers here do not know.
const PARAMETERS: [&str; 3] = ["a_b", "view", "b[]"];
/// One field that HTTP defines as a list, and one that it does not.
const FIELDS: [&str; 2] = ["x-app", "accept"];
const MANY: usize = 1000;

static POLICIES: LazyLock<Vec<(Policy, &str)>> = LazyLock::new(|| {
    let parameters = PARAMETERS.iter().map(|name| (compiled(name, "request.params"), *name));
    parameters.chain(FIELDS.iter().map(|name| (compiled(name, "request.headers"), *name))).collect()
});

/// A policy with a rule for what is there, and one for what is not; and, of parameters, one that selects.
fn compiled(name: &str, of: &str) -> Policy {
    let selecting = if of == "request.params" {
        format!("[[rules]]\npaths = [\"/selected\"]\nquery = {{ \"{name}\" = \"full page\" }}\naccess = \"public\"\n")
    } else {
        String::new()
    };
    let text = format!(
        r#"[app]
hosts = ["app.example"]
upstream = "http://127.0.0.1:1"
[login]
provider = "idp"
{selecting}[[rules]]
paths = ["/absent"]
allow = "!('{name}' in {of})"
[[rules]]
allow = "'{name}' in {of} && {of}['{name}'] == user.wanted"
"#
    );
    let mut report = Report::default();
    let secrets = |_: &policy::SecretSource| Ok(Secret::new("secret".to_owned()));
    let identity = Arc::default();
    let providers = [policy::ProviderFacts { name: "idp", scopes: None }];
    let files = |path: &Path| Ok(SourceFile::new(path, ""));
    let environment =
        policy::Environment { secrets: &secrets, files: &files, providers: &providers, identity: Some(&identity) };
    let policy = policy::compile("asked", &SourceFile::new("asked.toml", &text), &environment, &mut report);
    policy.unwrap_or_else(|| panic!("{}", report.render()))
}

/// Asks each policy about the request that the bytes make.
pub(crate) fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let query = lines.next().unwrap_or_default();
    let headers = fields(lines.take(8));
    for (policy, name) in &*POLICIES {
        match PARAMETERS.contains(name) {
            true => parameter(policy, name, query),
            false => field(policy, name, &headers),
        }
    }
}

fn fields<'l>(lines: impl Iterator<Item = &'l str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), latin(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// A value in which letters up to U+00FF are one byte each, so that an input can hold what is no UTF-8.
fn latin(value: &str) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    let bytes: Vec<u8> = value.chars().flat_map(|letter| u8::try_from(letter).ok()).collect();
    HeaderValue::from_bytes(&bytes)
}

/// What a policy says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Allowed,
    Refused,
    Doubtful,
}

/// What the policy says at `path` to one who wants this value.
fn said(policy: &Policy, path: &str, query: Option<&str>, headers: &HeaderMap, wanted: Option<&str>) -> Said {
    let (host, path) = (HostName::parse("app.example").unwrap(), CanonicalPath::parse(path).unwrap());
    let facts = RequestFacts {
        method: &http::Method::GET,
        host: &host,
        path: &path,
        query,
        client: [192, 0, 2, 1].into(),
        scheme: Scheme::Https,
        tls: None,
        headers,
        has_content: false,
    };
    let now = Timestamp::from_seconds(1_000_000);
    let session = SessionFacts {
        kind: SessionKind::Browser,
        provider: "idp".into(),
        acr: None,
        amr: Vec::new(),
        authenticated_at: now,
    };
    let claims = serde_json::json!({ "sub": "1", "wanted": wanted.unwrap_or_default() }).to_string();
    let subject = Subject { claims: Claims::from_json(claims.as_bytes()).unwrap(), session };
    let ada = policy.prepare(Arc::new(subject));
    match policy.decide(&facts, Some(&ada), now) {
        Decision::Allow(_) => Said::Allowed,
        Decision::Deny(denial) => match denial.reason() {
            DenialReason::NotAllowed => Said::Refused,
            DenialReason::QueryAmbiguous(_) | DenialReason::RequestHeaderAmbiguous(_) => Said::Doubtful,
            other => panic!("{other:?}"),
        },
        _ => panic!("neither allowed nor denied"),
    }
}

fn parameter(policy: &Policy, name: &str, query: &str) {
    let nothing = HeaderMap::new();
    let ask = |path: &str, wanted: Option<&str>| said(policy, path, Some(query), &nothing, wanted);
    let found: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).filter(|(found, _)| found == name).collect();
    let only = match &*found {
        [(_, value)] => Some(&**value),
        _ => None,
    };
    let (there, absent) = (ask("/", only), ask("/absent", None));
    let readers = || READERS.iter().map(|(who, read)| (who, read(query, name)));
    if there == Said::Allowed {
        let value = only.unwrap_or_else(|| panic!("{name} is {found:?} in {query:?}"));
        for (who, values) in readers() {
            assert_eq!(values, [value.as_bytes()], "{who} reads {name} of {query:?}");
        }
    }
    if absent == Said::Allowed {
        assert!(found.is_empty(), "{name} is in {query:?}");
        for (who, values) in readers() {
            assert!(values.is_empty(), "{who} finds {values:?} under {name} in {query:?}");
        }
    }
    // One of three, and the same doubt for all rules.
    assert_eq!(there == Said::Doubtful, absent == Said::Doubtful, "{name} of {query:?}");
    assert!(there == Said::Doubtful || (there == Said::Allowed) != (absent == Said::Allowed), "{name} of {query:?}");
    let selected = ask("/selected", None);
    if there != Said::Doubtful {
        // A rule that does not select leaves the request to the last one, which wants an empty value here.
        assert_eq!(matches!(only, Some("full page" | "")), selected == Said::Allowed, "{name} of {query:?}");
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'&' | b'=');
    let plainly = query.bytes().all(plain) && query.split('&').count() <= MANY;
    let agreed = found.len() <= 1
        && readers().all(|(_, values)| values == only.iter().map(|value| value.as_bytes()).collect::<Vec<_>>());
    assert!(!plainly || !agreed || there != Said::Doubtful, "nothing is doubtful in {query:?}");
}

fn field(policy: &Policy, name: &str, headers: &HeaderMap) {
    let ask = |path: &str, wanted: Option<&str>| said(policy, path, None, headers, wanted);
    let alike: Vec<_> = headers.iter().filter(|(sent, _)| cgi(sent.as_str()) == cgi(name)).collect();
    let texts: Option<Vec<&str>> = alike
        .iter()
        .map(|(sent, value)| {
            let text = std::str::from_utf8(value.as_bytes()).ok()?;
            (sent.as_str() == name && !text.chars().any(char::is_control)).then_some(text)
        })
        .collect();
    let sound = texts.filter(|texts| texts.len() <= 1 || name == "accept").map(|texts| texts.join(", "));
    let (there, absent) = (ask("/", sound.as_deref()), ask("/absent", None));
    let expected = match (&sound, alike.is_empty()) {
        (_, true) => (Said::Refused, Said::Allowed),
        (Some(_), false) => (Said::Allowed, Said::Refused),
        (None, false) => (Said::Doubtful, Said::Doubtful),
    };
    assert_eq!((there, absent), expected, "{name} of {headers:?}");
}

/// A name of a field as CGI has it.
fn cgi(name: &str) -> String {
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte.to_ascii_uppercase()) } else { '_' };
    name.bytes().map(fold).collect()
}

/// The values that somebody finds in a query under a name.
type Reader = fn(&str, &str) -> Vec<Vec<u8>>;

const READERS: &[(&str, Reader)] = &[
    ("who splits at semicolons", |query, name| {
        let pairs = query.split(['&', ';']).filter(|pair| !pair.is_empty()).map(pair);
        pairs.filter(|(found, _)| found == name.as_bytes()).map(|(_, value)| value).collect()
    }),
    ("PHP", |query, name| matching(query, |found| php(found) == php(name.as_bytes()))),
    ("Rack", |query, name| matching(query, |found| rack(found) == rack(name.as_bytes()))),
    ("Zope", |query, name| matching(query, |found| found.split(|byte| *byte == b':').next() == Some(name.as_bytes()))),
    ("who ignores case", |query, name| matching(query, |found| found.eq_ignore_ascii_case(name.as_bytes()))),
    ("C", |query, name| matching(query, |found| found.split(|byte| *byte == 0).next() == Some(name.as_bytes()))),
    ("ASP", |query, name| {
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let asp = |found: &str| asp(found).eq_ignore_ascii_case(name.as_bytes());
        pairs.filter(|(found, _)| asp(found)).map(|(_, value)| decoded(value)).collect()
    }),
    ("an old decoder", |query, name| matching(query, |found| *short(found) == *name.as_bytes())),
];

fn matching(query: &str, is: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(pair);
    pairs.filter(|(name, _)| is(name)).map(|(_, value)| value).collect()
}

fn pair(pair: &str) -> (Vec<u8>, Vec<u8>) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (decoded(name), decoded(value))
}

/// `+` is a blank, and what is no escape stays.
fn decoded(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            _ => out.push(*first),
        }
    }
    out
}

fn hex(digit: u8) -> u8 {
    u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap()
}

/// The variable of PHP: no blanks before it, cut at a NUL, an array by its name, and what no variable has is `_`.
fn php(name: &[u8]) -> Vec<u8> {
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let start = name.iter().position(|byte| *byte != b' ').unwrap_or(name.len());
    let mut name = name[start..].to_vec();
    if let Some(at) = name.iter().position(|byte| *byte == b'[') {
        match name[at..].contains(&b']') {
            true => name.truncate(at),
            false => name[at] = b'_',
        }
    }
    name.iter().map(|byte| if matches!(byte, b'.' | b' ') { b'_' } else { *byte }).collect()
}

/// The key of Rack: brackets before it are passed over, and it ends at the next one.
fn rack(name: &[u8]) -> Vec<u8> {
    let start = name.iter().position(|byte| !matches!(byte, b'[' | b']')).unwrap_or(name.len());
    name[start..].split(|byte| matches!(byte, b'[' | b']')).next().unwrap_or_default().to_vec()
}

/// ASP knows `%uXXXX`, and drops a `%` that begins nothing.
fn asp(name: &str) -> Vec<u8> {
    let mut out = String::new();
    let mut rest = name;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        let code = behind.strip_prefix(['u', 'U']).and_then(|behind| behind.get(..4));
        let code = code.filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match code.and_then(|code| u32::from_str_radix(code, 16).ok()).and_then(char::from_u32) {
            Some(letter) => {
                out.push(letter);
                rest = &behind[5..];
            }
            None => {
                let escape = behind.get(..2).is_some_and(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
                out.push_str(if escape { "%" } else { "" });
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    decoded(&out)
}

/// ASCII in two or three bytes is ASCII.
fn short(name: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut rest = name;
    while let [first, after @ ..] = rest {
        rest = after;
        match (*first, after) {
            (0xc0 | 0xc1, [low @ 0x80..=0xbf, after @ ..]) => {
                out.push((first & 1) << 6 | low & 0x3f);
                rest = after;
            }
            (0xe0, [high @ (0x80 | 0x81), low @ 0x80..=0xbf, after @ ..]) => {
                out.push((high & 1) << 6 | low & 0x3f);
                rest = after;
            }
            _ => out.push(*first),
        }
    }
    out.into()
}
