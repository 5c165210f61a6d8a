//! Addresses with a user name or a password in them (`https://joe:…@idp.example`), of which no message may show the text.
//!
//! They are looked for in every string of a file, since a key may be misspelt or one that nobody knows. What only looks like one is hidden as
//! well: an error in doubt names its line, and does not show it.
//!
//! May touch: nothing but memory. Trust boundary: the file is an administrator's, who reads messages elsewhere (a log, a page).
//! Specification: RFC 3986 section 3.2.1 (user information), as the URL Standard reads it.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use url::Url;

use super::nearest;

/// Keys under which addresses stand. An `@` there ends a password, unless it is in the path.
const ADDRESS_KEYS: [&str; 3] = ["issuer", "jwks_uri", "upstream"];

/// Schemes of addresses in which the `@` ends no user information.
const NO_NAMES: [&str; 5] = ["mailto", "acct", "sip", "sips", "xmpp"];

/// A message without the user information of addresses that it quotes.
pub fn without(message: String) -> String {
    if !message.contains('@') {
        return message;
    }
    // What is quoted is one text, whatever stands in it.
    let message = ['`', '"'].into_iter().fold(message, |message, quote| {
        // With a quote in it nobody knows where it ends; it is all that lies between the first one and the last.
        if message.matches(quote).count() % 2 == 1
            && let Some((before, (quoted, behind))) =
                message.split_once(quote).and_then(|(before, rest)| Some((before, rest.rsplit_once(quote)?)))
            && let Some((_, host)) = quoted.rsplit_once('@').filter(|_| stand_in("", quoted))
        {
            return format!("{before}{quote}***@{host}{quote}{behind}");
        }
        let parts = message.split(quote).enumerate().map(|(at, part)| match part.rsplit_once('@') {
            Some((_, host)) if at % 2 == 1 && stand_in("", part) => format!("***@{host}"),
            _ => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join(&quote.to_string())
    });
    let is_edge = |character: char| character.is_whitespace() || "\"'`<>(){}[]|,;".contains(character);
    let mut said = String::with_capacity(message.len());
    for part in message.split_inclusive(is_edge) {
        let word = part.trim_end_matches(is_edge);
        match word.rsplit_once('@') {
            Some((_, host)) if stand_in("", word) => {
                said.push_str("***@");
                said.push_str(host);
                said.push_str(part.strip_prefix(word).unwrap_or_default());
            }
            _ => said.push_str(part),
        }
    }
    said
}

/// The bytes of all strings in `table` that hold such an address.
pub fn spans(table: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    visit_table(table, &mut spans);
    spans
}

fn visit_table(table: &DeTable<'_>, spans: &mut Vec<Range<usize>>) {
    for (key, value) in table.iter() {
        if stand_in("", key.get_ref()) {
            spans.push(key.span());
        }
        visit(key.get_ref(), value, spans);
    }
}

/// An element of a list has its list's key.
fn visit(key: &str, value: &Spanned<DeValue<'_>>, spans: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::String(text) if stand_in(key, text) => spans.push(value.span()),
        DeValue::Array(items) => items.iter().for_each(|item| visit(key, item, spans)),
        DeValue::Table(table) => visit_table(table, spans),
        _ => {}
    }
}

/// Whether the text under `key` holds a user name or a password, or could be meant to.
pub fn stand_in(key: &str, text: &str) -> bool {
    if !text.contains('@') {
        return false;
    }
    let is_web = |scheme: &str| matches!(scheme, "http" | "https");
    match Url::parse(text) {
        Ok(url) if !url.username().is_empty() || url.password().is_some() => true,
        Ok(url) if is_web(url.scheme()) => false,
        // A password with a `/`, say, makes it no address any more.
        _ => {
            nearest(key, ADDRESS_KEYS).is_some()
                || text.split_once(':').is_some_and(|(scheme, _)| is_web(scheme))
                || text.split("//").skip(1).any(|rest| authority(rest).contains('@'))
                || authority(text).split_once(':').is_some_and(|(name, password)| {
                    password.contains('@') && !NO_NAMES.iter().any(|scheme| name.eq_ignore_ascii_case(scheme))
                })
        }
    }
}

/// What stands before the path of an address without its scheme.
fn authority(text: &str) -> &str {
    let ends = |character: char| character.is_whitespace() || matches!(character, '/' | '\\' | '?' | '#');
    text.split(ends).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r17_what_could_be_a_password_in_an_address_is_found() {
        for (key, text, found) in [
            ("x", "https://joe:pw@idp.example", true),
            ("x", "https://joe@idp.example/", true),
            ("x", "https:/joe:pw@idp.example", true),
            ("x", "https://joe:p/w@idp.example", true),
            ("x", "ftp://joe:pw@", true),
            ("x", "//joe:pw@idp.example", true),
            ("x", "joe:pw@idp.example:8443", true),
            ("x", "see https://joe:pw@idp.example", true),
            ("x", "https://idp.example/realms/a@b", false),
            ("x", "joe@idp.example", false),
            ("x", "write to: joe@idp.example", false),
            ("x", "user.email.endsWith('@idp.example') ? 'a:b@c' : ''", false),
            ("x", "https://idp.example", false),
            ("isuer", "pw@idp.example", true),
            ("upstream", "https://idp.example/realms/a@b", false),
            ("x", "mailto:it@idp.example", false),
            ("x", "ACCT:ada@idp.example", false),
        ] {
            assert_eq!(stand_in(key, text), found, "{key} = {text}");
        }
    }

    #[test]
    fn r17_messages_quote_addresses_without_passwords() {
        for (message, said) in [
            ("`https://joe:pw@app.localhost` is no host name", "`***@app.localhost` is no host name"),
            ("it holds \"http://joe:p@w@10.0.0.1/8\", which", "it holds \"***@10.0.0.1/8\", which"),
            ("joe:pw@x", "***@x"),
            (
                "it is no address: \"http://joe:a\" hunter2@10.0.0.1:9\", and so on",
                "it is no address: \"***@10.0.0.1:9\", and so on",
            ),
            ("`https://joe:p,w@app` and `https://joe:p(;w@app`", "`***@app` and `***@app`"),
            ("it holds \"http://joe:p w@10.0.0.1\", and so on", "it holds \"***@10.0.0.1\", and so on"),
            (
                "write domainOf(user.email) == 'gmr.example': exactly one `@`",
                "write domainOf(user.email) == 'gmr.example': exactly one `@`",
            ),
            (
                "`https://idp.example/realms/a@b` and mailto:it@gmr.example",
                "`https://idp.example/realms/a@b` and mailto:it@gmr.example",
            ),
        ] {
            assert_eq!(without(message.to_owned()), said);
        }
    }
}
