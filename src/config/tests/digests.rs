//! When two settings of TLS are the same, and when they were written alike.

use super::*;

#[test]
fn what_a_file_is_for_is_a_part_of_the_digests() {
    let folder = Folder::new();
    let authority = fs::read_to_string(folder.0.join("clients-ca.pem")).unwrap();
    folder.write("both.pem", &format!("{authority}{}", revocation_list()));
    let digests = |client: &str| {
        let text = format!(
            "policies = [\"policies\"]\nstate = \"state\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificate = \"cert.pem\", key = \"key.pem\", client = {{ {client} }} }}\n"
        );
        let (config, report) = folder.load(&text, &[]);
        let tls = config.unwrap_or_else(|_| panic!("{report}")).listeners[0].tls.clone().unwrap();
        [tls.digest, tls.names]
    };
    let asks = |mode: &str, client: &str| digests(&format!("mode = \"{mode}\", {client}"));
    let revoking = asks("required", "ca = [\"clients-ca.pem\"], crl = [\"both.pem\"]");
    assert_eq!(revoking, asks("required", "ca = [\"clients-ca.pem\"], crl = [\"both.pem\"]"));
    for other in [
        asks("required", "ca = [\"clients-ca.pem\", \"both.pem\"]"),
        asks("optional", "ca = [\"clients-ca.pem\"], crl = [\"both.pem\"]"),
    ] {
        assert!(other[0] != revoking[0] && other[1] != revoking[1]);
    }
    // A file that changes, and one that is called otherwise.
    folder.write("again-ca.pem", &authority);
    let renamed = asks("required", "ca = [\"again-ca.pem\"], crl = [\"both.pem\"]");
    assert!(renamed[0] == revoking[0] && renamed[1] != revoking[1]);
    folder.write("both.pem", &revocation_list());
    let replaced = asks("required", "ca = [\"clients-ca.pem\"], crl = [\"both.pem\"]");
    assert!(replaced[0] != revoking[0] && replaced[1] == revoking[1]);
}
