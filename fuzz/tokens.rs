//! What providers write: claims, tokens, hooks, metadata and key sets; and callbacks, which browsers bring from them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lychgate::claims::{ClaimValue, Claims};
use lychgate::clock::Timestamp;
use lychgate::crypto::SignatureAlgorithm;
use lychgate::oidc::{self, CallbackParams, UnverifiedJwt};
use serde_json::Value;
use serde_json::value::RawValue;

use super::text;

/// What was accepted, as `serde_json` reads it. None where some of it is more than it can hold (a number without bounds, half a surrogate, a
/// hundred arrays in each other, other bytes than UTF-8), in what nobody reads: of that there is no judging. It is an object all the same.
pub(super) fn judged(json: &[u8]) -> Option<Value> {
    match serde_json::from_slice(json) {
        Ok(value) => Some(value),
        Err(error) => {
            let text = String::from_utf8_lossy(json);
            let members = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(&text);
            assert!(members.is_ok(), "{error}: {text:?}");
            None
        }
    }
}

/// What a callback says is what the URL standard's parser finds, each once (R07); and what nobody can misread is read.
pub(crate) fn callback(data: &[u8]) {
    const ONCE: [&str; 7] = ["state", "code", "iss", "error", "error_description", "error_uri", "session_state"];
    let Some(text) = text(data) else { return };
    let pairs: Vec<_> = url::form_urlencoded::parse(data).collect();
    let all =
        |wanted: &str| pairs.iter().filter(|(name, _)| name == wanted).map(|(_, value)| &**value).collect::<Vec<_>>();
    let once = ONCE.iter().all(|name| all(name).len() <= 1);
    let Ok(params) = CallbackParams::parse(text) else {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"&=_-.".contains(byte);
        return assert!(!once || !data.iter().all(plain) || data.len() > oidc::MAX_RESPONSE, "{text:?} is refused");
    };
    assert!(once, "{text:?}");
    let value = |name: &str| all(name).first().copied().filter(|value| !value.is_empty());
    let said = params.said();
    assert_eq!([params.state(), params.error_description()], [value("state"), value("error_description")]);
    assert_eq!([said.code, said.iss], [value("code"), value("iss")], "{text:?}");
    let known =
        said.error.filter(|error| *error != oidc::ProviderErrorCode::Other).map(oidc::ProviderErrorCode::as_str);
    assert!(
        said.error.is_some() == value("error").is_some() && (known.is_none() || known == value("error")),
        "{text:?}"
    );
}

/// Claims say what the JSON says, numbers to the letter; of a name that stands twice the last value.
pub(crate) fn claims(data: &[u8]) {
    let Ok(claims) = Claims::from_json(data) else { return };
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(data).unwrap();
    assert!(claims.iter().map(|(name, _)| name).eq(members.keys()), "{members:?}");
    for (name, value) in claims.iter() {
        assert_eq!(claims.value(name), Some(value));
        says(value, &members[name]);
    }
}

fn says(value: &ClaimValue, raw: &RawValue) {
    let raw = raw.get().trim();
    match value {
        ClaimValue::Null => assert_eq!(raw, "null"),
        ClaimValue::Bool(said) => assert_eq!(raw, said.to_string()),
        ClaimValue::Number(text) => {
            assert!(raw == text.as_str() && raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()));
        }
        ClaimValue::Text(text) => assert_eq!(serde_json::from_str::<String>(raw).unwrap(), text.as_str()),
        ClaimValue::List(items) => {
            let raws: Vec<Box<RawValue>> = serde_json::from_str(raw).unwrap();
            assert_eq!(raws.len(), items.len());
            items.iter().zip(&raws).for_each(|(item, raw)| says(item, raw));
        }
        ClaimValue::Object(members) => {
            let raws: BTreeMap<Box<str>, Box<RawValue>> = serde_json::from_str(raw).unwrap();
            assert!(raws.keys().eq(members.keys()));
            members.iter().for_each(|(name, value)| says(value, &raws[name]));
        }
    }
}

/// A JWT is three parts, each spelled in one way only, or it is refused.
pub(crate) fn access_token(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let parse = |text: &str| UnverifiedJwt::parse(text, &SignatureAlgorithm::ALL, true).map(drop);
    if parse(text).is_ok() {
        assert_eq!(text.split('.').count(), 3);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')));
        assert!(parse(&format!("{text}=")).is_err() && parse(&format!("{text}.")).is_err());
    }
}

/// A logout token that is read has a time, a person and the event, as its payload says, and is no ID token.
pub(crate) fn logout_token(data: &[u8]) {
    const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
    let now = Timestamp::from_seconds(1_795_000_000);
    let Some(text) = text(data) else { return };
    let Ok(read) = oidc::read_logout_token_unsigned(text, now) else { return };
    assert!((read.sid.is_some() || read.subject.is_some()) && !read.jti.is_empty());
    let payload = URL_SAFE_NO_PAD.decode(text.split('.').nth(1).unwrap()).unwrap();
    let Some(payload) = judged(&payload) else { return };
    let at = |name: &str| payload[name].as_f64().unwrap();
    assert!(at("iat").floor() <= 1_795_000_000.0 && at("iat").floor() >= 1_795_000_000.0 - 600.0, "{payload}");
    assert!(at("exp").floor() > 1_795_000_000.0, "{payload}");
    assert!(payload.get("nonce").is_none() && payload["events"][EVENT].is_object(), "{payload}");
    let texts = [("jti", Some(&*read.jti)), ("sid", read.sid.as_deref()), ("sub", read.subject.as_deref())];
    assert!(texts.iter().all(|(name, said)| payload.get(name).and_then(Value::as_str) == *said), "{payload}");
}

/// An event token is refused, or says of whom something is asked.
pub(crate) fn event_token(data: &[u8]) {
    let now = Timestamp::from_seconds(1_795_000_000);
    let read = text(data).map(|text| oidc::read_security_event_unsigned(text, "https://idp.example", now));
    if let Some(Ok(read)) = read {
        assert!(!read.jti.is_empty() && read.asked.iter().all(|asked| asked.before <= now));
    }
}

/// A hook is refused, or every event in it has an identifier, and means only users whom it names.
pub(crate) fn okta_hook(data: &[u8]) {
    let Some(events) = oidc::okta_hook::read(data) else { return };
    let Some(hook) = judged(data) else { return };
    let said = hook["data"]["events"].as_array().unwrap();
    assert!(events.len() == said.len() && events.len() <= 500);
    for (event, said) in events.iter().zip(said) {
        assert!(!event.uuid.is_empty() && said["uuid"] == *event.uuid, "{said}");
        let targets = said["target"].as_array().into_iter().flatten();
        let users = targets.chain([&said["actor"]]).filter(|party| party["type"] == "User");
        let users: Vec<&str> = users.filter_map(|party| party["id"].as_str()).collect();
        assert!(event.people.iter().all(|person| !person.is_empty() && users.contains(&&**person)), "{said}");
    }
}

/// Metadata are refused, or are an object of this issuer that names encrypted addresses alone.
pub(crate) fn metadata(data: &[u8]) {
    if let Ok(addresses) = oidc::usable_metadata(data, "https://idp.example") {
        let Some(said) = judged(data) else { return };
        assert_eq!(said.get("issuer").and_then(Value::as_str), Some("https://idp.example"), "{said}");
        assert!(addresses.len() >= 3 && addresses.iter().all(|address| address.scheme() == "https"), "{addresses:?}");
    }
}

/// A key set is refused, or has no more keys than such members as may verify something, and none that is secret.
pub(crate) fn key_set(data: &[u8]) {
    let Ok(count) = oidc::usable_keys(data) else { return };
    let Some(set) = judged(data) else { return };
    let keys = set.get("keys").and_then(Value::as_array).unwrap();
    let public = |key: &&Value| {
        let members: &[&str] = match key["kty"].as_str() {
            Some("RSA") => &["n", "e"],
            Some("EC") => &["crv", "x", "y"],
            Some("OKP") => &["crv", "x"],
            _ => return false,
        };
        members.iter().all(|name| key[name].is_string()) && key.get("use").is_none_or(|usage| usage != "enc")
    };
    assert!(count <= 64 && count <= keys.iter().filter(public).count(), "{count} of {set}");
}
