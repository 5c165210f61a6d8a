//! Standard output and standard error of a command, which may be full, closed, or without a reader any more.
//!
//! `print!` and its kin panic there, which would be an exit code that is documented nowhere and, for `run`, a gateway that does not start for
//! a warning that it could not print.

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

/// Prints what a command was asked for; how the process ends is `code`, or 1 where it cannot be printed. A reader that has gone (`| head -1`)
/// has all that it wanted.
pub(super) fn result(text: &str, code: ExitCode) -> ExitCode {
    let mut stdout = io::stdout().lock();
    printed(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()), code)
}

/// How the process ends after printing that went so.
pub(super) fn printed(outcome: io::Result<()>, code: ExitCode) -> ExitCode {
    match outcome {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            complain(&format!("error: the result cannot be printed: {error}\n"));
            ExitCode::FAILURE
        }
        _ => code,
    }
}

/// Says on standard error what is wrong. Nobody can be told where that cannot be written; what the command does goes on.
pub(super) fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
