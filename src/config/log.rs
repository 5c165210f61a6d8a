//! `[log]`: where the access log goes, and how much the gateway tells about itself.
//!
//! The access log is one JSON object a line (`docs/access-log.md`). Nothing is opened here.

use std::path::PathBuf;

use super::reader::{Findings, Section};
use super::source::Value;
use crate::diagnostic::{Diagnostic, nearest};
use crate::reference;

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Standard output, the default.
    Stdout,
    /// Standard error.
    Stderr,
    /// Nowhere.
    Off,
    /// The end of this file.
    File(PathBuf),
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Where the access log goes.
    pub access: AccessLog,
    /// The least weight of the gateway's own messages: `error`, `warn`, `info`, `debug`, `trace` or `off`.
    pub level: String,
    /// Whether the access log keeps what rules decided by, for `lychgate replay`.
    pub replay: bool,
}

const LEVELS: &[(&str, &str)] =
    &[("error", "error"), ("warn", "warn"), ("info", "info"), ("debug", "debug"), ("trace", "trace"), ("off", "off")];

pub(super) fn read(top: &Section<'_>, found: &mut Findings<'_>) -> Log {
    let section = top.section("log", found);
    let level = section.choice("level", LEVELS, found).unwrap_or("info").to_owned();
    let replay = section.boolean("replay", found).unwrap_or(false);
    Log { access: access(&section, found).unwrap_or(AccessLog::Stdout), level, replay }
}

const EXPECTED: &str = "\"stdout\", \"stderr\", \"off\" or { file = \"…\" }";

fn access(section: &Section<'_>, found: &mut Findings<'_>) -> Option<AccessLog> {
    let entry = section.entry("access")?;
    if matches!(entry.node.value, Value::Table(_)) {
        let table = Section::open("log.access", &entry.node, &entry.key, &reference::gateway::LOG_FILE, found);
        let file = table.required_text("file", "the path of the log file: { file = \"access.log\" }", found)?;
        let path = found.resolve(file.value);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
        if let Some(folder) = folder {
            let message = format!("the folder {} does not exist", folder.display());
            found.error(file.origin, message, "expected a file in a folder that exists");
        }
        return Some(AccessLog::File(path));
    }
    let text = section.text("access", EXPECTED, found)?;
    match text.value {
        "stdout" => return Some(AccessLog::Stdout),
        "stderr" => return Some(AccessLog::Stderr),
        "off" => return Some(AccessLog::Off),
        _ => {}
    }
    let message = format!("`{}` is \"{}\"", section.path("access"), text.value);
    let finding = Diagnostic::error(message).label(format!("expected {EXPECTED}"));
    let help = match nearest(text.value, ["stdout", "stderr", "off"]) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write a file as {{ file = \"{}\" }}", text.value),
    };
    found.note(text.origin, finding.help(help));
    None
}
