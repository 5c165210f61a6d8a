//! Which certificate is for which name.

use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::super::reader::Findings;
use super::super::{Environment, FilesRead};
use super::*;
use crate::diagnostic::SourceFile;
use crate::http::HostName;

fn certificate(names: &[&str]) -> ServerCertificate {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = names
        .iter()
        .map(|name| match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*name).try_into().unwrap()),
        })
        .collect();
    let made = params.self_signed(&key).unwrap();
    let facts = Certificate::parse(made.der()).unwrap();
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let certified = certified(vec![made.der().clone()], private).unwrap();
    ServerCertificate::new(names.join("+").into(), Arc::new(certified), facts)
}

fn put_in_order(all: &[&[&str]]) -> Result<Certificates, String> {
    let (files, environment) = (FilesRead::default(), Environment::from_iter([]));
    let file = SourceFile::new("lychgate.toml", String::new());
    let mut found = Findings::new(file, "lychgate.toml".as_ref(), &environment, &files);
    let all = all.iter().map(|names| (certificate(names), Origin::File(0..0))).collect();
    Certificates::new(all, &mut found).ok_or_else(|| found.into_report().to_string())
}

fn host(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

#[test]
fn a_name_gets_its_own_certificate_then_the_wildcards_then_the_first() {
    let all: [&[&str]; 4] = [
        &["default.example"],
        &["*.gmr.example", "GMR.example"],
        &["royalty.gmr.example", "192.0.2.7", "2001:db8::7"],
        &["*.a.gmr.example"],
    ];
    let certificates = put_in_order(&all).unwrap();
    for (name, place) in [
        ("default.example", 0),
        ("gmr.example", 1),
        ("x.gmr.example", 1),
        ("royalty.gmr.example", 2),
        ("ROYALTY.gmr.example.", 2),
        ("x.a.gmr.example", 3),
        // One label, as browsers read it.
        ("a.gmr.example", 1),
        ("x.y.gmr.example", 0),
        ("x.royalty.gmr.example", 0),
        ("192.0.2.7", 2),
        ("[2001:db8::7]", 2),
        ("192.0.2.8", 0),
        ("unknown", 0),
        ("example", 0),
    ] {
        assert_eq!(certificates.place(Some(&host(name))), place, "{name}");
    }
    assert_eq!(certificates.place(None), 0);
    let names = certificates.at(1).unwrap().names();
    for (name, covered) in
        [("x.gmr.example", true), ("gmr.example", true), ("x.y.gmr.example", false), ("default.example", false)]
    {
        assert_eq!(names.cover(&host(name)), covered, "{name}");
    }
}

#[test]
fn a_wildcard_is_no_part_of_an_address_and_no_part_of_a_label() {
    let certificates =
        put_in_order(&[&["default.example"], &["*.0.2.7", "w*.gmr.example", "*.*.gmr.example", "*"]]).unwrap();
    for name in ["192.0.2.7", "www.gmr.example", "a.b.gmr.example", "localhost"] {
        assert_eq!(certificates.place(Some(&host(name))), 0, "{name}");
    }
}

#[test]
fn two_certificates_for_one_name_are_an_error_that_names_both() {
    let same = put_in_order(&[&["a.example", "*.gmr.example"], &["b.example", "*.GMR.example"]]).err().unwrap();
    assert!(same.contains("a.example+*.gmr.example and b.example+*.GMR.example are both for *.gmr.example"), "{same}");
    // A name that stands twice in one certificate, and a wildcard beside one of its names, are none.
    assert!(put_in_order(&[&["a.example", "A.example"], &["*.example"]]).is_ok());
}
