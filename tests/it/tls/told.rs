//! What administrators are told: `check` of certificates that do not fit, `explain` with a client's certificate.

use rcgen::{CertificateParams, DnType};

use crate::harness::gateway::Folder;
use crate::harness::program::{ended, lychgate};
use crate::harness::tls::Authority;

const LISTENERS: &str =
    "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"cert.pem\", key = \"cert.key\" }\n";

/// What `check` says of these listeners in front of `app.example`.
fn said(folder: &Folder, listeners: &str) -> (i32, String) {
    folder.write("lychgate.toml", &format!("policies = [\"policies\"]\nstate = \"state\"\n{listeners}"));
    folder.write(
        "policies/app.toml",
        "[app]\nhosts = [\"app.example\"]\nupstream = \"http://127.0.0.1:9\"\n[[rules]]\naccess = \"public\"\n",
    );
    let config = folder.path().join("lychgate.toml");
    let (code, _, err) = ended(&mut lychgate(&["check", "--config", config.to_str().unwrap()]));
    (code, err.replace(&format!("{}/", folder.path().display()), ""))
}

/// What `check` says of a certificate for these names, with more lines of configuration.
fn check(listeners: &str, change: impl FnOnce(&mut CertificateParams)) -> (i32, String) {
    let folder = Folder::new();
    let mut params = CertificateParams::new(["app.example".to_owned()]).unwrap();
    change(&mut params);
    let certified = Authority::new().sign(params);
    folder.write("cert.pem", &certified.certificate);
    folder.write("cert.key", &certified.key);
    said(&folder, listeners)
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

/// An authority for clients with these changes, in PEM.
fn devices(change: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Devices");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    change(&mut params);
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}

/// What `check` and `doctor` say of a listener that asks clients for certificates with these keys.
fn check_clients(client: &str, files: &[(&str, &str)], more: &str) -> (i32, String) {
    let folder = Folder::new();
    let certified = Authority::new().certify("app.example");
    folder.write("cert.pem", &certified.certificate);
    folder.write("cert.key", &certified.key);
    for (name, text) in files {
        folder.write(name, text);
    }
    let tls = format!("{{ certificate = \"cert.pem\", key = \"cert.key\", client = {{ {client} }} }}");
    let listener = format!("[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {tls}\n{more}");
    said(&folder, &listener)
}

#[test]
fn what_vouches_for_clients_is_looked_at_too() {
    let good = devices(|_| {});
    let (code, said) = check_clients("mode = \"optional\", ca = [\"devices.pem\"]", &[("devices.pem", &good)], "");
    assert_eq!((code, said.contains("warning")), (0, false), "{said}");
    let old = devices(|params| params.not_after = rcgen::date_time_ymd(2021, 5, 1));
    let (code, said) = check_clients("mode = \"optional\", ca = [\"devices.pem\"]", &[("devices.pem", &old)], "");
    assert!(
        code == 0 && said.contains("devices.pem: the certificate of the authority `CN=Devices` expired on 2021"),
        "{said}"
    );
    // A list that is out of date, and an authority that no list speaks for.
    let other = Authority::named("Others");
    let files = [("devices.pem", good.as_str()), ("others.crl", &other.revoke(&[1], 2021))];
    let with_list = "mode = \"optional\", ca = [\"devices.pem\"], crl = [\"others.crl\"]";
    let (code, said) = check_clients(with_list, &files, "");
    assert!(code == 0 && said.contains("others.crl: the revocation list of `CN=Others` expired on 2021"), "{said}");
    assert!(said.contains("devices.pem: no list in `crl` is of the authority `CN=Devices`"), "{said}");
    // Of two lists for the same certificates one counts. Two authorities may have one name.
    let [one, two] = [Authority::named("Devices"), Authority::named("Devices")];
    let both = format!("{}{}", one.pem, two.pem);
    let [old, new] = [(2020, 2021), (2022, 2999)].map(|years| one.revoke_some(&[1], years, None));
    let files = [("devices.pem", &*both), ("old.crl", &*old), ("new.crl", &*new), ("two.crl", &two.revoke(&[1], 2999))];
    let with_lists = "mode = \"optional\", ca = [\"devices.pem\"], crl = [\"old.crl\", \"new.crl\", \"two.crl\"]";
    let (code, said) = check_clients(with_lists, &files, "");
    assert!(code == 0 && said.contains("old.crl: the revocation list of `CN=Devices` of 2020-01-01"), "{said}");
    assert!(said.contains("does not count: new.crl holds one of 2022-01-01"), "{said}");
    assert!(said.matches("warning").count() == 1, "{said}");
    let (code, said) = check_clients(&with_lists.replace(", \"two.crl\"", ""), &files, "");
    assert!(
        code == 0 && said.contains("devices.pem: no list in `crl` is signed with this key of the authority"),
        "{said}"
    );
    // A demand that another listener does not make.
    let open = "[[listeners]]\naddress = \"0.0.0.0:65431\"\n";
    let demand = "mode = \"required\", ca = [\"devices.pem\"]";
    let (code, said) = check_clients(demand, &[("devices.pem", &good)], open);
    assert!(
        code == 0 && said.contains("takes no client without a certificate, and 0.0.0.0:65431 serves the same hosts"),
        "{said}"
    );
    assert!(said.contains("request.tls.client.verified"), "{said}");
    let sent_elsewhere = format!("{open}redirect = \"https\"\n");
    let (_, said) = check_clients(demand, &[("devices.pem", &good)], &sent_elsewhere);
    assert!(!said.contains("serves the same hosts"), "{said}");
}

#[test]
fn certificates_that_end_soon_are_warned_of() {
    use lychgate::clock::Clock;
    let in_days = |days: i64| {
        let seconds = Clock::system().now().seconds() + days * 86_400;
        let date = lychgate::clock::Timestamp::from_seconds(seconds).to_string();
        let part = |range: std::ops::Range<usize>| date[range].parse::<i32>().unwrap();
        rcgen::date_time_ymd(part(0..4), u8::try_from(part(5..7)).unwrap(), u8::try_from(part(8..10)).unwrap())
    };
    let (code, said) = check(LISTENERS, |params| {
        params.not_before = in_days(-300);
        params.not_after = in_days(10);
    });
    assert!(code == 0 && said.contains("cert.pem: the certificate expires on") && said.contains("in 9 days"), "{said}");
    assert!(said.contains("renew it") && !said.contains("refuse it"), "{said}");
    let (_, said) = check(LISTENERS, |params| {
        params.not_before = in_days(-300);
        params.not_after = in_days(20);
    });
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn people_sign_in_over_https_only_but_on_loopback_names() {
    let listener = |scheme: &str| format!("[[listeners]]\naddress = \"127.0.0.1:0\"\n{scheme}");
    let check = |host: &str, scheme: &str| {
        let folder = Folder::new();
        let provider = "[providers.idp]\nissuer = \"https://idp.example\"\nclient_id = \"x\"\nclient_auth = \"none\"\n";
        let settings = format!("policies = [\"policies\"]\nstate = \"state\"\n{}{provider}", listener(scheme));
        folder.write("lychgate.toml", &settings);
        let policy = format!("[app]\nhosts = [\"{host}\"]\nupstream = \"http://127.0.0.1:9\"\n[login]\n[[rules]]\n");
        folder.write("policies/app.toml", &policy);
        let config = folder.path().join("lychgate.toml");
        let (code, _, err) = ended(&mut lychgate(&["check", "--config", config.to_str().unwrap()]));
        (code, err)
    };
    let (code, said) = check("app.example", "");
    assert_eq!(code, 64, "{said}");
    assert!(said.contains("`app.example` of policy `app` signs people in, and no listener is https"), "{said}");
    assert_eq!(check("app.example", "scheme = \"https\"\n").0, 0);
    let (code, said) = check("app.localhost", "");
    assert!(code == 0 && said.contains("`app.localhost` is served over plain http"), "{said}");
}
