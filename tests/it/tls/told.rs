//! What administrators are told: `check` of certificates that do not fit, `explain` with a client's certificate.

use rcgen::{CertificateParams, DnType};

use crate::harness::gateway::Folder;
use crate::harness::program::{ended, lychgate};
use crate::harness::tls::Authority;

const LISTENERS: &str =
    "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"cert.pem\", key = \"cert.key\" }\n";

/// What `check` says of a certificate for these names, with more lines of configuration.
fn check(listeners: &str, change: impl FnOnce(&mut CertificateParams)) -> (i32, String) {
    let folder = Folder::new();
    let mut params = CertificateParams::new(["app.example".to_owned()]).unwrap();
    change(&mut params);
    let certified = Authority::new().sign(params);
    folder.write("cert.pem", &certified.certificate);
    folder.write("cert.key", &certified.key);
    folder.write("lychgate.toml", &format!("policies = [\"policies\"]\nstate = \"state\"\n{listeners}"));
    folder.write(
        "policies/app.toml",
        "[app]\nhosts = [\"app.example\"]\nupstream = \"http://127.0.0.1:9\"\n[[rules]]\naccess = \"public\"\n",
    );
    let config = folder.path().join("lychgate.toml");
    let (code, _, err) = ended(&mut lychgate(&["check", "--config", config.to_str().unwrap()]));
    (code, err.replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn certificates_that_do_not_fit_are_warned_of() {
    let (code, said) = check(LISTENERS, |_| {});
    assert_eq!((code, said.contains("warning")), (0, false), "{said}");
    let (code, said) = check(LISTENERS, |params| params.not_after = rcgen::date_time_ymd(2021, 5, 1));
    assert!(code == 0 && said.contains("cert.pem: the certificate expired on 2021-05-01T00:00:00"), "{said}");
    let (code, said) = check(LISTENERS, |params| params.not_before = rcgen::date_time_ymd(2999, 1, 1));
    assert!(code == 0 && said.contains("cert.pem: the certificate is not valid before 2999-01-01"), "{said}");
    let other =
        |params: &mut CertificateParams| *params = CertificateParams::new(["other.example".to_owned()]).unwrap();
    let (code, said) = check(LISTENERS, other);
    assert!(code == 0 && said.contains("cert.pem has no name for any host that a policy has"), "{said}");
    assert!(said.contains("it is for other.example"), "{said}");
    assert!(said.contains("no certificate is for `app.example`"), "{said}");
    // Another listener has a load balancer in front, which may have the certificate for it.
    let behind = format!("{LISTENERS}[[listeners]]\naddress = \"127.0.0.1:0\"\nscheme = \"https\"\n");
    let (code, said) = check(&behind, other);
    assert!(code == 0 && !said.contains("no certificate is for"), "{said}");
    let redirects = "[[listeners]]\naddress = \"127.0.0.1:0\"\nredirect = \"https\"\n";
    let (code, said) = check(redirects, |_| {});
    assert!(code == 0 && said.contains("a listener sends everybody to https, and no listener is https"), "{said}");
}

#[test]
fn explain_reads_the_certificate_that_a_client_would_show() {
    let folder = Folder::new();
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/policies/good/devices.toml");
    folder.write("policies/devices.toml", &std::fs::read_to_string(source).unwrap());
    folder.write("okta.secret", "s");
    folder.write("claims.json", "{\"preferred_username\": \"ada\", \"groups\": [\"admins\"]}");
    folder.write(
        "lychgate.toml",
        "policies = [\"policies\"]\nstate = \"state\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\nscheme = \"https\"\n\
         [providers.okta]\nissuer = \"https://idp.example\"\nclient_id = \"x\"\nclient_secret = { file = \"okta.secret\" }\n",
    );
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "laptop-7");
    let devices = Authority::named("Garnet Devices");
    folder.write("laptop.pem", &devices.sign(params).certificate);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (config, claims, laptop) = (path("lychgate.toml"), path("claims.json"), path("laptop.pem"));
    let request = "GET https://devices.gmr.example/admin/payouts";
    let asked = ["explain", request, "--config", config.as_str(), "--claims", claims.as_str()];
    let (code, without, err) = ended(&mut lychgate(&asked));
    assert!(code == 0 && without.contains("decision  deny by `payouts`"), "{without} {err}");
    let (code, with, err) = ended(&mut lychgate(&[&asked[..], &["--client-certificate", &laptop]].concat()));
    assert!(code == 0 && with.contains("decision  allow by `payouts`"), "{with} {err}");
    assert!(with.contains("with the certificate of CN=laptop-7"), "{with}");
    assert!(with.contains("request.tls.client.issuer  = \"CN=Garnet Devices\""), "{with}");
    assert!(with.contains("X-Device: laptop-7"), "{with}");
    let (code, _, err) = ended(&mut lychgate(&[&asked[..], &["--client-certificate", &claims]].concat()));
    assert!(code != 0 && err.contains("claims.json"), "{err}");
}
