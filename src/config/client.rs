//! The part of `[providers.NAME]` that says how the gateway proves to be the client, and with what the provider signs.
//!
//! What is set and not used is a warning, what is needed and not there an error.
//!
//! May touch: the files that secrets and keys are read from. Trust boundary: the configuration, written by hand.
//! Specification: OpenID Connect Core section 9, RFC 7518 section 3.1.

use super::provider::{AssertionAudience, ClientAuth};
use super::reader::{Findings, Section};
use super::secrets;
use crate::crypto::{ClientKey, Secret, SignatureAlgorithm};
use crate::diagnostic::Diagnostic;

/// The words of `client_auth`.
pub(super) const METHODS: [(&str, ClientAuth); 5] = [
    ("basic", ClientAuth::Basic),
    ("post", ClientAuth::Post),
    ("client_secret_jwt", ClientAuth::SecretJwt),
    ("private_key_jwt", ClientAuth::PrivateKeyJwt),
    ("none", ClientAuth::None),
];

/// The words of `client_assertion_audience`.
pub(super) const AUDIENCES: [(&str, AssertionAudience); 2] =
    [("token_endpoint", AssertionAudience::TokenEndpoint), ("issuer", AssertionAudience::Issuer)];

/// Reads `client_secret`.
pub(super) fn secret(section: &Section<'_>, auth: ClientAuth, found: &mut Findings<'_>) -> Option<Secret<String>> {
    let needed = !matches!(auth, ClientAuth::None | ClientAuth::PrivateKeyJwt);
    match section.entry("client_secret") {
        Some(_) if !needed => unused("client_secret", section, auth, found),
        Some(entry) => secrets::read(&section.path("client_secret"), &entry.node, found),
        None if !needed => None,
        None => {
            let expected = "write client_secret = { file = \"…\" } or { env = \"…\" }, or client_auth = \"none\" for a public client";
            section.missing("client_secret", expected, found);
            None
        }
    }
}

/// Reads `client_key` and how it signs.
pub(super) fn key(section: &Section<'_>, auth: ClientAuth, found: &mut Findings<'_>) -> Option<ClientKey> {
    let algorithm = section.choice("client_key_algorithm", &words(), found);
    if auth != ClientAuth::PrivateKeyJwt {
        for key in ["client_key", "client_key_id", "client_key_algorithm"] {
            // A shared secret may have a name too.
            if key != "client_key_id" || auth != ClientAuth::SecretJwt {
                unused::<()>(key, section, auth, found);
            }
        }
        return None;
    }
    let Some(entry) = section.entry("client_key") else {
        section.missing("client_key", "write client_key = { file = \"…\" }, a PEM file with the private key", found);
        return None;
    };
    let text = secrets::read(&section.path("client_key"), &entry.node, found)?;
    match ClientKey::from_pem(text, algorithm) {
        Ok(key) => Some(key),
        Err(error) => {
            let message = format!("`{}` cannot be used: {error}", section.path("client_key"));
            found.error(
                &entry.node.origin,
                message,
                "make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
            );
            None
        }
    }
}

/// Reads `algorithms`.
pub(super) fn algorithms(section: &Section<'_>, found: &mut Findings<'_>) -> Vec<SignatureAlgorithm> {
    let names = SignatureAlgorithm::ALL.map(SignatureAlgorithm::name).join(", ");
    let mut algorithms = Vec::new();
    for text in section.texts("algorithms", "a list such as [\"RS256\", \"ES256\"]", found) {
        match SignatureAlgorithm::ALL.into_iter().find(|one| one.name() == text.value) {
            Some(algorithm) if !algorithms.contains(&algorithm) => algorithms.push(algorithm),
            Some(_) => {}
            None => {
                let why = if text.value.eq_ignore_ascii_case("none") || text.value.starts_with("HS") {
                    "never accepted: whoever knows the secret, or nothing at all, could make such tokens"
                } else {
                    "not known"
                };
                let message = format!("`{}` holds \"{}\"", section.path("algorithms"), text.value.escape_debug());
                found.error(text.origin, message, format!("{why}; expected some of {names}"));
            }
        }
    }
    if let Some(entry) = section.entry("algorithms").filter(|entry| is_empty(&entry.node)) {
        let message = format!("`{}` is empty: no token could be accepted", section.path("algorithms"));
        found.error(&entry.node.origin, message, "leave it away for all that the provider publishes");
    }
    algorithms
}

fn is_empty(node: &super::source::Node) -> bool {
    matches!(&node.value, super::source::Value::List(items) if items.is_empty())
}

fn words() -> [(&'static str, SignatureAlgorithm); SignatureAlgorithm::ALL.len()] {
    SignatureAlgorithm::ALL.map(|algorithm| (algorithm.name(), algorithm))
}

fn unused<T>(key: &str, section: &Section<'_>, auth: ClientAuth, found: &mut Findings<'_>) -> Option<T> {
    let word = METHODS.iter().find(|(_, method)| *method == auth).map(|(word, _)| *word).unwrap_or_default();
    if let Some(entry) = section.entry(key) {
        let warning = Diagnostic::warning(format!("`{}` is not used", section.path(key)));
        found.note(&entry.key, warning.label(format!("`client_auth` is \"{word}\"")));
    }
    None
}
