//! What the page on API clients shows and says.

use std::collections::BTreeSet;
use std::path::Path;

use lychgate::crypto::Secret;
use lychgate::diagnostic::{Report, SourceFile};
use lychgate::policy::{Environment, ProviderFacts, SecretSource, compile, no_files};

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api-clients.md")).unwrap()
}

#[test]
fn every_policy_on_the_page_compiles() {
    let page = page();
    let blocks: Vec<&str> = page.split("```toml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    assert!(blocks.len() >= 2);
    for block in blocks {
        let mut report = Report::default();
        let secrets = |_: &SecretSource| Ok(Secret::new("s3cret".to_owned()));
        let providers = [ProviderFacts { name: "idp", scopes: None }];
        let environment = Environment { secrets: &secrets, files: &no_files, providers: &providers, identity: None };
        let policy = compile("statements", &SourceFile::new("api-clients.md", block), &environment, &mut report);
        assert!(report.findings().is_empty(), "{report}");
        assert!(policy.unwrap().bearer().is_some());
    }
}

#[test]
fn the_page_names_every_error_that_clients_are_told() {
    let page = page();
    let named: BTreeSet<&str> = page.split("error=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let told = ["insufficient_scope", "insufficient_user_authentication", "invalid_request", "invalid_token"];
    assert_eq!(named.into_iter().collect::<Vec<_>>(), told);
}
