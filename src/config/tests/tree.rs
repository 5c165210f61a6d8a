//! Every example and every documented key, and that no other can be read.

use super::*;

#[test]
fn every_example_loads() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let key = KeyRing::generate_key().expose().clone();
    let variables = ["IDP_CLIENT_SECRET", "STAFF_CLIENT_SECRET", "PARTNERS_CLIENT_SECRET"]
        .map(|name| (name.to_owned(), "s3cret".to_owned()))
        .into_iter()
        .chain(["SESSION_KEY", "SESSION_KEY_OLD"].map(|name| (name.to_owned(), key.clone())));
    let environment: Environment = variables.collect();
    for name in ["minimal", "several-applications", "behind-load-balancer"] {
        let (config, report) = load(&examples.join(name).join("lychgate.toml"), &environment, &[]);
        assert!(config.is_ok_and(|config| !config.policies.is_empty()), "{name}\n{report}");
        assert!(report.findings().is_empty(), "{name}\n{report}");
    }
}

#[test]
fn the_example_of_the_documentation_holds_only_known_keys() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = fs::read_to_string(page).unwrap();
    let example = page.rsplit_once("```toml\n").and_then(|(_, rest)| rest.split_once("```")).unwrap().0;
    let (_, report) = Folder::new().load(example, &[]);
    for finding in report.findings() {
        let about_files = ["cannot read", "cannot list", "does not exist"];
        assert!(about_files.iter().any(|text| finding.message.contains(text)), "{}", finding.message);
    }
}

#[test]
fn every_key_of_the_reference_is_read() {
    let folder = Folder::new();
    for (_, text) in data("good").into_iter().chain(data("bad")) {
        let _ = folder.load(&text, &[]);
    }
    let never = reference::asked::never(&reference::gateway::FILE);
    assert!(never.is_empty(), "src/reference has rows that no reader asks for: {never:#?}");
}

#[test]
#[should_panic(expected = "`colour` has no row in the table `admin`")]
fn a_key_that_is_not_in_the_reference_cannot_be_read() {
    reference::gateway::ADMIN.ask("colour");
}

#[test]
fn the_defaults_of_the_reference_are_those_that_hold() {
    let folder = Folder::new();
    let smallest = "policies = [\"policies/*.toml\"]\nstate = \"state\"\n[[listeners]]\naddress = \"127.0.0.1:1\"\n";
    let provider = "[providers.p]\nissuer = \"https://idp.example\"\nclient_id = \"x\"\nclient_secret = { file = \"okta.secret\" }\n";
    let mut written = format!("trusted_proxies = []\n{smallest}{provider}");
    let defaults = |table: &reference::Table| {
        let given = table.keys.iter().filter_map(|key| match key.need {
            reference::Need::Default(value) => Some(format!("{} = {value}\n", key.name)),
            _ => None,
        });
        given.collect::<String>()
    };
    written.push_str(&defaults(&reference::gateway::PROVIDER));
    for table in reference::gateway::FILE
        .all()
        .iter()
        .filter(|table| ["limits", "timeouts", "admin", "log"].contains(&table.name))
    {
        written.push_str(&format!("[{}]\n{}", table.name, defaults(table)));
    }
    let config = |text: &str| match folder.load(text, &[]) {
        (Ok(config), _) => config,
        (Err(_), report) => panic!("{report}"),
    };
    let (given, silent) = (config(&written), config(&format!("{smallest}{provider}")));
    assert_eq!((given.limits, given.timeouts, given.admin), (silent.limits, silent.timeouts, silent.admin));
    assert_eq!((&given.log, &given.trusted_proxies), (&silent.log, &silent.trusted_proxies));
    let provider = |config: &Config| {
        let one = config.providers[0].clone();
        (one.scopes, one.client_auth, one.userinfo, one.clock_skew)
    };
    assert_eq!(provider(&given), provider(&silent));
}
