//! Header names as a policy spells them, for HTTP/1.1 (decision 0013).
//!
//! `HeaderName` is lower case; in requests it is written in title case, `X-Remote-User`. An application that compares bytes may want
//! `SM_USER`, and a client that compares bytes may want the same of an answer. Such a name is written as it is spelled.
//!
//! May touch: memory only. Trust boundary: the names are an administrator's, and valid.

use http::HeaderName;

/// How names are written, when not in title case.
#[derive(Clone, Debug, Default)]
pub struct Spelling {
    /// Those that are not in title case.
    spelled: Vec<(HeaderName, Box<str>)>,
}

impl Spelling {
    /// The spelling of these names. Of two spellings of one name the first counts.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let names: Vec<&str> = names.into_iter().collect();
        if names.iter().all(|name| is_title_case(name)) {
            return Self::default();
        }
        let mut spelled: Vec<(HeaderName, Box<str>)> = Vec::new();
        for text in &names {
            if let Ok(name) = HeaderName::from_bytes(text.as_bytes())
                && spelled.iter().all(|(known, _)| *known != name)
            {
                spelled.push((name, (*text).into()));
            }
        }
        Self { spelled }
    }

    /// How the name is written; none: as all are.
    pub fn spelled(&self, name: &HeaderName) -> Option<&str> {
        self.spelled.iter().find(|(known, _)| known == name).map(|(_, text)| &**text)
    }

    /// Whether every name is in title case anyway.
    pub fn is_plain(&self) -> bool {
        self.spelled.is_empty()
    }
}

/// Whether a request has the name like this anyway.
fn is_title_case(name: &str) -> bool {
    let mut first = true;
    name.chars().all(|character| {
        let expected = if first { character.to_ascii_uppercase() } else { character.to_ascii_lowercase() };
        first = character == '-';
        character == expected
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_title_case_need_nothing() {
        assert!(Spelling::of(["X-Remote-User", "Authorization", "X-1a", "X.y"]).is_plain());
        assert!(Spelling::of([]).is_plain());
        for other in ["SM_USER", "iv-user", "X-ID", "oidc_claim", "X-remote-User", "$WSRU"] {
            assert!(!Spelling::of([other]).is_plain(), "{other}");
        }
        let many: Vec<String> = (0..300).map(|number| format!("SM_NUMBER{number}")).collect();
        assert!(!Spelling::of(many.iter().map(String::as_str)).is_plain());
    }

    #[test]
    fn of_two_spellings_of_a_name_the_first_counts() {
        let spelling = Spelling::of(["SM_USER", "X-Role", "sm_user", "iv-user"]);
        let spelled = |name: &'static str| spelling.spelled(&HeaderName::from_static(name));
        assert_eq!(["sm_user", "x-role", "iv-user"].map(spelled), [Some("SM_USER"), Some("X-Role"), Some("iv-user")]);
        assert_eq!(spelled("accept"), None);
    }
}
