//! Secrets and keys: never shown, made only when asked for.

use super::*;

#[test]
fn r17_no_secret_is_ever_shown() {
    let folder = Folder::new();
    let secret = "hunter2-must-not-be-shown";
    let lines = [
        format!("client_secret = \"{secret}\""),
        format!("client_secret = {{ value = \"{secret}\", evn = \"X\" }}"),
        format!("client_secret = {{ value = \"{secret}\", file = \"absent\" }}"),
        format!("client_secret = {{ valeu = \"{secret}\" }}"),
        format!("client_secret = \"{secret}"),
        format!("client_secret = {{ value = '{secret}' }} x"),
        format!("client_secret = [\"{secret}\"]"),
        format!("client_secret.value = '''\n{secret}'''\nclient_secret.oops = 1"),
        format!("secret = \"{secret}\""),
        format!("client_secert = {{ vlaue = \"{secret}\" }}"),
        format!("client_secret = {{\n  value =\n  \"{secret}\\q\",\n}}"),
        format!("client_secret = {{ value = \"\"\"\n{secret}\n\"\"\" }} x"),
        format!("ui_locales = [\n  {secret}=,\n]"),
        format!("issuer = \"http://joe:{secret}@idp.example\""),
        format!("issuer = \"ftp://joe:{secret}@\""),
    ];
    for line in lines {
        let issuer = if line.starts_with("issuer") { "" } else { "issuer = \"https://idp.example\"" };
        let text = format!("{SMALLEST}[providers.okta]\n{issuer}\nclient_id = \"x\"\n{line}\n");
        let (config, report) = folder.load(&text, &[("LYCHGATE_KEYS__SESSION", secret)]);
        assert!(config.is_err(), "{line}");
        assert!(!report.render().contains("hunter2"), "{line}\n{report}");
    }
}

#[test]
fn r17_no_password_of_an_address_is_ever_shown() {
    let folder = Folder::new();
    let fit = "[providers.okta]\nissuer = \"https://idp.example\"\nclient_id = \"x\"\nclient_auth = \"none\"\n";
    for provider in [
        "[providers]\nokta = { issuer = \"https://joe:hunter2@idp.example\", client_id = 5 }\n",
        "[providers]\nokta = { issuer = \"hunter2@idp.example\", client_id = 5 }\n",
        "[providers.okta]\nisuer = \"https://joe:hunter2@idp.example\"\nclient_id = \"x\"\n",
        &format!("{fit}events = {{ jwks_uri = \"https://joe:hunter2@tx.example/keys\" }}\n"),
        &format!("{fit}proxy = \"http://joe:hunter2@proxy.example:3128\"\n"),
        &format!("{fit}proxy = [\"http://joe:a/hunter2@proxy.example:3128\"]\n"),
        &format!("{fit}proxy = \"https:/joe:hunter2@proxy.example\"\n"),
        &format!("{fit}proxy = \"//joe:hunter2@proxy.example\"\n"),
        &format!("{fit}proxy.address = 'joe:hunt\"er2:hunter2@proxy.example:3128'\n"),
        &format!("{fit}proxy = {{ \"http://joe:hunter2@proxy.example\" = 4 }}\n"),
        "[admin]\naddress = \"http://joe:hunter2@127.0.0.1:9\"\n",
        "[[listeners]]\naddress = \"http://joe:hunter2@127.0.0.1:9\"\n",
        "[forwarded]\n[\"http://joe:hunter2@127.0.0.1:9\"]\n",
        "[admin]\naddress = \"http://joe:a,(b; hunter2@127.0.0.1:9\"\n",
    ] {
        let (config, report) = folder.load(&format!("{SMALLEST}{provider}"), &[]);
        assert!(config.is_err(), "{provider}");
        assert!(!report.render().contains("hunter2"), "{provider}\n{report}");
    }
    let (config, report) =
        folder.load(&format!("trusted_proxies = [\"http://joe:hunter2@10.0.0.1\"]\n{SMALLEST}"), &[]);
    assert!(config.is_err() && !report.render().contains("hunter2"), "{report}");
    for shown in ["https://idp.example/realms/a@b", "it@bank.example", "a: write to it@bank.example"] {
        let (_, report) = folder.load(&format!("{SMALLEST}{fit}proxy = \"{shown}\"\n"), &[]);
        assert!(report.render().contains(shown), "{report}");
    }
}

#[test]
fn r17_of_a_file_that_is_no_toml_known_keys_are_shown_and_nothing_else() {
    let folder = Folder::new();
    for text in [
        "# written '''\nX = { bearer = { value = '''\nhunter2=abc\n",
        "a = \"'''\"\nvalue = '''\nhunter2=abc\n",
        "keys = [\n[hunter2,\n]\n",
        "keys = [\n[hunter2]\n]\n",
        "keys = [\nhunter2=abc,\n]\n",
    ] {
        let (config, report) = folder.load(text, &[]);
        assert!(config.is_err() && report.findings().iter().any(|finding| finding.place.is_some()), "{report}");
        assert!(!report.render().contains("hunter2"), "{text}\n{report}");
    }
}

#[test]
fn places_in_a_file_that_is_no_toml_count_characters() {
    let folder = Folder::new();
    let (_, report) = folder.load("a = \"ééééé\\q\"\n", &[]);
    assert!(errors(&folder, &report)[0].starts_with("1:12 "), "{report}");
    assert!(report.render().contains("lychgate.toml:1:12"), "{report}");
}

#[test]
fn a_file_that_is_no_toml_has_its_first_mistakes_told_and_the_others_counted() {
    let folder = Folder::new();
    let (_, report) = folder.load(&"= 1\n".repeat(1000), &[]);
    let found = errors(&folder, &report);
    assert_eq!(found.len(), 21, "{found:#?}");
    assert!(
        found[19].starts_with("20:1 ") && found[20].starts_with("21:1 ") && found[20].contains("980"),
        "{found:#?}"
    );
}

#[test]
fn r17_no_private_key_is_ever_shown_wherever_it_was_put() {
    let folder = Folder::new();
    let (secret, pem) = ("hunter2", "-----BEGIN PRIVATE KEY-----\nhunter2\nhunter2==\n-----END PRIVATE KEY-----\n");
    let escaped = pem.replace('\n', "\\n");
    let listener = |tls: &str| {
        format!(
            "policies = [\"policies/*.toml\"]\nstate = \"state\"\n[[listeners]]\naddress = \"127.0.0.1:1\"\n{tls}\n"
        )
    };
    let provider = |line: &str| {
        format!("{SMALLEST}[providers.okta]\nissuer = \"https://idp.example\"\nclient_id = \"x\"\n{line}\n")
    };
    let texts = [
        listener(&format!("tls.certificate = \"cert.pem\"\ntls.key = \"\"\"\n{pem}\"\"\"")),
        listener(&format!("tls = {{ certificate = \"cert.pem\", key = \"{escaped}\" }}")),
        listener(&format!("tls = {{ certificate = \"{escaped}\", key = \"key.pem\" }}")),
        listener(&format!("tls.certificate = \"cert.pem\"\ntls.key = \"\"\"\n{pem}")),
        format!("key = \"\"\"{pem}\"\"\" oops\n"),
        format!("{pem} oops\n"),
        format!("{} oops\n", pem.replace('\n', "")),
        listener(&format!("tls.kee = \"{escaped}\"")),
        provider(&format!("client_key = \"{escaped}\"")),
        provider(&format!("client_key = {{ file = \"{escaped}\" }}")),
        provider(&format!("ca = \"{escaped}\"")),
        format!("{SMALLEST}[identity]\nkeys = [\"{escaped}\"]\n"),
        format!("{SMALLEST}[identity]\nkeys = [{{ file = \"\"\"{pem}\"\"\" }}]\n"),
    ];
    for text in texts {
        let (config, report) = folder.load(&text, &[]);
        assert!(config.is_err(), "{text}");
        assert!(!report.render().contains(secret), "{text}\n{report}");
    }
}

#[test]
fn a_first_key_is_made_only_when_asked_for_and_only_once() {
    let folder = Folder::new();
    let (config, report) = folder.load(SMALLEST, &[]);
    let Ok(config) = config else { panic!("{report}") };
    let path = folder.0.join("state/session.key");
    assert!(!folder.0.join("state").exists(), "reading the configuration must not write");

    let (_, notice) = config.session_keys.ensure().unwrap();
    assert!(notice.is_some_and(|notice| notice.message.contains("session.key")));
    let first = fs::read_to_string(&path).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(folder.0.join("state")).unwrap().mode() & 0o777, 0o700);
    }
    assert!(config.session_keys.ensure().is_ok(), "a second process at the same moment uses the first one's key");
    assert_eq!(fs::read_to_string(&path).unwrap(), first);
    assert_eq!(fs::read_dir(folder.0.join("state")).unwrap().count(), 1, "nothing is left beside the key");

    let (config, _) = folder.load(SMALLEST, &[]);
    assert!(config.is_ok_and(|config| matches!(config.session_keys, SessionKeys::Ready(_))));
    fs::write(&path, "damaged").unwrap();
    let (config, report) = folder.load(SMALLEST, &[]);
    assert!(config.is_err() && report.render().contains("state/session.key"), "{report}");
}

#[test]
fn a_key_that_cannot_be_made_says_what_to_do() {
    let folder = Folder::new();
    let text = SMALLEST.replace("\"state\"", "\"okta.secret\"");
    let (config, report) = folder.load(&text, &[]);
    let Ok(config) = config else { panic!("{report}") };
    let Err(error) = config.session_keys.ensure() else { panic!("a file is no folder") };
    assert!(error.help.is_some_and(|help| help.contains("lychgate keygen")), "{}", error.message);
}

#[test]
fn secrets_lose_one_line_end_and_nothing_else() {
    let folder = Folder::new();
    let environment: Environment = std::iter::empty().collect();
    for (text, secret) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a "), ("a\nb", "a\nb")] {
        folder.write("s", text);
        let read = read_secret(
            &SecretSource::File("s".into()),
            &folder.0,
            &environment,
            (&FilesRead::default(), &Part::key("s")),
        );
        assert_eq!(read.ok().map(|secret| secret.expose().clone()).as_deref(), Some(secret), "{text:?}");
    }
}
