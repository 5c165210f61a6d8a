//! Until when the certificates and revocation lists of the listeners are good, and whether that is soon.
//!
//! Soon is a fifth of the whole time, and two weeks at the most: what is renewed in time was renewed before.
//! Specification: RFC 5280 sections 4.1.2.5 and 5.1.2.5.

use std::fmt;
use std::path::{Path, PathBuf};

use super::super::Listener;
use super::ServerTls;
use super::client::ClientAuthority;
use crate::certificate::Certificate;
use crate::clock::Timestamp;

/// Never warned of earlier than this: two weeks, in seconds.
const EARLIEST_WARNING: i64 = 14 * 86_400;

/// What has dates.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// The certificate that a listener shows.
    Server,
    /// One of those that vouch for it; whose.
    Chain(String),
    /// One of those whose certificates clients show; whose.
    Authority(String),
    /// A list of revoked certificates; whose.
    Revocations(String),
}

/// A certificate or a revocation list with its dates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dated {
    path: PathBuf,
    what: What,
    /// Both in seconds since 1970.
    from: i64,
    until: i64,
}

/// How the dates stand to the time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is not good yet.
    NotYet,
    /// It is good, and will be for a while.
    Good,
    /// It is good and ends soon.
    EndsSoon,
    /// It is over.
    Over,
}

impl Dated {
    fn certificate(path: &Path, what: What, facts: &Certificate) -> Self {
        Self { path: path.to_owned(), what, from: facts.not_before, until: facts.not_after }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last second in which it is good, since 1970.
    pub const fn until(&self) -> i64 {
        self.until
    }

    /// How it stands at `now`.
    pub fn validity(&self, now: Timestamp) -> Validity {
        let left = self.until.saturating_sub(now.seconds());
        let soon = (self.until.saturating_sub(self.from) / 5).min(EARLIEST_WARNING);
        match left {
            ..0 => Validity::Over,
            _ if self.from > now.seconds() => Validity::NotYet,
            left if left < soon => Validity::EndsSoon,
            _ => Validity::Good,
        }
    }

    /// What is to be said at `now`, in one sentence.
    pub fn tell(&self, now: Timestamp) -> String {
        let date = |seconds: i64| Timestamp::from_seconds(seconds).to_string();
        let (path, what) = (self.path.display(), &self.what);
        match self.validity(now) {
            Validity::NotYet => format!("{path}: {what} is not valid before {}", date(self.from)),
            Validity::Good => format!("{path}: {what} is good until {}", date(self.until)),
            Validity::EndsSoon => {
                let left = Remaining(self.until.saturating_sub(now.seconds()));
                format!("{path}: {what} expires on {}, in {left}", date(self.until))
            }
            Validity::Over => format!("{path}: {what} expired on {}", date(self.until)),
        }
    }

    /// What it means at `now`, and what to do.
    pub fn advice(&self, now: Timestamp) -> &'static str {
        if self.validity(now) == Validity::EndsSoon {
            return "renew it; a new file is read while the gateway runs";
        }
        match self.what {
            What::Server | What::Chain(_) => "clients refuse it; a new file is read while the gateway runs",
            What::Authority(_) => {
                "certificates of clients that it signed are refused; a new file is read while the gateway runs"
            }
            What::Revocations(_) if self.validity(now) == Validity::NotYet => {
                "a clock is wrong, the authority's or this machine's; the list counts all the same"
            }
            What::Revocations(_) => {
                "without a newer list every certificate that it speaks for is refused; fetch one, it is read while the gateway runs"
            }
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => write!(f, "the certificate"),
            Self::Chain(whose) => write!(f, "the certificate of `{whose}` in its chain"),
            Self::Authority(whose) => write!(f, "the certificate of the authority `{whose}`"),
            Self::Revocations(whose) => write!(f, "the revocation list of `{whose}`"),
        }
    }
}

/// Seconds as a person says them.
struct Remaining(i64);

impl fmt::Display for Remaining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 / 3600 {
            0 => write!(f, "less than an hour"),
            1 => write!(f, "one hour"),
            hours @ 2..48 => write!(f, "{hours} hours"),
            hours => write!(f, "{} days", hours / 24),
        }
    }
}

/// All certificates and revocation lists of these listeners that have an end, each once.
pub fn dated(listeners: &[Listener]) -> Vec<Dated> {
    let mut once: Vec<Dated> = Vec::new();
    for one in listeners.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(dated_of) {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
}

/// Those of one listener.
pub fn dated_of(tls: &ServerTls) -> Vec<Dated> {
    let mut all: Vec<Dated> = Vec::new();
    for one in tls.certificates.all() {
        all.push(Dated::certificate(one.path(), What::Server, one.facts()));
        // What cannot be read says nothing of its dates.
        let chain = one.certified().cert.iter().skip(1).filter_map(|der| Certificate::parse(der).ok());
        all.extend(chain.map(|facts| Dated::certificate(one.path(), What::Chain(facts.subject.clone()), &facts)));
    }
    let Some(client) = &tls.client else { return all };
    let authority =
        |one: &ClientAuthority| Dated::certificate(&one.path, What::Authority(one.facts.subject.clone()), &one.facts);
    all.extend(client.authorities.iter().map(authority));
    all.extend(client.lists.iter().filter_map(|(path, list)| {
        let what = What::Revocations(list.issuer.clone());
        Some(Dated { path: path.clone(), what, from: list.this_update, until: list.next_update? })
    }));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(from: i64, until: i64) -> Dated {
        Dated { path: "a.pem".into(), what: What::Server, from, until }
    }

    #[test]
    fn soon_is_a_fifth_of_the_whole_and_two_weeks_at_the_most() {
        const DAY: i64 = 86_400;
        let at = |one: &Dated, day: i64| one.validity(Timestamp::from_seconds(day * DAY));
        let year = valid(DAY, 366 * DAY);
        assert_eq!(
            [0, 1, 351, 352, 353, 366].map(|day| at(&year, day)),
            [Validity::NotYet, Validity::Good, Validity::Good, Validity::Good, Validity::EndsSoon, Validity::EndsSoon]
        );
        assert_eq!(at(&year, 367), Validity::Over);
        let week = valid(0, 7 * DAY);
        assert_eq!((at(&week, 5), at(&week, 6)), (Validity::Good, Validity::EndsSoon));
        assert_eq!(
            week.tell(Timestamp::from_seconds(6 * DAY)),
            "a.pem: the certificate expires on 1970-01-08T00:00:00.000Z, in 24 hours"
        );
        assert!(year.tell(Timestamp::from_seconds(360 * DAY)).ends_with(", in 6 days"));
    }
}
