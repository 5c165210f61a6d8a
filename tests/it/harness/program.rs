//! The built program itself: started with files, stopped with a signal, everything that it says kept.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// `lychgate` with these arguments, in an empty environment.
pub(crate) fn lychgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lychgate"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// The same with limits of open files, the one in force and the one that it may be raised to.
pub(crate) fn lychgate_with_files((soft, hard): (u32, u32), arguments: &[&str]) -> Command {
    let mut command = Command::new("/bin/sh");
    let limited = "ulimit -Sn \"$0\" && ulimit -Hn \"$1\" && shift && exec \"$@\"";
    command.args(["-c", limited, &soft.to_string(), &hard.to_string(), env!("CARGO_BIN_EXE_lychgate")]);
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// The same on what is as good as a full disk: no file may become longer than so many blocks of 512 bytes.
pub(crate) fn lychgate_with_blocks(most: u32, arguments: &[&str]) -> Command {
    let mut command = Command::new("/bin/sh");
    let limited = "trap '' XFSZ && ulimit -f \"$0\" && exec \"$@\"";
    command.args(["-c", limited, &most.to_string(), env!("CARGO_BIN_EXE_lychgate")]);
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Runs a command that ends by itself: its exit code, standard output and standard error.
pub(crate) fn ended(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// `lychgate NAME --config FILE`.
pub(crate) fn command(name: &str, config: &Path) -> (i32, String, String) {
    ended(&mut lychgate(&[name, "--config", config.to_str().unwrap()]))
}

/// What the program has said so far, and whether it may say more.
#[derive(Default)]
struct Said {
    text: Mutex<(String, bool)>,
    changed: Condvar,
}

impl Said {
    fn listen(self: &Arc<Self>, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let said = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                let mut text = said.text.lock().unwrap();
                text.0.push_str(&line.unwrap());
                text.0.push('\n');
                said.changed.notify_all();
            }
            said.text.lock().unwrap().1 = true;
            said.changed.notify_all();
        })
    }

    fn wait_for(&self, enough: impl Fn(&str) -> bool) -> String {
        let waiting = |said: &mut (String, bool)| !enough(&said.0) && !said.1;
        let (said, _) = self.changed.wait_timeout_while(self.text.lock().unwrap(), PATIENCE, waiting).unwrap();
        let text = said.0.clone();
        drop(said);
        assert!(enough(&text), "waited in vain; so far: {text}");
        text
    }
}

/// A running `lychgate run`; killed when dropped.
pub(crate) struct Program {
    child: Child,
    out: Arc<Said>,
    err: Arc<Said>,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    pub(crate) fn start(config: &Path) -> Self {
        Self::start_with(&["run", "--config", config.to_str().unwrap()])
    }

    /// `lychgate` with these arguments, left to run.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        Self::spawn(lychgate(arguments))
    }

    /// Left to run, whatever it needs set.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (Arc::<Said>::default(), Arc::<Said>::default());
        let readers = vec![out.listen(child.stdout.take().unwrap()), err.listen(child.stderr.take().unwrap())];
        Self { child, out, err, readers }
    }

    /// Waits until standard error holds this text.
    pub(crate) fn says(&self, text: &str) -> String {
        self.err.wait_for(|said| said.contains(text))
    }

    /// Waits until the program listens: its first address.
    pub(crate) fn address(&self) -> SocketAddr {
        let said = self.err.wait_for(|said| said.lines().any(|line| line.contains(" listening address=")));
        let (_, rest) = said.split_once(" listening address=").unwrap();
        rest.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// The admin listener's address, once the program listens.
    pub(crate) fn admin(&self) -> SocketAddr {
        let has = |said: &str| said.lines().any(|line| line.contains(" admin listener: "));
        let said = self.err.wait_for(has);
        let (_, rest) = said.rsplit_once(" address=").unwrap();
        rest.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// How many files it may have open: the limit in force, and the one that it may be raised to.
    pub(crate) fn most_files(&self) -> (u32, u32) {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.child.id())).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let mut both = line.split_whitespace().map(|limit| limit.parse().unwrap());
        (both.next().unwrap(), both.next().unwrap())
    }

    /// How much of its memory is resident, in bytes, by the kernel's count.
    pub(crate) fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let kill = ["-c", "kill -\"$0\" \"$1\"", name, &pid];
        assert!(Command::new("sh").args(kill).status().unwrap().success());
    }

    /// Waits for the end: exit code, standard output and standard error.
    pub(crate) fn wait(mut self) -> (i32, String, String) {
        let status = self.child.wait().unwrap();
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        let text = |said: &Said| said.text.lock().unwrap().0.clone();
        (status.code().unwrap(), text(&self.out), text(&self.err))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
