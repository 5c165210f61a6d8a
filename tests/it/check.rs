//! `lychgate check` in both forms, and the commands that print what other programs read.

use std::path::Path;

use serde_json::Value;

use crate::harness::gateway::Folder;
use crate::harness::program::{ended, lychgate};

const CONFIGURATION: &str = r#"policies = ["policies/*.toml"]
state = "state"
wokers = 2

[[listeners]]
address = "127.0.0.1:0"

[limits]
body = "1 gigabyte"
"#;

const POLICY: &str = r#"[app]
hosts = ["app.localhost"]
upstream = "http://127.0.0.1:9/path"

[headers]
X-Remote-User = "${usr.email}"
X-Remote-Name = { value = "${user.name}", encoding = "latin-1" }
Authorization = { basic = { user = "u", password = "hunter2" } }

[[rules]]
alow = "true"

[[tests]]
request = "GET /"
"#;

/// A folder with a configuration and a policy.
fn folder(configuration: &str, policy: &str) -> Folder {
    let folder = Folder::new();
    folder.write("lychgate.toml", configuration);
    folder.write("policies/app.toml", policy);
    folder
}

/// `lychgate check` in a folder: exit code, standard output and standard error.
fn check(folder: &Folder, options: &[&str]) -> (i32, String, String) {
    let config = folder.path().join("lychgate.toml");
    let arguments = [&["check", "--config", config.to_str().unwrap()], options].concat();
    let (code, out, err) = ended(&mut lychgate(&arguments));
    let prefix = format!("{}/", folder.path().display());
    (code, out.replace(&prefix, ""), err.replace(&prefix, ""))
}

#[test]
fn people_see_every_mistake_with_its_line_what_to_do_and_where_it_is_documented() {
    let (code, out, err) = check(&folder(CONFIGURATION, POLICY), &[]);
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(!err.contains("hunter2"), "{err}");
    insta::assert_snapshot!("check_for_people", err);
}

#[test]
fn programs_get_the_same_findings_as_one_json_object() {
    let folder = folder(CONFIGURATION, POLICY);
    let (code, out, err) = check(&folder, &["--format", "json"]);
    assert_eq!((code, err.as_str()), (64, ""));
    assert!(!out.contains("hunter2"), "{out}");
    let object: Value = serde_json::from_str(&out).unwrap();
    insta::assert_snapshot!("check_for_programs", format!("{object:#}"));
    let people = check(&folder, &[]).2;
    for finding in object["findings"].as_array().unwrap() {
        assert!(people.contains(finding["message"].as_str().unwrap()), "{finding}");
        if let (Some(file), Some(line), Some(column)) =
            (finding["file"].as_str(), finding["line"].as_u64(), finding["column"].as_u64())
        {
            assert!(people.contains(&format!("{file}:{line}:{column}")), "{finding}");
        }
    }
    assert_eq!(people.matches("error: ").count(), object["findings"].as_array().unwrap().len());
}

#[test]
fn what_no_file_says_is_a_finding_too() {
    let folder = folder("policies = [", POLICY);
    let (code, out, _) = check(&folder, &["--format", "json"]);
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, object["version"].as_u64()), (64, Some(1)));
    assert_eq!(object["findings"][0]["file"], "lychgate.toml");
    std::fs::remove_file(folder.path().join("lychgate.toml")).unwrap();
    let (code, out, _) = check(&folder, &["--format", "json"]);
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 64);
    assert!(object["findings"][0]["message"].as_str().unwrap().contains("cannot read the configuration"), "{out}");
    assert_eq!(object["findings"][0]["line"], Value::Null);
}

#[test]
fn warnings_alone_fail_only_when_they_are_denied() {
    let configuration = CONFIGURATION.replace("wokers = 2\n", "trusted_proxies = [\"0.0.0.0/0\"]\n");
    let configuration = configuration.split("[limits]").next().unwrap();
    let policy =
        "[app]\nhosts = [\"app.localhost\"]\nupstream = \"http://127.0.0.1:9\"\n[[rules]]\naccess = \"public\"\n";
    let warned = folder(configuration, policy);
    for (options, expected) in [(&[][..], 0), (&["--deny-warnings"], 1), (&["--deny-warnings", "--format", "json"], 1)]
    {
        let (code, out, err) = check(&warned, options);
        assert_eq!(code, expected, "{options:?}\n{out}{err}");
    }
    let (_, out, err) = check(&warned, &[]);
    assert!(out.contains("1 policy can be used") && err.contains("warning: "), "{out}{err}");
    let sound = folder(&configuration.replace("[\"0.0.0.0/0\"]", "[]"), policy);
    assert_eq!(check(&sound, &["--deny-warnings"]).0, 0);
    let (code, out, _) = check(&sound, &["--format", "json"]);
    assert_eq!((code, out.as_str()), (0, "{\"version\":1,\"findings\":[]}\n"));
}

#[test]
fn schema_prints_what_is_checked_in() {
    for (kind, file) in [("gateway", "lychgate"), ("policy", "policy")] {
        let (code, out, _) = ended(&mut lychgate(&["schema", kind]));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schema/{file}.schema.json"));
        assert_eq!((code, out), (0, std::fs::read_to_string(path).unwrap()));
    }
    let (code, _, err) = ended(&mut lychgate(&["schema", "nothing"]));
    assert_eq!(code, 64);
    assert!(err.contains("gateway, policy"), "{err}");
}

#[test]
fn completions_know_the_commands() {
    let (code, out, _) = ended(&mut lychgate(&["completions", "bash"]));
    assert_eq!(code, 0);
    for word in ["check", "--deny-warnings", "schema", "explain", "--auth-age", "replay", "init", "--min-coverage"] {
        assert!(out.contains(word), "{word}");
    }
}

#[test]
fn a_secret_of_a_policy_that_everybody_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let policy = "[app]\nhosts = [\"app.localhost\"]\nupstream = \"http://127.0.0.1:9\"\n[headers]\n\
        X-Gateway-Proof = { secret = { file = \"proof\" } }\n[[rules]]\naccess = \"public\"\n";
    let folder = folder(
        "policies = [\"policies/*.toml\"]\nstate = \"state\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n",
        policy,
    );
    let proof = folder.write("policies/proof", "a-proof-that-is-long-enough-to-be-one");
    let (code, _, said) = check(&folder, &[]);
    assert!(code == 0 && !said.contains("everybody"), "{said}");
    std::fs::set_permissions(&proof, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, _, said) = check(&folder, &[]);
    assert!(
        code == 0 && said.contains("everybody on this machine can read") && said.contains("policies/proof"),
        "{said}"
    );
    assert!(!said.contains("a-proof"), "{said}");
}

/// The gateway's settings with a provider, a listener and these further lines on top.
fn settings(top: &str, listener: &str, secret: &str) -> String {
    format!(
        "policies = [\"policies/*.toml\"]\n{top}\n[[listeners]]\naddress = \"127.0.0.1:0\"\n{listener}\n\
         [providers.idp]\nissuer = \"https://idp.example\"\nclient_id = \"x\"\nclient_secret = {secret}\n"
    )
}

const SIGNS_IN: &str = "[app]\nhosts = [\"app.example\"]\nupstream = \"http://127.0.0.1:9\"\n\
    [login]\nprovider = \"idp\"\n[[rules]]\nallow = \"true\"\n";
const PUBLIC: &str =
    "[app]\nhosts = [\"app.example\"]\nupstream = \"http://127.0.0.1:9\"\n[[rules]]\naccess = \"public\"\n";

/// A folder with these settings, a session key and a client secret.
fn complete(settings: &str, policy: &str) -> Folder {
    let folder = folder(settings, policy);
    folder.write("session.key", &ended(&mut lychgate(&["keygen"])).1);
    folder.write("idp.secret", "s3cret\n");
    folder
}

const SECRET: &str = "{ file = \"idp.secret\" }";
const KEYS: &str = "keys = { session = [{ file = \"session.key\" }] }\n";

#[test]
fn l04_a_gateway_that_would_forget_at_a_restart_which_sessions_ended_warns() {
    let behind = "scheme = \"https\"";
    let warned = |top: &str, more: &str, policy: &str| {
        let text = settings(&format!("{KEYS}trusted_proxies = [\"10.0.0.1\"]\n{top}"), behind, SECRET);
        let (code, out, err) = check(&complete(&(text + more), policy), &["--deny-warnings"]);
        assert_eq!(code, i32::from(err.contains("warning: ")), "{out}{err}");
        err.matches("a restart forgets").count()
    };
    assert_eq!(warned("", "", SIGNS_IN), 1);
    assert_eq!(warned("", "events = {}\n", SIGNS_IN), 1);
    assert_eq!(warned("state = \"state\"", "events = {}\n", SIGNS_IN), 0);
    assert_eq!(warned("", "", PUBLIC), 0);
}

#[test]
fn a_load_balancer_that_nobody_is_told_of_is_warned_of() {
    let warned = |top: &str, listener: &str| {
        let text = settings(&format!("state = \"state\"\n{top}"), listener, SECRET);
        let (code, out, err) = check(&complete(&text, PUBLIC), &[]);
        assert_eq!(code, 0, "{out}{err}");
        assert!(!err.contains("warning: ") || err.contains("lychgate.toml:"), "{err}");
        err.matches("every client has the load balancer's address").count()
    };
    assert_eq!(warned("", "scheme = \"https\""), 1);
    for told in ["trusted_proxies = [\"127.0.0.1\"]", "trusted_proxies = []"] {
        assert_eq!(warned(told, "scheme = \"https\""), 0, "{told}");
    }
    assert_eq!((warned("", ""), warned("", "scheme = \"http\"")), (0, 0));
}

#[test]
fn a_secret_that_cannot_be_had_says_why_and_what_to_do() {
    for (secret, found, help) in [
        ("{ env = \"IDP_SECRET\" }", "`IDP_SECRET` is not set", "export IDP_SECRET=…"),
        ("{ file = \"secrets/none\" }", "secrets/none: No such file", "relative to the file that names it"),
        ("{ file = \"empty\" }", "empty is empty", "put the secret there"),
        ("{ file = \"policies\" }", "policies: Is a directory", "name a file that holds the secret"),
    ] {
        let folder = complete(&settings("state = \"state\"", "", secret), PUBLIC);
        folder.write("empty", "\n");
        let (code, out, err) = check(&folder, &[]);
        assert_eq!(code, 64, "{out}{err}");
        assert!(err.contains(found) && err.contains(help), "{err}");
        assert!(!err.contains("expected { file"), "{err}");
    }
}

/// `lychgate check` with variables: what it says.
fn check_with(folder: &Folder, variables: &[(&str, &str)]) -> (i32, String) {
    let config = folder.path().join("lychgate.toml");
    let mut command = lychgate(&["check", "--config", config.to_str().unwrap()]);
    let (code, _, err) = ended(command.envs(variables.iter().copied()));
    (code, err)
}

#[test]
fn a_variable_with_one_underscore_too_few_is_told_its_name() {
    let folder = complete(&settings("state = \"state\"", "", SECRET), PUBLIC);
    for (name, meant) in [
        ("LYCHGATE_ADMIN_ADDRESS", "LYCHGATE_ADMIN__ADDRESS"),
        ("LYCHGATE_LIMITS_HEADER_BYTES", "LYCHGATE_LIMITS__HEADER_BYTES"),
        ("LYCHGATE_LIMITS_STRANGERS_BURST", "LYCHGATE_LIMITS__STRANGERS__BURST"),
        ("LYCHGATE_LIMITS__STRANGERS_BURST", "LYCHGATE_LIMITS__STRANGERS__BURST"),
        ("LYCHGATE_PROVIDERS_IDP_CLIENT_ID", "LYCHGATE_PROVIDERS__IDP__CLIENT_ID"),
    ] {
        let (code, err) = check_with(&folder, &[(name, "1")]);
        assert_eq!(code, 64, "{err}");
        assert!(err.contains(name) && err.contains(&format!("did you mean `{meant}`?")), "{err}");
    }
    let (code, err) = check_with(&folder, &[("LYCHGATE_LISTENERS_ADDRESS", "127.0.0.1:1")]);
    assert!(code == 64 && err.contains("unknown key") && !err.contains("LISTENERS__"), "{err}");
}

#[test]
fn a_variable_that_is_broken_toml_says_so() {
    let folder = complete(&settings("state = \"state\"", "", SECRET), PUBLIC);
    for (name, value) in [
        ("LYCHGATE_LISTENERS", "[{ address = \"127.0.0.1:0\" "),
        ("LYCHGATE_LIMITS", "{ body = 1MiB }"),
        ("LYCHGATE_PROVIDERS__IDP__CLIENT_SECRET", "{ file = hunter2"),
        ("LYCHGATE_POLICIES", "[policies/*.toml]"),
    ] {
        let (code, err) = check_with(&folder, &[(name, value)]);
        assert_eq!(code, 64, "{err}");
        assert!(err.contains(name) && err.contains("is no TOML: ") && !err.contains("hunter2"), "{name}: {err}");
    }
    // An address of IPv6 opens like a list, and is a text.
    assert_eq!(check_with(&folder, &[("LYCHGATE_ADMIN__ADDRESS", "[::1]:0")]).0, 0);
    let (code, err) = check_with(&folder, &[("LYCHGATE_LISTENERS", "127.0.0.1:0")]);
    assert!(code == 64 && err.contains("is a string: expected a list of tables"), "{err}");
}

#[test]
fn a_file_for_the_access_log_is_written_as_a_table() {
    for (value, help) in [
        ("/var/log/x.log", "write a file as { file = \"/var/log/x.log\" }"),
        ("stduot", "did you mean `stdout`?"),
        ("access.log", "write a file as { file = \"access.log\" }"),
    ] {
        let text = settings("state = \"state\"", "", SECRET) + &format!("[log]\naccess = \"{value}\"\n");
        let (code, _, err) = check(&complete(&text, PUBLIC), &[]);
        assert_eq!(code, 64, "{err}");
        assert!(err.contains("\"off\" or { file = \"…\" }") && err.contains(help), "{err}");
    }
}

#[test]
fn headers_that_look_like_expressions_and_claims_that_nobody_sends_are_warned_of() {
    let told = |value: &str| {
        let policy = SIGNS_IN.replace("[[rules]]", &format!("[headers]\nX-User = \"{value}\"\n[[rules]]"));
        let text = settings("state = \"state\"\ntrusted_proxies = []", "scheme = \"https\"", SECRET);
        let (code, out, err) = check(&complete(&text, &policy), &["--deny-warnings"]);
        assert_eq!(code, i32::from(err.contains("warning: ")), "{out}{err}");
        err
    };
    for (value, written) in [
        ("{user.email}", "{user.email}"),
        ("user {user.email}!", "{user.email}"),
        ("$user.email", "$user.email"),
        ("$USER", "$USER"),
        ("%{REMOTE_USER}", "{REMOTE_USER}"),
        ("${user.sub} $remote_user", "$remote_user"),
        ("user.email", "user.email"),
        ("{session.acr}", "{session.acr}"),
    ] {
        let err = told(value);
        assert!(err.contains(&format!("`{written}` is no expression: it is sent as it stands")), "{value}: {err}");
    }
    for plain in
        ["${user.sub}", "$${user.email}", "user", "{}", "a user.name", "users.example", "$5", "user.app.example"]
    {
        assert_eq!(told(plain), "", "{plain}");
    }
    for (claim, near) in [("emial", "email"), ("subb", "sub"), ("prefered_username", "preferred_username")] {
        let err = told(&format!("${{user.{claim}}}"));
        assert!(err.contains(&format!("did you mean `{near}`?")), "{err}");
    }
    for own in ["mail", "dept", "role", "team", "uid", "oid", "upn"] {
        assert_eq!(told(&format!("${{user.{own}}}")), "", "{own}");
    }
}

#[test]
fn nothing_is_said_of_headers_that_a_rule_with_a_mistake_may_send() {
    let policy = SIGNS_IN.replace("[[rules]]", "[headers]\nX-User = \"${user.sub}\"\n[[rules]]");
    let policy = policy.replace("allow = \"true\"", "allow = \"user.\"");
    let text = settings("state = \"state\"\ntrusted_proxies = []", "scheme = \"https\"", SECRET);
    let (code, _, err) = check(&complete(&text, &policy), &[]);
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("error: ") && !err.contains("never sent"), "{err}");
    let public = policy.replace("allow = \"user.\"", "access = \"public\"");
    assert!(check(&complete(&text, &public), &[]).2.contains("never sent"));
}

#[test]
fn a_pattern_of_hosts_is_told_that_there_are_none() {
    let policy = PUBLIC.replace("app.example", "*.example");
    let (code, _, err) = check(&complete(&settings("state = \"state\"", "", SECRET), &policy), &[]);
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("hosts are exact names, and `*` stands for none of them"), "{err}");
    assert!(err.contains("name each host by itself"), "{err}");
}

/// `lychgate check` for whom files that are for their owner only are another user's: as nobody where this is root.
fn check_as_another(folder: &Folder) -> Option<(i32, String, String)> {
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::process::CommandExt as _;
    let config = folder.path().join("lychgate.toml");
    let mut command = lychgate(&["check", "--config", config.to_str().unwrap()]);
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(65534).gid(65534);
    }
    let output = command.output().ok()?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Some((output.status.code()?, text(output.stdout), text(output.stderr)))
}

#[test]
fn a_file_of_another_user_is_to_be_given_to_this_one_and_not_thrown_away() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = complete(&settings("state = \"state\"", "", SECRET), PUBLIC);
    let key = folder.write("state/session.key", &ended(&mut lychgate(&["keygen"])).1);
    let secret = folder.path().join("idp.secret");
    let set = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for name in ["lychgate.toml", "policies/app.toml"] {
        set(&folder.path().join(name), 0o644);
    }
    // Root's are another user's for nobody; one's own are so without a mode.
    let mut seen = 0;
    for (closed, open) in [(&key, &secret), (&secret, &key)] {
        set(open, 0o644);
        for mode in [0o600, 0o000] {
            set(closed, mode);
            let Some((code, _, err)) = check_as_another(&folder) else { return };
            if !err.contains("Permission denied") {
                continue;
            }
            seen += 1;
            assert_eq!(code, 64, "{err}");
            assert!(err.contains("chown USER ") && err.contains(closed.to_str().unwrap()), "{err}");
            assert!(!err.contains("remove the file") && !err.contains("expected { file"), "{err}");
        }
    }
    assert!(seen >= 2, "nothing was closed");
}
