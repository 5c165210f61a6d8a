//! Reads the forms of a value that are more than one text: lists, JSON, Basic credentials, signed assertions.
//!
//! May touch: secrets only through the caller's closure. Trust boundary: the file is an administrator's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{any_template, secret, template};
use crate::policy::compile::Environment;
use crate::policy::expression::{Expression, Kind};
use crate::policy::header::{Assertion, Contains, OWN_CLAIMS, Source};
use crate::policy::reader::{Reading, Section, Text, Value};
use crate::policy::template::Template;
use crate::reference;

/// How long an assertion lives where the policy does not say.
const TTL: Duration = Duration::from_secs(120);

const CONTAINS: [(&str, Contains); 3] =
    [("deny", Contains::Deny), ("percent", Contains::Percent), ("quote", Contains::Quote)];

pub(super) fn read_list(value: &Value<'_>, section: &mut Section<'_>, reading: &mut Reading<'_>) -> Option<Source> {
    let separator = section.text("separator", reading);
    if let Some(separator) = &separator
        && (separator.text.is_empty() || separator.text.len() > 8 || separator.text.chars().any(char::is_control))
    {
        let help = "for example \",\" or \";\"";
        reading.error("`separator` is 1 to 8 bytes without control characters", separator.span.clone(), help);
    }
    let contains = section.word("contains", &CONTAINS, reading).unwrap_or_default();
    if let Some(separator) = &separator
        && contains == Contains::Quote
        && separator.text.contains(['"', '\\'])
    {
        let message = "with `contains = \"quote\"` the separator cannot have a quote or a backslash";
        reading.error(message, separator.span.clone(), "for example \",\" or \";\"");
    }
    if let Some(separator) = &separator
        && contains == Contains::Percent
        && separator.text.contains(|character: char| character == '%' || character.is_ascii_hexdigit())
    {
        let message = "with `contains = \"percent\"` the separator cannot have `%`, digits or the letters a to f";
        reading.error(message, separator.span.clone(), "escapes are made of them; for example \",\" or \";\"");
    }
    let text = reading.text(value, "list")?;
    let list = expression(&text, "list", "${user.groups}", reading)?;
    if let Some(kind) = list.kind().filter(|kind| *kind != Kind::List) {
        let help = "use `value` for a text";
        reading.error(format!("`list` needs a list, this is {kind}"), text.span, help);
        return None;
    }
    let separator = separator.map_or(",", |separator| separator.text).into();
    Some(Source::List { list, separator, contains })
}

pub(super) fn read_json(value: &Value<'_>, reading: &mut Reading<'_>) -> Option<Source> {
    let text = reading.text(value, "json")?;
    expression(&text, "json", "${user.address}", reading).map(Source::Json)
}

/// One expression and nothing beside it.
fn expression(text: &Text<'_>, key: &str, example: &str, reading: &mut Reading<'_>) -> Option<Expression> {
    let expression = any_template(text, reading)?.into_single();
    if expression.is_none() {
        let help = format!("write one expression: {key} = \"{example}\"");
        reading.error(format!("`{key}` is more than one expression"), text.span.clone(), help);
    }
    expression
}

pub(super) fn read_basic(
    value: &Value<'_>,
    environment: &Environment<'_>,
    reading: &mut Reading<'_>,
) -> Option<Source> {
    let mut section = reading.section(value, "basic", &reference::policy::BASIC)?;
    let user = section.text("user", reading);
    let password = section.value("password");
    let span = section.span();
    section.finish(reading);
    if user.is_none() || password.is_none() {
        let help = "basic = { user = \"${user.preferred_username}\", password = { file = \"app.password\" } }";
        reading.error("`basic` needs `user` and `password`", span, help);
    }
    let user = user.and_then(|user| template(&user, reading));
    let password = password.and_then(|password| secret::read("password", password, environment, reading));
    Some(Source::Basic { user: user?, password: password?.0 })
}

pub(super) fn read_jwt(value: &Value<'_>, environment: &Environment<'_>, reading: &mut Reading<'_>) -> Option<Source> {
    let mut section = reading.section(value, "jwt", &reference::policy::JWT)?;
    let span = section.span();
    let audience = section.texts("audience", reading).unwrap_or_default();
    let issuer = section.text("issuer", reading);
    let subject = section.text("subject", reading);
    let claims = section.texts("claims", reading).unwrap_or_default();
    let ttl = read_ttl(&mut section, reading);
    if audience.is_empty() || audience.iter().any(|one| one.text.is_empty()) {
        let help = "name the application, for example audience = \"royalty\"; it checks that a token is meant for it";
        reading.error("`jwt` needs an `audience`", span.clone(), help);
    }
    section.finish(reading);
    let subject = match subject {
        Some(text) => Some(read_subject(&text, reading)?),
        None => None,
    };
    for text in &claims {
        reading.note_claims(text, std::iter::once((text.text, 0..text.text.len())));
    }
    let claims = read_claims(&claims, reading);
    let Some(keys) = environment.identity else {
        let help = "set `state` in lychgate.toml to have a key made there, or give `[identity]` one";
        reading.error("there is no key to sign with", span, help);
        return None;
    };
    Some(Source::Assertion(Assertion {
        keys: Arc::clone(keys),
        audience: audience.iter().map(|one| one.text.into()).collect(),
        issuer: issuer.map(|issuer| issuer.text.into()),
        subject,
        claims,
        ttl: ttl.unwrap_or(TTL),
    }))
}

fn read_ttl(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Option<Duration> {
    let text = section.value("ttl")?;
    let ttl = section.duration("ttl", reading)?;
    if !reference::policy::TTL.contains(&ttl) || ttl.subsec_nanos() != 0 {
        let (least, most) = reference::policy::TTL.into_inner();
        let (least, most) = (humantime::format_duration(least), humantime::format_duration(most));
        reading.error(
            format!("`ttl` is {}", humantime::format_duration(ttl)),
            text.span(),
            format!("expected {least} to {most}, in whole seconds"),
        );
        return None;
    }
    Some(ttl)
}

/// Who the token is about: a text that only the person decides, so that a token can be used for all of their requests.
fn read_subject(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<Template> {
    let subject = template(text, reading)?;
    if subject.expressions().any(|expression| expression.is_per_request()) {
        let help = "a token is made for a person, not for a request; use `user` and `session` only";
        reading.error("`subject` reads the request or the time", text.span.clone(), help);
        return None;
    }
    Some(subject)
}

fn read_claims(texts: &[Text<'_>], reading: &mut Reading<'_>) -> Vec<Box<str>> {
    let mut seen = BTreeSet::new();
    for text in texts {
        if OWN_CLAIMS.contains(&text.text) {
            let help = "`subject`, `audience`, `issuer` and `ttl` say what stands in the gateway's own claims";
            reading.error(format!("the claim `{}` is the gateway's own", text.text), text.span.clone(), help);
        } else if text.text.is_empty() || !seen.insert(text.text) {
            let message = format!(
                "the claim `{}` cannot stand here{}",
                text.text,
                if text.text.is_empty() { "" } else { " twice" }
            );
            reading.error(message, text.span.clone(), "name each claim once");
        }
    }
    texts.iter().map(|text| text.text.into()).collect()
}
