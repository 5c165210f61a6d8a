//! What the command line understands.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Lychgate: an access gateway for web applications that cannot be changed.
#[derive(Debug, Parser)]
#[command(name = "lychgate", version, about, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the gateway until SIGTERM or SIGINT; then let every accepted request finish.
    Run(Files),
    /// Read the configuration and all policies, and print everything that is wrong with them.
    Check(Files),
    /// Run the `[[tests]]` of all policies.
    Test(Files),
    /// Print a fresh key for `[keys]`.
    Keygen,
}

#[derive(Debug, clap::Args)]
pub(super) struct Files {
    /// The gateway's configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "lychgate.toml")]
    pub(super) config: PathBuf,
}
