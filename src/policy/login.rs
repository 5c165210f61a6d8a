//! Reads what the logins at an application ask the provider for: `acr`, and `max_age`, `prompt` and `parameters` of `[login]`.
//!
//! May touch: nothing. Trust boundary: the file is an administrator's; what protects a login cannot be set.
//! Specification: OpenID Connect Core 3.1.2.1.

use std::time::Duration;

use super::reader::{Reading, Section, Text};
use crate::http::login_options;

/// What logins ask for, beside `acr`.
pub(super) struct Asking {
    pub(super) max_age: Option<Duration>,
    pub(super) prompt: Option<String>,
    pub(super) parameters: Vec<(String, String)>,
}

/// Reads it.
pub(super) fn read(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Asking {
    let max_age = section.duration("max_age", reading);
    let prompt = section.text("prompt", reading).and_then(|text| read_prompt(&text, reading));
    let parameters = section.section("parameters", reading).map(|inner| read_parameters(&inner, reading));
    Asking { max_age, prompt, parameters: parameters.unwrap_or_default() }
}

/// Reads authentication contexts; none where the key is not there. A request names them with spaces between, so one that is empty or has a space
/// would be asked for and never come.
pub(super) fn read_acr(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Option<Vec<String>> {
    let contexts = section.texts("acr", reading)?;
    for context in &contexts {
        if context.text.is_empty() || context.text.contains(|sign: char| sign.is_whitespace() || sign.is_control()) {
            let help = "write each as the provider names it: acr = [\"urn:okta:loa:2fa:any\"]";
            reading.error("an authentication context is empty or has a space", context.span.clone(), help);
        }
    }
    Some(contexts.iter().map(|context| context.text.to_owned()).collect())
}

fn read_prompt(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<String> {
    if login_options::is_prompt(text.text) {
        return Some(text.text.to_owned());
    }
    let message = format!("`prompt` is \"{}\"", text.text.escape_debug());
    reading.error(message, text.span.clone(), login_options::prompt_help(text.text));
    None
}

fn read_parameters(section: &Section<'_>, reading: &mut Reading<'_>) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    for (name, value) in section.in_order() {
        if let Some(help) = login_options::refused(name.text) {
            reading.error(format!("`parameters` sets \"{}\"", name.text.escape_debug()), name.span, help);
            continue;
        }
        let Some(text) = reading.text(value, name.text) else { continue };
        if login_options::is_value(text.text) {
            parameters.push((name.text.to_owned(), text.text.to_owned()));
        } else {
            let message = format!("`{}` is no value for a parameter", name.text);
            reading.error(message, text.span, "expected 1 to 512 bytes without control characters");
        }
    }
    parameters
}
