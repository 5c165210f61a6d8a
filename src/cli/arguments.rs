//! What the command line understands.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::Override;
use crate::reference::FILES;

/// Lychgate: an access gateway for web applications that cannot be changed.
#[derive(Debug, Parser)]
#[command(name = "lychgate", version, about, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the gateway until SIGTERM or SIGINT; then let every accepted request finish. SIGHUP reads the files anew.
    Run {
        #[command(flatten)]
        files: Files,
        /// Only warn when the policies' own tests fail, now and at reloads; for emergencies.
        #[arg(long)]
        skip_tests: bool,
    },
    /// Read the configuration and all policies, and print everything that is wrong with them.
    Check {
        #[command(flatten)]
        files: Files,
        /// How the findings are shown.
        #[arg(long, value_enum, value_name = "FORM", default_value_t = Format::Human)]
        format: Format,
        /// End with exit code 1 when there is a warning.
        #[arg(long)]
        deny_warnings: bool,
    },
    /// Ask each provider and each application, look at keys, state and addresses, and say what is wrong and what to do.
    Doctor {
        #[command(flatten)]
        files: Files,
        /// How the findings are shown.
        #[arg(long, value_enum, value_name = "FORM", default_value_t = Format::Human)]
        format: Format,
    },
    /// Run the `[[tests]]` of all policies.
    Test(Files),
    /// Print a fresh key for `[keys]`.
    Keygen,
    /// Print the JSON Schema of a kind of file, for editors.
    Schema {
        /// Which kind of file.
        #[arg(value_parser = clap::builder::PossibleValuesParser::new(FILES.iter().map(|file| file.name)))]
        kind: String,
    },
    /// Print what a shell needs to complete this program's command line.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// How findings are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people, on standard error.
    Human,
    /// For editors and CI: one JSON object on standard output.
    Json,
}

#[derive(Debug, clap::Args)]
pub(super) struct Files {
    /// The gateway's configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "lychgate.toml")]
    pub(super) config: PathBuf,
    /// How many workers serve, in place of `workers`.
    #[arg(long, value_name = "NUMBER")]
    workers: Option<String>,
    /// Where the admin listener listens, in place of `admin.address`.
    #[arg(long, value_name = "ADDRESS")]
    admin_address: Option<String>,
    /// Where the access log goes, in place of `log.access`: stdout, stderr or off.
    #[arg(long, value_name = "TARGET")]
    access_log: Option<String>,
    /// How much the program says of itself, in place of `log.level`.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Files {
    /// The settings that were given as flags; they are stronger than the environment and the file.
    pub(super) fn overrides(&self) -> Vec<Override> {
        let flags = [
            ("--workers", "workers", &self.workers),
            ("--admin-address", "admin.address", &self.admin_address),
            ("--access-log", "log.access", &self.access_log),
            ("--log-level", "log.level", &self.log_level),
        ];
        let given = flags.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value.clone()?)));
        given.map(|(flag, key, value)| Override { flag, key, value }).collect()
    }
}
