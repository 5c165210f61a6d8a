//! The program as an operator meets it: what each command prints, how it ends, and that nothing is bound before all is well.

use std::net::TcpListener;

use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::browser::Browser;
use crate::harness::gateway::{Folder, HOST};
use crate::harness::program::{Program, command, ended, lychgate, lychgate_with_blocks};

const POLICY: &str = r#"[app]
hosts = ["app.localhost"]
upstream = "UPSTREAM"

[[rules]]
paths = ["/public/**"]
access = "public"

[[tests]]
name = "the style sheet is for everybody"
request = "GET /public/style.css"
expect = "public"
"#;

/// A whole configuration that listens at `address`.
fn configuration(folder: &Folder, address: &str, policy: &str) -> std::path::PathBuf {
    folder.write("policies/app.toml", policy);
    folder.write(
        "lychgate.toml",
        &format!("policies = [\"policies/*.toml\"]\nstate = \"state\"\n[[listeners]]\naddress = \"{address}\"\n[admin]\naddress = \"127.0.0.1:0\"\n"),
    )
}

/// Files that can be used.
fn sound(folder: &Folder) -> std::path::PathBuf {
    configuration(folder, "127.0.0.1:0", &POLICY.replace("UPSTREAM", "http://127.0.0.1:9"))
}

#[test]
fn check_prints_every_mistake_of_every_file_at_once_with_its_place() {
    let folder = Folder::new();
    let bad = "[app]\nhosts = [\"http://app.localhost\"]\nupsteam = \"http://127.0.0.1:9\"\n\n[login]\nprovider = \"nobody\"\n\n[[rules]]\nallow = \"user.groups.has(\"\n";
    folder.write("policies/other.toml", "[app]\nhosts = [\"other.localhost\"]\n");
    let config = configuration(&folder, "127.0.0.1:0", bad);
    let text = std::fs::read_to_string(&config).unwrap();
    folder
        .write("lychgate.toml", &format!("colour = \"red\"\n{text}[limits]\nbody = 12\n[timeouts]\nidle = \"soon\"\n"));
    let (code, out, err) = command("check", &config);
    assert_eq!((code, out.as_str()), (64, ""), "{err}");
    for place in [
        ("lychgate.toml:1:1", "colour"),
        ("lychgate.toml:9:8", "body"),
        ("lychgate.toml:11:8", "idle"),
        ("policies/app.toml:2:10", "no host name"),
        ("policies/app.toml:3:1", "did you mean `upstream`?"),
        ("policies/app.toml:6:12", "nobody"),
        ("policies/app.toml:9:", "allow"),
        ("policies/other.toml:", "upstream"),
    ] {
        assert!(err.contains(place.0) && err.contains(place.1), "{place:?} is missing in\n{err}");
    }
}

#[test]
fn run_with_files_that_cannot_be_used_binds_nothing_and_makes_nothing() {
    // The address is taken: whoever tried to bind it would say so.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Folder::new();
    let policy = POLICY.replace("UPSTREAM", "http://127.0.0.1:9").replace("access = \"public\"", "access = \"publik\"");
    let config = configuration(&folder, &taken.local_addr().unwrap().to_string(), &policy);
    let (code, out, err) = command("run", &config);
    assert_eq!((code, out.as_str()), (64, ""), "{err}");
    assert!(err.contains("policies/app.toml:7:10") && err.contains("publik"), "{err}");
    assert!(!err.contains("cannot listen"), "{err}");
    assert!(!folder.path().join("state").exists());
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::new();
    let config = configuration(&folder, &address, &POLICY.replace("UPSTREAM", "http://127.0.0.1:9"));
    let (code, out, err) = command("run", &config);
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.contains(&format!("cannot listen on {address}")) && err.contains("help: "), "{err}");
    assert_eq!(command("check", &config).0, 0, "nothing is wrong with the files");
}

#[test]
fn what_cannot_be_bound_or_opened_is_named_with_its_key_and_its_own_advice() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::new();
    let config = sound(&folder);
    let text = std::fs::read_to_string(&config).unwrap();
    let started = |text: String| {
        std::fs::write(&config, text).unwrap();
        let (code, out, err) = command("run", &config);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        err
    };
    let err = started(text.replace("[admin]\naddress = \"127.0.0.1:0\"", &format!("[admin]\naddress = \"{address}\"")));
    assert!(err.contains(&format!("cannot listen on {address} (`admin.address`)")), "{err}");
    assert!(err.contains("stop what listens there"), "{err}");
    let err = started(text.replacen("127.0.0.1:0", "192.0.2.1:8080", 1));
    assert!(err.contains("192.0.2.1:8080 (`listeners.address`)") && err.contains("no such address"), "{err}");
    assert!(!err.contains("stop what listens"), "{err}");
    let log = folder.path().join("log");
    std::fs::create_dir(&log).unwrap();
    let err = started(format!("{text}[log]\naccess = {{ file = \"log\" }}\n"));
    assert!(err.contains(&format!("the access log {} (`log.access`)", log.display())), "{err}");
    assert!(err.contains("help: "), "{err}");
}

#[test]
fn a_second_gateway_on_the_same_address_is_refused() {
    let folder = Folder::new();
    let first = Program::start(&sound(&folder));
    let address = first.address().to_string();
    let config = configuration(&folder, &address, &POLICY.replace("UPSTREAM", "http://127.0.0.1:9"));
    let (code, _, err) = command("run", &config);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains(&format!("cannot listen on {address}")), "{err}");
}

#[test]
fn what_is_no_fault_of_the_files_is_tried_again() {
    let folder = Folder::new();
    let config = sound(&folder);
    let first = Program::start(&config);
    first.address();
    let (code, _, err) = command("run", &config);
    assert!(
        code == 1 && err.contains("is in use by another gateway") && err.contains("help: give each"),
        "{code} {err}"
    );
    first.terminate();
    assert_eq!(first.wait().0, 0);

    // A disk without room for the list, though there is some for the key.
    std::fs::remove_dir_all(folder.path().join("state")).unwrap();
    let run = ["run", "--config", config.to_str().unwrap()];
    let (code, _, err) = ended(&mut lychgate_with_blocks(4, &run));
    assert!(code == 1 && err.contains("cannot be used") && err.contains("disk is not full"), "{code} {err}");
    let left: Vec<_> =
        std::fs::read_dir(folder.path().join("state")).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(left, ["session.key"], "nothing was begun");
    // Nor for the key.
    std::fs::remove_dir_all(folder.path().join("state")).unwrap();
    let (code, _, err) = ended(&mut lychgate_with_blocks(0, &run));
    assert!(code == 1 && err.contains("cannot make the session key"), "{code} {err}");
    assert_eq!(std::fs::read_dir(folder.path().join("state")).unwrap().count(), 0, "nothing was begun");
    // With room it starts.
    let program = Program::start(&config);
    program.address();
    program.terminate();
    assert_eq!(program.wait().0, 0);
}

#[test]
fn two_applications_that_claim_one_host_are_both_named() {
    let folder = Folder::new();
    let config = sound(&folder);
    let other = POLICY.replace("UPSTREAM", "http://127.0.0.1:9").replace("app.localhost", "App.Localhost.");
    folder.write("policies/second.toml", &other);
    for name in ["check", "run", "test"] {
        let (code, _, err) = command(name, &config);
        assert_eq!(code, 64, "{name}: {err}");
        assert!(err.contains("applications `app` and `second` both claim app.localhost/"), "{name}: {err}");
        assert!(err.contains("policies/second.toml:2:9"), "{name}: {err}");
    }
    assert!(!folder.path().join("state").exists());
}

#[test]
fn check_finds_what_a_start_would_refuse() {
    let folder = Folder::new();
    let policy = POLICY.replace("UPSTREAM\"", "https://127.0.0.1:9\"\nca = \"missing.pem\"");
    let config = configuration(&folder, "127.0.0.1:0", &policy);
    for name in ["check", "run"] {
        let (code, _, err) = command(name, &config);
        assert_eq!(code, 64, "{name}: {err}");
        assert!(err.contains("missing.pem") && err.contains("help: "), "{name}: {err}");
    }
    assert!(!folder.path().join("state").exists(), "no key is made before all is well");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = Folder::new();
    let (code, _, err) = command("check", &folder.path().join("lychgate.toml"));
    assert_eq!(code, 64);
    assert!(err.contains("lychgate.toml") && err.contains("error: "), "{err}");
    let config = sound(&folder);
    std::fs::remove_file(folder.path().join("policies/app.toml")).unwrap();
    let (code, _, err) = command("check", &config);
    assert_eq!(code, 64);
    assert!(err.contains("lychgate.toml:1:") && err.contains("policies"), "{err}");
}

#[test]
fn check_of_sound_files_says_so_and_changes_nothing() {
    let folder = Folder::new();
    let config = sound(&folder);
    let (code, out, err) = command("check", &config);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("1 policy can be used"), "{out}");
    assert!(!folder.path().join("state").exists());
}

#[test]
fn test_runs_the_policies_own_tests() {
    let folder = Folder::new();
    let config = sound(&folder);
    let (code, out, _) = command("test", &config);
    assert_eq!((code, out.as_str()), (0, "1 passed, 0 failed\n"));
    let wrong = POLICY.replace("UPSTREAM", "http://127.0.0.1:9").replace("expect = \"public\"", "expect = \"deny\"");
    folder.write("policies/app.toml", &wrong);
    let (code, out, _) = command("test", &config);
    assert_eq!(code, 1);
    assert!(out.contains("failed: app: the style sheet is for everybody"), "{out}");
    assert!(out.contains("0 passed, 1 failed"), "{out}");
}

#[test]
fn keygen_prints_a_fresh_key_that_can_be_used() {
    let keys: Vec<String> = (0..2).map(|_| ended(&mut lychgate(&["keygen"])).1).collect();
    assert_ne!(keys[0], keys[1]);
    let folder = Folder::new();
    let config = sound(&folder);
    keys.iter().enumerate().for_each(|(index, key)| drop(folder.write(&format!("{index}.key"), key)));
    let text = std::fs::read_to_string(&config).unwrap();
    let text = format!("{text}[keys]\nsession = [{{ file = \"0.key\" }}, {{ file = \"1.key\" }}]\n");
    folder.write("lychgate.toml", &text);
    let (code, _, err) = command("check", &config);
    assert_eq!(code, 0, "{err}");
}

#[test]
fn the_exit_code_of_a_policy_whose_own_test_fails_is_that_of_wrong_files() {
    let folder = Folder::new();
    let policy = POLICY.replace("UPSTREAM", "http://127.0.0.1:9").replace("expect = \"public\"", "expect = \"deny\"");
    let (code, _, err) = command("run", &configuration(&folder, "127.0.0.1:0", &policy));
    assert_eq!(code, 64, "{err}");
    assert!(!folder.path().join("state").exists(), "{err}");
}

#[test]
fn help_says_where_results_go() {
    for name in ["check", "doctor", "explain", "replay"] {
        let (code, out, _) = ended(&mut lychgate(&[name, "--help"]));
        assert!(code == 0 && !out.contains("on standard error"), "{name}: {out}");
    }
}

#[test]
fn usage_is_explained() {
    for (arguments, code) in
        [(&[][..], 64), (&["walk"], 64), (&["run", "--colour"], 64), (&["--help"], 0), (&["--version"], 0)]
    {
        let (found, out, err) = ended(&mut lychgate(arguments));
        assert_eq!(found, code, "{arguments:?}: {err}");
        assert!(if code == 0 { !out.is_empty() } else { !err.is_empty() }, "{arguments:?}");
    }
}

#[test]
fn a_first_start_makes_its_key_and_says_so_and_the_next_one_uses_it() {
    let folder = Folder::new();
    let config = sound(&folder);
    let mut keys = Vec::new();
    for made in [true, false] {
        let program = Program::start(&config);
        program.address();
        program.terminate();
        let (code, _, err) = program.wait();
        assert_eq!(code, 0, "{err}");
        assert_eq!(err.contains("no session key was configured, so one was made"), made, "{err}");
        keys.push(std::fs::read_to_string(folder.path().join("state/session.key")).unwrap());
    }
    assert_eq!(keys[0], keys[1]);
}

#[tokio::test]
async fn d05_sigterm_drains_and_ends_with_0() {
    let application = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", application.local_addr().unwrap());
    let folder = Folder::new();
    let program = Program::start(&configuration(&folder, "127.0.0.1:0", &POLICY.replace("UPSTREAM", &upstream)));
    let address = program.address();
    let url = format!("http://{HOST}:{}/public/slow?secret=1", address.port());
    let asked = tokio::spawn(async move { Browser::new().get(&url).await });
    let (mut stream, _) = application.accept().await.unwrap();
    let mut head = vec![0; 1024];
    assert!(stream.read(&mut head).await.unwrap() > 0);
    // The request is at the application when the signal comes, and is answered after it.
    program.terminate();
    program.says("draining");
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await.unwrap();
    let reply = asked.await.unwrap();
    assert_eq!((reply.status, reply.text().as_str()), (StatusCode::OK, "done"));
    let (code, out, err) = tokio::task::spawn_blocking(move || program.wait()).await.unwrap();
    assert_eq!(code, 0, "{err}");
    let line: serde_json::Value = serde_json::from_str(out.trim()).unwrap();
    assert_eq!(
        (&line["status"], &line["complete"], &line["path"]),
        (&200.into(), &true.into(), &"/public/slow".into())
    );
    assert!(!out.contains("secret"), "{out}");
}

#[test]
fn a_flag_is_stronger_than_the_environment_and_the_file_and_is_named_when_it_is_wrong() {
    let folder = Folder::new();
    let config = sound(&folder);
    let check = |flags: &[&str]| {
        let arguments = [&["check", "--config", config.to_str().unwrap()], flags].concat();
        ended(lychgate(&arguments).env("LYCHGATE_WORKERS", "none"))
    };
    let (code, _, err) = check(&[]);
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("LYCHGATE_WORKERS"), "{err}");
    assert_eq!(check(&["--workers", "2"]).0, 0);
    for (flag, value) in [("--workers", "zero"), ("--admin-address", "localhost"), ("--log-level", "loud")] {
        let (code, _, err) = check(&["--workers", "2", flag, value][if flag == "--workers" { 2 } else { 0 }..]);
        assert_eq!(code, 64, "{flag}: {err}");
        assert!(err.contains(flag), "{err}");
    }
}

/// Each command, with how it ends where all is well.
fn each_command([config, policies, log, new]: [&str; 4]) -> Vec<(Vec<String>, i32)> {
    let asked = ["--app", "app", "GET /"];
    [
        (vec!["check", "--config", config], 0),
        (vec!["check", "--config", config, "--format", "json"], 0),
        (vec!["test", "--config", config], 0),
        (vec!["test", "--config", config, "--format", "junit"], 0),
        ([&["explain", "--config", config], &asked[..]].concat(), 0),
        (vec!["replay", "--config", config, log, "--policies", policies], 0),
        (vec!["doctor", "--config", config, "--format", "json"], 1),
        (vec!["init", new], 0),
        (vec!["keygen"], 0),
        (vec!["schema", "policy"], 0),
        (vec!["completions", "bash"], 0),
        (vec!["--help"], 0),
        (vec!["--version"], 0),
    ]
    .map(|(words, code)| (words.into_iter().map(str::to_owned).collect(), code))
    .into()
}

#[test]
fn what_cannot_be_printed_is_a_failure_and_a_reader_that_has_gone_is_none() {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Stdio;
    let folder = Folder::new();
    let config = sound(&folder);
    let line = r##"{"time":"2026-11-23T09:00:00.000Z","request_id":"1","client":"192.0.2.1","scheme":"http","host":"app.localhost","method":"GET","path":"/public/x","protocol":"HTTP/1.1","status":200,"app":"app","rule":"#1","decision":"public","bytes_in":0,"bytes_out":0,"duration_ms":1.5,"complete":true,"policy_version":1}"##;
    let log = folder.write("access.log", &format!("{line}\n"));
    let policies = folder.path().join("policies/app.toml");
    for (at, sink) in ["full", "gone", "none"].into_iter().enumerate() {
        let new = folder.path().join(format!("new{at}"));
        for (words, code) in each_command([&config, &policies, &log, &new].map(|path| path.to_str().unwrap())) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let mut program = lychgate(&words);
            let stdout = match sink {
                "full" => Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap()),
                "gone" => Stdio::from(std::io::pipe().unwrap().1),
                _ => Stdio::null(),
            };
            let output = program.stdout(stdout).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            let expected = if sink == "full" { 1 } else { code };
            assert_eq!(
                (output.status.code(), output.status.signal()),
                (Some(expected), None),
                "{sink} {words:?}: {said}"
            );
            assert!(!said.contains("panicked"), "{words:?}: {said}");
            assert_eq!(said.contains("cannot be printed: No space left"), sink == "full", "{words:?}: {said}");
        }
    }
    // What is wrong is as wrong where nobody can be told.
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let bad = folder.write("bad.toml", "colour = \"red\"\n");
    for words in [&["check", "--config", bad.to_str().unwrap()][..], &["sing"]] {
        let status = lychgate(words).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(64), "{words:?}");
    }
}

#[test]
fn variables_that_are_no_text_are_told_by_name() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let folder = Folder::new();
    let config = sound(&folder);
    let no_text = OsStr::from_bytes(b"1\xff");
    let (code, _, err) =
        ended(lychgate(&["check", "--config", config.to_str().unwrap()]).env("LYCHGATE_LIMITS__BODY", no_text));
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("`LYCHGATE_LIMITS__BODY` is set to what is no UTF-8") && err.contains("or unset it"), "{err}");
    let text = std::fs::read_to_string(&config).unwrap();
    folder.write("lychgate.toml", &format!("{text}[keys]\nsession = [{{ env = \"SEAL\" }}]\n"));
    let (code, _, err) = ended(lychgate(&["check", "--config", config.to_str().unwrap()]).env("SEAL", no_text));
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("`SEAL` is set to what is no UTF-8") && !err.contains("is not set"), "{err}");
}
