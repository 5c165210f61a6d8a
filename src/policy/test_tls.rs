//! Reads `tls` of a test: over which version of TLS its request comes, and with which certificate of the client.
//!
//! May touch: nothing. Trust boundary: the file is an administrator's.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::decision::{TlsFacts, TlsVersion};
use super::reader::{Reading, Section};
use super::schedule::read_moment;
use crate::certificate::Certificate;

/// What a test has that says nothing of it.
pub(super) fn usual() -> TlsFacts {
    TlsFacts { version: TlsVersion::V1_3, client: None }
}

pub(super) fn read(mut section: Section<'_>, reading: &mut Reading<'_>) -> TlsFacts {
    let versions = [TlsVersion::V1_2, TlsVersion::V1_3].map(|version| (version.as_str(), version));
    let version = section.word("version", &versions, reading).unwrap_or(TlsVersion::V1_3);
    let client = section.section("client", reading).map(|section| Arc::new(read_certificate(section, reading)));
    section.finish(reading);
    TlsFacts { version, client }
}

fn read_certificate(mut section: Section<'_>, reading: &mut Reading<'_>) -> Certificate {
    let mut text = |key| section.text(key, reading).map(|text| text.text.to_owned()).unwrap_or_default();
    let (subject, issuer, common_name) = (text("subject"), text("issuer"), text("common_name"));
    let (serial, fingerprint) = (text("serial"), text("fingerprint"));
    let mut list = |key| {
        let texts = section.texts(key, reading).unwrap_or_default();
        texts.iter().map(|text| text.text.to_owned()).collect::<Vec<_>>()
    };
    let (dns_names, emails, uris, addresses) = (list("dns_names"), list("emails"), list("uris"), list("addresses"));
    let expires = read_moment(&mut section, "expires", Some(&TimeZone::UTC), reading);
    let not_after = expires.map_or(0, |(moment, _)| moment.seconds());
    section.finish(reading);
    Certificate {
        subject,
        issuer,
        common_name,
        serial,
        fingerprint,
        dns_names,
        emails,
        uris,
        addresses,
        not_after,
        ..Certificate::default()
    }
}
