//! What a provider answers, read as the gateway reads it and by serde_json: token endpoint, introspection, userinfo, pushed requests, error
//! answers, `Retry-After`, `Cache-Control`, and the claims of ID and access tokens.
//!
//! The first byte says which, the second one the status. Of what is accepted, everything must be what the JSON says, and of the shape that the
//! specification demands; what is sound by the letter must be accepted.

use std::sync::LazyLock;
use std::time::Duration;

use http::header::{CACHE_CONTROL, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use lychgate::claims::Claims;
use lychgate::clock::Timestamp;
use lychgate::crypto::SignatureAlgorithm;
use lychgate::oidc::answers;
use lychgate::oidc::{ProviderSettings, TokenEndpointError};
use lychgate::policy::{Bearer, TokenForm};
use serde_json::{Map, Value};

use super::tokens::judged;

const STATUS: [u16; 8] = [200, 201, 400, 401, 403, 429, 500, 503];
const NOW: i64 = 1_795_000_000;
const ISSUER: &str = "https://idp.example";
const CLIENT: &str = "lychgate";
const NONCE: &str = "n-0S6_WzA2Mj";
/// The leeway of a provider that is configured without one.
const SKEW: i64 = 60;

/// Reads an answer as the first byte says.
pub(crate) fn provider(data: &[u8]) {
    let [which, status, body @ ..] = data else { return };
    let status = StatusCode::from_u16(STATUS[usize::from(status % 8)]).unwrap();
    let answer = Response::builder().status(status).body(body.to_vec()).unwrap();
    match which % 8 {
        0 => tokens(&answer),
        1 => introspection(body),
        2 => userinfo(body),
        3 => pushed(&answer),
        4 => retry_after(status, body),
        5 => good_for(body),
        6 => id_token(body),
        _ => access_token(body, status.as_u16().is_multiple_of(2), status.as_u16() < 400),
    }
}

/// The members of a JSON object, of which a name that stands twice has the last value; none where it is something else.
fn object(json: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(json) {
        Ok(Value::Object(members)) => Some(members),
        _ => None,
    }
}

/// The members of what was accepted; none where there is no judging (see `judged`).
fn accepted(json: &[u8]) -> Option<Map<String, Value>> {
    judged(json).map(|value| match value {
        Value::Object(members) => members,
        other => panic!("no object: {other}"),
    })
}

fn text<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    members.get(name).and_then(Value::as_str)
}

/// A member that may be left out, or be null.
fn optional<'m>(members: &'m Map<String, Value>, name: &str) -> Result<Option<&'m str>, ()> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(()),
    }
}

fn tokens(answer: &Response<Vec<u8>>) {
    let members = object(answer.body());
    match answers::tokens(answer) {
        Ok(found) => {
            let Some(members) = accepted(answer.body()) else { return };
            assert_eq!(answer.status(), 200);
            assert!(text(&members, "token_type").unwrap().eq_ignore_ascii_case("bearer"));
            let names = ["access_token", "id_token", "refresh_token"];
            for (name, found) in names.iter().zip(&found) {
                assert_eq!(optional(&members, name), Ok(found.as_ref().map(|secret| secret.expose().as_str())));
            }
            assert!(found[0].is_some());
        }
        Err(error) => {
            let (known, word) = answers::refusal(answer);
            let sound = |members: &Map<String, Value>| {
                let bearer = text(members, "token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
                let optional = ["id_token", "refresh_token"].iter().all(|name| optional(members, name).is_ok());
                bearer && optional && text(members, "access_token").is_some()
            };
            if answer.status() == 200 {
                // Written anew each name stands there once.
                let again = members.filter(sound).map(|members| serde_json::to_vec(&members).unwrap());
                let again = again.map(|body| answers::tokens(&Response::new(body)).is_ok());
                assert_ne!(again, Some(false), "{error:?}");
                return assert_eq!(word, None);
            }
            assert_eq!(error, known);
            match word {
                Some(word) => {
                    let members = accepted(answer.body());
                    assert!(members.is_none_or(|members| text(&members, "error") == Some(&*word)));
                }
                None => assert_eq!(known, TokenEndpointError::Malformed),
            }
        }
    }
}

fn introspection(body: &[u8]) {
    let members = object(body);
    if members.is_none() && answers::introspection(body).is_some() {
        return assert!(judged(body).is_none());
    }
    let active = members.as_ref().and_then(|members| members.get("active")).and_then(Value::as_bool);
    match (answers::introspection(body), active) {
        (Some(Some(claims)), Some(true)) => {
            let expected = members.iter().flatten().map(|(name, _)| &**name).filter(|name| *name != "active");
            assert!(claims.iter().map(|(name, _)| name).eq(expected));
        }
        (Some(None), Some(false)) => {}
        (None, _) => {}
        (other, active) => panic!("{other:?} and {active:?}"),
    }
}

/// Claims that are of the ID token alone (OIDC Core sections 2 and 5.3.2).
const OF_THE_ID_TOKEN: [&str; 8] = ["sub", "iss", "aud", "acr", "amr", "auth_time", "sid", "nonce"];

fn userinfo(body: &[u8]) {
    let members = object(body);
    let subject = members.as_ref().and_then(|members| text(members, "sub"));
    for asked in ["ada", "ada ", ""] {
        if let Ok(claims) = answers::userinfo(body, asked)
            && judged(body).is_some()
        {
            assert_eq!(subject, Some(asked));
            assert!(claims.iter().all(|(name, _)| members.iter().any(|members| members.contains_key(name))));
            assert!(OF_THE_ID_TOKEN.iter().all(|name| claims.value(name).is_none()));
        }
    }
}

fn pushed(answer: &Response<Vec<u8>>) {
    let taken = matches!(answer.status().as_u16(), 200 | 201);
    match answers::pushed(answer) {
        Ok(reference) => {
            assert!(taken && !reference.is_empty());
            let members = accepted(answer.body());
            assert!(members.is_none_or(|members| text(&members, "request_uri") == Some(&*reference)));
        }
        Err(error) if taken => assert_eq!(error, TokenEndpointError::Malformed),
        Err(error) => assert_eq!(error, answers::refusal(answer).0),
    }
}

/// RFC 9110 section 10.2.3: digits, or a date.
fn retry_after(status: StatusCode, body: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(body) else { return };
    let mut answer = Response::builder().status(status).body(Vec::new()).unwrap();
    answer.headers_mut().insert(RETRY_AFTER, value);
    let found = answers::asked_to_wait(&answer, Timestamp::from_seconds(NOW));
    let said = std::str::from_utf8(body).unwrap_or_default().trim_matches([' ', '\t']);
    let longest = Duration::from_secs(600);
    assert!(found.is_none_or(|found| found <= longest && matches!(status.as_u16(), 429 | 503)));
    if !said.is_empty() && said.trim_start_matches('0').len() < 20 && said.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = said.parse().map(Duration::from_secs).map_or(longest, |asked| asked.min(longest));
        assert!(found.is_none_or(|found| found == seconds), "{found:?} of {said:?}");
        assert_eq!(found.is_some(), matches!(status.as_u16(), 429 | 503));
    } else if found.is_some() && !said.bytes().all(|byte| byte.is_ascii_digit()) {
        // A date has a name of a month in it, and colons.
        assert!(said.len() >= 24 && said.matches(':').count() == 2, "{found:?} of {said:?}");
    }
}

/// RFC 9111 section 5.2.2, between five minutes and six hours, and an hour where nothing is said.
fn good_for(body: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in body.split(|byte| *byte == b'\n').take(4) {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(CACHE_CONTROL, value);
    }
    let found = answers::good_for(&headers).as_secs();
    assert!((300..=6 * 3600).contains(&found), "{found}");
    let Ok(text) = std::str::from_utf8(body) else { return };
    let directives = text
        .split('\n')
        .take(4)
        .flat_map(|line| line.split(','))
        .map(|one| one.trim_matches([' ', '\t']).to_ascii_lowercase());
    let directives: Vec<String> = directives.filter(|one| !one.is_empty()).collect();
    if headers.values().any(|value| value.to_str().is_err()) {
        return;
    }
    let ages: Vec<&str> = directives.iter().filter_map(|one| one.strip_prefix("max-age=")).collect();
    let plain = |age: &&str| (1..19).contains(&age.len()) && age.bytes().all(|byte| byte.is_ascii_digit());
    let expected = if directives.iter().any(|one| one == "no-store" || one == "no-cache") {
        Some(3600)
    } else {
        match &*ages {
            [] => Some(3600),
            [age] if plain(age) => age.parse::<u64>().ok().map(|age| age.clamp(300, 6 * 3600)),
            // A sign is no digit.
            [age] if !age.contains('"') && !age.bytes().all(|byte| byte.is_ascii_digit()) => Some(3600),
            _ => None,
        }
    };
    assert!(expected.is_none_or(|expected| expected == found), "{found} of {directives:?}");
}

/// A time as JSON has it, fractions cut off.
fn seconds(members: &Map<String, Value>, name: &str) -> Option<f64> {
    members.get(name).filter(|value| value.is_number()).and_then(Value::as_f64).map(f64::floor)
}

fn texts<'m>(members: &'m Map<String, Value>, name: &str) -> Vec<&'m str> {
    match members.get(name) {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect()
        }
        _ => Vec::new(),
    }
}

fn settings() -> &'static ProviderSettings {
    static SETTINGS: LazyLock<ProviderSettings> = LazyLock::new(|| ProviderSettings::new("idp", ISSUER, CLIENT));
    &SETTINGS
}

/// OIDC Core 3.1.3.7, what is not of the signature.
fn id_token(body: &[u8]) {
    let Ok(claims) = Claims::from_json(body) else { return };
    let read = answers::id_token(&claims, settings(), NONCE, Timestamp::from_seconds(NOW));
    let Some(members) = accepted(body) else { return };
    let at = |name: &str| seconds(&members, name);
    let (now, skew) = (NOW as f64, SKEW as f64);
    let audience = texts(&members, "aud");
    let sound = text(&members, "iss") == Some(ISSUER)
        && !audience.is_empty()
        && audience.iter().all(|one| *one == CLIENT)
        && (audience.len() == 1 || members.contains_key("azp"))
        && members.get("azp").is_none_or(|party| party == CLIENT)
        && at("exp").is_some_and(|at| now < at + skew)
        && at("iat").is_some_and(|at| at <= now + skew && at >= now - 900.0 - skew)
        && (!members.contains_key("nbf") || at("nbf").is_some_and(|at| at <= now + skew))
        && text(&members, "nonce") == Some(NONCE)
        && text(&members, "sub").is_some_and(|subject| (1..256).contains(&subject.len()));
    let Ok((subject, expires)) = read else { return };
    assert!(sound, "{members:?}");
    assert_eq!(text(&members, "sub"), Some(&*subject));
    let said = at("exp").unwrap();
    // Beyond what a clock can count both are far away.
    assert!(expires.seconds() as f64 == said || said.abs() > 9e15, "{expires:?} of {said}");
    // Its at_hash would have to fit an access token that is empty.
    assert!(members.get("at_hash").is_none_or(Value::is_string));
}

/// RFC 9068 section 4 and RFC 7662 section 2.2, what is not of the signature.
fn access_token(body: &[u8], signed: bool, any_type: bool) {
    static TERMS: LazyLock<Bearer> = LazyLock::new(|| Bearer {
        provider: "idp".into(),
        form: TokenForm::Jwt,
        audience: vec!["https://api.example".to_owned()],
        scopes: vec!["read".to_owned()],
        clients: vec!["tool".to_owned()],
        algorithms: SignatureAlgorithm::ALL.to_vec(),
        any_type: false,
        acr: None,
        cache: Duration::from_secs(30),
        forward: false,
    });
    let Ok(claims) = Claims::from_json(body) else { return };
    let terms = Bearer { any_type, ..TERMS.clone() };
    let read = answers::access_token(claims, signed, &terms, settings(), Timestamp::from_seconds(NOW));
    let Ok(facts) = read else { return };
    let Some(members) = accepted(body) else { return };
    let at = |name: &str| seconds(&members, name);
    let (now, skew) = (NOW as f64, SKEW as f64);
    let issuer = text(&members, "iss");
    assert!(issuer == Some(ISSUER) || !signed && !members.contains_key("iss"), "{members:?}");
    assert!(texts(&members, "aud").contains(&"https://api.example"), "{members:?}");
    assert!(at("exp").map_or(!signed && !members.contains_key("exp"), |at| now < at + skew), "{members:?}");
    for name in ["nbf", "iat"] {
        assert!(!members.contains_key(name) || at(name).is_some_and(|at| at <= now + skew), "{members:?}");
    }
    assert_eq!(text(&members, "sub"), facts.subject.as_deref());
    assert_eq!(facts.client.as_deref(), Some("tool"));
    assert!(
        ["client_id", "azp", "cid", "appid"].iter().any(|name| text(&members, name) == Some("tool")),
        "{members:?}"
    );
    assert!(!members.contains_key("cnf"), "{members:?}");
    let held = ["scope", "scp"].map(|name| texts(&members, name)).concat();
    assert!(held.iter().flat_map(|text| text.split(' ')).any(|scope| scope == "read"), "{members:?}");
    // Never in the future, and never somebody's who signed in later than now.
    assert!(facts.authenticated_at.is_none_or(|at| at.seconds() <= NOW));
    if signed && !any_type {
        assert!(["client_id", "iat", "jti", "sub"].iter().all(|name| members.contains_key(*name)), "{members:?}");
    }
    if signed && !any_type {
        // Its header says what it is.
        return;
    }
    let uses: Vec<&str> = ["typ", "token_use", "token_usage"].iter().filter_map(|name| text(&members, name)).collect();
    let are = |words: &[&str]| uses.iter().any(|said| words.iter().any(|word| said.eq_ignore_ascii_case(word)));
    assert!(!are(&["refresh", "refresh_token", "offline", "id", "id_token", "logout"]), "{members:?}");
    if signed && !are(&["bearer", "access", "access_token", "at+jwt", "application/at+jwt"]) {
        let others = ["nonce", "at_hash", "c_hash", "s_hash", "events"];
        let urn = uses.iter().any(|said| said.starts_with("urn:"));
        assert!(urn || others.iter().all(|name| members.get(*name).is_none_or(Value::is_null)), "{members:?}");
    }
}
