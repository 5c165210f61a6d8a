//! The people whom the development provider knows, and what it says about them.
//!
//! A claim is told only under the scope that covers it, in the ID token and at userinfo alike.
//! Passwords stand in the open in the demonstration's source: nobody real is in here.
//!
//! OpenID Connect Core sections 5.1, 5.4 (claims and scopes), 8.1 (subject).

use aws_lc_rs::constant_time;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Somebody who can sign in.
pub(crate) struct Person {
    /// What is typed at sign-in, and the claim `preferred_username`.
    pub(crate) user: String,
    /// The password, in the clear.
    pub(crate) password: String,
    /// The claim `name`.
    pub(crate) name: String,
    /// The claim `email`.
    pub(crate) email: String,
    /// The claim `email_verified`.
    pub(crate) email_verified: bool,
    /// The claim `groups`.
    pub(crate) groups: Vec<String>,
    /// One line for the sign-in page: who this is and what to try as them.
    pub(crate) note: String,
}

impl Person {
    /// The claim `sub`: stays the same, and is not the user name, so that nobody takes one for the other.
    pub(super) fn subject(&self) -> String {
        let hash = Sha256::digest(format!("development provider subject {}", self.user));
        URL_SAFE_NO_PAD.encode(hash).chars().take(20).collect()
    }

    /// Tells whether this is the person's password.
    pub(super) fn has_password(&self, given: &str) -> bool {
        constant_time::verify_slices_are_equal(given.as_bytes(), self.password.as_bytes()).is_ok()
    }

    /// The subject and the claims that these scopes cover.
    pub(super) fn claims(&self, scopes: Scopes) -> Map<String, Value> {
        let mut claims = Map::new();
        let mut tell = |name: &str, value: Value| claims.insert(name.into(), value);
        tell("sub", self.subject().into());
        if scopes.profile {
            tell("preferred_username", self.user.as_str().into());
            tell("name", self.name.as_str().into());
        }
        if scopes.email {
            tell("email", self.email.as_str().into());
            tell("email_verified", self.email_verified.into());
        }
        if scopes.groups {
            tell("groups", self.groups.clone().into());
        }
        claims
    }
}

/// The scopes of a grant besides `openid`, which every grant has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scopes {
    profile: bool,
    email: bool,
    groups: bool,
}

impl Scopes {
    /// Every scope that the provider knows.
    pub(super) const KNOWN: [&str; 4] = ["openid", "profile", "email", "groups"];

    /// The scopes that `asked` asks for; scopes that nobody knows are left out.
    pub(super) fn granted(asked: impl Fn(&str) -> bool) -> Self {
        Self { profile: asked("profile"), email: asked("email"), groups: asked("groups") }
    }

    /// Tells whether these are no more than `others`.
    pub(super) fn within(self, others: Self) -> bool {
        (others.profile || !self.profile) && (others.email || !self.email) && (others.groups || !self.groups)
    }

    /// The scopes as a space-separated list.
    pub(super) fn text(self) -> String {
        let wanted = [true, self.profile, self.email, self.groups];
        let granted = Self::KNOWN.into_iter().zip(wanted).filter(|(_, granted)| *granted);
        granted.map(|(name, _)| name).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> Person {
        Person {
            user: "ada".into(),
            password: "correct".into(),
            name: "Ada".into(),
            email: "ada@example.com".into(),
            email_verified: true,
            groups: vec!["artists".into()],
            note: String::new(),
        }
    }

    #[test]
    fn a_claim_is_told_only_under_its_scope() {
        let names = |asked: &str| {
            let scopes = Scopes::granted(|scope| asked.split(' ').any(|word| word == scope));
            ada().claims(scopes).keys().cloned().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("openid"), "sub");
        assert_eq!(names("openid email"), "email email_verified sub");
        assert_eq!(names("openid profile address"), "name preferred_username sub");
        assert_eq!(names("openid groups"), "groups sub");
    }

    #[test]
    fn only_the_whole_password_is_right() {
        assert!(ada().has_password("correct"));
        for wrong in ["", "correc", "correct ", "Correct"] {
            assert!(!ada().has_password(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn scopes_are_compared_and_written() {
        let few = Scopes::granted(|scope| scope == "email");
        let many = Scopes::granted(|scope| scope != "groups");
        assert!(few.within(many) && many.within(many) && !many.within(few));
        assert_eq!(many.text(), "openid profile email");
    }
}
