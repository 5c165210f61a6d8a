//! What the list keeps, whom it pushes out, and which of two entries holds.

use super::super::entry::{Sender, Wanted, Whom};
use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_000_000 + seconds)
}

fn entry(subject: &str, cause: Cause, before: i64, until: i64) -> (Tag, Entry) {
    let whom = Whom::Person { provider: "idp", subject };
    let Wanted { tag, entry } = Wanted::new(&whom, at(before), cause, Effect::Ended);
    (tag, Entry { until: at(until), ..entry })
}

fn add(list: &mut List, (tag, entry): (Tag, Entry)) -> Vec<Change> {
    let mut changes = Changes::new(true);
    list.add(tag, entry, NOW, &mut changes);
    changes.all
}

#[test]
fn l06_strangers_push_out_nothing_but_what_strangers_wrote() {
    let mut list = List::default();
    let (admin, own) = (entry("ada", Cause::Admin, 0, 10), entry("grace", Cause::SignedOut, 0, 10));
    add(&mut list, admin.clone());
    add(&mut list, own.clone());
    for number in 0..20_000 {
        add(&mut list, entry(&format!("s{number}"), Cause::FrontChannel, 0, 100_000));
    }
    assert!(list.has(admin.0) && list.has(own.0));
    assert_eq!((list.len(), list.dropped()), (16_384 + 2, 20_000 - 16_384));
}

#[test]
fn l06_when_a_pool_is_full_what_would_go_soonest_goes_and_the_file_is_told() {
    let mut list = List::default();
    for number in 0..16_384 {
        add(&mut list, entry(&format!("s{number}"), Cause::FrontChannel, 0, 1000 + number));
    }
    let changes = add(&mut list, entry("new", Cause::FrontChannel, 0, 5000));
    assert_eq!(changes[0], Change::Remove(entry("s0", Cause::FrontChannel, 0, 0).0));
    assert!(matches!(changes[1..], [Change::Put(..)]));
}

#[test]
fn l05_hearsay_about_what_is_ended_does_not_weaken_it_and_an_event_strengthens_hearsay() {
    for (first, second) in [(Cause::Admin, Cause::FrontChannel), (Cause::FrontChannel, Cause::Admin)] {
        let mut list = List::default();
        let one = entry("ada", first, 0, 100_000);
        add(&mut list, one.clone());
        add(&mut list, entry("ada", second, 1, 100_000));
        for number in 0..20_000 {
            add(&mut list, entry(&format!("s{number}"), Cause::FrontChannel, 0, 200_000));
        }
        assert!(list.has(one.0), "{first:?}");
    }
}

#[test]
fn l04_the_list_knows_which_kinds_it_holds() {
    let mut list = List::default();
    assert!(!list.kinds().mean_somebody());
    let mut changes = Changes::new(true);
    list.add(
        Tag::message("idp", Sender::OktaHook, "1"),
        Entry { kind: Kind::Message, ..entry("", Cause::Admin, 0, 9).1 },
        NOW,
        &mut changes,
    );
    assert!(!list.kinds().mean_somebody());
    let ada = entry("ada", Cause::Admin, 0, 100);
    for until in [100, 200] {
        add(&mut list, entry("ada", Cause::Admin, 0, until));
        assert_eq!(list.kinds(), Kinds::default().with(Kind::Message).with(Kind::Person));
    }
    list.remove(ada.0);
    assert_eq!(list.kinds(), Kinds::default().with(Kind::Message));
}

#[test]
fn l05_the_same_again_or_something_older_changes_nothing_and_is_written_again() {
    let mut list = List::default();
    let mut add = |cause, before, until| {
        let ((tag, entry), mut changes) = (entry("ada", cause, before, until), Changes::new(true));
        let different = list.add(tag, entry, NOW, &mut changes);
        let [Change::Put(put, kept)] = &changes.all[..] else { panic!("{:?}", changes.all) };
        assert_eq!(*put, tag);
        (different, kept.before, kept.until, kept.cause)
    };
    let first = (at(5), at(100), Cause::Admin);
    assert_eq!(add(Cause::Admin, 5, 100), (true, first.0, first.1, first.2));
    assert_eq!(add(Cause::Admin, 5, 100), (false, first.0, first.1, first.2));
    assert_eq!(add(Cause::BackChannel, 3, 90), (false, first.0, first.1, first.2));
    assert_eq!(add(Cause::BackChannel, 6, 90), (true, at(6), at(100), Cause::BackChannel));
    // What is over already is not even begun.
    assert_eq!(self::add(&mut list, entry("grace", Cause::Admin, -9, 0)), []);
    assert_eq!(list.newest(9).len(), 1);
}

#[test]
fn l06_what_is_not_in_the_file_needs_not_leave_it() {
    let mut list = List::default();
    let mut add = |name: &str, until, is_written| {
        let ((tag, entry), mut changes) = (entry(name, Cause::FrontChannel, 0, until), Changes::new(is_written));
        list.add(tag, entry, NOW, &mut changes);
        changes.all.len()
    };
    assert_eq!((add("memory", 10, false), add("file", 20, true), add("file", 30, false)), (0, 1, 0));
    let mut changes = Changes::new(false);
    list.sweep(at(30), &mut changes);
    assert_eq!(changes.all, [Change::Remove(entry("file", Cause::FrontChannel, 0, 0).0)]);
}

#[test]
fn l06_entries_go_when_no_session_can_live_that_they_mean() {
    let mut list = List::default();
    let (ada, grace) = (entry("ada", Cause::Admin, 0, 100), entry("grace", Cause::Admin, 0, 200));
    add(&mut list, ada.clone());
    add(&mut list, grace.clone());
    let mut changes = Changes::new(true);
    list.sweep(at(100), &mut changes);
    assert_eq!(changes.all, [Change::Remove(ada.0)]);
    assert!(list.has(grace.0) && !list.has(ada.0));
}

#[test]
fn l06_people_who_sign_out_push_out_nothing_that_was_proved() {
    let mut list = List::default();
    let admin = entry("ada", Cause::Admin, 0, 10);
    add(&mut list, admin.clone());
    for number in 0..=250_000 {
        let cause = if number % 2 == 0 { Cause::SignedOut } else { Cause::RefreshRefused };
        add(&mut list, entry(&format!("s{number}"), cause, 0, 100_000));
    }
    assert!(list.has(admin.0));
    assert_eq!((list.len(), list.dropped()), (250_001, 1));
}

#[test]
fn l06_what_may_stand_in_the_file_leaves_it_however_often_it_was_written() {
    for (first, second) in [(true, true), (true, false), (false, true)] {
        let mut list = List::default();
        let ada = entry("ada", Cause::Admin, 0, 10);
        for is_written in [first, second] {
            list.add(ada.0, ada.1.clone(), NOW, &mut Changes::new(is_written));
        }
        let mut changes = Changes::new(false);
        list.sweep(at(10), &mut changes);
        assert_eq!(changes.all, [Change::Remove(ada.0)], "{first} {second}");
    }
}

#[test]
fn l02_of_two_events_of_one_moment_the_one_that_ends_wins() {
    for effects in [[Effect::AskAgain, Effect::Ended], [Effect::Ended, Effect::AskAgain], [Effect::Ended; 2]] {
        let mut list = List::default();
        let (tag, ada) = entry("ada", Cause::SecurityEvent, 5, 100);
        for effect in effects {
            list.add(tag, Entry { effect, ..ada.clone() }, NOW, &mut Changes::new(true));
        }
        assert_eq!(list.newest(1)[0].effect, Effect::Ended, "{effects:?}");
    }
    // A later one says what became of it since.
    let mut list = List::default();
    for (before, effect) in [(5, Effect::Ended), (6, Effect::AskAgain)] {
        let (tag, ada) = entry("ada", Cause::SecurityEvent, before, 100);
        list.add(tag, Entry { effect, ..ada }, NOW, &mut Changes::new(true));
    }
    assert_eq!(list.newest(1)[0].effect, Effect::AskAgain);
}

#[test]
fn l05_of_two_entries_of_one_moment_the_end_holds_and_two_questions_stay_questions() {
    let asked = |effect| {
        let (tag, ended) = entry("ada", Cause::Admin, 0, 100);
        (tag, Entry { effect, ..ended })
    };
    for (first, second, together) in [
        (Effect::AskAgain, Effect::AskAgain, Effect::AskAgain),
        (Effect::AskAgain, Effect::Ended, Effect::Ended),
        (Effect::Ended, Effect::AskAgain, Effect::Ended),
    ] {
        let mut list = List::default();
        add(&mut list, asked(first));
        let changes = add(&mut list, asked(second));
        let kept = changes.iter().find_map(|change| match change {
            Change::Put(_, entry) => Some(entry.effect),
            Change::Remove(_) => None,
        });
        assert_eq!(kept.unwrap_or(first), together, "{first:?} then {second:?}");
    }
}
