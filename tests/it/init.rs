//! `lychgate init`: what it writes works, and nothing that is there is overwritten.

use crate::harness::gateway::Folder;
use crate::harness::program::{command, ended, lychgate};

#[test]
fn what_it_writes_passes_check_and_test_and_no_test_is_missing() {
    let folder = Folder::new();
    let there = folder.path().join("new/gateway");
    let (code, out, err) = ended(&mut lychgate(&["init", there.to_str().unwrap()]));
    assert_eq!(code, 0, "{err}");
    let config = there.join("lychgate.toml");
    let (code, out_of_check, err) = command("check", &config);
    assert_eq!(code, 0, "{err}");
    assert!(out_of_check.contains("1 policy can be used"), "{out_of_check}");
    let arguments = ["test", "--config", config.to_str().unwrap(), "--min-coverage", "100"];
    let (code, tested, err) = ended(&mut lychgate(&arguments));
    assert_eq!(code, 0, "{tested}{err}");
    assert!(!there.join("state").exists());
    let prefix = format!("{}/", folder.path().display());
    insta::assert_snapshot!("init", out.replace(&prefix, ""));
}

#[test]
fn what_to_register_is_what_the_gateway_will_send() {
    let folder = Folder::new();
    let there = folder.path().join("my $gate's");
    let (code, out, err) = ended(&mut lychgate(&["init", "--host", "APP.Example.", there.to_str().unwrap()]));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(" https://app.example/.lychgate/callback\n"), "{out}");
    // To be pasted into a shell.
    assert!(out.contains("check --config '") && out.contains(r"my $gate'\''s/lychgate.toml' && "), "{out}");
}

#[test]
fn secrets_are_fresh_and_for_their_owner_only() {
    let folder = Folder::new();
    let read = |name: &str| {
        let there = folder.path().join(name);
        assert_eq!(ended(&mut lychgate(&["init", there.to_str().unwrap()])).0, 0);
        ["session.key", "client.secret"].map(|file| {
            let path = there.join(file);
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file}");
            }
            std::fs::read_to_string(path).unwrap()
        })
    };
    let all = [read("a"), read("b")].concat();
    assert!(
        all.iter().enumerate().all(|(index, one)| !one.trim().is_empty() && !all[..index].contains(one)),
        "{all:?}"
    );
}

#[test]
fn nothing_is_overwritten_and_nothing_is_left_behind() {
    for there in ["lychgate.toml", "policies/app.toml", "session.key", "client.secret"] {
        let folder = Folder::new();
        folder.write(there, "mine");
        let (code, out, err) = ended(&mut lychgate(&["init", folder.path().to_str().unwrap()]));
        assert_eq!((code, out.as_str()), (1, ""), "{there}");
        assert!(err.contains(&format!("{there} is there already")), "{err}");
        assert_eq!(std::fs::read_to_string(folder.path().join(there)).unwrap(), "mine");
        let files = ["lychgate.toml", "policies/app.toml", "session.key", "client.secret"];
        assert!(files.iter().all(|file| *file == there || !folder.path().join(file).exists()), "{there}");
    }
}

#[test]
fn a_refused_start_leaves_no_folder_that_was_not_there() {
    let folder = Folder::new();
    let run = |there: &str| {
        let there = folder.path().join(there);
        ended(&mut lychgate(&["init", there.to_str().unwrap(), "--issuer", "no address"])).0
    };
    assert_eq!(run("new/gateway"), 64);
    assert!(!folder.path().join("new").exists());
    // What was there before stays, and so does what somebody else has in it.
    folder.write("old/notes", "mine");
    std::fs::create_dir(folder.path().join("old/policies")).unwrap();
    assert_eq!(run("old"), 64);
    let left = |name: &str| std::fs::read_dir(folder.path().join(name)).unwrap().count();
    assert_eq!((left("old"), left("old/policies")), (2, 0));
    // A file where a folder should be: nothing is left either.
    folder.write("other/policies", "a file");
    assert_eq!(run("other"), 1);
    assert_eq!(left("other"), 1);
}

#[test]
fn flags_say_what_stands_in_the_files_and_what_cannot_be_used_is_refused() {
    let folder = Folder::new();
    let there = folder.path().join("x");
    let run = |flags: &[&str]| ended(&mut lychgate(&[&["init", there.to_str().unwrap()], flags].concat()));
    for bad in [
        ["--host", "http://x"],
        ["--issuer", "not a url"],
        ["--upstream", "10.0.0.1"],
        ["--client-id", "a\"b\nc\u{7f}"],
    ] {
        let (code, out, err) = run(&bad);
        if bad[0] != "--client-id" {
            assert_eq!((code, out.as_str()), (64, ""), "{bad:?}: {err}");
            assert!(err.contains("error: ") && !there.join("lychgate.toml").exists(), "{err}");
        }
    }
    let flags = [
        "--host",
        "royalty.gmr.example",
        "--upstream",
        "https://10.20.0.11:7001",
        "--issuer",
        "https://gmr.okta.example",
        "--client-id",
        "lych \"gate\"",
    ];
    let _ = std::fs::remove_dir_all(&there);
    let (code, out, err) = run(&flags);
    assert_eq!(code, 0, "{err}");
    for address in ["callback", "signed-out"] {
        assert!(out.contains(&format!("https://royalty.gmr.example/.lychgate/{address}\n")), "{out}");
    }
    let config = there.join("lychgate.toml");
    let checked = ended(&mut lychgate(&["check", "--deny-warnings", "--config", config.to_str().unwrap()]));
    assert_eq!(checked.0, 0, "{}", checked.2);
    assert_eq!(command("test", &there.join("lychgate.toml")).0, 0);
}
