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
    /// Run the `[[tests]]` of all policies, or of some.
    Test(TestOptions),
    /// Say how a request is decided, and why.
    Explain(ExplainOptions),
    /// Say which recorded requests other policies would decide differently.
    Replay(ReplayOptions),
    /// Write a working configuration to start from.
    Init(InitOptions),
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

/// How something is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    Human,
    /// For programs: one JSON object on standard output.
    Json,
}

/// How the outcome of tests is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum TestFormat {
    /// For people.
    Human,
    /// One JSON object.
    Json,
    /// JUnit XML, for CI.
    Junit,
}

#[derive(Debug, clap::Args)]
pub(super) struct TestOptions {
    /// The policies whose tests are run; all when none is named.
    #[arg(value_name = "POLICY")]
    pub(super) policies: Vec<String>,
    #[command(flatten)]
    pub(super) files: Files,
    /// Run only the tests whose name contains this text, in any case.
    #[arg(long, value_name = "TEXT")]
    pub(super) filter: Option<String>,
    /// Name the rules and headers that no test reaches.
    #[arg(long)]
    pub(super) coverage: bool,
    /// End with exit code 1 when less than this much of all rules and headers is reached.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(super) min_coverage: Option<u8>,
    /// How the outcome is shown.
    #[arg(long, value_enum, value_name = "FORM", default_value_t = TestFormat::Human)]
    pub(super) format: TestFormat,
}

#[derive(Debug, clap::Args)]
pub(super) struct ExplainOptions {
    /// The request: "GET https://app.example/path?query", or "GET /path" with --app or --host.
    #[arg(value_name = "REQUEST", required = true, num_args = 1..=2)]
    pub(super) request: Vec<String>,
    #[command(flatten)]
    pub(super) files: Files,
    /// Who is signed in: a JSON file of claims, or of claims and session; `-` for standard input; nobody without it.
    #[arg(long, value_name = "FILE")]
    pub(super) claims: Option<PathBuf>,
    /// The authentication context of the sign-in.
    #[arg(long, value_name = "ACR", requires = "claims")]
    pub(super) acr: Option<String>,
    /// How long ago the person signed in.
    #[arg(long, value_name = "DURATION", requires = "claims", value_parser = humantime::parse_duration)]
    pub(super) auth_age: Option<std::time::Duration>,
    /// A header field that the client sends; may be repeated.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub(super) headers: Vec<String>,
    /// The address that the request comes from.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(super) client: std::net::IpAddr,
    /// The certificate that the client shows: a PEM file. It is read, not verified.
    #[arg(long, value_name = "FILE")]
    pub(super) client_certificate: Option<PathBuf>,
    /// When the request comes; now without it.
    #[arg(long, value_name = "RFC 3339")]
    pub(super) time: Option<String>,
    /// The host, with its port if it has one, in place of the request's.
    #[arg(long, value_name = "HOST")]
    pub(super) host: Option<String>,
    /// The application whose first host the request is for.
    #[arg(long, value_name = "POLICY", conflicts_with = "host")]
    pub(super) app: Option<String>,
    /// How the explanation is shown.
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Format::Human)]
    pub(super) format: Format,
}

// The logs come first: `--policies` takes all names that follow it.
#[derive(Debug, clap::Args)]
#[command(override_usage = "lychgate replay [OPTIONS] <ACCESS_LOG>... --policies <PATH>...")]
pub(super) struct ReplayOptions {
    /// Access logs, oldest first; `-` for standard input.
    #[arg(value_name = "ACCESS_LOG", required = true)]
    pub(super) logs: Vec<PathBuf>,
    /// The policies to decide by: files, or folders with all their `*.toml`; all names that follow, so it comes after the logs.
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    pub(super) policies: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) files: Files,
    /// How the outcome is shown.
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Format::Human)]
    pub(super) format: Format,
}

#[derive(Debug, clap::Args)]
pub(super) struct InitOptions {
    /// The folder to write to; it is made when it is not there.
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub(super) folder: PathBuf,
    /// The OpenID provider's issuer.
    #[arg(long, value_name = "URL", default_value = "https://idp.example")]
    pub(super) issuer: String,
    /// The client id that the gateway has there.
    #[arg(long, value_name = "ID", default_value = "lychgate")]
    pub(super) client_id: String,
    /// The host of the first application.
    #[arg(long, value_name = "HOST", default_value = "app.localhost")]
    pub(super) host: String,
    /// Where the first application runs.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000")]
    pub(super) upstream: String,
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
