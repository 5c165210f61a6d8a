//! What a new session grows out of: the one that it takes the place of in a browser.
//!
//! A login that begins beside a session remembers that session's root and whose it was. The session that it makes goes on under that root when
//! it is of the same person: what ends one by its identifier ends all of them (L07). Of somebody else nothing is taken over, so that
//! whoever plants a session of their own cannot end what another makes of it.
//!
//! May touch: memory only. Trust boundary: none; it is made of opened sessions and travels sealed (`oidc::pending`).

use serde::{Deserialize, Serialize};

use super::{Session, SessionId, Whom};

/// The root of a session, and a digest of the person: 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    root: SessionId,
    person: [u8; 8],
}

impl Origin {
    /// Of what grows out of `session`.
    pub fn of(session: &Session) -> Self {
        Self { root: session.root, person: person(session) }
    }

    /// The root, whoever signs in.
    pub const fn root(&self) -> SessionId {
        self.root
    }

    /// The root of `session` where that is of the same person; what its provider's name stands for is compared before.
    pub fn root_of(&self, session: &Session) -> Option<SessionId> {
        (self.person == person(session)).then_some(self.root)
    }
}

fn person(session: &Session) -> [u8; 8] {
    let tag = Whom::Person { provider: &session.provider, subject: &session.subject }.tag();
    tag.bytes().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::tests::session;
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn c07_a_session_grows_out_of_one_of_the_same_person_only() {
        let first = session(Timestamp::from_seconds(1));
        let origin = Origin::of(&first);
        let second = session(Timestamp::from_seconds(2));
        assert_ne!(second.id, first.id);
        assert_eq!(origin.root_of(&second), Some(first.id));
        let grown = Session { root: first.id, ..second.clone() };
        assert_eq!(Origin::of(&grown).root_of(&session(Timestamp::from_seconds(3))), Some(first.id), "not its own");
        for other in [
            Session { subject: "00u2".into(), ..second.clone() },
            Session { provider: "idp".into(), ..second.clone() },
            Session { provider: "okta00u1".into(), subject: "".into(), ..second },
        ] {
            assert_eq!(origin.root_of(&other), None);
        }
    }
}
