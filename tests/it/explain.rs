//! `lychgate explain`: what people see of a decision, and what programs get.

use serde_json::Value;

use crate::harness::gateway::Folder;
use crate::policy_tests::{CONFIGURATION, told};

const POLICY: &str = r#"[app]
hosts = ["royalty.localhost"]
upstream = "http://127.0.0.1:9"

[login]
provider = "okta"
acr = ["mfa"]

[headers]
X-Remote-User = "${user.preferred_username}"
X-Remote-Name = "${user.name}"
X-Remote-Mail = "${user.email}"
Authorization = { basic = { user = "${user.preferred_username}", password = { file = "royalty.password" } } }

[[rules]]
name = "static files"
paths = ["/static/**"]
access = "public"

[[rules]]
name = "the stricter administration"
mode = "observe"
paths = ["/admin/**"]
allow = "user.level >= 3"

[[rules]]
name = "the office"
paths = ["/admin/**"]
methods = ["GET"]
query = { view = ["print", "pdf"] }
networks = ["10.0.0.0/8"]
access = "session"

[[rules]]
name = "administration"
paths = ["/admin/**"]
deny = "'blocked' in user.groups"
allow = "'royalty-admins' in user.groups && user.level > 1 || user.name == 'Root'"
step_up = { acr = ["phr"], max_age = "10m" }

[[rules]]
hours = ["08:00-18:00"]
zone = "Europe/Vienna"
allow = "user.groups.exists(g, g.startsWith('royalty-'))"
"#;

const ADA: &str = r#"{"claims":{"preferred_username":"ada","name":"Zoë","groups":["royalty-artists","royalty-admins"],"level":2,"phone":"1"},
"session":{"provider":"okta","acr":"mfa","amr":["pwd","otp"],"authenticated_at":"2026-11-23T08:00:00Z"}}"#;

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("lychgate.toml", CONFIGURATION);
    folder.write("okta.secret", "s3cret-of-the-client\n");
    folder.write("policies/royalty.password", "hunter2-hunter2\n");
    folder.write("policies/royalty.toml", POLICY);
    let shadow = POLICY.replace("[app]", "mode = \"observe\"\n[app]").replace("royalty-artists", "nobody");
    folder.write("policies/tried.toml", &shadow.replace("startsWith('royalty-')", "startsWith('x')"));
    folder.write("ada.json", ADA);
    folder
}

const AT: &[&str] = &["--time", "2026-11-23T08:05:00Z"];

fn explain(folder: &Folder, options: &[&str]) -> (i32, String, String) {
    let ada = folder.path().join("ada.json").display().to_string();
    let options: Vec<&str> = options.iter().map(|one| if *one == "ADA" { ada.as_str() } else { one }).collect();
    told(folder, "explain", &[&options, AT].concat())
}

#[test]
fn people_see_each_rule_what_it_asked_and_what_it_saw() {
    let folder = folder();
    let (code, out, err) = explain(&folder, &["GET http://royalty.localhost/admin/%70ayouts?x=1", "--claims", "ADA"]);
    assert_eq!(code, 0, "{err}");
    insta::assert_snapshot!("explain_step_up", out);
}

#[test]
fn r13_a_sign_in_of_which_nobody_said_when_it_was_is_not_taken_for_one_just_now() {
    let folder = folder();
    folder.write(
        "ada.json",
        &ADA.replace("\"2026-11-23T08:00:00Z\"", "null").replace("\"acr\":\"mfa\"", "\"acr\":\"phr\""),
    );
    let asked = ["GET http://royalty.localhost/admin/payouts", "--claims", "ADA"];
    let (_, out, _) = explain(&folder, &asked);
    for line in [
        "signed in at okta nobody said when",
        "step_up: not good enough",
        "at most 10m ago, found that nobody said when",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    let (_, out, _) = explain(&folder, &[&asked[..], &["--auth-age", "1m"]].concat());
    assert!(out.contains("signed in at okta 1m ago") && out.contains("found 1m"), "{out}");
}

#[test]
fn p02_s01_people_see_both_readings_of_a_path_and_the_header_for_which_a_request_is_refused() {
    let folder = folder();
    let keeping = "upstream = \"http://127.0.0.1:9\"\nencoded_slash = \"keep\"\npath_parameters = \"keep\"\n\
                   forged_headers = \"reject\"";
    folder.write("policies/royalty.toml", &POLICY.replace("upstream = \"http://127.0.0.1:9\"", keeping));
    let told = |asked: &str, more: &[&str]| explain(&folder, &[&[asked, "--claims", "ADA"], more].concat()).1;
    let out = told("GET http://royalty.localhost/static/a%2fb;v=1?x", &[]);
    for line in [
        "rules see /static/a%2Fb\n",
        "some applications read it as /static/a/b, which must be decided alike\n",
        "GET /static/a%2Fb;v=1?x HTTP/1.1\n",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    let out = told("GET http://royalty.localhost/static%2fa", &[]);
    assert!(out.contains("decided on differently when its encoded slash is read as a slash"), "{out}");
    let out = told("GET http://royalty.localhost/static/a", &["--header", "X_Remote_User: root"]);
    assert!(out.contains("header_forged") && out.contains("`x_remote_user` poses as a header"), "{out}");
}

#[test]
fn h05_people_see_what_a_request_says_of_its_connection_and_why_an_upgrade_is_refused() {
    let folder = folder();
    let alone = "upstream = \"http://127.0.0.1:9\"\nkeep_alive = \"never\"";
    folder.write("policies/royalty.toml", &POLICY.replace("upstream = \"http://127.0.0.1:9\"", alone));
    let asked = ["POST http://royalty.localhost/statements", "--claims", "ADA"];
    let told = |more: &[&str]| explain(&folder, &[&asked[..], more].concat()).1;
    assert!(told(&[]).contains("Connection: close"), "{}", told(&[]));
    let upgrade = ["--header", "Connection: Upgrade", "--header", "Upgrade: websocket"];
    assert!(told(&upgrade).contains("Upgrade: websocket"), "{}", told(&upgrade));
    let out = told(&[&upgrade[..], &["--header", "Content-Length: 4"]].concat());
    assert!(out.contains("upgrade_with_body") && !out.contains("Upgrade: websocket"), "{out}");
}

#[test]
fn people_see_what_was_scrubbed_and_what_the_application_receives() {
    let folder = folder();
    let (code, out, err) = explain(
        &folder,
        &[
            "POST",
            "/statements?page=2",
            "--app",
            "royalty",
            "--claims",
            "ADA",
            "--header",
            "X_Remote_User: root",
            "--header",
            "authorization: Basic Zm9vOmJhcg==",
            "--header",
            "Transfer_Encoding: x",
            "--header",
            "Connection: close, x-hop",
            "--header",
            "X-Hop: 1",
            "--header",
            "X-Original-Url: /admin",
            "--header",
            "Accept: text/html",
            "--client",
            "192.0.2.7",
        ],
    );
    assert_eq!(code, 0, "{err}");
    assert!(!out.contains("hunter2") && !out.contains("YWRhOmh1") && !out.contains("Zm9v"), "{out}");
    insta::assert_snapshot!("explain_allow", out);
}

#[test]
fn programs_get_the_same_story_as_one_json_object() {
    let folder = folder();
    let question = ["GET /admin?view=print", "--app", "royalty", "--claims", "ADA", "--client", "10.1.1.1"];
    let (code, out, err) = explain(&folder, &[&question[..], &["--format", "json"]].concat());
    assert_eq!(code, 0, "{err}");
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&object["version"], &object["decision"]["rule"]), (&1.into(), &"the office".into()));
    assert!(!out.contains("hunter2") && !out.contains("YWRhOmh1"), "{out}");
    insta::assert_snapshot!("explain_json", format!("{object:#}"));
}

#[test]
fn each_outcome_is_told() {
    let folder = folder();
    let cases: [(&[&str], &str); 16] = [
        (&["/"], "decision  sign_in by `#5`"),
        (&["/static/x", "--claims", "ADA"], "decision  public by `static files`"),
        (&["/", "--claims", "ADA", "--acr", "pwd"], "login: not good enough: acr one of mfa, phr, found pwd"),
        (&["/admin", "--claims", "ADA", "--acr", "phr"], "decision  allow by `administration`"),
        (&["/admin", "--claims", "ADA", "--acr", "phr", "--auth-age", "11m"], "at most 10m ago, found 11m"),
        (&["/a/../../b"], "decision  refused (path_above_root)"),
        (&["/a%2fb"], "decision  refused (path_encoded_slash)"),
        (&["/", "--host", "other.localhost"], "decision  refused (host_unknown)"),
        (&["/", "--host", "a b"], "decision  refused"),
        (&["/.LYCHGATE/x"], "decision  reserved"),
        (&["REPORT /admin"], "decision  deny (no_rule)"),
        (&["/admin?view=print&VIEW=x"], "the query parameter `view` can be read in different ways"),
        (
            &["/x", "--time", "2026-11-23T18:00:00Z"],
            "hours is 08:00-18:00 in Europe/Vienna, found Mon 2026-11-23 19:00:00",
        ),
        (&["DELETE /admin"], "methods is GET, HEAD, found DELETE"),
        (&["/admin?view=print", "--client", "192.0.2.1"], "networks is 10.0.0.0/8, found 192.0.2.1"),
        (&["/admin?view=x"], "query is view=print or pdf, found view=x"),
    ];
    for (options, expected) in cases {
        let options =
            if options.contains(&"--host") { options.to_vec() } else { [&["--app", "royalty"], options].concat() };
        let options: Vec<&str> = options.into_iter().collect();
        let ada = folder.path().join("ada.json").display().to_string();
        let options: Vec<&str> = options.iter().map(|one| if *one == "ADA" { ada.as_str() } else { one }).collect();
        let at = if options.contains(&"--time") { &[][..] } else { AT };
        let (code, out, err) = told(&folder, "explain", &[&options, at].concat());
        assert_eq!(code, 0, "{options:?}: {err}");
        assert!(out.contains(expected), "{options:?}: {expected} is missing in\n{out}");
    }
}

#[test]
fn a_sign_in_of_another_provider_is_nobody() {
    let folder = folder();
    folder.write("ada.json", &ADA.replace("okta", "entra"));
    let (code, out, _) = explain(&folder, &["/", "--app", "royalty", "--claims", "ADA"]);
    assert_eq!(code, 0);
    assert!(out.contains("session_other_provider") && out.contains("decision  sign_in"), "{out}");
}

#[test]
fn what_cannot_be_asked_is_refused_with_its_reason() {
    let folder = folder();
    folder.write("bad.json", "[1]");
    let bad = folder.path().join("bad.json").display().to_string();
    let cases: [(&[&str], &str); 9] = [
        (&["GET / x", "--app", "royalty"], "a request is written"),
        (&["royalty/x", "--app", "royalty"], "neither a path nor an address"),
        (&["/"], "several applications"),
        (&["/", "--app", "royal"], "there is no policy `royal`"),
        (&["/", "--app", "royalty", "--header", "x"], "is no header"),
        (&["/", "--app", "royalty", "--header", "a b: x"], "is no header name"),
        (&["/", "--app", "royalty", "--claims", "/nowhere/x.json"], "cannot read /nowhere/x.json"),
        (&["/", "--app", "royalty", "--claims", &bad], "claims are not a JSON object"),
        (&["/", "--app", "royalty", "--acr", "x"], "--claims"),
    ];
    for (options, expected) in cases {
        let (code, out, err) = told(&folder, "explain", options);
        assert_eq!((code, out.as_str()), (64, ""), "{options:?}");
        assert!(err.contains(expected), "{options:?}: {err}");
    }
    assert_eq!(told(&folder, "explain", &["/", "--app", "royalty", "--time", "noon"]).0, 64);
}

#[test]
fn a_file_that_holds_no_certificate_is_told_so() {
    let folder = folder();
    let file = folder.write("no.pem", "nothing of the kind");
    let (code, _, err) =
        explain(&folder, &["GET", "/", "--app", "royalty", "--client-certificate", file.to_str().unwrap()]);
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("no.pem holds no certificate in PEM"), "{err}");
}
