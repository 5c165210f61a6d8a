//! `lychgate replay`: recorded requests, decided again by policies that are not in use yet.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::ExitCode;

use super::super::USAGE;
use super::super::arguments::{Format, ReplayOptions};
use super::super::render::replayed;
use super::super::streams;
use super::refuse;
use crate::app::{Plan, Replay};
use crate::config::Environment;

pub(super) fn run(options: &ReplayOptions) -> ExitCode {
    let (environment, overrides) = (Environment::of_process(), options.files.overrides());
    let read = Plan::read_with_policies(&options.files.config, &environment, &overrides, &options.policies);
    let (plan, report) = read;
    streams::complain(&report.render());
    let Some(plan) = plan else { return ExitCode::from(USAGE) };
    let (_, snapshot) = match plan.into_snapshot() {
        Ok(built) => built,
        Err(error) => return refuse(&error),
    };
    let logs = options.logs.iter().map(|path| (path.display().to_string(), open(path)));
    match Replay::read_all(logs, &snapshot) {
        Err(error) => {
            streams::complain(&format!("error: cannot read the log {error}\n"));
            ExitCode::from(USAGE)
        }
        Ok(replay) if replay.lines == replay.broken => {
            streams::complain(&format!(
                "error: no request can be read: {} lines, none of them a line of an access log\n  = help: docs/access-log.md says what one is; a packed log is unpacked first: zcat FILE | lychgate replay - …\n",
                replay.lines
            ));
            ExitCode::from(USAGE)
        }
        Ok(replay) => {
            let text = match options.format {
                Format::Human => replayed::text(&replay),
                Format::Json => format!("{}\n", replayed::json(&replay)),
            };
            streams::result(&text, if replay.changed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    File::open(path).map(|file| Box::new(BufReader::new(file)) as Box<dyn BufRead>)
}
