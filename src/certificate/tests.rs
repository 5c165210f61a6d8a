//! Certificates as authorities make them, and as nobody should.

use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType, SerialNumber};

use super::*;

fn made(params: CertificateParams) -> Vec<u8> {
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn named(parts: &[(DnType, DnValue)]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in parts {
        params.distinguished_name.push(kind.clone(), value.clone());
    }
    params
}

fn utf8(text: &str) -> DnValue {
    DnValue::Utf8String(text.to_owned())
}

#[test]
fn a_certificate_is_read_as_it_says() {
    let mut params = named(&[
        (DnType::CountryName, DnValue::PrintableString("DE".try_into().unwrap())),
        (DnType::OrganizationName, utf8("Garnet Records, Inc.")),
        (DnType::CommonName, utf8("Ada Łovelace")),
    ]);
    params.serial_number = Some(SerialNumber::from(vec![0x00, 0xe5, 0x01]));
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2050, 1, 1);
    params.subject_alt_names = vec![
        SanType::DnsName("Laptop.gmr.example".try_into().unwrap()),
        SanType::Rfc822Name("ada@gmr.example".try_into().unwrap()),
        SanType::URI("spiffe://gmr.example/ada".try_into().unwrap()),
        SanType::IpAddress("192.0.2.7".parse().unwrap()),
        SanType::IpAddress("2001:db8::7".parse().unwrap()),
    ];
    let der = made(params);
    let read = Certificate::parse(&der).unwrap();
    assert_eq!(read.subject, "CN=Ada Łovelace,O=Garnet Records\\, Inc.,C=DE");
    assert_eq!(read.issuer, read.subject);
    assert_eq!(read.common_name, "Ada Łovelace");
    assert_eq!(read.serial, "e501");
    assert_eq!(read.fingerprint, hex(&Sha256::digest(&der)));
    assert_eq!(read.fingerprint.len(), 64);
    assert_eq!(read.dns_names, ["Laptop.gmr.example"]);
    assert_eq!(read.emails, ["ada@gmr.example"]);
    assert_eq!(read.uris, ["spiffe://gmr.example/ada"]);
    assert_eq!(read.addresses, ["192.0.2.7", "2001:db8::7"]);
    assert_eq!((read.not_before, read.not_after), (1_767_225_600, 2_524_608_000));
}

#[test]
fn names_have_one_exact_spelling() {
    for (value, spelled) in [
        (utf8("a,b+c\"d\\e<f>g;h=i"), "CN=a\\,b\\+c\\\"d\\\\e\\<f\\>g\\;h=i"),
        (utf8(" #x "), "CN=\\ #x\\ "),
        (utf8("#x"), "CN=\\#x"),
        (utf8(""), "CN="),
        (DnValue::Ia5String("ada".try_into().unwrap()), "CN=ada"),
        // What is no plain text is shown as its bytes, and is no common name.
        (DnValue::BmpString("ad".try_into().unwrap()), "2.5.4.3=#1e0400610064"),
        (DnValue::TeletexString("ad".try_into().unwrap()), "2.5.4.3=#14026164"),
    ] {
        let read = Certificate::parse(&made(named(&[(DnType::CommonName, value.clone())]))).unwrap();
        assert_eq!(read.subject, spelled, "{value:?}");
        assert_eq!(read.common_name.is_empty(), spelled == "CN=" || spelled.starts_with("2."), "{value:?}");
    }
    // A type without a short name; its value could not be told from one that looks like it.
    let read = Certificate::parse(&made(named(&[(DnType::CustomDnType(vec![1, 2, 3, 4]), utf8("A"))]))).unwrap();
    assert_eq!(read.subject, "1.2.3.4=#0c0141");
}

#[test]
fn a_control_character_is_no_part_of_a_name() {
    for hostile in ["admin\0.evil.example", "admin\n", "\u{7f}", "a\u{85}b"] {
        let certificate = made(named(&[(DnType::CommonName, utf8(hostile))]));
        assert_eq!(Certificate::parse(&certificate), Err(CertificateError::ControlCharacter), "{hostile:?}");
        let certificate = made(named(&[(DnType::OrganizationName, utf8(hostile))]));
        assert_eq!(Certificate::parse(&certificate), Err(CertificateError::ControlCharacter), "{hostile:?}");
    }
    for name in ["admin.example\0.evil.example", "\r"] {
        let mut params = named(&[]);
        params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        assert_eq!(Certificate::parse(&made(params)), Err(CertificateError::ControlCharacter), "{name:?}");
    }
}

#[test]
fn bytes_that_are_no_certificate_are_refused_wherever_they_are_cut_or_changed() {
    let mut params = named(&[(DnType::CommonName, utf8("ada"))]);
    params.subject_alt_names = vec![SanType::IpAddress("192.0.2.7".parse().unwrap())];
    let der = made(params);
    for end in 0..der.len() {
        assert!(Certificate::parse(&der[..end]).is_err(), "{end}");
    }
    let mut longer = der.clone();
    longer.push(0);
    assert_eq!(Certificate::parse(&longer), Err(CertificateError::Encoding));
    // Whatever a changed byte makes of it, it is read or refused, and never panics.
    for at in 0..der.len() {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut changed = der.clone();
            changed[at] ^= flip;
            let _ = Certificate::parse(&changed);
        }
    }
    // An address of five bytes is none.
    let at = der.windows(6).position(|bytes| bytes == [0x87, 4, 192, 0, 2, 7]).unwrap();
    let mut odd = der.clone();
    odd[at + 1] = 3;
    assert!(Certificate::parse(&odd).is_err());
}

#[test]
fn several_common_names_are_none() {
    let twice = named(&[(DnType::CommonName, utf8("ada"))]);
    let der = made(twice);
    assert_eq!(Certificate::parse(&der).unwrap().common_name, "ada");
    // rcgen keeps one of each type: the second is an organisation whose type is written over (2.5.4.10 to 2.5.4.3).
    let mut der = made(named(&[(DnType::OrganizationName, utf8("root")), (DnType::CommonName, utf8("ada"))]));
    while let Some(at) = der.windows(5).position(|bytes| bytes == [6, 3, 85, 4, 10]) {
        der[at + 4] = 3;
    }
    let read = Certificate::parse(&der).unwrap();
    assert_eq!((read.subject.as_str(), read.common_name.as_str()), ("CN=ada,CN=root", ""));
}
