//! `lychgate replay`: recorded requests decided again, and what the log keeps for it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::browser::Browser;
use crate::harness::gateway::{Folder, HOST};
use crate::harness::program::lychgate;
use crate::harness::site::{Site, policy};
use crate::policy_tests::{CONFIGURATION, told};

const BEFORE: &str = r#"[app]
hosts = ["app.localhost"]
upstream = "http://127.0.0.1:9"
[login]
provider = "okta"
[headers]
X-Remote-User = "${user.preferred_username}"
[[rules]]
name = "public"
paths = ["/public/**"]
access = "public"
[[rules]]
name = "printing"
paths = ["/reports/**"]
query = { view = "print" }
allow = "'printers' in user.groups"
[[rules]]
name = "all"
allow = "'staff' in user.groups"
"#;

/// A line of an access log.
fn line(more: Value) -> String {
    let mut line = json!({
        "time": "2026-11-23T09:00:00.000Z", "request_id": "1", "client": "192.0.2.1", "scheme": "http",
        "host": "app.localhost", "method": "GET", "path": "/", "protocol": "HTTP/1.1", "status": 200, "app": "app",
        "rule": "all", "decision": "allow", "bytes_in": 0, "bytes_out": 0, "duration_ms": 1.5, "complete": true,
        "policy_version": 1,
    });
    for (key, value) in more.as_object().unwrap() {
        line[key] = value.clone();
    }
    line.to_string()
}

fn of(who: &str, groups: &[&str], more: Value) -> String {
    let session = json!({"provider": "okta", "acr": "mfa", "amr": [], "authenticated_at": "2026-11-23T08:00:00Z"});
    let mut all = json!({"who": who, "replay": {"query": null, "claims": {"groups": groups}, "session": session}});
    for (key, value) in more.as_object().unwrap() {
        if key == "query" {
            all["replay"]["query"] = value.clone();
        } else {
            all[key] = value.clone();
        }
    }
    line(all)
}

fn folder(lines: &[String], policy: &str) -> Folder {
    let folder = Folder::new();
    folder.write("lychgate.toml", CONFIGURATION);
    folder.write("okta.secret", "s3cret-of-the-client\n");
    folder.write("policies/app.toml", BEFORE);
    folder.write("new/app.toml", policy);
    folder.write("access.log", &(lines.join("\n") + "\n"));
    folder
}

fn replay(folder: &Folder, options: &[&str]) -> (i32, String, String) {
    let (log, new) = (folder.path().join("access.log"), folder.path().join("new"));
    told(folder, "replay", &[&[log.to_str().unwrap(), "--policies", new.to_str().unwrap()], options].concat())
}

fn lines() -> Vec<String> {
    let public = json!({"path": "/public/a", "rule": "public", "decision": "public"});
    vec![
        line(public),
        of("ada", &["staff"], json!({})),
        of("ada", &["staff"], json!({"path": "/admin/x"})),
        of("ada", &["staff"], json!({"path": "/admin/y"})),
        of("grace", &["staff", "admins"], json!({"path": "/admin/x"})),
        of("grace", &["printers"], json!({"path": "/reports/1", "rule": "printing", "query": {"view": "print"}})),
        line(json!({"decision": "sign_in", "status": 302, "path": "/admin/x"})),
        line(json!({"decision": "reserved", "path": "/.lychgate/callback", "status": 302})),
        line(
            json!({"decision": "refused", "reason": "host_unknown", "host": "new.localhost", "status": 404, "app": null}),
        ),
        line(json!({"decision": "refused", "reason": "path_control", "status": 400})),
        // Recorded without what rules decide by.
        line(json!({"who": "ada"})),
        "no json".to_owned(),
        String::new(),
    ]
}

#[test]
fn policies_that_did_not_change_change_nothing() {
    let (code, out, err) = replay(&folder(&lines(), BEFORE), &[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("0 decided differently, 8 the same (1 by another rule), 1 not known"), "{out}");
}

#[test]
fn people_see_the_changes_by_rule_and_by_person_and_what_is_not_known() {
    let admin = "[[rules]]\nname = \"admin\"\npaths = [\"/admin/**\"]\nallow = \"'admins' in user.groups\"\n[[rules]]\nname = \"all\"";
    let new = BEFORE.replace("[[rules]]\nname = \"all\"", admin).replace("\"/public/**\"", "\"/open/**\"");
    let new = new.replace("hosts = [\"app.localhost\"]", "hosts = [\"app.localhost\", \"new.localhost\"]");
    let new = new.replace("'printers' in user.groups", "user.level > 1");
    let folder = folder(&lines(), &new);
    let (code, out, err) = replay(&folder, &[]);
    assert_eq!(code, 1, "{out}{err}");
    insta::assert_snapshot!("replay_for_people", out);
    let (code, out, _) = replay(&folder, &["--format", "json"]);
    assert_eq!(code, 1);
    let object: Value = serde_json::from_str(&out).unwrap();
    insta::assert_snapshot!("replay_for_programs", format!("{object:#}"));
}

#[test]
fn a_field_of_the_head_is_not_known_however_it_is_read() {
    let asked = |condition: &str| {
        let new = BEFORE.replace("name = \"all\"", &format!("name = \"all\"\n{condition}"));
        replay(&folder(&[of("ada", &["staff"], json!({}))], &new), &[]).1
    };
    for read in ["'x-legacy' in request.headers", "has(request.headers.dnt)", "request.headers['dnt'] == '1'"] {
        let out = asked(&format!("deny = \"{read}\""));
        assert!(out.contains("0 the same") && out.contains("1 not known"), "{read}: {out}");
        assert!(out.contains("request.headers["), "{read}: {out}");
    }
    // Neither is what stood twice, where headers alone are made of it.
    for reason in ["query_ambiguous", "request_header_ambiguous"] {
        let denied = of("ada", &["staff"], json!({"decision": "deny", "reason": reason, "status": 403, "rule": null}));
        let out = replay(&folder(&[denied], BEFORE), &[]).1;
        assert!(out.contains("0 decided differently") && out.contains("1 not known"), "{reason}: {out}");
    }
    // Not even where a rule asks for another one that stood twice.
    let tab = "query = { tab = \"new\" }";
    let observing =
        BEFORE.replacen("[[rules]]", &format!("[[rules]]\nname = \"new\"\nmode = \"observe\"\n{tab}\n\n[[rules]]"), 1);
    let session = json!({"provider": "okta", "acr": "mfa", "amr": [], "authenticated_at": "2026-11-23T08:00:00Z"});
    let claims = json!({"groups": ["staff"]});
    let recorded = json!({"query": {"tab": "new"}, "doubtful": ["tab"], "claims": claims, "session": session});
    let reason = "request_header_ambiguous";
    let denied = json!({"decision": "deny", "reason": reason, "status": 403, "rule": null, "replay": recorded});
    let out = replay(&folder(&[of("ada", &["staff"], denied)], &observing), &[]).1;
    assert!(out.contains("0 decided differently") && out.contains("1 not known"), "{out}");
}

#[test]
fn what_was_not_recorded_is_counted_and_named_and_what_needs_no_record_is_decided() {
    let lines = [
        line(json!({"who": "ada"})),
        line(json!({"who": "ada", "path": "/public/x", "rule": "public", "decision": "public"})),
        line(json!({"who": "ada", "path": "/reports/1"})),
        line(json!({"who": "ada", "method": "REPORT", "decision": "deny", "reason": "no_rule"})),
        line(json!({"path": "/reports/1", "decision": "sign_in", "status": 302})),
    ];
    let (code, out, err) = replay(&folder(&lines, BEFORE), &["--format", "json"]);
    assert_eq!(code, 0, "{out}{err}");
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&object["same"], &object["unknown"], &object["changed"]), (&2.into(), &3.into(), &0.into()));
    let missing: BTreeSet<String> =
        object["missing"].as_array().unwrap().iter().map(|one| one["missing"].as_str().unwrap().to_owned()).collect();
    assert_eq!(missing, ["claim `groups`".to_owned(), "query parameter `view`".to_owned()].into());

    // A rule for a network needs nothing of the person.
    let network = "[[rules]]\nname = \"office\"\nnetworks = [\"192.0.2.0/24\"]\naccess = \"public\"\n[[rules]]\nname = \"printing\"";
    let new = BEFORE.replace("[[rules]]\nname = \"printing\"", network);
    let (code, out, _) = replay(&folder(&lines, &new), &["--format", "json"]);
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &object["unknown"], &object["changed"]), (1, &0.into(), &3.into()), "{object:#}");
}

#[test]
fn nothing_of_the_log_writes_to_the_screen_but_its_letters() {
    let admin = "[[rules]]\nname = \"admin\"\npaths = [\"/admin/**\"]\nallow = \"'admins' in user.groups\"\n[[rules]]\nname = \"all\"";
    let new = BEFORE.replace("[[rules]]\nname = \"all\"", admin).replace("'printers' in user.groups", "user.level > 1");
    let printed = |evil: &str| {
        let changed = json!({"path": "/admin/x", "rule": format!("all{evil}")});
        let unknown = json!({"path": "/reports/1", "query": {"view": "print"}});
        let lines = [of(&format!("ada{evil}"), &["staff"], changed), of("grace", &["staff"], unknown)];
        let (code, out, err) = replay(&folder(&lines, &new), &[]);
        assert_eq!(code, 1, "{out}{err}");
        out
    };
    let sound = printed("");
    let evil =
        printed("\u{1b}]0;owned\u{7}\u{1b}[2J\n0 decided differently, 5 the same\r\u{7f}\u{9b}2J\u{202e}\u{2028}");
    assert!(sound.contains("ada") && evil.contains("\\u{1b}]0;owned\\u{7}"), "{evil}");
    let is_safe = |c: char| c == '\n' || !(c.is_control() || matches!(c, '\u{202e}' | '\u{2028}'));
    assert!(evil.chars().all(is_safe), "{evil:?}");
    assert_eq!(evil.lines().count(), sound.lines().count(), "{evil}");
}

#[test]
fn standard_input_is_read_and_lines_without_end_are_skipped_in_bounded_memory() {
    let folder = folder(&[], BEFORE);
    let (config, new) = (folder.path().join("lychgate.toml"), folder.path().join("new/app.toml"));
    let arguments = ["replay", "-", "--config", config.to_str().unwrap(), "--policies", new.to_str().unwrap()];
    let mut command = lychgate(&arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let long = vec![b'x'; 1024 * 1024];
    for part in [long.as_slice(), &long, b"\n", of("ada", &["staff"], json!({})).as_bytes()] {
        input.write_all(part).unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("1 the same") && text.contains("2 lines") && text.contains("1 that cannot be read"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_read_or_used_ends_with_64() {
    let sound = folder(&[], BEFORE);
    let (_, new) = (0, sound.path().join("new"));
    let missing = told(&sound, "replay", &["/nowhere/access.log", "--policies", new.to_str().unwrap()]);
    assert_eq!((missing.0, missing.1.as_str()), (64, ""));
    assert!(missing.2.contains("/nowhere/access.log"), "{}", missing.2);
    let (code, _, err) = replay(&folder(&[], &BEFORE.replace("allow", "alow")), &[]);
    assert_eq!(code, 64);
    assert!(err.contains("new/app.toml:") && err.contains("did you mean `allow`?"), "{err}");
    let empty = folder(&[], BEFORE);
    std::fs::remove_file(empty.path().join("new/app.toml")).unwrap();
    assert_eq!(replay(&empty, &[]).0, 64);
}

#[test]
fn a_log_of_which_nothing_can_be_read_is_no_log_without_differences() {
    let junk = folder(&["not a line of any log".to_owned(), "{}".to_owned()], BEFORE);
    for (of, what) in [(&folder(&[], BEFORE), "0 lines"), (&junk, "2 lines")] {
        for options in [&[][..], &["--format", "json"]] {
            let (code, out, err) = replay(of, options);
            assert_eq!((code, out.as_str()), (64, ""), "{err}");
            assert!(err.contains("no request can be read") && err.contains(what), "{err}");
        }
    }
    let mut some = lines();
    some.push("not a line of any log".to_owned());
    assert_eq!(replay(&folder(&some, BEFORE), &[]).0, 0);
}

#[test]
fn the_usage_of_replay_is_an_order_that_works() {
    let folder = folder(&lines(), BEFORE);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (log, new) = (path("access.log"), path("new"));
    let (code, _, err) = told(&folder, "replay", &["--policies", &new, &log]);
    assert_eq!(code, 64);
    assert!(err.contains("Usage: lychgate replay [OPTIONS] <ACCESS_LOG>... --policies <PATH>..."), "{err}");
    assert_eq!(told(&folder, "replay", &[&log, "--policies", &new]).0, 0);
}

/// A policy that reads a query parameter and claims, and whose headers read more.
fn selecting(upstream: &str) -> String {
    let printing = "[[rules]]\nname = \"printing\"\npaths = [\"/reports/**\"]\nquery = { view = \"print\" }\nallow = \"'staff' in user.groups && !has(user.locked)\"\n[[rules]]\nallow = ";
    let headers =
        policy(upstream).replace("user.preferred_username", "has(user.email) ? user.preferred_username : 'x'");
    headers.replacen("[[rules]]\nallow = ", printing, 1)
}

#[tokio::test]
async fn nothing_is_recorded_unless_it_is_asked_for() {
    let site = Site::with(selecting, |setup| setup).await;
    let mut browser = site.signed_in().await;
    browser.get(&site.url("/reports/1?view=print&code=s3cret")).await;
    let log = site.gateway.stop().await;
    assert!(log.iter().all(|line| line.get("replay").is_none()), "{log:#?}");
    assert!(!format!("{log:?}").contains("s3cret") && !format!("{log:?}").contains("artists"));
}

#[tokio::test]
async fn r17_what_rules_decide_by_is_recorded_and_nothing_else_and_can_be_replayed() {
    let site = Site::with(selecting, |setup| setup.settings("[log]\nreplay = true\n")).await;
    let mut person = crate::harness::site::ada();
    person.push(("email".to_owned(), json!("ada@gmr.example")));
    site.provider.script().person = person;
    let mut browser = site.signed_in().await;
    browser.get(&site.url("/reports/1?view=print&code=s3cret")).await;
    browser.get(&site.url("/reports/2?view=print&VIEW=s3cret")).await;
    browser.get(&site.url(&format!("/reports/3?view={}", "s3cret".repeat(100)))).await;
    browser.get(&site.url("/reports/4")).await;
    Browser::new().get(&site.url("/public/x?view=other&code=s3cret")).await;
    let upstream = site.application.url();
    let log = site.gateway.stop().await;
    let at = |path: &str| log.iter().find(|line| line["path"] == path).unwrap()["replay"].clone();
    let whole = at("/reports/1");
    assert_eq!(whole["query"], json!({"view": "print"}));
    assert_eq!(whole["claims"], json!({"groups": ["staff", "artists"]}));
    assert_eq!(whole["absent"], json!(["locked"]));
    assert_eq!(whole["session"]["provider"], "idp");
    assert_eq!(at("/reports/2")["doubtful"], json!(["view"]));
    assert_eq!(at("/reports/3")["omitted"], json!(["view"]));
    assert_eq!(at("/reports/4")["query"], Value::Null);
    assert_eq!(at("/public/x"), json!({"query": {"view": "other"}}));
    let text = format!("{log:?}");
    assert!(!text.contains("s3cret") && !text.contains("ada@gmr.example"), "{text}");

    // Replayed by the same policy, every decision is the recorded one.
    let folder = Folder::new();
    let configuration = CONFIGURATION.replace("providers.okta", "providers.idp");
    folder.write("lychgate.toml", &configuration);
    folder.write("okta.secret", "s3cret-of-the-client\n");
    let same = folder.write("new/app.toml", &selecting(&upstream));
    folder.write("policies/app.toml", &selecting(&upstream));
    let lines: Vec<String> = log.iter().map(ToString::to_string).collect();
    let file = folder.write("access.log", &lines.join("\n"));
    let (code, out, err) =
        told(&folder, "replay", &[file.to_str().unwrap(), "--policies", same.to_str().unwrap(), "--format", "json"]);
    let object: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    assert_eq!((code, &object["changed"], &object["broken"]), (0, &0.into(), &0.into()), "{object:#}");
    // Only the one whose parameter was too long to be kept is not known.
    assert_eq!(object["unknown"], 1, "{object:#}");
    assert_eq!(HOST, "app.localhost");
}

#[test]
fn addresses_of_the_gateway_s_own_are_decided_by_no_rule() {
    let refused = |path: &str| {
        line(json!({"decision": "deny", "reason": "network_denied", "status": 403, "rule": null, "path": path}))
    };
    let lines = [refused("/.lychgate/me"), refused("/x")];
    let inside = BEFORE.replace("[login]", "[networks]\nallow = [\"198.51.100.0/24\"]\n[login]");
    let (code, out, err) = replay(&folder(&lines, &inside), &[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("0 decided differently, 2 the same"), "{out}");
    let (_, out, _) = replay(&folder(&lines, BEFORE), &["--format", "json"]);
    let object: Value = serde_json::from_str(&out).unwrap();
    let now: BTreeSet<_> =
        object["changes"].as_array().unwrap().iter().map(|one| one["to"].as_str().unwrap()).collect();
    assert_eq!(now, ["reserved", "sign_in"].into(), "{object:#}");
}
