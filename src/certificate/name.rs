//! Distinguished names as text: RFC 4514, the last part first, every part in one exact spelling.
//!
//! May touch: nothing but memory. Trust boundary: the parts are whoever's an authority has signed. A part whose type has no short name here,
//! or whose value is in an encoding that is no plain text, stands as its type's number and its bytes: `1.2.3.4=#0c0141`.

use std::fmt::Write as _;

use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Ia5StringRef, ObjectIdentifier, PrintableStringRef, Utf8StringRef};
use x509_cert::der::{Encode as _, Tag, Tagged as _};
use x509_cert::name::Name;

use super::{CertificateError, hex, printable};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The types with a short name: those of RFC 4514, and what other servers write beside them.
const TYPES: [(ObjectIdentifier, &str); 15] = [
    (COMMON_NAME, "CN"),
    (ObjectIdentifier::new_unwrap("2.5.4.4"), "SN"),
    (ObjectIdentifier::new_unwrap("2.5.4.5"), "serialNumber"),
    (ObjectIdentifier::new_unwrap("2.5.4.6"), "C"),
    (ObjectIdentifier::new_unwrap("2.5.4.7"), "L"),
    (ObjectIdentifier::new_unwrap("2.5.4.8"), "ST"),
    (ObjectIdentifier::new_unwrap("2.5.4.9"), "STREET"),
    (ObjectIdentifier::new_unwrap("2.5.4.10"), "O"),
    (ObjectIdentifier::new_unwrap("2.5.4.11"), "OU"),
    (ObjectIdentifier::new_unwrap("2.5.4.12"), "title"),
    (ObjectIdentifier::new_unwrap("2.5.4.42"), "GN"),
    (ObjectIdentifier::new_unwrap("2.5.4.97"), "organizationIdentifier"),
    (ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.1"), "UID"),
    (ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.25"), "DC"),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1"), "emailAddress"),
];

/// The name as text.
pub(super) fn text(name: &Name) -> Result<String, CertificateError> {
    let mut text = String::new();
    let sets: Vec<_> = name.iter_rdn().collect();
    for (index, set) in sets.into_iter().rev().enumerate() {
        for (inner, part) in set.iter().enumerate() {
            text.push_str(match (index, inner) {
                (0, 0) => "",
                (_, 0) => ",",
                _ => "+",
            });
            add(part, &mut text)?;
        }
    }
    Ok(text)
}

/// The one common name.
pub(super) fn common_name(name: &Name) -> Result<String, CertificateError> {
    let mut all = name.iter().filter(|part| part.oid == COMMON_NAME);
    match (all.next(), all.next()) {
        (Some(only), None) => value(only).map_or_else(|| Ok(String::new()), printable),
        _ => Ok(String::new()),
    }
}

fn add(part: &AttributeTypeAndValue, text: &mut String) -> Result<(), CertificateError> {
    let short = TYPES.iter().find(|(oid, _)| *oid == part.oid).map(|(_, short)| *short);
    match short.zip(value(part)) {
        Some((short, value)) => {
            text.push_str(short);
            text.push('=');
            escape(&printable(value)?, text);
        }
        None => {
            let encoded = part.value.to_der().map_err(|_| CertificateError::Encoding)?;
            let _ = write!(text, "{}=#{}", part.oid, hex(&encoded));
        }
    }
    Ok(())
}

/// The value where it is plain text.
fn value(part: &AttributeTypeAndValue) -> Option<&str> {
    match part.value.tag() {
        Tag::Utf8String => Utf8StringRef::try_from(&part.value).ok().map(|text| text.as_str()),
        Tag::PrintableString => PrintableStringRef::try_from(&part.value).ok().map(|text| text.as_str()),
        Tag::Ia5String => Ia5StringRef::try_from(&part.value).ok().map(|text| text.as_str()),
        _ => None,
    }
}

/// RFC 4514 section 2.4.
fn escape(value: &str, text: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (index, letter) in value.chars().enumerate() {
        let special = matches!(letter, '"' | '+' | ',' | ';' | '<' | '>' | '\\');
        if special || (letter == '#' && index == 0) || (letter == ' ' && (index == 0 || index == last)) {
            text.push('\\');
        }
        text.push(letter);
    }
}
