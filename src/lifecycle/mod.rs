//! Start, stop, reload, and the signals between them.
//!
//! Layer 5. The first SIGTERM or SIGINT drains, the second ends at once; SIGHUP has the files read anew. Trust boundary: whoever may signal the
//! process.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the gateway listens to.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To stop; the signal's name.
    Stop(&'static str),
    /// To read the files anew.
    Reload,
}

impl Signals {
    /// Begins to listen; from then on the signals do not end the process by themselves.
    pub fn listen() -> std::io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hangup: signal(SignalKind::hangup())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Asked::Stop("SIGINT"),
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// Waits for the next one that asks to stop, and returns its name; a gateway that drains reads nothing anew.
    pub async fn next_stop(&mut self) -> &'static str {
        loop {
            if let Asked::Stop(name) = self.next().await {
                return name;
            }
        }
    }
}
