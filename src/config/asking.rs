//! The part of `[providers.NAME]` that says what every login asks for.
//!
//! May touch: nothing. Trust boundary: the configuration, written by hand; what protects a login cannot be set.
//! Specification: OpenID Connect Core 3.1.2.1.

use std::time::Duration;

use super::reader::{Findings, Section};
use crate::http::login_options;
use crate::reference;

/// What the logins at a provider ask for, where a policy does not say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    /// Authentication contexts that would be liked; what was reached is not checked.
    pub acr_values: Vec<String>,
    /// How old the authentication may be; checked.
    pub max_age: Option<Duration>,
    /// What the provider shows: `login`, `consent`, `select_account`, `create`, or several of them.
    pub prompt: Option<String>,
    /// The languages of its pages, best first.
    pub ui_locales: Vec<String>,
    /// Further parameters of the authorization request; never one that the gateway sets itself.
    pub parameters: Vec<(String, String)>,
}

/// Reads `acr_values`, `max_age`, `prompt`, `ui_locales` and `parameters`.
pub(super) fn read(section: &Section<'_>, found: &mut Findings<'_>) -> Asking {
    Asking {
        acr_values: words("acr_values", |text| !text.contains(char::is_whitespace), section, found),
        max_age: section.duration("max_age", found),
        prompt: prompt(section, found),
        ui_locales: words("ui_locales", login_options::is_language, section, found),
        parameters: parameters(section, found),
    }
}

fn words(key: &str, good: impl Fn(&str) -> bool, section: &Section<'_>, found: &mut Findings<'_>) -> Vec<String> {
    let mut words = Vec::new();
    for text in section.texts(key, "a list of strings", found) {
        if good(text.value) && login_options::is_value(text.value) {
            words.push(text.value.to_owned());
        } else {
            let message = format!("`{}` holds \"{}\"", section.path(key), text.value.escape_debug());
            found.error(text.origin, message, "expected one value in each string, without spaces");
        }
    }
    words
}

fn prompt(section: &Section<'_>, found: &mut Findings<'_>) -> Option<String> {
    let text = section.text("prompt", "words such as \"select_account\"", found)?;
    if login_options::is_prompt(text.value) {
        return Some(text.value.to_owned());
    }
    let message = format!("`{}` is \"{}\"", section.path("prompt"), text.value.escape_debug());
    found.error(text.origin, message, login_options::prompt_help(text.value));
    None
}

fn parameters(section: &Section<'_>, found: &mut Findings<'_>) -> Vec<(String, String)> {
    let Some(entry) = section.entry("parameters") else { return Vec::new() };
    let path = section.path("parameters");
    let table = Section::open(&path, &entry.node, &entry.key, &reference::gateway::PARAMETERS, found);
    let mut parameters = Vec::new();
    for (name, entry) in table.entries() {
        if let Some(help) = login_options::refused(name) {
            found.error(&entry.key, format!("`{path}` sets \"{}\"", name.escape_debug()), help);
            continue;
        }
        let Some(text) = table.text(name, "a string", found) else { continue };
        if login_options::is_value(text.value) {
            parameters.push((name.to_owned(), text.value.to_owned()));
        } else {
            let message = format!("`{}` is no value for a parameter", table.path(name));
            found.error(text.origin, message, "expected 1 to 512 bytes without control characters");
        }
    }
    parameters
}
