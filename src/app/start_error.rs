//! Why a gateway did not start, and what to do about it.
//!
//! May touch: nothing. Trust boundary: none.

use std::fmt;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::diagnostic::{Diagnostic, Report};

/// Why a gateway did not start; nothing stays behind.
#[derive(Debug)]
pub enum StartError {
    /// The files do not fit together, or one of them is damaged.
    Refused(Report),
    /// The state directory could not be used: its disk is full, or another gateway has it.
    State(Report),
    /// An address could not be bound.
    Bind {
        /// The key that names it.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: Error,
    },
    /// The access log's file could not be opened.
    AccessLog(PathBuf, Error),
    /// Something else of the operating system failed, such as threads.
    System(&'static str, Error),
    /// TLS could not be set up.
    Tls(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(report) | Self::State(report) => report.fmt(f),
            Self::Bind { key, address, error } => {
                write!(f, "error: cannot listen on {address} (`{key}`): {error}\n  = help: {}", about_address(error))
            }
            Self::AccessLog(file, error) => {
                let file = file.display();
                write!(f, "error: cannot write the access log {file} (`log.access`): {error}\n  = help: {LOG_HELP}")
            }
            Self::System(what, error) => write!(f, "error: {what}: {error}"),
            Self::Tls(error) => write!(f, "error: {error}"),
        }
    }
}

const LOG_HELP: &str =
    "let the user that the gateway runs as write there: chown the file if it is there, and the folder that holds it";

fn about_address(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => "stop what listens there (ss -ltnp names it), or choose another address",
        ErrorKind::PermissionDenied => {
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE (deploy/systemd/lychgate.service gives it); or choose a port from 1024 up"
        }
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address (ip addr shows those it has); \"0.0.0.0\" and \"[::]\" stand for all of them"
        }
        _ => "choose another address",
    }
}

impl std::error::Error for StartError {}

impl StartError {
    pub(super) fn refused(finding: Diagnostic) -> Self {
        let mut report = Report::default();
        report.push(finding);
        Self::Refused(report)
    }

    pub(super) fn state(finding: Diagnostic) -> Self {
        let mut report = Report::default();
        report.push(finding);
        Self::State(report)
    }

    /// Whether the files are at fault, so that trying again without changing them is no use.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Tls(_))
    }

    /// The same as findings, to be shown with others.
    pub fn into_report(self) -> Report {
        match self {
            Self::Refused(report) | Self::State(report) => report,
            other => {
                let text = other.to_string();
                let mut report = Report::default();
                report.push(Diagnostic::error(text.strip_prefix("error: ").unwrap_or(&text)));
                report
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_advice() {
        let address: SocketAddr = "127.0.0.1:80".parse().unwrap();
        for (kind, help) in [
            (ErrorKind::AddrInUse, "stop what listens there"),
            (ErrorKind::PermissionDenied, "CAP_NET_BIND_SERVICE"),
            (ErrorKind::AddrNotAvailable, "no such address"),
        ] {
            let said = StartError::Bind { key: "admin.address", address, error: kind.into() }.to_string();
            assert!(said.contains("127.0.0.1:80 (`admin.address`)") && said.contains(help), "{said}");
            assert_eq!(said.contains("stop what"), kind == ErrorKind::AddrInUse, "{said}");
        }
    }
}
