//! Tests of policies agree with `explain`: what no request can bring before rules is a mistake, not a test that passes.

use crate::harness::gateway::Folder;
use crate::policy_tests::{CONFIGURATION, told};

const HEAD: &str = r#"[app]
hosts = ["app.localhost"]
upstream = "http://127.0.0.1:9"

[login]
provider = "okta"

[headers]
X-Remote-User = "${user.preferred_username}"
"#;

const ARCHIVES: &str = r#"[app]
hosts = ["app.localhost", "other.localhost"]
path = "/archives"
upstream = "http://127.0.0.1:9"

[login]
provider = "okta"

[headers]
X-Shelf = "seven"

[[rules]]
"#;

fn folder(rest: &str) -> Folder {
    let folder = Folder::new();
    folder.write("lychgate.toml", CONFIGURATION);
    folder.write("okta.secret", "s3cret-of-the-client\n");
    folder.write("policies/app.toml", &format!("{HEAD}{rest}"));
    folder.write("policies/archives.toml", ARCHIVES);
    folder
}

/// What `check` says of a policy, which it refuses.
fn refused(rest: &str) -> String {
    let (code, _, err) = told(&folder(rest), "check", &[]);
    assert_eq!(code, 64, "{rest}: {err}");
    err
}

const OPEN: &str = "[[rules]]\n[[tests]]\nuser = { preferred_username = \"ada\" }\n";

#[test]
fn s01_a_header_that_is_removed_cannot_be_read() {
    for name in ["x-remote-user", "X-Remote-User", "sm_user", "x-shelf", "X_Shelf", "true-client-ip"] {
        for rule in [
            format!("[[rules]]\nallow = \"user.vip && request.headers['{name}'] == 'ada'\"\n"),
            format!("[[rules]]\nmode = \"observe\"\ndeny = \"user.vip && '{name}' in request.headers\"\n[[rules]]\n"),
            format!("[[rules]]\nheaders = {{ X-Y = \"${{request.headers['{name}']}}\" }}\n"),
        ] {
            let err = refused(&rule);
            assert!(err.contains("is removed from every request before rules are asked"), "{rule}: {err}");
            assert!(err.contains("policies/app.toml:1"), "{rule}: {err}");
        }
    }
    let (code, _, err) =
        told(&folder("[[rules]]\nallow = \"user.vip && request.headers['x-app'] == 'a'\"\n"), "check", &[]);
    assert_eq!(code, 0, "{err}");
}

#[test]
fn a_test_of_what_is_not_for_the_policy_is_a_mistake() {
    for (request, why) in [
        ("GET /archives/x", "is for application `archives`"),
        ("/archives", "is for application `archives`"),
        ("/.lychgate/me", "the gateway's own"),
        ("/.LychGate", "the gateway's own"),
    ] {
        let err = refused(&format!("{OPEN}request = \"{request}\"\nexpect = \"allow\"\n"));
        assert!(err.contains(why) && err.contains("policies/app.toml:1"), "{request}: {err}");
    }
    for request in ["/archivesx", "/x/archives", "/.lychgatex", "/x/.lychgate"] {
        let (code, out, err) =
            told(&folder(&format!("{OPEN}request = \"{request}\"\nexpect = \"allow\"\n")), "test", &[]);
        assert_eq!(code, 0, "{request}: {out}{err}");
    }
}

#[test]
fn s01_a_forged_header_changes_no_test_or_refuses_it() {
    let test = format!(
        "{OPEN}request = \"/\"\nheaders = {{ X-Remote-User = \"root\" }}\nexpect = {{ decision = \"allow\", headers = {{ X-Remote-User = \"ada\" }} }}\n"
    );
    let (code, out, err) = told(&folder(&test), "test", &[]);
    assert_eq!(code, 0, "{out}{err}");
    let folder = folder(&test);
    let rejecting = format!("{HEAD}{test}").replace("[login]", "forged_headers = \"reject\"\n[login]");
    folder.write("policies/app.toml", &rejecting);
    let (code, _, err) = told(&folder, "check", &[]);
    assert!(code == 64 && err.contains("refused before any rule is asked"), "{err}");
    let explained = told(&folder, "explain", &["https://app.localhost/", "--header", "X-Remote-User: root"]);
    assert!(explained.1.contains("header_forged") || explained.2.contains("refused before"), "{explained:?}");
}

#[test]
fn a_mistake_says_whose_doing_it_is_and_stands_where_the_name_is_read() {
    let rule =
        "# 'x-shelf' comes from the shelf\n[[rules]]\nallow = \"user.vip && request.headers['x-shelf'] == 'a'\"\n";
    let err = refused(rule);
    assert!(err.contains("because policy `archives` sends it") && err.contains("policies/app.toml:12"), "{err}");
    assert!(refused(&rule.replace("x-shelf", "sm_user")).contains("as applications take it for a gateway's word"));
}

#[test]
fn a_test_is_for_the_deepest_application() {
    let folder = folder(&format!("{OPEN}request = \"GET /archives/old/x\"\nexpect = \"allow\"\n"));
    folder.write(
        "policies/old.toml",
        &ARCHIVES.replace("\"/archives\"", "\"/archives/old\"").replace("X-Shelf", "X-Old"),
    );
    let (_, _, err) = told(&folder, "check", &[]);
    assert!(err.contains("is for application `old`") && err.contains("move the test to the policy `old`"), "{err}");
}

#[test]
fn r13_a_rule_that_asks_when_people_signed_in_wants_it_said() {
    let rule = "[[rules]]\nallow = \"session.age < duration('8h')\"\n";
    let warning = "asks when people signed in, and logins do not ask the provider to say it";
    let (code, _, err) = told(&folder(rule), "check", &[]);
    assert!(code == 0 && err.contains(warning) && err.contains("max_age = \"8h\""), "{err}");
    let asking = folder(rule);
    asking.write(
        "policies/app.toml",
        &format!("{HEAD}{rule}").replace("provider = \"okta\"", "provider = \"okta\"\nmax_age = \"8h\""),
    );
    let (code, _, err) = told(&asking, "check", &[]);
    assert!(code == 0 && !err.contains(warning), "{err}");
}

#[test]
fn what_a_restart_forgets_is_said_of_what_there_is() {
    let stateless = CONFIGURATION.lines().filter(|line| !line.starts_with("state")).collect::<Vec<_>>().join("\n");
    let keys = "\n[keys]\nsession = [{ file = \"session.key\" }]\n";
    let folder = folder("[[rules]]\n");
    folder.write("session.key", "StAKWN07sSG2aLeFX4wDOGOLX/XT0HaOhP7zy6TR3hA=\n");
    folder.write("lychgate.toml", &format!("{stateless}{keys}"));
    let (_, _, err) = told(&folder, "check", &[]);
    assert!(err.contains("a restart forgets which sessions were ended"), "{err}");
}

#[test]
fn a_secret_that_a_policy_names_and_that_is_not_there_says_what_to_do() {
    let header =
        |source: &str| format!("Authorization = {{ basic = {{ user = \"u\", password = {source} }} }}\n[[rules]]\n");
    for (source, advice) in [
        ("{ file = \"gone.password\" }", "write the secret to"),
        ("{ env = \"LYCHGATE_NOT_SET\" }", "export LYCHGATE_NOT_SET="),
    ] {
        let err = refused(&header(source));
        assert!(err.contains("there is no password") && err.contains(advice), "{source}: {err}");
    }
}
