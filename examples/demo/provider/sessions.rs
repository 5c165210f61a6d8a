//! Who is signed in at the development provider, since when and how well.
//!
//! One session a browser, held in memory and named by a random cookie: the second application that asks
//! finds it, which is what makes single sign-on. Each sign-in gets a new cookie; a step-up keeps the `sid`.
//!
//! OpenID Connect Core section 2 (`auth_time`, `acr`, `amr`), RFC 8176 (values of `amr`), OpenID Connect
//! Front-Channel Logout section 3 (`sid`).

use super::shelf::{Shelf, random_text};

/// How long a session lasts, in seconds.
pub(super) const LIFE: u64 = 8 * 60 * 60;

/// How well somebody has shown who they are; the greater includes the lesser.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Level {
    /// With a password.
    Password,
    /// With a password and a one-time code.
    SecondFactor,
}

impl Level {
    /// Every level, the least first.
    pub(super) const ALL: [Self; 2] = [Self::Password, Self::SecondFactor];

    /// The claim `acr`.
    pub(super) fn acr(self) -> &'static str {
        match self {
            Self::Password => "urn:lychgate:demo:1fa",
            Self::SecondFactor => "urn:lychgate:demo:2fa",
        }
    }

    /// The claim `amr`.
    pub(super) fn amr(self) -> &'static [&'static str] {
        match self {
            Self::Password => &["pwd"],
            Self::SecondFactor => &["pwd", "otp", "mfa"],
        }
    }
}

/// What was shown at sign-in: what an ID token says about it.
#[derive(Clone)]
pub(super) struct Authentication {
    /// The user name of the person.
    pub(super) user: String,
    /// When the person last did something to sign in, in seconds since 1970.
    pub(super) at: u64,
    /// What the person has shown.
    pub(super) level: Level,
    /// The session's public name, the claim `sid`.
    pub(super) sid: String,
}

/// The sessions by their cookies.
pub(super) struct Sessions {
    shelf: Shelf<Authentication>,
}

impl Sessions {
    /// No sessions.
    pub(super) fn new() -> Self {
        Self { shelf: Shelf::new() }
    }

    /// Opens a session in the place of the browser's `former` one; returns its cookie and what it says.
    ///
    /// When the same person goes on, the `sid` stays: for the applications it is the same session.
    pub(super) fn open(
        &mut self,
        former: Option<&str>,
        user: &str,
        level: Level,
        now: u64,
    ) -> (String, Authentication) {
        let former = former.and_then(|cookie| self.close(cookie, now));
        let sid = match former {
            Some(former) if former.user == user => former.sid,
            _ => random_text(),
        };
        let authentication = Authentication { user: user.to_owned(), at: now, level, sid };
        let cookie = self.shelf.put(authentication.clone(), LIFE, now);
        (cookie, authentication)
    }

    /// The session that this cookie names.
    pub(super) fn find(&self, cookie: &str, now: u64) -> Option<&Authentication> {
        self.shelf.find(cookie, now)
    }

    /// Ends a session.
    pub(super) fn close(&mut self, cookie: &str, now: u64) -> Option<Authentication> {
        self.shelf.take(cookie, now)
    }

    /// Tells whether the session called `sid` goes on.
    pub(super) fn is_alive(&self, sid: &str, now: u64) -> bool {
        self.shelf.living(now).any(|authentication| authentication.sid == sid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_up_changes_the_cookie_and_keeps_the_sid() {
        let mut sessions = Sessions::new();
        let (first, password) = sessions.open(None, "ada", Level::Password, 100);
        let (second, both) = sessions.open(Some(&first), "ada", Level::SecondFactor, 160);
        assert_ne!(first, second);
        assert_eq!(password.sid, both.sid);
        assert_eq!((both.at, both.level), (160, Level::SecondFactor));
        assert!(sessions.find(&first, 160).is_none());
        assert!(sessions.find(&second, 160).is_some());
    }

    #[test]
    fn another_person_in_the_same_browser_gets_another_sid() {
        let mut sessions = Sessions::new();
        let (cookie, ada) = sessions.open(None, "ada", Level::Password, 100);
        let (_, grace) = sessions.open(Some(&cookie), "grace", Level::Password, 160);
        assert_ne!(ada.sid, grace.sid);
        assert!(!sessions.is_alive(&ada.sid, 160));
        assert!(sessions.is_alive(&grace.sid, 160));
    }

    #[test]
    fn a_session_ends_when_it_is_closed_and_when_its_time_is_over() {
        let mut sessions = Sessions::new();
        let (cookie, ada) = sessions.open(None, "ada", Level::Password, 100);
        assert!(sessions.is_alive(&ada.sid, 100 + LIFE - 1));
        assert!(!sessions.is_alive(&ada.sid, 100 + LIFE));
        assert!(sessions.close(&cookie, 200).is_some());
        assert!(!sessions.is_alive(&ada.sid, 200));
    }
}
