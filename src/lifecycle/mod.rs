//! Start, stop, and the signals between them.
//!
//! Layer 5. The first SIGTERM or SIGINT drains, the second ends at once. Trust boundary: whoever may signal the process.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask the gateway to stop.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Begins to listen; from then on the signals do not end the process by themselves.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
