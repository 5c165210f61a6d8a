//! Reads what a policy shares with its application: passwords, bearer tokens, proofs. They come from files or the environment, never
//! from the policy itself.
//!
//! May touch: secrets only through the caller's closure; what is wrong with one is said without it. Trust boundary: the file is an
//! administrator's. Specification: RFC 6750 section 2.1 (bearer tokens).

use std::ops::Range;
use std::path::PathBuf;

use http::HeaderValue;

use crate::crypto::Secret;
use crate::policy::compile::Environment;
use crate::policy::encode::Carrier;
use crate::policy::header::{MAX_HEADER_VALUE, Source};
use crate::policy::reader::{Reading, Value};
use crate::reference;

/// Where a policy's secret lies; the caller of [`compile`](crate::policy::compile) reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, as written in the policy; relative to the policy file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
}

/// Why there is no secret where a policy names one.
#[derive(Clone, Debug)]
pub struct NoSecret {
    /// What was found.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// The secret that `value` names, called `what` in messages, and where its source stands.
pub(super) fn read(
    what: &'static str,
    value: &Value<'_>,
    environment: &Environment<'_>,
    reading: &mut Reading<'_>,
) -> Option<(Secret<String>, Range<usize>)> {
    let help = format!("keep it in a file: {what} = {{ file = \"app.{what}\" }}, or {{ env = \"NAME\" }}");
    let inline = |reading: &mut Reading<'_>, span: Range<usize>| {
        reading.hide(span);
        reading.error(format!("a {what} cannot stand in a policy"), value.span(), help.clone());
    };
    if value.get_ref().as_str().is_some() {
        inline(reading, value.span());
        return None;
    }
    let mut section = reading.section(value, what, &reference::policy::SECRET)?;
    if !section.lacks("value") {
        inline(reading, section.span());
        return None;
    }
    let (file, variable) = (section.text("file", reading), section.text("env", reading));
    section.finish(reading);
    let (source, span) = match (file, variable) {
        (Some(file), None) => (SecretSource::File(file.text.into()), file.span),
        (None, Some(variable)) => (SecretSource::Environment(variable.text.to_owned()), variable.span),
        _ => {
            reading.error(format!("a {what} comes from one of `file` and `env`"), value.span(), help);
            return None;
        }
    };
    match (environment.secrets)(&source) {
        Ok(secret) if secret.expose().chars().any(char::is_control) => {
            let help = "a file may end in one newline, no more";
            reading.error(format!("the {what} has a control character"), span, help);
            None
        }
        Ok(secret) => Some((secret, span)),
        Err(NoSecret { message, help }) => {
            reading.error(format!("there is no {what}: {message}"), span, help);
            None
        }
    }
}

/// A static bearer token: what the gateway shows for a signed-in person's requests.
pub(super) fn read_bearer(
    value: &Value<'_>,
    environment: &Environment<'_>,
    reading: &mut Reading<'_>,
) -> Option<Source> {
    let (token, span) = read("bearer", value, environment, reading)?;
    let text = token.expose();
    let body = text.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if body.is_empty() || !body.bytes().all(allowed) {
        let help = "a token has letters, digits and `-._~+/`, and `=` at the end; leave `Bearer` out";
        reading.error("the bearer is no token", span, help);
        return None;
    }
    let whole = zeroize::Zeroizing::new(format!("Bearer {text}"));
    shared(&whole, false, span, reading)
}

/// A secret that proves to the application that a request came through the gateway; it goes with every request.
pub(super) fn read_shared(
    value: &Value<'_>,
    carrier: Carrier,
    environment: &Environment<'_>,
    reading: &mut Reading<'_>,
) -> Option<Source> {
    let (secret, span) = read("secret", value, environment, reading)?;
    let text = secret.expose();
    if !text.is_ascii() || text.trim() != text || !carrier.carries(text.as_bytes()) {
        let help = "use printable ASCII without spaces at the ends; in a cookie no spaces, quotes, `,`, `;` or `\\`";
        reading.error("the secret cannot be sent as it is", span, help);
        return None;
    }
    shared(text, true, span, reading)
}

fn shared(text: &str, everybody: bool, span: Range<usize>, reading: &mut Reading<'_>) -> Option<Source> {
    match HeaderValue::try_from(text) {
        Ok(mut value) if text.len() <= MAX_HEADER_VALUE => {
            value.set_sensitive(true);
            Some(Source::Shared { value, everybody })
        }
        _ => {
            reading.error("the secret is too long", span, format!("at most {MAX_HEADER_VALUE} bytes can be sent"));
            None
        }
    }
}
