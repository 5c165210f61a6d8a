//! Every configuration that the project shows is whole: it loads, its policies compile, and their own tests pass.
//!
//! Covered: the folders in `examples/`, the policy in `README.md`, and the one in the Kubernetes manifest.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lychgate::app::Plan;
use lychgate::config::{Environment, load};
use lychgate::crypto::{KeyRing, Secret};
use lychgate::diagnostic::{Report, SourceFile};
use lychgate::policy::{self, Policy, ProviderFacts, SecretSource, compile};

use crate::harness::gateway::Folder;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn environment() -> Environment {
    let key = KeyRing::generate_key().expose().clone();
    let secrets = ["IDP_CLIENT_SECRET", "STAFF_CLIENT_SECRET", "PARTNERS_CLIENT_SECRET"];
    let secrets = secrets.map(|name| (name.to_owned(), "s3cret".to_owned()));
    let keys = ["SESSION_KEY", "SESSION_KEY_OLD"].map(|name| (name.to_owned(), key.clone()));
    secrets.into_iter().chain(keys).collect()
}

/// Compiles a policy that must be without any finding, and runs its own tests.
fn sound_policy(file: &Arc<SourceFile>, providers: &[&str]) -> Policy {
    let name = file.path().file_stem().unwrap().to_str().unwrap();
    let mut report = Report::default();
    let secrets = |_: &SecretSource| Ok(Secret::new("s3cret".to_owned()));
    let providers: Vec<_> = providers.iter().map(|name| ProviderFacts { name, scopes: None }).collect();
    let included = |path: &Path| {
        let path = file.path().parent().unwrap().join(path);
        std::fs::read_to_string(&path).map(|text| SourceFile::new(path, text)).map_err(|error| error.to_string())
    };
    let identity = Arc::default();
    let environment =
        policy::Environment { secrets: &secrets, files: &included, providers: &providers, identity: Some(&identity) };
    let policy = compile(name, file, &environment, &mut report);
    assert!(report.findings().is_empty(), "{report}");
    let policy = policy.unwrap();
    for outcome in policy.run_tests() {
        let place = format!("{}:{} {}", file.path().display(), outcome.line, outcome.name);
        assert!(outcome.passed, "{place}\n{}", outcome.explanation.join("\n"));
    }
    policy
}

/// The lines between two marks, each without its first `indent` characters.
fn block(path: &Path, from: &str, to: &str, indent: usize) -> Arc<SourceFile> {
    let text = std::fs::read_to_string(path).unwrap();
    let after = text.split_once(from).unwrap().1;
    let lines = after.lines().take_while(|line| line.trim() != to);
    let lines: Vec<&str> = lines.map(|line| line.get(indent..).unwrap_or_default()).collect();
    SourceFile::new(path.with_extension("toml"), lines.join("\n"))
}

#[test]
fn every_example_loads_without_a_finding_and_its_policies_pass_their_own_tests() {
    let providers = std::fs::read_dir(root().join("examples/providers")).unwrap();
    let providers: Vec<String> =
        providers.map(|entry| format!("providers/{}", entry.unwrap().file_name().to_str().unwrap())).collect();
    assert_eq!(providers.len(), 7, "{providers:?}");
    let others = ["minimal", "several-applications", "behind-load-balancer", "api-clients"].map(str::to_owned);
    for name in others.into_iter().chain(providers) {
        let file = root().join("examples").join(&name).join("lychgate.toml");
        let (config, report) = load(&file, &environment(), &[]);
        assert!(report.findings().is_empty(), "{name}\n{report}");
        let config = config.ok().unwrap();
        let providers: Vec<&str> = config.providers.iter().map(|provider| &*provider.name).collect();
        for file in &config.policies {
            let policy = sound_policy(file, &providers);
            assert!(!policy.run_tests().is_empty(), "{} has no tests of its own", file.path().display());
        }
    }
}

#[test]
fn the_policy_in_the_readme_does_what_it_says() {
    let policy = sound_policy(&block(&root().join("README.md"), "```toml", "```", 3), &["idp"]);
    assert_eq!(policy.hosts().len(), 1);
    assert_eq!(policy.run_tests().len(), 1);
}

#[test]
fn the_policy_in_the_kubernetes_manifest_compiles() {
    let manifest = root().join("deploy/kubernetes/sidecar.yaml");
    let policy = sound_policy(&block(&manifest, "royalty.toml: |", "---", 4), &["idp"]);
    assert_eq!(policy.hosts().first().map(|host| host.as_str()), Some("royalty.gmr.example"));
}

#[test]
fn the_configuration_in_the_kubernetes_manifest_has_no_finding() {
    let manifest = root().join("deploy/kubernetes/sidecar.yaml");
    let folder = Folder::new();
    let place = |path: &str| folder.path().join(path).display().to_string();
    let text = block(&manifest, "lychgate.toml: |", "---", 4).text().to_owned();
    let text =
        text.replace("/etc/lychgate-policies", &place("policies")).replace("/run/secrets/lychgate", &place("secrets"));
    folder.write("policies/royalty.toml", block(&manifest, "royalty.toml: |", "---", 4).text());
    folder.write("secrets/session.key", KeyRing::generate_key().expose());
    folder.write("secrets/idp.secret", "s3cret");
    let (plan, report) = Plan::read(&folder.write("lychgate.toml", &text), &environment(), &[]);
    assert!(plan.is_some() && report.findings().is_empty(), "{report}");
}
