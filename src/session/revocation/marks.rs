//! Everything by which one session, or one access token, can be meant in the list of what was ended.
//!
//! May touch: memory only. Trust boundary: none; sessions have been opened and tokens verified.

use super::super::Session;
use super::entry::{Kinds, Tag, Whom};

/// What an access token says of whoever may be meant.
#[derive(Clone, Copy, Debug)]
pub struct TokenMarks<'a> {
    /// The name of the provider that vouches for it.
    pub provider: &'a str,
    /// `sub`, where there is one.
    pub subject: Option<&'a str>,
    /// The provider's session, where the token says it.
    pub sid: Option<&'a str>,
    /// The e-mail address, where the token says it.
    pub email: Option<&'a str>,
    /// What it stands under in logs.
    pub name: &'a str,
}

/// How many things one session can be meant by.
const MARKS: usize = 11;

/// Everything by which one session can be meant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks([Option<Tag>; MARKS]);

impl Marks {
    /// Those of a session that stands under `name` in logs, at an application of `group`; only as far as something of their kind is in the
    /// list, because each is a digest.
    pub(super) fn of(session: &Session, name: &str, group: Option<&str>, kinds: Kinds) -> Self {
        let (provider, subject) = (&*session.provider, &*session.subject);
        let short = session.root.short();
        let at_provider = match session.provider_session.as_deref() {
            Some(sid) => Whom::ProviderSession { provider, sid },
            None => Whom::PersonWithoutSid { provider, subject },
        };
        let person = Whom::Person { provider, subject };
        let email = session.claims.text("email");
        let email_of = |provider| email.map(|email| Whom::Email { provider, email });
        let email_here = email_of(Some(provider));
        // What means both is of the kind of the first.
        let both = |other: &Whom<'_>| kinds.have(&at_provider).then(|| at_provider.tag().and(other.tag()));
        let one = |whom: &Whom<'_>| kinds.have(whom).then(|| whom.tag());
        Self([
            one(&Whom::Session(&session.root)),
            one(&Whom::Branch { root: &session.root, id: &session.id }),
            one(&Whom::ShortId(&short)),
            one(&at_provider),
            both(&person),
            email_here.as_ref().and_then(both),
            one(&person),
            one(&Whom::Name(name)),
            email_of(None).as_ref().and_then(one),
            email_here.as_ref().and_then(one),
            group.and_then(|group| one(&Whom::GroupPerson { group, provider, subject })),
        ])
    }

    /// Those of an access token.
    pub(super) fn of_token(token: &TokenMarks<'_>) -> Self {
        let TokenMarks { provider, subject, sid, email, name } = *token;
        let at_provider = sid.map(|sid| Whom::ProviderSession { provider, sid }.tag());
        let person = subject.map(|subject| Whom::Person { provider, subject }.tag());
        let email_of = |provider| email.map(|email| Whom::Email { provider, email }.tag());
        let email_here = email_of(Some(provider));
        let both = |other: Option<Tag>| at_provider.zip(other).map(|(session, other)| session.and(other));
        Self([
            at_provider,
            both(person),
            both(email_here),
            person,
            Some(Whom::Name(name).tag()),
            email_of(None),
            email_here,
            None,
            None,
            None,
            None,
        ])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Tag> {
        self.0.into_iter().flatten()
    }
}
