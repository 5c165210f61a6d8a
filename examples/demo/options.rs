//! The demonstration's command line: ports, and nothing else.
//!
//! Each port is also read from the environment (`DEMO_PORT` and so on: names that begin with `LYCHGATE_` are settings
//! of the gateway); 0 takes any that is free, which is how several
//! demonstrations run side by side.

use clap::Parser;

/// Starts a development OpenID provider, two legacy applications and the gateway in front of them.
#[derive(Parser)]
#[command(name = "demo")]
pub(crate) struct Options {
    /// Port of the gateway; 0 takes a free one
    #[arg(long = "port", visible_alias = "listen-port", env = "DEMO_PORT", default_value_t = 8080)]
    pub(crate) port: u16,

    /// Port of the development provider
    #[arg(long, env = "DEMO_PROVIDER_PORT", default_value_t = 8081)]
    pub(crate) provider_port: u16,

    /// Port of the royalty system
    #[arg(long, env = "DEMO_ROYALTY_PORT", default_value_t = 7001)]
    pub(crate) royalty_port: u16,

    /// Port of the archives
    #[arg(long, env = "DEMO_ARCHIVES_PORT", default_value_t = 7002)]
    pub(crate) archives_port: u16,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Options::command().debug_assert();
    }

    #[test]
    fn both_names_of_the_gateway_port_are_read() {
        for name in ["--port", "--listen-port"] {
            assert_eq!(Options::try_parse_from(["demo", name, "9000"]).ok().unwrap().port, 9000);
        }
    }
}
