//! What an administrator may put into an authorization request, and what is the gateway's own to say.
//!
//! Used by the configuration and by policies, so that both refuse the same.
//!
//! May touch: nothing. Trust boundary: an administrator's files. Specification: OpenID Connect Core 3.1.2.1, RFC 6749 section 4.1.1,
//! RFC 7636 section 4.3, RFC 9101, RFC 9126.

/// Why some parameters cannot be set.
pub const OWN: &str = "the gateway sets it itself, or it would weaken the login";

/// Parameters for which there is a key of its own, and its name.
const KEYS: [(&str, &str); 7] = [
    ("acr_values", "acr_values"),
    ("client_id", "client_id"),
    ("max_age", "max_age"),
    ("prompt", "prompt"),
    ("response_mode", "response_mode"),
    ("scope", "scopes"),
    ("ui_locales", "ui_locales"),
];

/// Parameters of the protocol that nobody sets.
const FIXED: [&str; 20] = [
    "authorization_details",
    "client_assertion",
    "client_assertion_type",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "dpop_jkt",
    "error",
    "grant_type",
    "id_token_hint",
    "iss",
    "nonce",
    "redirect_uri",
    "registration",
    "request",
    "request_uri",
    "response_type",
    "state",
];

/// What `prompt` may say. `none` is not among it: nobody could ever sign in.
pub const PROMPTS: [&str; 4] = ["login", "consent", "select_account", "create"];

/// Whether a parameter is the gateway's own.
pub fn is_own(name: &str) -> bool {
    FIXED.contains(&name) || KEYS.iter().any(|(own, _)| *own == name)
}

/// The key that says what a parameter would.
pub fn key_for(name: &str) -> Option<&'static str> {
    KEYS.iter().find(|(own, _)| *own == name).map(|(_, key)| *key)
}

/// Why a parameter of this name cannot be set, and what to do; none where it can.
pub fn refused(name: &str) -> Option<String> {
    if let Some(key) = key_for(name) {
        return Some(format!("write `{key}` instead, which the gateway knows"));
    }
    if is_own(name) {
        return Some(format!("it cannot be set: {OWN}"));
    }
    let help = "a parameter's name is 1 to 64 letters, digits, `_`, `-`, `.` and `:`";
    (!is_name(name)).then(|| help.to_owned())
}

/// What to write in place of a `prompt` that is none.
pub fn prompt_help(found: &str) -> String {
    let words = PROMPTS.join(", ");
    if found.split(' ').any(|word| word == "none") {
        format!("with `none` nobody could ever sign in; expected one or more of {words}")
    } else {
        format!("expected one or more of {words}, with one space between")
    }
}

/// Whether it can be the name of a parameter: 1 to 64 letters, digits, `_`, `-`, `.` and `:`.
pub fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(good)
}

/// Whether it can be the value of one: 1 to 512 bytes without control characters.
pub fn is_value(value: &str) -> bool {
    (1..=512).contains(&value.len()) && !value.contains(char::is_control)
}

/// Whether it can be a `prompt`: words of [`PROMPTS`], each once, with one space between two.
pub fn is_prompt(text: &str) -> bool {
    let words: Vec<&str> = text.split(' ').collect();
    let known = words.iter().all(|word| PROMPTS.contains(word));
    known && words.iter().enumerate().all(|(place, word)| !words.iter().skip(place + 1).any(|other| other == word))
}

/// Whether it can be a language as BCP 47 writes it: letters, digits and `-`.
pub fn is_language(text: &str) -> bool {
    (2..=35).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && text.split('-').all(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r11_nobody_sets_what_protects_a_login() {
        for own in ["state", "nonce", "code_challenge", "redirect_uri", "response_type", "scope", "prompt", "request"] {
            assert!(is_own(own), "{own}");
        }
        for free in ["login_hint", "domain_hint", "hd", "kc_idp_hint", "claims", "audience", "resource"] {
            assert!(!is_own(free) && is_name(free), "{free}");
        }
        assert_eq!((key_for("scope"), key_for("state")), (Some("scopes"), None));
    }

    #[test]
    fn odd_names_values_prompts_and_languages_are_refused() {
        for bad in ["", "a b", "a&b", "a=b", "ä", "a\n"] {
            assert!(!is_name(bad), "{bad:?}");
        }
        for bad in ["", "a\nb", "\0", &"a".repeat(513)] {
            assert!(!is_value(bad), "{bad:?}");
        }
        for bad in ["", "none", "login none", "login  consent", "Login", "login login", " login"] {
            assert!(!is_prompt(bad), "{bad:?}");
        }
        assert!(is_prompt("login") && is_prompt("consent select_account"));
        for bad in ["", "d", "de_AT", "de-", "-de", "de AT"] {
            assert!(!is_language(bad), "{bad:?}");
        }
        assert!(is_language("de") && is_language("de-AT") && is_language("zh-Hant-TW"));
    }
}
