//! The list as its users see it: what is ended, from when on, for whom not, and after a restart.

mod kept;

use super::super::tests::session;
use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

fn at(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

fn person<'a>(provider: &'a str, subject: &'a str) -> Whom<'a> {
    Whom::Person { provider, subject }
}

fn wanted(whom: Whom<'_>, before: Timestamp) -> Vec<Wanted> {
    vec![Wanted::new(&whom, before, Cause::Admin, Effect::Ended)]
}

/// That the person ends, by a message.
fn order(id: &str, seconds: u64) -> Order {
    Order {
        wanted: wanted(person("okta", "00u1"), at(seconds)),
        message: Some(Tag::message("okta", Sender::OktaHook, id)),
    }
}

fn check(session: &Session, name: &str, revocations: &Revocations) -> Result<(), Effect> {
    Standing::new(session).check(revocations, session, name, None)
}

#[test]
fn l04_each_way_to_mean_a_session_means_it_and_nobody_else() {
    let (mine, other) = (session(NOW), session(NOW));
    let mut other = Session { subject: "00u2".into(), provider_session: Some("sid-2".into()), ..other };
    other.claims.insert("email", crate::claims::ClaimValue::Text("grace@gmr.example".into()));
    let mut mine = mine;
    mine.claims.insert("email", crate::claims::ClaimValue::Text("Ada@GMR.example".into()));
    mine.root = SessionId::new();
    let short = mine.root.short().to_uppercase();
    for (whom, word) in [
        (Whom::Session(&mine.root), mine.root.short()),
        (Whom::Branch { root: &mine.root, id: &mine.id }, format!("{}/{}", mine.root.short(), mine.id.short())),
        (Whom::ShortId(&short), short.clone()),
        (Whom::ProviderSession { provider: "okta", sid: "sid-1" }, "sid-1".into()),
        (person("okta", "00u1"), "00u1".into()),
        (Whom::Name("ada"), "ada".into()),
        (Whom::Email { provider: Some("okta"), email: "ada@gmr.EXAMPLE" }, "ada@gmr.EXAMPLE".into()),
        (Whom::Email { provider: None, email: "ADA@gmr.example" }, "ADA@gmr.example".into()),
    ] {
        let revocations = Revocations::default();
        let (standing, others) = (Standing::new(&mine), Standing::new(&other));
        let both =
            || (standing.check(&revocations, &mine, "ada", None), others.check(&revocations, &other, "grace", None));
        assert_eq!(both(), (Ok(()), Ok(())), "{whom:?}");
        let _ = revocations.revoke(wanted(whom, at(5)), at(5));
        assert_eq!(both(), (Err(Effect::Ended), Ok(())), "{whom:?}");
        assert_eq!(&*revocations.newest(10)[0].word, &*word);
    }
}

#[test]
fn l04_what_means_somebody_else_ends_nothing() {
    let mine = Session { root: SessionId::new(), ..session(NOW) };
    let beside = SessionId::new();
    for whom in [
        Whom::ProviderSession { provider: "idp", sid: "sid-1" },
        Whom::ProviderSession { provider: "okta", sid: "sid-" },
        Whom::ProviderSession { provider: "oktas", sid: "id-1" },
        person("idp", "00u1"),
        person("okta", "sid-1"),
        person("", "okta00u1"),
        Whom::PersonWithoutSid { provider: "okta", subject: "00u1" },
        Whom::Name("00u1"),
        Whom::Email { provider: None, email: "" },
        Whom::ShortId(""),
        Whom::Branch { root: &mine.root, id: &beside },
        Whom::Branch { root: &beside, id: &mine.id },
        Whom::Session(&mine.id),
    ] {
        let revocations = Revocations::default();
        let _ = revocations.revoke(wanted(whom, at(5)), at(5));
        assert_eq!(check(&mine, "ada", &revocations), Ok(()), "{whom:?}");
    }
}

#[test]
fn l04_only_what_began_by_then_is_ended_but_a_session_by_its_own_id_always() {
    let revocations = Revocations::default();
    let mine = session(at(10));
    let _ = revocations.revoke(wanted(person("okta", "00u1"), at(9)), at(20));
    assert_eq!(check(&mine, "ada", &revocations), Ok(()));
    let _ = revocations.revoke(wanted(person("okta", "00u1"), at(10)), at(20));
    assert_eq!(check(&mine, "ada", &revocations), Err(Effect::Ended));
    let later = session(at(11));
    assert_eq!(check(&later, "ada", &revocations), Ok(()));
    let _ = revocations.revoke(wanted(Whom::Session(&later.id), at(3)), at(20));
    assert_eq!(check(&later, "ada", &revocations), Err(Effect::Ended));
}

#[test]
fn l04_c11_up_to_when_new_sessions_are_ended_goes_by_what_means_them_by_their_beginning() {
    let revocations = Revocations::default();
    let mine = session(NOW);
    let until = || revocations.end_until(&mine, "ada", Some("intranet"));
    let _ = revocations.revoke(wanted(Whom::Session(&mine.root), at(90)), at(1));
    let _ = revocations.revoke(wanted(person("okta", "00u2"), at(90)), at(1));
    assert_eq!((until(), revocations.has_ended(&mine.root)), (None, true));
    let group = Whom::GroupPerson { group: "intranet", provider: "okta", subject: "00u1" };
    for (whom, seconds, found) in [(person("okta", "00u1"), 5, 5), (Whom::Name("ada"), 9, 9), (group, 7, 9)] {
        let _ = revocations.revoke(wanted(whom, at(seconds)), at(1));
        assert_eq!(until(), Some(at(found)));
    }
    let other = SessionId::new();
    assert!(!revocations.has_ended(&other));
    let _ = revocations.revoke(wanted(Whom::ShortId(&other.short()), at(1)), at(1));
    assert!(revocations.has_ended(&other), "by what stands in logs");
}

#[test]
fn l02_where_session_and_person_are_named_both_must_be_meant() {
    let mine = session(NOW);
    let of = |subject| {
        let whom = Whom::ProviderSession { provider: "okta", sid: "sid-1" };
        let wanted = Wanted::new(&whom, at(5), Cause::BackChannel, Effect::AskAgain).and(&person("okta", subject));
        let revocations = Revocations::default();
        let _ = revocations.revoke(vec![wanted], at(5));
        check(&mine, "ada", &revocations)
    };
    assert_eq!((of("00u1"), of("00u2")), (Err(Effect::AskAgain), Ok(())));
}

#[test]
fn l05_a_message_is_carried_out_once() {
    let revocations = Revocations::default();
    assert_eq!(revocations.carry_out(vec![order("jti-1", 1)], at(1)).ended, 1);
    let version = revocations.version();
    assert_eq!(revocations.carry_out(vec![order("jti-1", 9)], at(9)).ended, 0);
    assert_eq!((revocations.version(), revocations.newest(1)[0].before), (version, at(1)));
    // Messages are no entries. Of two in one message, the second one is the same again.
    assert_eq!(revocations.carry_out(vec![order("jti-2", 9), order("jti-2", 9)], at(9)).ended, 1);
    assert_eq!(revocations.count(), 1);
}

#[test]
fn l04_a_check_is_a_compare_while_nothing_changes() {
    let revocations = Revocations::default();
    let mine = session(NOW);
    let standing = Standing::new(&mine);
    assert_eq!(standing.check(&revocations, &mine, "ada", None), Ok(()));
    // While a worker holds the list for writing, a session that was looked up in this version needs nothing of it.
    let held = revocations.list.write().unwrap();
    assert_eq!(standing.check(&revocations, &mine, "ada", None), Ok(()));
    drop(held);
}

#[test]
fn l02_what_was_ended_for_one_person_of_a_session_is_not_widened_by_what_is_said_of_another() {
    let revocations = Revocations::default();
    let sid = Whom::ProviderSession { provider: "okta", sid: "sid-1" };
    let _ = revocations.revoke(wanted(sid, at(1)), at(1));
    let of_another = Wanted::new(&sid, at(9), Cause::BackChannel, Effect::Ended).and(&person("okta", "00u2"));
    let _ = revocations.revoke(vec![of_another], at(9));
    assert_eq!(check(&session(at(5)), "ada", &revocations), Ok(()));
    assert_eq!(check(&session(at(1)), "ada", &revocations), Err(Effect::Ended));
}
