//! One case of the tables: what it changes, as a script for the provider and as the browser's way back.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::harness::keys::{KEYS, Signing};
use crate::harness::provider::{Answer, Claim, Script};
use crate::harness::site::{ada, parameter};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

/// The members are told in the heads of the tables.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) rests_on: String,
    pub(super) reason: String,
    #[serde(default)]
    claims: Map<String, Value>,
    #[serde(default)]
    without: Vec<String>,
    #[serde(default)]
    at: Map<String, Value>,
    #[serde(default)]
    header: Map<String, Value>,
    payload: Option<String>,
    id_token: Option<String>,
    #[serde(default)]
    signing: String,
    response: Option<String>,
    token_type: Option<String>,
    token_answer: Option<Says>,
    userinfo_answer: Option<Says>,
    #[serde(default)]
    pub(super) metadata: Map<String, Value>,
    discovery_answer: Option<Says>,
    jwks_answer: Option<Says>,
}

/// What an endpoint answers.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Says {
    status: Option<u16>,
    body: Option<String>,
    kind: Option<String>,
    redirect: Option<String>,
    huge: Option<usize>,
}

impl Says {
    fn answer(&self) -> Answer {
        match (self.huge, &self.redirect, self.status, &self.body) {
            (Some(length), ..) => Answer::Huge(length),
            (_, Some(address), ..) => Answer::Redirect(address.clone()),
            (_, _, Some(status), Some(body)) => {
                Answer::Says(status, leak(self.kind.as_deref().unwrap_or("application/json")), body.clone())
            }
            (_, _, Some(status), None) => Answer::Status(status),
            _ => panic!("an answer without anything"),
        }
    }
}

/// The cases of one table.
pub(super) fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/hostile-provider/{file}.toml"));
    let table: Table = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    table.case
}

/// The harness takes names that live for ever; a test process does not live long.
fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

fn long() -> String {
    "a".repeat(100_000)
}

/// A value with its placeholders filled in.
fn filled(value: &Value, issuer: &str) -> Value {
    match value {
        Value::String(text) if text == "{null}" => Value::Null,
        Value::String(text) if text == "{stranger}" => KEYS.stranger_jwk("rsa"),
        Value::String(text) => text.replace("{issuer}", issuer).replace("{long}", &long()).into(),
        Value::Array(items) => items.iter().map(|item| filled(item, issuer)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.replace("{issuer}", issuer), filled(value, issuer))).collect()
        }
        other => other.clone(),
    }
}

impl Case {
    /// What the provider does; `issuer` is its own.
    pub(super) fn script(&self, issuer: &str) -> Script {
        let set = self.claims.iter().map(|(name, value)| Claim::Set(leak(name), filled(value, issuer)));
        let at = self.at.iter().map(|(name, seconds)| Claim::At(leak(name), seconds.as_i64().unwrap()));
        let removed = self.without.iter().map(|name| Claim::Remove(leak(name)));
        let answer = |says: &Option<Says>| says.as_ref().map(Says::answer).unwrap_or_default();
        let text = |text: &String| text.replace("{issuer}", issuer).replace("{long}", &long());
        Script {
            person: ada(),
            claims: set.chain(at).chain(removed).collect(),
            payload: self.payload.as_ref().map(text),
            id_token: self.id_token.as_ref().map(text),
            header: self.header.iter().map(|(name, value)| (name.clone(), filled(value, issuer))).collect(),
            signing: self.signing(),
            token_type: self.token_type.as_deref().map(leak),
            metadata: self.metadata.iter().map(|(name, value)| (name.clone(), filled(value, issuer))).collect(),
            token_answer: answer(&self.token_answer),
            userinfo_answer: answer(&self.userinfo_answer),
            discovery_answer: answer(&self.discovery_answer),
            jwks_answer: answer(&self.jwks_answer),
            ..Script::default()
        }
    }

    fn signing(&self) -> Signing {
        match self.signing.as_str() {
            "" => Signing::Rs256,
            "none" => Signing::Unsigned,
            "client-secret" => Signing::ClientSecret,
            "public-key-as-secret" => Signing::PublicKeyAsSecret,
            "stranger" => Signing::Stranger,
            "broken" => Signing::Broken,
            "empty" => Signing::EmptySignature,
            other => panic!("unknown signing {other}"),
        }
    }

    /// Whether the browser comes back with an error.
    pub(super) fn is_error(&self) -> bool {
        self.response.as_ref().is_some_and(|query| query.contains("&error="))
    }

    /// With what the browser comes back, made of the sound address.
    pub(super) fn callback(&self, back: &str) -> String {
        let Some(response) = &self.response else { return back.to_owned() };
        let encoded = |name: &str| {
            let value = parameter(back, name).unwrap();
            url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>()
        };
        let query = response.replace("{code}", &encoded("code")).replace("{state}", &encoded("state"));
        let query = query.replace("{iss}", &encoded("iss")).replace("{long}", &"a".repeat(9_000));
        format!("{}?{query}", back.split_once('?').unwrap().0)
    }
}
