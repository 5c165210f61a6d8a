//! Every TOML file that the project ships is loaded by the program's own reader, and every policy passes its own tests.
//!
//! The tree is walked: a file that nothing here knows how to load fails the test.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lychgate::app::Plan;
use lychgate::config::Environment;
use lychgate::crypto::{KeyRing, Secret};
use lychgate::diagnostic::{Report, SourceFile};
use lychgate::policy::{self, ProviderFacts, SecretSource, compile, no_files};

use crate::harness::gateway::Folder;
use crate::harness::tls::Authority;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every TOML file in the folders that are shipped.
fn shipped() -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::new();
    let mut folders: Vec<PathBuf> = ["policies", "examples", "deploy"].map(|name| root().join(name)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                all.insert(path);
            }
        }
    }
    all
}

fn is_configuration(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "lychgate.toml")
}

/// A value for every variable that a shipped file names as the source of a secret.
fn environment() -> Environment {
    let named = shipped().into_iter().flat_map(|path| {
        let text = std::fs::read_to_string(path).unwrap();
        let names = text.split("env = \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        names.collect::<Vec<_>>()
    });
    named.map(|name| (name, KeyRing::generate_key().expose().clone())).collect()
}

#[test]
fn every_shipped_configuration_loads_with_its_policies_and_they_pass_their_tests() {
    let environment = environment();
    let mut loaded = BTreeSet::new();
    for file in shipped().into_iter().filter(|path| is_configuration(path)) {
        let complete = Complete::of(&file);
        let (plan, report) = Plan::read(&complete.file, &environment, &[]);
        let plan = plan.unwrap_or_else(|| panic!("{}\n{}", file.display(), report.render()));
        assert!(report.findings().iter().all(|finding| expected(&finding.message)), "{}", report.render());
        for source in &plan.config().policies {
            loaded.insert(complete.original(source.path()));
            loaded.extend(included(source));
        }
        for policy in plan.policies() {
            let outcomes = policy.run_tests();
            assert!(!outcomes.is_empty(), "{}: policy {} has no tests of its own", file.display(), policy.name());
            for outcome in outcomes {
                assert!(outcome.passed, "{}: {}\n{}", policy.name(), outcome.name, outcome.explanation.join("\n"));
            }
        }
        plan.rehearse().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        loaded.insert(file);
    }
    // The policies of the demonstration belong to a configuration that is made when it starts, templates to nobody's.
    let on_their_own: Vec<PathBuf> = shipped().difference(&loaded).cloned().collect();
    let folders = ["policies", "policies/templates"].map(|name| root().join(name));
    for path in &on_their_own {
        let known = folders.iter().any(|folder| path.parent() == Some(folder.as_path()));
        assert!(known, "{} is loaded by nothing", path.display());
        sound(path);
    }
    assert!(loaded.len() >= 2 && !on_their_own.is_empty());
}

/// A configuration with the certificates and keys that it names: they are made for the test, in a copy.
struct Complete {
    file: PathBuf,
    original: PathBuf,
    _copy: Option<Folder>,
}

impl Complete {
    fn of(file: &Path) -> Self {
        let (folder, text) = (file.parent().unwrap(), std::fs::read_to_string(file).unwrap());
        if !text.lines().any(|line| !line.starts_with('#') && line.contains("\"tls/")) {
            return Self { file: file.to_owned(), original: folder.to_owned(), _copy: None };
        }
        let copy = Folder::new();
        copy.write("lychgate.toml", &text);
        for entry in std::fs::read_dir(folder.join("policies")).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("policies/{}", path.file_name().unwrap().to_str().unwrap());
            copy.write(&name, &std::fs::read_to_string(&path).unwrap());
        }
        let devices = Authority::named("Devices");
        copy.write("tls/devices-ca.pem", &devices.pem);
        copy.write("tls/devices.crl", &devices.revoke(&[7], 2099));
        for name in ["royalty", "archive"] {
            let certified = Authority::new().certify(&format!("{name}.mill.example"));
            copy.write(&format!("tls/{name}.pem"), &certified.certificate);
            copy.write(&format!("tls/{name}.key"), &certified.key);
        }
        Self { file: copy.path().join("lychgate.toml"), original: folder.to_owned(), _copy: Some(copy) }
    }

    /// The file in the tree that is read here.
    fn original(&self, path: &Path) -> PathBuf {
        let within = path.strip_prefix(self.file.parent().unwrap()).unwrap();
        self.original.join(within).canonicalize().unwrap()
    }
}

/// The files that a policy includes.
fn included(source: &SourceFile) -> Vec<PathBuf> {
    let table: toml::Table = source.text().parse().unwrap();
    let paths = match table.get("include") {
        Some(toml::Value::Array(paths)) => paths.iter().map(|path| path.as_str().unwrap()).collect(),
        Some(path) => vec![path.as_str().unwrap()],
        None => Vec::new(),
    };
    let folder = source.path().parent().unwrap();
    paths.into_iter().map(|path| folder.join(path).canonicalize().unwrap()).collect()
}

/// What a shipped configuration may be warned of: that it is for this machine only.
fn expected(message: &str) -> bool {
    message.contains("is served over plain http") || message.contains("is not encrypted")
}

/// Compiles a policy that no configuration names, and runs its tests.
fn sound(path: &Path) {
    let source = SourceFile::new(path, std::fs::read_to_string(path).unwrap());
    let name = path.file_stem().unwrap().to_str().unwrap();
    let mut report = Report::default();
    let secrets = |_: &SecretSource| Ok(Secret::new("a-secret-of-the-tests-as-long-as-a-good-one".to_owned()));
    let identity = Arc::default();
    let providers = [ProviderFacts { name: "idp", scopes: None }];
    let environment =
        policy::Environment { secrets: &secrets, files: &no_files, providers: &providers, identity: Some(&identity) };
    let policy = compile(name, &Arc::clone(&source), &environment, &mut report);
    assert!(report.findings().is_empty(), "{}", report.render());
    let outcomes = policy.unwrap().run_tests();
    assert!(!outcomes.is_empty(), "{} has no tests of its own", path.display());
    for outcome in outcomes {
        assert!(outcome.passed, "{name}: {}\n{}", outcome.name, outcome.explanation.join("\n"));
    }
}

/// The templates, by name, as text.
fn templates() -> Vec<(String, String)> {
    let in_folder = |path: &PathBuf| path.parent() == Some(root().join("policies/templates").as_path());
    let named = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    shipped().into_iter().filter(in_folder).map(named).collect()
}

#[test]
fn every_template_says_what_an_administrator_must_know_and_tests_it() {
    let templates = templates();
    assert!(templates.len() > 20, "only {} templates", templates.len());
    for (name, text) in &templates {
        let (notes, policy) = text.split_once("\n[app]\n").unwrap_or_else(|| panic!("{name} has no [app]"));
        for label in ["Vendor:", "Written for:", "Lock:", "Machines:", "Sign-out:", "Pitfalls:"] {
            assert!(notes.contains(&format!("\n# {label}")), "{name} does not say `{label}`");
        }
        assert!(notes.contains("https://"), "{name} names no page");
        assert!(!notes.contains("TODO"), "{name} is not finished");
        let tests = policy.split("[[tests]]").skip(1).collect::<String>();
        for expected in ["\"sign-in\"", "\"deny\"", "decision = \"allow\"", "headers = {"] {
            assert!(tests.contains(expected), "no test of {name} expects {expected}");
        }
        assert!(!tests.contains("\"public\"") || tests.contains("absent = ["), "{name}: who is told on public paths?");
    }
}

#[test]
fn the_table_of_templates_has_each_of_them_once() {
    let page = std::fs::read_to_string(root().join("policies/templates/README.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| [")).collect();
    let listed: Vec<&str> = rows.iter().filter_map(|row| row.split(['[', ']']).nth(1)).collect();
    let names: Vec<String> = templates().into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed, names, "the rows are those of the folder, in its order");
    for (row, (name, text)) in rows.iter().zip(templates()) {
        assert!(row.contains(&format!("({name}.toml)")), "{row}");
        let header = row.split('`').nth(1).unwrap();
        assert!(text.contains(&format!("\n{header} ")), "{name} sends no `{header}`");
    }
}

#[test]
fn no_policy_that_is_shown_lets_anybody_through_without_the_name_that_it_tells() {
    let policies = shipped().into_iter().filter(|path| !is_configuration(path));
    let pages = ["README.md", "deploy/kubernetes/sidecar.yaml"].map(|name| root().join(name));
    let mut seen = 0;
    for path in policies.chain(pages) {
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let Some((name, value)) = line.split_once('=') else { continue };
            if !name.trim().to_lowercase().ends_with("remote-user") || !value.contains("${user.preferred_username}") {
                continue;
            }
            assert!(value.contains("missing = \"deny\""), "{}: {line}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 12, "only {seen} were found");
}
