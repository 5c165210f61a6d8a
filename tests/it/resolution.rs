//! For every target: what an application would make of it is what was decided (P01, P02, P03).
//!
//! Targets are made of what paths are attacked with, and every one that is accepted is given to [models](models) of servers as it
//! is forwarded. Each must find the resource that rules were asked about, or the path must have two readings that are decided alike.

mod models;

use http::{HeaderMap, Method};
use lychgate::clock::Timestamp;
use lychgate::diagnostic::{Report, SourceFile};
use lychgate::http::{CanonicalPath, HostName, PathSwitches, Scheme};
use lychgate::policy::{Decision, Environment, Policy, ProviderFacts, RequestFacts, compile, no_files};
use models::{MODELS, Model, Resource, decided, lower, without_parameters};
use proptest::prelude::*;

/// What hostile targets are made of.
const PIECES: &[&str] = &[
    "/",
    "/",
    "/",
    "/",
    "admin",
    "admin",
    "public",
    "public",
    "x",
    "ADMIN",
    "Admin",
    "%61dmin",
    "adm%69n",
    "%41dmin",
    "..",
    "..",
    ".",
    "...",
    "%2e",
    "%2E%2e",
    ".%2e",
    "%2e.",
    ";",
    ";x=1",
    "..;",
    ";/",
    ";jsessionid=0",
    "%3b",
    "%3Bx",
    "%2f",
    "%2F",
    "%2f..",
    "..%2F",
    "%2f%2F",
    "\\",
    "..\\",
    "%5c",
    "%5C..",
    "%00",
    "%0a",
    "%0d%0a",
    "%7f",
    "%20",
    "%c0%af",
    "%c0%ae",
    "%c0%ae%c0%ae",
    "%e0%80%af",
    "%c1%a1dmin",
    "%252f",
    "%252e%252e",
    "%25",
    "%2%66",
    "%",
    "%4",
    "%u002f",
    "%c3%a4",
    "%ff",
    "~",
    "@",
    ":",
    "=",
    "%3f",
    "%23",
    "%ef%bc%8f",
    "*",
    "+",
    "%2B",
    "%40",
    "%24",
    "%3a",
    "$",
    "|",
    "[",
    "%5b",
];

fn target() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

/// The resources that may be found: of the path as rules see it, and in its other reading.
fn readings(path: &CanonicalPath) -> Vec<Resource> {
    let other = path.other_reading();
    let letter = decided(&path.as_str().replace("%2F", "%252F"));
    let mut readings = vec![letter, decided(path.as_str())];
    readings.extend(other.map(|other| decided(other.as_str())));
    readings
}

/// What a model makes of the path as it is forwarded, in the form in which it is compared.
fn found(model: &Model, path: &CanonicalPath) -> Option<Resource> {
    let found = (model.resolve)(&path.to_string())?;
    Some(if model.cuts_parameters { found } else { without_parameters(found) })
}

fn is_read_alike(path: &CanonicalPath) -> Result<(), String> {
    for model in MODELS {
        let Some(mut found) = found(model, path) else { continue };
        let mut readings = readings(path);
        if model.name.contains("as it came") {
            // It tells `%40` and `@` apart, and rules do not.
            if path.as_str() != path.to_string() {
                continue;
            }
            readings = vec![path.as_str().split('/').skip(1).map(|part| part.as_bytes().to_vec()).collect()];
            if readings[0].last().is_some_and(Vec::is_empty) {
                readings[0].pop();
            }
        }
        if model.ignores_case {
            found = lower(found);
            readings = readings.into_iter().map(lower).collect();
        }
        if !readings.contains(&found) {
            return Err(format!("{}: {path} is decided as {readings:?} and found as {found:?}", model.name));
        }
    }
    Ok(())
}

/// Nobody may see what is below `/admin`, everybody all else.
fn policy(app: &str) -> Policy {
    compiled(policy_text(app))
}

fn policy_text(app: &str) -> String {
    format!(
        "[app]\nhosts = [\"app.example\"]\nupstream = \"http://127.0.0.1:1\"\n{app}\n[login]\n\
         [[rules]]\npaths = [\"/admin/**\"]\nallow = \"'admins' in user.groups\"\n[[rules]]\naccess = \"public\"\n"
    )
}

fn compiled(text: String) -> Policy {
    let provider = ProviderFacts { name: "idp", scopes: None };
    let environment = Environment {
        secrets: &|_| panic!("a secret is asked for"),
        files: &no_files,
        providers: &[provider],
        identity: None,
    };
    let mut report = Report::default();
    compile("app", &SourceFile::new("app.toml", text), &environment, &mut report).unwrap_or_else(|| panic!("{report}"))
}

fn lets_everybody_pass(policy: &Policy, path: &CanonicalPath) -> bool {
    let facts = RequestFacts {
        method: &Method::GET,
        host: &HostName::parse("app.example").unwrap(),
        path,
        query: None,
        client: "192.0.2.1".parse().unwrap(),
        scheme: Scheme::Https,
        tls: None,
        headers: &HeaderMap::new(),
        has_content: false,
    };
    matches!(policy.decide(&facts, None, Timestamp::from_seconds(1_800_000_000)), Decision::Allow(_))
}

fn is_protected(resource: &Resource) -> bool {
    resource.first().is_some_and(|first| first == b"admin")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn p02_what_a_server_finds_is_what_was_decided(target in target()) {
        for switches in [PathSwitches::default(), PathSwitches::ALL] {
            if let Ok(path) = CanonicalPath::parse_keeping(&target, switches) {
                prop_assert_eq!(is_read_alike(&path), Ok(()), "{}", target);
                prop_assert!(switches == PathSwitches::ALL || path.is_plain());
            }
        }
    }
}

#[test]
fn p02_no_server_finds_what_is_protected_by_a_target_that_everybody_may_ask_for() {
    let policy = policy("ignore_case = true\nencoded_slash = \"keep\"\npath_parameters = \"keep\"");
    let mut open = 0;
    proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(4000))
        .run(&target(), |target| {
            let Ok(path) = CanonicalPath::parse_keeping(&target, policy.path_switches()) else { return Ok(()) };
            if lets_everybody_pass(&policy, &path) {
                for model in MODELS {
                    let found = found(model, &path).map(lower);
                    prop_assert!(
                        !found.is_some_and(|found| is_protected(&found)),
                        "{}: {target} as {path}",
                        model.name
                    );
                }
            }
            Ok(())
        })
        .unwrap();
    for path in ["/public/x", "/x;admin", "/public/a%2Fb", "/x/admin"] {
        let path = CanonicalPath::parse_keeping(path, PathSwitches::ALL).unwrap();
        open += usize::from(lets_everybody_pass(&policy, &path));
    }
    assert_eq!(open, 4, "a policy that lets nobody pass shows nothing");
}

/// Whatever stands raw in a path can be escaped, and most applications read both alike.
#[test]
fn p01_no_escape_of_what_may_stand_raw_changes_a_decision() {
    let rules = "[[rules]]\npaths = [\"/odata/$metadata\", \"/users/root@corp.example/**\", \"/jobs/*:delete\", \"/(in)/**\", \"/a+b|^\"]\n\
         allow = \"'admins' in user.groups\"\n[[rules]]\naccess";
    let text = policy_text("encoded_slash = \"keep\"").replace("[[rules]]\naccess", rules);
    let policy = compiled(text);
    let protected = ["/odata/$metadata", "/users/root@corp.example/x", "/jobs/7:delete", "/(in)/x", "/a+b|^"];
    let paths = protected.into_iter().map(|path| (path, false)).chain([("/c/a&b", true), ("/x/!'*,=[]", true)]);
    let paths: Vec<_> = paths.collect();
    let strategy = (prop::sample::select(paths), prop::collection::vec(any::<bool>(), 32));
    proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(2000))
        .run(&strategy, |((path, open), escapes)| {
            let mut escapes = escapes.into_iter();
            let spelt: String = path
                .chars()
                .map(|c| if c != '/' && escapes.next() == Some(true) { format!("%{:02x}", c as u32) } else { c.into() })
                .collect();
            let parsed = CanonicalPath::parse_keeping(&spelt, policy.path_switches()).unwrap();
            prop_assert_eq!(parsed.as_str(), path);
            prop_assert_eq!(lets_everybody_pass(&policy, &parsed), open, "{}", spelt);
            Ok(())
        })
        .unwrap();
}

/// The models are dangerous: each finds what is protected under spellings that a prefix does not show.
#[test]
fn p02_the_models_find_what_is_protected_by_spellings_of_their_own() {
    let cases: &[(&str, &[&str])] = &[
        (
            "Tomcat",
            &["/public/..;/admin", "/;/admin", "/admin;x", "/public;x/../admin", "/public/%2e%2e;x/admin", "/%61dmin"],
        ),
        ("Tomcat, encodedSolidusHandling=decode", &["/public%2f..%2fadmin", "/x/..%2Fadmin"]),
        ("Tomcat, encodedSolidusHandling=passthrough", &["/public\\..\\admin"]),
        ("a container that cuts up to the end", &["/admin;/x/../public", "/admin;x/public"]),
        ("a container that resolves before it cuts", &["/admin;x/public", "/public/../admin%3bx"]),
        ("Apache, AllowEncodedSlashes Off", &["/public/%2e%2e/admin", "//admin", "/public/..%5cadmin"]),
        ("Apache, AllowEncodedSlashes On", &["/public/..%2fadmin", "/public%2f..%2fadmin"]),
        ("Apache, AllowEncodedSlashes NoDecode", &["/./admin"]),
        ("nginx", &["/public%2f../admin", "/public//../admin"]),
        ("PHP's own server", &["/../../admin", "/public%2f..%2fadmin"]),
        ("WSGI, PATH_INFO through normpath", &["/%2e%2e/admin", "/public/..%2fadmin"]),
        (
            "CGI, overlong UTF-8 taken for what it means",
            &["/public/%c0%ae%c0%ae/admin", "/public/..%c0%afadmin", "/%c1%a1dmin"],
        ),
        (
            "Node, decodeURIComponent through normalize, in lower case",
            &["/ADMIN", "/public/..%5cadmin", "/x%2f..%2fAdmin"],
        ),
        ("an application that reads the target as it came", &["/public/../admin", "//admin"]),
    ];
    assert_eq!(cases.len(), MODELS.len());
    for (name, targets) in cases {
        let model = MODELS.iter().find(|model| model.name == *name).unwrap_or_else(|| panic!("{name}"));
        for target in *targets {
            assert!((model.resolve)(target).is_some_and(|found| is_protected(&found)), "{name}: {target}");
        }
    }
}
