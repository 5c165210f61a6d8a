//! What becomes of the list and of who waits while the disk is slow, full, or says no; and how much the file can hold.

use std::collections::BTreeMap;

use super::*;

/// A disk in the tests' hands: jobs lie there until they are written, in order, or refused.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Desk>>);

#[derive(Default)]
struct Desk {
    jobs: Vec<(Vec<Change>, Done)>,
    file: BTreeMap<Tag, Entry>,
    full: bool,
}

impl Keeper for Disk {
    fn has_room(&self) -> bool {
        !self.0.lock().unwrap().full
    }

    fn keep(&self, changes: Vec<Change>, done: Done) {
        self.0.lock().unwrap().jobs.push((changes, done));
    }

    /// Whoever waits does so until a job is told of.
    fn patience(&self) -> Patience {
        Box::pin(std::future::pending())
    }
}

impl Disk {
    /// A list that is kept on it.
    fn list(&self, now: Timestamp) -> Revocations {
        let entries = self.0.lock().unwrap().file.clone().into_iter().collect();
        Revocations::kept_by(Box::new(self.clone()), entries, now)
    }

    fn waiting(&self) -> usize {
        self.0.lock().unwrap().jobs.len()
    }

    fn write(&self) {
        let mut desk = self.0.lock().unwrap();
        for (changes, done) in std::mem::take(&mut desk.jobs) {
            for change in changes {
                match change {
                    Change::Put(tag, entry) => drop(desk.file.insert(tag, *entry)),
                    Change::Remove(tag) => drop(desk.file.remove(&tag)),
                }
            }
            done.tell(true);
        }
    }

    fn fail(&self) {
        std::mem::take(&mut self.0.lock().unwrap().jobs).into_iter().for_each(|(_, done)| done.tell(false));
    }

    fn has(&self, tag: Tag) -> bool {
        self.0.lock().unwrap().file.contains_key(&tag)
    }

    fn rows(&self) -> usize {
        self.0.lock().unwrap().file.len()
    }
}

/// What the front channel says of a provider's session.
fn hearsay(sid: &str, seconds: u64) -> Vec<Wanted> {
    let whom = Whom::ProviderSession { provider: "okta", sid };
    vec![Wanted::new(&whom, at(seconds), Cause::FrontChannel, Effect::Ended)]
}

const DAYS: u64 = 24 * 3600;

#[tokio::test]
async fn l04_a_repeat_of_a_message_is_accepted_when_the_first_one_is_written() {
    let disk = Disk::default();
    let revocations = disk.list(NOW);
    // Whoever sent it has left.
    drop(revocations.carry_out(vec![order("jti-1", 1)], at(1)));
    let again = revocations.carry_out(vec![order("jti-1", 2)], at(2));
    assert_eq!((again.ended, disk.waiting()), (0, 1));
    let told = tokio::spawn(again.keeping.is_kept());
    tokio::task::yield_now().await;
    assert!(!told.is_finished());
    disk.write();
    assert!(told.await.unwrap());
    let third = revocations.carry_out(vec![order("jti-1", 3)], at(3));
    assert_eq!((third.ended, disk.waiting()), (0, 0));
    assert!(third.keeping.is_kept().await);
}

#[tokio::test]
async fn l04_a_message_that_was_not_written_is_carried_out_and_written_again() {
    let (disk, mine) = (Disk::default(), session(NOW));
    let revocations = disk.list(NOW);
    for drops in [false, true, false] {
        // Each time the entry is the same as in memory.
        let (first, second) = (
            revocations.carry_out(vec![order("jti-1", 1)], at(9)),
            revocations.carry_out(vec![order("jti-1", 1)], at(9)),
        );
        assert_eq!((first.ended, second.ended), (1, 0));
        match drops {
            true => disk.0.lock().unwrap().jobs.clear(),
            false => disk.fail(),
        }
        assert!(!first.keeping.is_kept().await && !second.keeping.is_kept().await);
        assert_eq!(check(&mine, "ada", &revocations), Err(Effect::Ended));
    }
    disk.0.lock().unwrap().full = true;
    for _ in 0..2 {
        let refused = revocations.carry_out(vec![order("jti-1", 1)], at(9));
        assert_eq!((refused.ended, refused.keeping.is_kept().await, disk.waiting()), (1, false, 0));
    }
    disk.0.lock().unwrap().full = false;
    let last = revocations.carry_out(vec![order("jti-1", 1)], at(9));
    disk.write();
    assert_eq!((last.ended, last.keeping.is_kept().await), (1, true));
    let restarted = disk.list(at(10));
    assert_eq!(check(&mine, "ada", &restarted), Err(Effect::Ended));
    assert_eq!(restarted.carry_out(vec![order("jti-1", 10)], at(10)).ended, 0);
}

#[tokio::test]
async fn l03_the_events_of_one_message_are_one_job_and_all_of_them_hold_while_it_waits() {
    let disk = Disk::default();
    let revocations = disk.list(NOW);
    let orders = |from: u64, to: u64| {
        (from..to).map(|number| {
            let subject = format!("00u{number}");
            let message = Some(Tag::message("okta", Sender::OktaHook, &subject));
            Order { wanted: wanted(person("okta", &subject), at(1)), message }
        })
    };
    let first = revocations.carry_out(orders(0, 300).collect(), at(1));
    // Part of the second one is on its way already.
    let second = revocations.carry_out(orders(100, 500).collect(), at(2));
    assert_eq!((first.ended, second.ended, disk.waiting(), revocations.count()), (300, 200, 2, 500));
    let told = tokio::spawn(second.keeping.is_kept());
    drop(first);
    disk.write();
    assert!(told.await.unwrap());
    assert_eq!(disk.rows(), 1000);
}

#[test]
fn l04_the_file_changes_in_the_order_in_which_memory_does() {
    let disk = Disk::default();
    let revocations = disk.list(NOW);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let revocations = &revocations;
            scope.spawn(move || {
                for number in 0..500 {
                    let seconds = number * 4 + thread;
                    let _ = revocations.revoke(wanted(person("okta", "00u1"), at(seconds)), at(seconds));
                }
            });
        }
    });
    disk.write();
    let restarted = disk.list(at(2000));
    assert_eq!((revocations.newest(1), revocations.newest(1)[0].before), (restarted.newest(1), at(1999)));
}

#[test]
fn l06_hearsay_that_waits_for_the_disk_is_bounded_though_whoever_brought_it_leaves() {
    let disk = Disk::default();
    let revocations = disk.list(NOW);
    for number in 0..2000 {
        drop(revocations.revoke(hearsay(&format!("s{number}"), 1), at(1)));
    }
    // All of it holds in memory, and there is room again when what waited is done.
    assert_eq!((disk.waiting(), revocations.count()), (64, 2000));
    let _ = revocations.revoke(wanted(person("okta", "00u1"), at(1)), at(1));
    assert_eq!(disk.waiting(), 65);
    disk.write();
    let _ = revocations.revoke(hearsay("more", 1), at(1));
    assert_eq!(disk.waiting(), 1);
}

#[test]
fn l06_what_was_proved_is_not_pushed_out_by_hearsay_after_a_restart_either() {
    let sid = Whom::ProviderSession { provider: "okta", sid: "sid-1" };
    let proved = |seconds| vec![Wanted::new(&sid, at(seconds), Cause::BackChannel, Effect::Ended)];
    for (first, second) in [(proved(1), hearsay("sid-1", 2)), (hearsay("sid-1", 2), proved(1))] {
        let disk = Disk::default();
        let revocations = disk.list(NOW);
        for wanted in [first, second] {
            let _ = revocations.revoke(wanted, at(2));
            disk.write();
        }
        assert_eq!(revocations.newest(1)[0].before, at(2));
        let restarted = disk.list(at(3));
        for number in 0..20_000 {
            let _ = restarted.revoke(hearsay(&format!("junk{number}"), 4), at(4));
        }
        assert_eq!(check(&session(at(1)), "ada", &restarted), Err(Effect::Ended));
    }
}

#[test]
fn l06_the_file_holds_no_more_than_the_list_however_often_the_disk_stalls() {
    let disk = Disk::default();
    let revocations = disk.list(NOW);
    let _ = revocations.revoke(wanted(person("okta", "00u1"), at(0)), at(0));
    let mut number = 0;
    // More than two turns of the hearsay pool; of each hundred, 64 are written.
    for round in 0..400 {
        for _ in 0..100 {
            number += 1;
            let _ = revocations.revoke(hearsay(&format!("s{number}"), round), at(round));
        }
        disk.write();
        assert!(disk.rows() <= 16_384 + 1, "{round}: {}", disk.rows());
    }
    assert!(disk.rows() > 8_000 && disk.has(person("okta", "00u1").tag()), "{}", disk.rows());

    // What expires while nothing can be written leaves the file with the next writing.
    let tomorrow = DAYS + 1000;
    disk.0.lock().unwrap().full = true;
    for second in 0..20 {
        let _ = revocations.revoke(wanted(Whom::Name("grace"), at(tomorrow + second)), at(tomorrow + second));
    }
    assert_eq!((revocations.count(), disk.waiting()), (1, 0), "a disk without room is told nothing");
    disk.0.lock().unwrap().full = false;
    let _ = revocations.revoke(wanted(Whom::Name("grace"), at(tomorrow + 20)), at(tomorrow + 20));
    disk.write();
    assert_eq!(disk.rows(), 1);
}

#[test]
fn l06_what_means_nothing_any_more_leaves_the_file_when_it_is_opened() {
    let disk = Disk::default();
    let revocations = disk.list(NOW);
    for number in 0..50 {
        let _ = revocations.carry_out(vec![order(&format!("jti-{number}"), 1)], at(1));
    }
    let _ = revocations.revoke(wanted(Whom::Name("grace"), at(DAYS)), at(DAYS - 1));
    disk.write();
    assert_eq!(disk.rows(), 52);
    let restarted = disk.list(at(DAYS + 1));
    disk.write();
    assert_eq!((disk.rows(), restarted.count()), (1, 1));
}

#[tokio::test]
async fn l06_what_was_refused_is_not_kept_with_whatever_it_is_told_of() {
    let refused = || Keeping::refused();
    for both in [refused().and(Keeping::default()), Keeping::default().and(refused()), refused().and(refused())] {
        assert!(!both.is_kept().await);
    }
    assert!(Keeping::default().and(Keeping::default()).is_kept().await);
}
