//! `lychgate test`: what people and CI see of policies' own tests.

use serde_json::Value;

use crate::harness::gateway::Folder;
use crate::harness::program::{ended, lychgate};

pub(crate) const CONFIGURATION: &str = r#"policies = ["policies/*.toml"]
state = "state"

[[listeners]]
address = "127.0.0.1:0"

[admin]
enabled = false

[providers.okta]
issuer = "http://127.0.0.1:1"
client_id = "lychgate"
client_secret = { file = "okta.secret" }
"#;

const ROYALTY: &str = r#"[app]
hosts = ["royalty.localhost"]
upstream = "http://127.0.0.1:9"

[login]
provider = "okta"

[headers]
X-Remote-User = "${user.preferred_username}"
X-Royalty-Role = "${'royalty-admins' in user.groups ? 'ADMIN' : 'VIEWER'}"
X-Remote-Name = "${user.name}"
Authorization = { basic = { user = "${user.preferred_username}", password = { file = "royalty.password" } } }

[[rules]]
name = "static files"
paths = ["/static/**"]
access = "public"

[[rules]]
name = "administration"
paths = ["/admin/**"]
allow = "'royalty-admins' in user.groups"

[[rules]]
allow = "user.groups.exists(g, g.startsWith('royalty-'))"

[[rules]]
name = "never asked for"
paths = ["/old"]
methods = ["REPORT"]
respond = 404

[[tests]]
name = "the style sheet is for everybody"
request = "GET /static/site.css"
expect = "public"

[[tests]]
name = "artists <may> not \"see\" the payout screens & more"
user = { preferred_username = "ada", groups = ["royalty-artists"] }
request = "GET /admin/payouts?page=2"
expect = { decision = "ROLE", rule = "administration" }

[[tests]]
user = { preferred_username = "ada", name = "Ada", groups = ["royalty-artists"] }
request = "GET /statements"
expect = { decision = "allow", headers = { X-Remote-User = "USER", X-Royalty-Role = "ADMIN" }, absent = ["Authorization"] }
"#;

const ARCHIVES: &str = r#"[app]
hosts = ["archives.localhost"]
upstream = "http://127.0.0.1:9"
[[rules]]
name = "all"
access = "public"
[[tests]]
name = "the archives are open"
request = "GET /"
expect = "public"
"#;

/// Two policies: one whose tests fail, one whose tests do not.
fn folder(failing: bool) -> Folder {
    let folder = Folder::new();
    folder.write("lychgate.toml", CONFIGURATION);
    folder.write("okta.secret", "s3cret-of-the-client\n");
    folder.write("policies/royalty.password", "hunter2-hunter2\n");
    let mut royalty = ROYALTY.replace("ROLE", if failing { "allow" } else { "deny" });
    royalty = royalty.replace("USER", if failing { "grace" } else { "ada" });
    if !failing {
        royalty = royalty.replace("X-Royalty-Role = \"ADMIN\"", "X-Royalty-Role = \"VIEWER\"");
        royalty = royalty.replace("absent = [\"Authorization\"]", "rule = \"#3\"");
    }
    folder.write("policies/royalty.toml", &royalty);
    folder.write("policies/archives.toml", ARCHIVES);
    folder
}

/// `lychgate COMMAND` in a folder: exit code, standard output and standard error, with paths relative to it.
pub(crate) fn told(folder: &Folder, command: &str, options: &[&str]) -> (i32, String, String) {
    let config = folder.path().join("lychgate.toml");
    let arguments = [&[command, "--config", config.to_str().unwrap()], options].concat();
    let (code, out, err) = ended(&mut lychgate(&arguments));
    let prefix = format!("{}/", folder.path().display());
    (code, out.replace(&prefix, ""), err.replace(&prefix, ""))
}

#[test]
fn people_see_expected_and_found_line_by_line() {
    let (code, out, _) = told(&folder(true), "test", &[]);
    assert_eq!(code, 1);
    assert!(!out.contains("hunter2") && !out.contains("YWRhOmh1"), "{out}");
    insta::assert_snapshot!("test_for_people", out);
}

#[test]
fn what_no_test_reaches_is_named_and_can_be_an_error() {
    let sound = folder(false);
    let (code, out, _) = told(&sound, "test", &["--coverage"]);
    assert_eq!(code, 0, "{out}");
    insta::assert_snapshot!("test_coverage", out);
    // 5 rules and 4 headers, of which 4 and 2 are reached.
    for (least, expected) in [("66", 0), ("67", 1), ("100", 1), ("0", 0)] {
        let (code, out, err) = told(&sound, "test", &["--min-coverage", least]);
        assert_eq!(code, expected, "{least}: {out}{err}");
        assert_eq!(err.contains("66% of rules and headers are reached"), expected == 1, "{err}");
    }
    assert_eq!(told(&sound, "test", &["--min-coverage", "101"]).0, 64);
    assert_eq!(told(&sound, "test", &["archives", "--min-coverage", "100"]).0, 0);
}

#[test]
fn ci_servers_get_junit_xml() {
    let (code, out, err) = told(&folder(true), "test", &["--format", "junit"]);
    assert_eq!(code, 1, "{err}");
    let (before, rest) = out.split_once(" timestamp=\"").unwrap();
    let (moment, _) = rest.split_once('"').unwrap();
    assert_eq!((before.matches("<testsuite ").count(), moment.len()), (1, "2026-01-01T00:00:00".len()));
    insta::assert_snapshot!("test_junit", out.replace(moment, "MOMENT"));
}

#[test]
fn programs_get_one_json_object() {
    let (code, out, _) = told(&folder(true), "test", &["--format", "json", "--coverage"]);
    assert_eq!(code, 1);
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&object["version"], &object["passed"], &object["failed"]), (&1.into(), &2.into(), &2.into()));
    insta::assert_snapshot!("test_json", format!("{object:#}"));
}

#[test]
fn policies_and_tests_are_selected_by_name() {
    let folder = folder(true);
    let (code, out, _) = told(&folder, "test", &["archives"]);
    assert_eq!((code, out.as_str()), (0, "1 passed, 0 failed\n"));
    let (code, out, _) = told(&folder, "test", &["--filter", "STYLE"]);
    assert_eq!((code, out.as_str()), (0, "1 passed, 0 failed\n"));
    let (code, out, _) = told(&folder, "test", &["royalty", "archives", "--filter", "get /"]);
    assert_eq!(code, 1);
    assert!(out.contains("0 passed, 1 failed") && out.contains("royalty: GET /statements"), "{out}");
    let (code, out, err) = told(&folder, "test", &["royaly"]);
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(err.contains("there is no policy `royaly`") && err.contains("did you mean `royalty`?"), "{err}");
    let (code, out, err) = told(&folder, "test", &["--filter", "nothing like it"]);
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(err.contains("no test's name contains `nothing like it`"), "{err}");
}
