//! A program started for the measurement and ended with it.
//!
//! Every program is pinned to one core (`taskset`) and told to end when this process ends (`setpriv --pdeathsig`), so
//! that nothing is left behind when the measurement is interrupted. Dropping a [`Process`] asks the program to stop by
//! its process id, waits a bounded time, and then kills what is left of its family, again by process id. Nothing is
//! ever ended by name.
//!
//! May touch: its own children and `/proc`. Must not: look for, or signal, processes that it did not start.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// The core that runs the proxy being measured.
pub(crate) const PROXY_CORE: &str = "0";
/// The core that runs the load generator and the upstream.
pub(crate) const LOAD_CORE: &str = "1";

const STOP_LIMIT: Duration = Duration::from_secs(5);
const READY_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(1);

/// A running program, its log file, and the duty to end it.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program on one core; standard output and error go to `log`.
    pub(crate) fn start<I, S>(name: &'static str, core: &str, log: &Path, command: I) -> Result<Self>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let output = File::create(log)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "taskset", "-c", core])
            .args(command)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| format!("{name} could not be started: {error}"))?;
        Ok(Self { name, child, log: log.to_owned() })
    }

    /// Waits until `ready` says yes; an early end of the program or the time limit is an error that shows its log.
    pub(crate) fn wait_until(&mut self, ready: impl Fn() -> bool) -> Result<()> {
        let end = Instant::now() + READY_LIMIT;
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.complaint(&format!("ended with {status}")));
            }
            if Instant::now() > end {
                return Err(self.complaint("was not ready in time"));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// The program's process id and those of all its descendants.
    pub(crate) fn family(&self) -> Vec<u32> {
        family_of(self.child.id())
    }

    fn complaint(&self, what: &str) -> Box<dyn std::error::Error> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(12).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        format!("{} {what}; it said:\n{}", self.name, tail.join("\n")).into()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let family = self.family();
        signal("TERM", &[self.child.id()]);
        let end = Instant::now() + STOP_LIMIT;
        while Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(POLL);
        }
        signal("KILL", &family);
        let _ = self.child.wait();
    }
}

fn signal(name: &str, pids: &[u32]) {
    let _ = Command::new("kill")
        .arg(format!("-{name}"))
        .args(pids.iter().map(u32::to_string))
        .stderr(Stdio::null())
        .status();
}

fn family_of(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    for task in tasks.into_iter().flatten().flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| id.parse().ok());
        family.extend(children.flat_map(family_of));
    }
    family
}
