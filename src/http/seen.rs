//! What the requests of one client connection have in common, worked out for the first of them.
//!
//! A browser asks one host over a connection again and again, so the host it names and what applications are told of the way are the
//! same each time. A later request that says something else gets its own answer, and what was kept stays.
//!
//! Pure. Bound: a host and two field values a connection. Trust boundary: what is kept was checked when it was made, and is given out only where
//! the very same text is asked for.

use std::sync::OnceLock;

use http::HeaderValue;

use super::HostName;
use super::forwarded::Origin;
use super::host::HostError;

/// What the first request of a connection said.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    authority: OnceLock<(Box<str>, HostName, Option<u16>)>,
    x_forwarded_for: OnceLock<HeaderValue>,
    forwarded: OnceLock<Told>,
}

/// A `Forwarded` field, and what it was made of.
#[derive(Clone, Debug)]
struct Told {
    host: Box<str>,
    proto: &'static str,
    value: HeaderValue,
}

impl Seen {
    /// Host and port of an authority ([`HostName::parse_authority`]).
    pub(super) fn authority(&self, text: &str) -> Result<(HostName, Option<u16>), HostError> {
        if let Some((_, host, port)) = self.authority.get().filter(|(known, ..)| **known == *text) {
            return Ok((host.clone(), *port));
        }
        let (host, port) = HostName::parse_authority(text)?;
        self.authority.get_or_init(|| (text.into(), host.clone(), port));
        Ok((host, port))
    }

    /// The value of `X-Forwarded-For`, of requests of this connection.
    pub fn x_forwarded_for(&self, origin: &Origin) -> Option<HeaderValue> {
        if let Some(known) = self.x_forwarded_for.get().filter(|_| origin.is_direct()) {
            return Some(known.clone());
        }
        let value = origin.x_forwarded_for()?;
        if origin.is_direct() {
            self.x_forwarded_for.get_or_init(|| value.clone());
        }
        Some(value)
    }

    /// The value of `Forwarded`, of requests of this connection.
    pub fn forwarded(&self, origin: &Origin, host: &str, proto: &'static str) -> Option<HeaderValue> {
        let is_it = |told: &&Told| *told.host == *host && told.proto == proto && origin.is_direct();
        if let Some(told) = self.forwarded.get().filter(is_it) {
            return Some(told.value.clone());
        }
        let value = origin.forwarded(host, proto)?;
        if origin.is_direct() {
            self.forwarded.get_or_init(|| Told { host: host.into(), proto, value: value.clone() });
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn origin(chain: Option<&'static str>) -> Origin {
        let headers = chain.map(|chain| ("x-forwarded-for".parse().unwrap(), HeaderValue::from_static(chain)));
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        Origin::find("10.0.0.2:5".parse().unwrap(), &HeaderMap::from_iter(headers), &trusted).unwrap()
    }

    #[test]
    fn s05_what_is_kept_is_never_told_of_another_way() {
        let (seen, direct, behind) = (Seen::default(), origin(None), origin(Some("1.2.3.4")));
        for _ in 0..2 {
            for (origin, host, proto) in
                [(&direct, "a", "https"), (&behind, "a", "https"), (&direct, "b", "https"), (&direct, "a", "http")]
            {
                assert_eq!(seen.forwarded(origin, host, proto), origin.forwarded(host, proto));
                assert_eq!(seen.x_forwarded_for(origin), origin.x_forwarded_for());
            }
        }
    }

    #[test]
    fn h02_another_authority_on_the_connection_is_read_anew() {
        let seen = Seen::default();
        for text in ["a.example:8443", "A.example:8443", "a.example", "a.example:8443", "b", "u@a", "a.example:0"] {
            assert_eq!(seen.authority(text), HostName::parse_authority(text), "{text}");
        }
    }
}
