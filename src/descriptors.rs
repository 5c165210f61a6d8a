//! How many files and connections this process may have open at once (`RLIMIT_NOFILE`), and how many clients that is enough for.
//!
//! Most shells and some container runtimes give a process far fewer than it may ask for, so a start raises the limit as far as it may. What is left of
//! it after the gateway's own needs is shared evenly: a request of a client needs a connection to its application. Without that, silent
//! clients take what those who are served need.
//!
//! May touch: the limit of this process. Trust boundary: none.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the gateway needs for itself whatever the settings say: 64 for files, the list of ended sessions and providers, 64 for the admin listener.
const OWN: u64 = 128;
/// What each worker needs besides its sockets.
const OF_A_WORKER: u64 = 4;

/// What a limit of open files leaves room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// None where there is no limit.
    limit: Option<u64>,
    own: u64,
}

impl Room {
    /// Raises the limit as far as this process may, for a gateway with this many workers and listeners.
    pub fn make(workers: usize, listeners: usize) -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum {
            // Refused is no harm: what is in force then counts.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        }
        Self::of(getrlimit(Resource::Nofile).current, workers, listeners)
    }

    /// What a start would make; changes nothing.
    pub fn foresee(workers: usize, listeners: usize) -> Self {
        Self::of(getrlimit(Resource::Nofile).maximum, workers, listeners)
    }

    fn of(limit: Option<u64>, workers: usize, listeners: usize) -> Self {
        let [workers, listeners] = [workers, listeners].map(|count| u64::try_from(count).unwrap_or(u64::MAX));
        let of_workers = workers.saturating_mul(listeners.saturating_add(OF_A_WORKER));
        Self { limit, own: OWN.saturating_add(of_workers) }
    }

    /// How many connections of clients there is room for. An eighth of the limit where the gateway's own needs leave less.
    pub fn connections(&self) -> usize {
        let Some(limit) = self.limit else { return usize::MAX };
        let half = limit.saturating_sub(self.own) / 2;
        usize::try_from(half.max(limit / 8).max(1)).unwrap_or(usize::MAX)
    }

    /// What is to be said where this many connections of clients do not fit, and what to do.
    pub fn falls_short_of(&self, connections: usize) -> Option<(String, String)> {
        let (room, limit) = (self.connections(), self.limit?);
        let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(self.own);
        (room < connections).then(|| {
            let found = format!(
                "`limits.connections` is {connections}, and {limit} open files are allowed: no more than {room} clients are let in at once"
            );
            let advice = format!(
                "allow {needed} open files (systemd: LimitNOFILE, containers: --ulimit nofile, shells: ulimit -n), or lower `limits.connections`"
            );
            (found, advice)
        })
    }

    /// The same where they fit.
    pub fn suffices_for(&self, connections: usize) -> String {
        match self.limit {
            Some(limit) => format!("{limit} open files are allowed, enough for `limits.connections` ({connections})"),
            None => "any number of open files is allowed".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_is_left_is_for_clients() {
        let room = |limit, workers, listeners| Room::of(limit, workers, listeners).connections();
        assert_eq!(room(Some(1024), 2, 2), (1024 - 128 - 12) / 2);
        assert_eq!(room(Some(65_536), 4, 1), (65_536 - 128 - 20) / 2);
        // Somebody is served however many workers there are.
        assert_eq!((room(Some(128), 64, 4), room(Some(4), 1, 1), room(Some(0), 1, 1)), (16, 1, 1));
        assert_eq!(room(None, 2, 2), usize::MAX);
        assert!(room(Some(u64::MAX), usize::MAX, usize::MAX) > 0);
    }

    #[test]
    fn what_falls_short_says_what_would_do() {
        let short = Room::of(Some(1024), 2, 2);
        let (found, advice) = short.falls_short_of(10_000).unwrap();
        assert!(found.contains("1024 open files") && found.contains("more than 442 clients"), "{found}");
        assert!(advice.contains("allow 20140 open files"), "{advice}");
        let enough = Room::of(Some(20_140), 2, 2);
        assert_eq!((enough.connections(), enough.falls_short_of(10_000)), (10_000, None));
        assert_eq!((short.falls_short_of(442), Room::of(None, 2, 2).falls_short_of(usize::MAX)), (None, None));
    }
}
