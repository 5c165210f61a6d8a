//! What stands in the list: whom an entry means, since when, until when, and why.
//!
//! An entry is found by a [`Tag`], a digest of what it means: of one size, whatever a provider calls its people, and equal only for equal
//! meaning (each part goes in with its length). The words beside it are for operators.
//!
//! May touch: memory only. Trust boundary: the words come from verified tokens, operators, or a stranger's front-channel request; they
//! are cut to [`MAX_WORD`] bytes for showing and never interpreted.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::super::SessionId;
use crate::clock::Timestamp;

/// The longest word that is kept for showing.
const MAX_WORD: usize = 320;

/// Whom something is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom<'a> {
    /// The session with this root, and whatever else has it.
    Session(&'a SessionId),
    /// One session of these alone.
    Branch {
        /// Its root.
        root: &'a SessionId,
        /// Its own identifier.
        id: &'a SessionId,
    },
    /// The sessions whose root begins like this: what stands in logs. Of a million sessions, one in four thousand such identifiers
    /// means another one as well.
    ShortId(&'a str),
    /// All sessions that came from one session at the provider.
    ProviderSession {
        /// The provider's name.
        provider: &'a str,
        /// Its `sid`.
        sid: &'a str,
    },
    /// All sessions of one person.
    Person {
        /// The provider's name.
        provider: &'a str,
        /// Its `sub`.
        subject: &'a str,
    },
    /// All sessions of one person at the applications of one group.
    GroupPerson {
        /// The group, as policies write it.
        group: &'a str,
        /// The provider's name.
        provider: &'a str,
        /// Its `sub`.
        subject: &'a str,
    },
    /// Those sessions of one person for which the provider named no session of its own.
    PersonWithoutSid {
        /// The provider's name.
        provider: &'a str,
        /// Its `sub`.
        subject: &'a str,
    },
    /// The sessions with this e-mail address, as far as they keep one; without a provider, those of every provider.
    Email {
        /// The provider's name.
        provider: Option<&'a str>,
        /// The address; upper and lower case are alike.
        email: &'a str,
    },
    /// The sessions that stand under this name in logs and pages.
    Name(&'a str),
}

/// Who gives messages their identifiers: they are unique for one sender only (RFC 7519 section 4.1.7, RFC 8417 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender<'a> {
    /// A provider that sends logout tokens.
    Logout {
        /// Its issuer.
        issuer: &'a str,
    },
    /// A transmitter of security events.
    Events {
        /// Its issuer, which may be another one than the provider's.
        issuer: &'a str,
    },
    /// Okta's event hooks.
    OktaHook,
}

/// What an entry is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tag([u8; 16]);

impl Tag {
    /// For a value as the file holds it.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The value as the file holds it.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The message with this identifier (`jti`, `uuid`) that came to this provider's sessions from this sender.
    pub fn message(provider: &str, sender: Sender<'_>, id: &str) -> Self {
        let (kind, sender) = match sender {
            Sender::Logout { issuer } => ("logout", issuer),
            Sender::Events { issuer } => ("events", issuer),
            Sender::OktaHook => ("okta-hook", ""),
        };
        Self::of("message", &[provider, kind, sender, id])
    }

    /// What is meant by both.
    pub(super) fn and(self, other: Self) -> Self {
        Self::of_bytes([&b"both"[..], &self.0, &other.0])
    }

    fn of(kind: &str, parts: &[&str]) -> Self {
        Self::of_bytes(std::iter::once(kind).chain(parts.iter().copied()).map(str::as_bytes))
    }

    fn of_bytes<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let mut tag = [0; 16];
        tag.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
        Self(tag)
    }
}

impl Whom<'_> {
    /// What it is found by.
    pub fn tag(&self) -> Tag {
        match *self {
            Self::Session(root) => Tag::of("session", &[&root.text()]),
            Self::Branch { root, id } => Tag::of("branch", &[&root.text(), &id.text()]),
            Self::ShortId(short) => Tag::of("short", &[&short.to_ascii_lowercase()]),
            Self::ProviderSession { provider, sid } => Tag::of("sid", &[provider, sid]),
            Self::Person { provider, subject } => Tag::of("person", &[provider, subject]),
            Self::GroupPerson { group, provider, subject } => Tag::of("group", &[group, provider, subject]),
            Self::PersonWithoutSid { provider, subject } => Tag::of("person-without-sid", &[provider, subject]),
            Self::Email { provider, email } => Tag::of("email", &[provider.unwrap_or_default(), &email.to_lowercase()]),
            Self::Name(name) => Tag::of("name", &[name]),
        }
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Session(_) | Self::Branch { .. } | Self::ShortId(_) => Kind::Session,
            Self::ProviderSession { .. } => Kind::ProviderSession,
            Self::Person { .. } | Self::PersonWithoutSid { .. } => Kind::Person,
            Self::GroupPerson { .. } => Kind::Group,
            Self::Email { .. } => Kind::Email,
            Self::Name(_) => Kind::Name,
        }
    }

    fn words(&self) -> (&str, String) {
        match *self {
            Self::Session(root) => ("", root.short()),
            Self::Branch { root, id } => ("", format!("{}/{}", root.short(), id.short())),
            Self::ShortId(word) | Self::Name(word) => ("", word.to_owned()),
            Self::ProviderSession { provider, sid } => (provider, sid.to_owned()),
            Self::Person { provider, subject } | Self::PersonWithoutSid { provider, subject } => {
                (provider, subject.to_owned())
            }
            Self::GroupPerson { group, provider, subject } => (provider, format!("{subject} in {group}")),
            Self::Email { provider, email } => (provider.unwrap_or_default(), email.to_owned()),
        }
    }
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// One session; when it began does not matter.
    Session,
    /// A session at the provider.
    ProviderSession,
    /// A person by the provider's `sub`.
    Person,
    /// A person by e-mail address.
    Email,
    /// A person by the name in logs.
    Name,
    /// Nobody: a message that was taken already.
    Message,
    /// A person at the applications of one group.
    Group,
}

impl Kind {
    /// The word for operators.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::ProviderSession => "provider_session",
            Self::Person => "person",
            Self::Email => "email",
            Self::Name => "name",
            Self::Message => "message",
            Self::Group => "group",
        }
    }
}

/// Which kinds of entries there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    /// These and `kind`.
    pub(super) const fn with(self, kind: Kind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// Whether there is an entry of any kind that means sessions.
    pub(super) const fn mean_somebody(self) -> bool {
        self.0 & !(1 << Kind::Message as u8) != 0
    }

    pub(super) const fn have(self, whom: &Whom<'_>) -> bool {
        self.0 & 1 << whom.kind() as u8 != 0
    }
}

/// Who ended the sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The person, here.
    SignedOut,
    /// The person, everywhere on this gateway.
    SignedOutEverywhere,
    /// The provider, by a logout token.
    BackChannel,
    /// The provider's page in the person's browser, without proof.
    FrontChannel,
    /// The provider, by a security event token.
    SecurityEvent,
    /// Okta, by an event hook.
    OktaHook,
    /// An operator.
    Admin,
    /// The provider, by refusing to refresh the session.
    RefreshRefused,
}

/// All causes, in the order of the metrics' handles.
pub const CAUSES: [Cause; 8] = [
    Cause::SignedOut,
    Cause::SignedOutEverywhere,
    Cause::BackChannel,
    Cause::FrontChannel,
    Cause::SecurityEvent,
    Cause::OktaHook,
    Cause::Admin,
    Cause::RefreshRefused,
];

impl Cause {
    /// The word in logs, labels and lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::SignedOutEverywhere => "signed_out_everywhere",
            Self::BackChannel => "back_channel",
            Self::FrontChannel => "front_channel",
            Self::SecurityEvent => "security_event",
            Self::OktaHook => "okta_hook",
            Self::Admin => "admin",
            Self::RefreshRefused => "refresh_refused",
        }
    }
}

/// What becomes of the sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// They are over.
    Ended,
    /// They are over too, but nothing is held against the person: what the provider says of them has changed and must be asked again.
    AskAgain,
}

impl Effect {
    /// The word for operators.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::AskAgain => "ask_again",
        }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is about.
    pub kind: Kind,
    /// The provider's name; empty where it means all.
    pub provider: Box<str>,
    /// Who or what, for showing.
    pub word: Box<str>,
    /// Sessions that began at this moment or before are meant.
    pub before: Timestamp,
    /// From then on no session can live that it means.
    pub until: Timestamp,
    /// Who ended them.
    pub cause: Cause,
    /// What becomes of them.
    pub effect: Effect,
}

/// Something to be revoked, without the dates that the list sets.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub(super) tag: Tag,
    pub(super) entry: Entry,
}

impl Wanted {
    /// The sessions that `whom` means and that began at `before` or earlier.
    pub fn new(whom: &Whom<'_>, before: Timestamp, cause: Cause, effect: Effect) -> Self {
        let (provider, word) = whom.words();
        let entry = Entry {
            kind: whom.kind(),
            provider: cut(provider),
            word: cut(&word),
            before,
            until: before,
            cause,
            effect,
        };
        Self { tag: whom.tag(), entry }
    }

    /// What it is about.
    pub const fn kind(&self) -> Kind {
        self.entry.kind
    }

    /// Only those of them that `whom` means too: for a provider's session and its person.
    #[must_use]
    pub fn and(self, whom: &Whom<'_>) -> Self {
        Self { tag: self.tag.and(whom.tag()), ..self }
    }
}

fn cut(word: &str) -> Box<str> {
    let mut end = word.len().min(MAX_WORD);
    while !word.is_char_boundary(end) {
        end -= 1;
    }
    word.get(..end).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l06_a_word_is_cut_between_two_characters() {
        assert_eq!(&*cut(&format!("x{}", "ä".repeat(200))), format!("x{}", "ä".repeat(159)));
        assert_eq!(&*cut(&"ä".repeat(160)), "ä".repeat(160));
        assert_eq!(&*cut(&"a".repeat(400)), "a".repeat(MAX_WORD));
        assert_eq!(&*cut(""), "");
    }
}
