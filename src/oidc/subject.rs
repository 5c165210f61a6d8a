//! Whom a security event is about: subject identifiers.
//!
//! | format | is understood as |
//! | --- | --- |
//! | `iss_sub` | the person `sub`, when `iss` is the provider's issuer or its transmitter's; anybody else's person is nobody here |
//! | `email` | whoever's session keeps this address |
//! | `opaque` | the person with this `sub`; as a `session`, the provider's session with this `sid` |
//! | `aliases` | whoever one of the identifiers means |
//! | complex | `user` and `session`: where both are there, both must match. Members that no session here has (`device`, `tenant`, `application` …) match anything, as SSF says; alone they mean nobody |
//!
//! Everything else means nobody. The older spelling `subject_type: iss-sub` is read too.
//!
//! May touch: memory only. Trust boundary: the claims are of a token that may not be verified yet; depth and number are bounded.
//! Specifications: RFC 9493 (subject identifiers), OpenID SSF 1.0 sections 3.3 and 8.1.3.1.

use std::collections::BTreeMap;

use crate::claims::ClaimValue;
use crate::session::Whom;

/// Identifiers that one list of aliases may have.
const MAX_ALIASES: usize = 16;
/// The longest identifier.
const MAX_ID: usize = 512;

type Members = BTreeMap<Box<str>, ClaimValue>;

/// A person, by one identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Person {
    /// By the provider's `sub`.
    Subject(String),
    /// By e-mail address.
    Email(String),
}

impl Person {
    /// The same for the list of ended sessions.
    pub fn at<'a>(&'a self, provider: &'a str) -> Whom<'a> {
        match self {
            Self::Subject(subject) => Whom::Person { provider, subject },
            Self::Email(email) => Whom::Email { provider: Some(provider), email },
        }
    }
}

/// Whom an event means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meant {
    /// The person, by any of these; where it is none, nobody in particular.
    pub people: Vec<Person>,
    /// The provider's session.
    pub sid: Option<String>,
}

impl Meant {
    /// Nobody whom this gateway could know.
    pub fn is_nobody(&self) -> bool {
        self.people.is_empty() && self.sid.is_none()
    }

    /// Reads a subject identifier; none when it is none at all. `issuers` are those whose people sign in here, by any of their spellings.
    pub fn read(subject: &ClaimValue, issuers: &[&str]) -> Option<Self> {
        let ClaimValue::Object(members) = subject else { return None };
        match format_of(members) {
            Some("complex") | None => complex(members, issuers),
            Some(_) => Some(Self { people: people(members, issuers, true), sid: None }),
        }
    }
}

/// A subject of several members.
fn complex(members: &Members, issuers: &[&str]) -> Option<Meant> {
    let object = |name: &str| match members.get(name) {
        Some(ClaimValue::Object(member)) => Some(member),
        _ => None,
    };
    let (user, session) = (object("user"), object("session"));
    if !members.values().any(|value| matches!(value, ClaimValue::Object(_))) {
        return None;
    }
    let people = user.map(|user| people(user, issuers, true)).unwrap_or_default();
    let sid = session.and_then(|session| session_id(session, issuers));
    // Whoever is named and not known here is nobody, and so is what is said of them.
    let stranger = (user.is_some() && people.is_empty()) || (session.is_some() && sid.is_none());
    Some(if stranger { Meant::default() } else { Meant { people, sid } })
}

fn people(members: &Members, issuers: &[&str], may_have_aliases: bool) -> Vec<Person> {
    let subject = |name: &str| text(members, name).map(|subject| Person::Subject(subject.to_owned()));
    let one = match format_of(members) {
        Some("iss_sub") if is_of(members, issuers) => subject("sub"),
        Some("email") => {
            text(members, "email").filter(|email| email.contains('@')).map(|email| Person::Email(email.to_owned()))
        }
        Some("opaque") => subject("id"),
        Some("aliases") if may_have_aliases => return aliases(members, issuers),
        _ => None,
    };
    one.into_iter().collect()
}

/// RFC 9493 section 3.2.8: aliases do not nest.
fn aliases(members: &Members, issuers: &[&str]) -> Vec<Person> {
    let Some(ClaimValue::List(identifiers)) = members.get("identifiers") else { return Vec::new() };
    let of_one = |identifier: &ClaimValue| match identifier {
        ClaimValue::Object(members) => people(members, issuers, false),
        _ => Vec::new(),
    };
    identifiers.iter().take(MAX_ALIASES).flat_map(of_one).collect()
}

fn session_id(members: &Members, issuers: &[&str]) -> Option<String> {
    match format_of(members)? {
        "opaque" => text(members, "id").map(str::to_owned),
        "iss_sub" if is_of(members, issuers) => text(members, "sub").map(str::to_owned),
        _ => None,
    }
}

fn is_of(members: &Members, issuers: &[&str]) -> bool {
    text(members, "iss").is_some_and(|issuer| issuers.contains(&issuer))
}

fn format_of(members: &Members) -> Option<&str> {
    match text(members, "format").or_else(|| text(members, "subject_type"))? {
        "iss-sub" => Some("iss_sub"),
        other => Some(other),
    }
}

fn text<'a>(members: &'a Members, name: &str) -> Option<&'a str> {
    members.get(name)?.as_text().filter(|text| !text.is_empty() && text.len() <= MAX_ID)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Claims;

    const ISSUER: &str = "https://idp.example";

    fn read(subject: &str) -> Option<(Vec<String>, Option<String>)> {
        let claims = Claims::from_json(format!("{{\"s\":{subject}}}").as_bytes()).unwrap();
        let meant = Meant::read(claims.value("s").unwrap(), &[ISSUER, "https://transmitter.example"])?;
        let word = |person: &Person| match person {
            Person::Subject(subject) => subject.clone(),
            Person::Email(email) => format!("<{email}>"),
        };
        Some((meant.people.iter().map(word).collect(), meant.sid))
    }

    #[test]
    fn l02_every_form_of_a_subject_means_whom_it_says() {
        let user = r#""user":{"format":"iss_sub","iss":"https://idp.example","sub":"a"}"#;
        for (subject, people, sid) in [
            (r#"{"format":"iss_sub","iss":"https://idp.example","sub":"a"}"#.to_owned(), vec!["a"], None),
            (r#"{"subject_type":"iss-sub","iss":"https://idp.example","sub":"a"}"#.to_owned(), vec!["a"], None),
            (r#"{"format":"iss_sub","iss":"https://transmitter.example","sub":"a"}"#.to_owned(), vec!["a"], None),
            (r#"{"format":"email","email":"a@gmr.example"}"#.to_owned(), vec!["<a@gmr.example>"], None),
            (r#"{"format":"opaque","id":"a"}"#.to_owned(), vec!["a"], None),
            (
                r#"{"format":"aliases","identifiers":[{"format":"opaque","id":"a"},{"format":"email","email":"a@b"},{"format":"phone_number","phone_number":"+1"}]}"#.to_owned(),
                vec!["a", "<a@b>"],
                None,
            ),
            (format!(r#"{{"format":"complex",{user}}}"#), vec!["a"], None),
            (format!(r#"{{{user},"session":{{"format":"opaque","id":"s"}}}}"#), vec!["a"], Some("s")),
            (r#"{"session":{"format":"iss_sub","iss":"https://idp.example","sub":"s"}}"#.to_owned(), vec![], Some("s")),
            // What no session here has narrows nothing down.
            (format!(r#"{{{user},"device":{{"format":"opaque","id":"d"}},"tenant":{{"format":"opaque","id":"t"}}}}"#), vec!["a"], None),
        ] {
            let people = people.into_iter().map(str::to_owned).collect();
            assert_eq!(read(&subject), Some((people, sid.map(str::to_owned))), "{subject}");
        }
    }

    #[test]
    fn l02_strangers_and_what_is_not_understood_mean_nobody() {
        for subject in [
            r#"{"format":"iss_sub","iss":"https://other.example","sub":"a"}"#,
            r#"{"format":"iss_sub","sub":"a"}"#,
            r#"{"format":"iss_sub","iss":"https://idp.example","sub":7}"#,
            r#"{"format":"email","email":"nobody"}"#,
            r#"{"format":"phone_number","phone_number":"+15550100"}"#,
            r#"{"format":"opaque","id":""}"#,
            r#"{"format":"aliases","identifiers":[{"format":"aliases","identifiers":[{"format":"opaque","id":"a"}]}]}"#,
            r#"{"format":"aliases","identifiers":"a"}"#,
            r#"{"device":{"format":"opaque","id":"d"}}"#,
            r#"{"user":{"format":"iss_sub","iss":"https://other.example","sub":"a"},"session":{"format":"opaque","id":"s"}}"#,
            r#"{"user":{"format":"opaque","id":"a"},"session":{"format":"jwt_id","jti":"s"}}"#,
        ] {
            assert_eq!(read(subject), Some((Vec::new(), None)), "{subject}");
        }
        for none in [r#""a""#, "7", "null", "[]", "{}", r#"{"user":"a"}"#] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
