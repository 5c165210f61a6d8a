//! The list survives a restart; a file that cannot be used is an error.

use std::time::Duration;

use super::*;
use crate::claims::Claims;
use crate::session::{Cause, Effect, Order, Revoked, Session, SessionId, Standing, Wanted, Whom};

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

fn at(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

fn session(subject: &str) -> Session {
    Session {
        id: SessionId::new(),
        provider: "okta".into(),
        subject: subject.into(),
        provider_session: None,
        acr: None,
        amr: Vec::new(),
        authenticated_at: NOW,
        started_at: NOW,
        seen_at: NOW,
        refresh_at: None,
        claims: Claims::default(),
        absent_claims: Vec::new(),
    }
}

fn person<'a>(provider: &'a str, subject: &'a str) -> Whom<'a> {
    Whom::Person { provider, subject }
}

fn wanted(whom: Whom<'_>, before: Timestamp) -> Vec<Wanted> {
    vec![Wanted::new(&whom, before, Cause::Admin, Effect::Ended)]
}

fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("lychgate-revoked-{}", crate::crypto::random::token()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[tokio::test]
async fn l04_the_list_survives_a_restart_and_old_entries_do_not() {
    let folder = folder();
    let (mine, other) = (session("00u1"), session("00u2"));
    let first = open(&folder, NOW).unwrap();
    first.sessions_last(Duration::from_secs(3600 * 48));
    assert!(first.revoke(wanted(person("okta", "00u1"), at(1)), at(1)).is_kept().await);
    assert!(first.revoke(wanted(Whom::Session(&other.id), at(2)), at(2)).is_kept().await);
    let message = Tag::message("okta", "jti-1");
    let order = Order { wanted: Vec::new(), message: Some(message) };
    let Revoked::Done(keeping) = first.carry_out(order, at(2)) else { panic!("replayed") };
    assert!(keeping.is_kept().await);
    first.close();

    let second = open(&folder, at(10)).unwrap();
    assert_eq!(Standing::new(&mine).check(&second, &mine, "ada", None), Err(Effect::Ended));
    assert_eq!(Standing::new(&other).check(&second, &other, "grace", None), Err(Effect::Ended));
    assert!(second.knows_message(message));
    second.close();

    let much_later = open(&folder, at(3600 * 48 + 1)).unwrap();
    assert_eq!(much_later.count(), 1);
    much_later.close();
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn l04_a_file_that_cannot_be_used_is_an_error_that_says_what_to_do() {
    let folder = folder();
    let path = folder.join("revocations.redb");
    let refused = |what: &str, help: &str| {
        let error = open(&folder, NOW).map(drop).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        assert!(error.help().contains(help), "{}", error.help());
    };
    std::fs::write(&path, "not a database".repeat(1000)).unwrap();
    refused("cannot be read", "put the file back");

    std::fs::remove_file(&path).unwrap();
    let first = open(&folder, NOW).unwrap();
    refused("in use by another gateway", "directory of its own");
    let _ = first.revoke(wanted(person("okta", "00u1"), at(1)), at(1));
    first.close();

    // The middle of the file is gone.
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[4096..middle.max(8192)].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    refused("cannot be read", "put the file back");

    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    refused("cannot be used", "readable and writable");
    std::fs::remove_dir_all(folder).unwrap();
}
