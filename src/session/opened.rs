//! A session read from what a cookie opened to: the fields in the order in which `serde` and `postcard` wrote them.
//!
//! May touch: nothing but memory. Trust boundary: the bytes were sealed by the gateway, of this format's version; what does not fit is
//! no session.

use super::{Registration, Session, SessionId};
use crate::claims::WireReader;
use crate::clock::Timestamp;

impl Session {
    /// Reads a session; none where the bytes are anything else than one.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let reader = &mut WireReader::new(bytes);
        let session = Self {
            id: SessionId(*reader.take(size_of::<SessionId>())?.first_chunk()?),
            root: SessionId(*reader.take(size_of::<SessionId>())?.first_chunk()?),
            provider: reader.text()?,
            registration: Registration(*reader.take(size_of::<Registration>())?.first_chunk()?),
            subject: reader.text()?,
            provider_session: reader.option(WireReader::text)?,
            acr: reader.option(WireReader::text)?,
            amr: reader.list(WireReader::text)?,
            authenticated_at: moment(reader)?,
            started_at: moment(reader)?,
            seen_at: moment(reader)?,
            refresh_at: reader.option(moment)?,
            generation: reader.count()?,
            claims: reader.claims()?,
            absent_claims: reader.list(WireReader::text)?,
        };
        reader.is_at_end().then_some(session)
    }
}

fn moment(reader: &mut WireReader<'_>) -> Option<Timestamp> {
    reader.signed().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::claims::{ClaimValue, Claims};

    /// The format, in the types that it was made with.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Format {
        id: [u8; 16],
        root: [u8; 16],
        provider: String,
        registration: [u8; 8],
        subject: String,
        provider_session: Option<String>,
        acr: Option<String>,
        amr: Vec<String>,
        authenticated_at: i64,
        started_at: i64,
        seen_at: i64,
        refresh_at: Option<i64>,
        generation: u32,
        claims: BTreeMap<String, ClaimValue>,
        absent_claims: Vec<String>,
    }

    impl From<&Session> for Format {
        fn from(session: &Session) -> Self {
            Self {
                id: session.id.0,
                root: session.root.0,
                provider: session.provider.to_string(),
                registration: session.registration.0,
                subject: session.subject.to_string(),
                provider_session: session.provider_session.as_ref().map(ToString::to_string),
                acr: session.acr.as_ref().map(ToString::to_string),
                amr: session.amr.iter().map(ToString::to_string).collect(),
                authenticated_at: session.authenticated_at.millis(),
                started_at: session.started_at.millis(),
                seen_at: session.seen_at.millis(),
                refresh_at: session.refresh_at.map(Timestamp::millis),
                generation: session.generation,
                claims: session.claims.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect(),
                absent_claims: session.absent_claims.iter().map(ToString::to_string).collect(),
            }
        }
    }

    prop_compose! {
        fn format()(
            (id, root) in any::<([u8; 16], [u8; 16])>(),
            (provider, registration, subject) in ("\\PC{0,9}", any::<[u8; 8]>(), "[a-z0-9]{0,40}"),
            (provider_session, acr) in (any::<Option<String>>(), any::<Option<String>>()),
            (amr, absent_claims) in (any::<Vec<String>>(), any::<Vec<String>>()),
            [authenticated_at, started_at, seen_at] in any::<[i64; 3]>(),
            (refresh_at, generation) in any::<(Option<i64>, u32)>(),
            email in "[a-z@.]{0,140}",
            groups in proptest::collection::vec("\\PC{0,30}", 0..5),
        ) -> Format {
            let groups = groups.iter().map(|group| ClaimValue::Text(group.into())).collect();
            let claims = [("email", ClaimValue::Text(email.into())), ("groups", ClaimValue::List(groups))];
            let claims = claims.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            Format {
                id, root, provider, registration, subject, provider_session, acr, amr, authenticated_at, started_at, seen_at, refresh_at, generation, claims, absent_claims,
            }
        }
    }

    proptest! {
        #[test]
        fn t02_a_session_is_read_as_postcard_reads_it(format in format(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = postcard::to_allocvec(&format).unwrap();
            let session = Session::read(&bytes).unwrap();
            prop_assert_eq!(&Format::from(&session), &format);
            prop_assert_eq!(&postcard::to_allocvec(&session).unwrap(), &bytes);
            let place = at.index(bytes.len());
            prop_assert_eq!(Session::read(&bytes[..place]), None, "cut at {}", place);
            // What is damaged is refused, or read as postcard reads it.
            bytes[place] = byte;
            if let Some(session) = Session::read(&bytes) {
                prop_assert_eq!(Format::from(&session), postcard::from_bytes::<Format>(&bytes).unwrap());
            }
        }
    }

    #[test]
    fn c03_nothing_may_stand_behind_a_session() {
        let session = super::super::tests::session(Timestamp::from_seconds(1));
        let mut bytes = postcard::to_allocvec(&session).unwrap();
        assert_eq!(Session::read(&bytes), Some(session));
        bytes.push(0);
        assert_eq!(Session::read(&bytes), None);
        assert_eq!(Session::read(b""), None);
    }

    #[test]
    fn the_claims_of_a_session_stand_in_order() {
        let mut session = super::super::tests::session(Timestamp::from_seconds(1));
        session.claims = Claims::from_json(br#"{"z":1,"a":[{"b":null}],"m":"x"}"#).unwrap();
        let read = Session::read(&postcard::to_allocvec(&session).unwrap()).unwrap();
        assert_eq!(read.claims.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "m", "z"]);
    }
}
