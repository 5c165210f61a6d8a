//! Every policy in the tree, good, bad, shipped and documented, and any text at all.

use super::*;

fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/policies").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// The file that bad policies can include.
const BAD_SHARED: (&str, &str) =
    ("shared.toml", "[conditions]\nshared = \"true\"\n[groups]\nstaff = \"s\"\n[header_sets.common]\nX-A = \"a\"\n");

#[test]
fn every_bad_policy_gives_all_its_errors_with_their_places() {
    let mut different = String::new();
    for (path, text) in files("bad") {
        let expected: Vec<_> = text.lines().map_while(|line| line.strip_prefix("# error: ")).collect();
        let (policy, report) = definitions::compiled(&text, &[BAD_SHARED]);
        assert!(policy.is_none(), "{} compiles", path.display());
        if errors(&report) != expected {
            different.push_str(&format!("{}: {:#?}\n", path.display(), errors(&report)));
        }
        assert!(!expected.is_empty(), "{}", path.display());
        assert!(!report.render().contains("hunter2"), "a secret is shown: {report}");
    }
    assert!(different.is_empty(), "{different}");
}

#[test]
fn a_file_that_is_no_toml_costs_one_copy_and_has_its_first_mistakes_told() {
    let text = "= 1\n".repeat(1000);
    let include = "include = [\"shared.toml\"]\n[app]\n";
    for (policy, shared) in [(text.as_str(), ""), (include, text.as_str())] {
        let (_, report) = definitions::compiled(policy, &[("shared.toml", shared)]);
        let findings = report.findings().iter().filter(|finding| finding.message.contains("no TOML"));
        let files: Vec<_> = findings.filter_map(|finding| finding.place.as_ref()).map(|(file, _)| file).collect();
        assert_eq!(files.len(), 21, "{:#?}", errors(&report).get(..30));
        assert!(files.iter().all(|file| Arc::ptr_eq(file, files[0])), "each has a copy of the text");
    }
}

#[test]
fn every_key_of_the_reference_is_read() {
    for (_, text) in files("good").into_iter().chain(files("bad")) {
        let _ = definitions::compiled(&text, &[BAD_SHARED]);
    }
    for top in [&reference::policy::FILE, &reference::policy::DEFINITIONS] {
        let never = reference::asked::never(top);
        assert!(never.is_empty(), "src/reference has rows that no reader asks for: {never:#?}");
    }
}

#[test]
fn the_defaults_of_the_reference_are_those_that_hold() {
    let table = |name: &str, table: &reference::Table| {
        let given = table.keys.iter().filter_map(|key| match key.need {
            reference::Need::Default(value) => Some(format!("{} = {value}\n", key.name)),
            _ => None,
        });
        format!("[{name}]\n{}", given.collect::<String>())
    };
    let (app, rule) = (table("app", &reference::policy::APP), table("[rules]", &reference::policy::RULE));
    let written = format!(
        "{app}hosts = [\"app.example\"]\nupstream = \"http://127.0.0.1:7001\"\n{}{}[login]\n{rule}",
        table("app.timeouts", &reference::policy::APP_TIMEOUTS),
        table("session", &reference::policy::SESSION),
    );
    let written = compile_text(&written).unwrap_or_else(|report| panic!("{report}"));
    let silent = policy("[login]\n[[rules]]\n");
    assert_eq!(written.upstream(), silent.upstream());
    assert_eq!(written.session(), silent.session());
    assert_eq!(written.prefix(), silent.prefix());
    assert_eq!(answer(&written, None, "GET", "/"), answer(&silent, None, "GET", "/"));
}

#[test]
fn every_form_of_a_header_has_the_keys_of_all_headers() {
    for (form, table) in reference::policy::HEADER_FORMS {
        assert!(table.key(form).is_some(), "{form}");
        for name in table.key_names() {
            assert!(reference::policy::HEADER.key(name).is_some(), "`{name}` of `{form}` is missing in HEADER");
        }
    }
}

#[test]
fn findings_lead_to_their_place_in_the_documentation() {
    let text = "colour = 1\n[app]\nhots = 1\n[app.timeouts]\nstall = \"soon\"\n[headers]\nX-A = { value = \"x\", encoding = \"utf8\" }\nX-B = { basic = { user = 1 } }\n[[rules]]\nallow = 1\n[[rules]]\npath = 1\n[[tests]]\nexpect = { decision = 1 }\n";
    let Err(report) = compile_text(text) else { panic!("it compiles") };
    let link = |message: &str| {
        let finding = report.findings().iter().find(|finding| finding.message.contains(message));
        finding.unwrap_or_else(|| panic!("no {message} in {report}")).docs
    };
    for (message, docs) in [
        ("colour", "docs/policy.md#a-whole-file"),
        ("`app` has no `hosts`", "docs/policy.md#app"),
        ("unknown key `hots`", "docs/policy.md#app"),
        ("stall", "docs/policy.md#app"),
        ("encoding", "docs/policy.md#encoding"),
        ("`user` is an integer", "docs/policy.md#basic-credentials"),
        ("allow", "docs/policy.md#rules"),
        ("unknown key `path`", "docs/policy.md#rules"),
        ("decision", "docs/policy.md#tests"),
    ] {
        assert_eq!(link(message), Some(docs), "{message}");
    }
}

#[test]
fn every_good_policy_compiles_and_passes_its_own_tests() {
    let mut count = 0;
    for (path, text) in files("good") {
        let policy = compile_text(&text).unwrap_or_else(|report| panic!("{}\n{report}", path.display()));
        for outcome in policy.run_tests() {
            count += 1;
            assert!(outcome.passed, "{}: {outcome:#?}", path.display());
        }
    }
    assert!(count > 20, "{count} tests ran");
}

#[test]
fn the_shipped_policies_pass_their_own_tests() {
    for name in ["royalty", "archives"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(name).with_extension("toml");
        let policy = compile_text(&std::fs::read_to_string(path).unwrap()).unwrap_or_else(|report| panic!("{report}"));
        let outcomes = policy.run_tests();
        assert!(outcomes.len() > 5 && outcomes.iter().all(|outcome| outcome.passed), "{outcomes:#?}");
    }
}

#[test]
fn every_example_of_the_reference_compiles_and_passes_its_tests() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy.md");
    let page = std::fs::read_to_string(page).unwrap();
    let examples: Vec<_> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() > 10, "{}", examples.len());
    // An example that says so in its first line is a file that others include.
    let path = |example: &str| {
        let name = example.lines().next()?.strip_prefix("# policies/")?;
        name.starts_with("shared/").then(|| name.to_owned())
    };
    let shared: Vec<_> = examples.iter().filter_map(|example| Some((path(example)?, *example))).collect();
    let shared: Vec<_> = shared.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    assert!(!shared.is_empty());
    for example in examples.into_iter().filter(|example| path(example).is_none()) {
        let mut text = String::new();
        // Keys of no section come first in a file.
        let (top, example) = example.split_at(
            example
                .find('[')
                .filter(|_| example.starts_with("include"))
                .map_or(0, |_| example.find("\n\n").unwrap_or(0)),
        );
        text.push_str(top);
        text.push('\n');
        if !example.contains("[app]") {
            text.push_str("[app]\nhosts = [\"app.example\"]\nupstream = \"http://127.0.0.1:7001\"\n");
        }
        if !example.contains("[login]") {
            text.push_str("[login]\n");
        }
        text.push_str(example);
        if !example.contains("[[rules]]") {
            text.push_str("[[rules]]\n");
        }
        let (policy, report) = definitions::compiled(&text, &shared);
        let policy = policy.unwrap_or_else(|| panic!("{report}"));
        for outcome in policy.run_tests() {
            assert!(outcome.passed, "{outcome:#?}\n{example}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_gives_a_policy_or_errors_and_never_a_panic(text in "\\PC{0,200}") {
        if let Err(report) = compile_text(&text) {
            prop_assert!(report.has_errors());
            report.render();
        }
    }

    #[test]
    fn any_change_of_a_good_policy_is_survived(at in 0usize..2000, cut in 0usize..20, put in "[\\PC\n\"'\\[\\]{}$=]{0,6}") {
        for (_, text) in files("good") {
            let boundary = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let (start, end) = (boundary(at % text.len()), boundary(at % text.len() + cut));
            let changed = format!("{}{put}{}", &text[..start], &text[end.max(start)..]);
            match compile_text(&changed) {
                Ok(policy) => { policy.run_tests(); }
                Err(report) => { report.render(); }
            }
        }
    }
}
