//! The demonstration's temporary folder: a configuration of the gateway as an operator would write it.
//!
//! Made fresh at every start with a fresh client secret, readable by its owner only, removed at the end.
//! The policies are the shipped ones; only the applications' ports are replaced when others were chosen.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A folder that is removed when this is dropped.
pub(crate) struct Folder {
    path: PathBuf,
}

/// What goes into the configuration.
pub(crate) struct Contents<'a> {
    /// Where the gateway listens.
    pub(crate) gateway: SocketAddr,
    /// The provider's issuer.
    pub(crate) issuer: &'a str,
    /// The gateway's name at the provider.
    pub(crate) client_id: &'a str,
    /// And its secret.
    pub(crate) client_secret: &'a str,
    /// Where the royalty system listens.
    pub(crate) royalty: SocketAddr,
    /// Where the archives listen.
    pub(crate) archives: SocketAddr,
}

impl Folder {
    /// Makes the folder and everything in it; `name` makes it unlike all others.
    pub(crate) fn make(name: &str, contents: &Contents<'_>) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("lychgate-demo-{name}"));
        private().create(&path)?;
        let folder = Self { path };
        private().create(folder.path.join("policies"))?;
        write_secret(&folder.path.join("client.secret"), contents.client_secret)?;
        fs::write(folder.configuration(), contents.configuration())?;
        folder.policy("royalty.toml", "http://127.0.0.1:7001", contents.royalty)?;
        folder.policy("archives.toml", "http://127.0.0.1:7002", contents.archives)?;
        Ok(folder)
    }

    /// The gateway's configuration file.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.path.join("lychgate.toml")
    }

    fn policy(&self, name: &str, shipped: &str, actual: SocketAddr) -> io::Result<()> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(name);
        let text = fs::read_to_string(&source).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot read the shipped policy {}: {error}", source.display()))
        })?;
        let text = text.replace(shipped, &format!("http://{actual}"));
        fs::write(self.path.join("policies").join(name), text)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing can be done about a folder that does not go, and the demonstration is over.
        let _gone = fs::remove_dir_all(&self.path);
    }
}

impl Contents<'_> {
    fn configuration(&self) -> String {
        format!(
            r#"# Written by the demonstration, and removed when it ends.
policies = ["policies/*.toml"]
state    = "state"

[[listeners]]
address = "{gateway}"

[providers.gmr]
issuer        = "{issuer}"
client_id     = "{client_id}"
client_secret = {{ file = "client.secret" }}
scopes        = ["openid", "profile", "email", "groups"]

[admin]
address = "127.0.0.1:0"

[log]
access = "off"
level  = "warn"
"#,
            gateway = self.gateway,
            issuer = self.issuer,
            client_id = self.client_id,
        )
    }
}

fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path)?.write_all(secret.as_bytes())
}

fn private() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

#[cfg(test)]
mod tests {
    use lychgate::config::{self, Environment};

    use super::*;

    fn contents() -> Contents<'static> {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Contents {
            gateway: address(1),
            issuer: "http://login.localhost:2",
            client_id: "lychgate",
            client_secret: "secret",
            royalty: address(3),
            archives: address(4),
        }
    }

    #[test]
    fn the_folder_holds_the_shipped_policies_at_the_chosen_ports_and_goes_at_the_end() {
        let contents = contents();
        let folder = Folder::make(&format!("test-{}", std::process::id()), &contents).unwrap();
        let path = folder.path.clone();
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
        let configuration: toml::Table = read("lychgate.toml").parse().unwrap();
        assert_eq!(configuration["providers"]["gmr"]["issuer"].as_str(), Some("http://login.localhost:2"));
        for (policy, upstream) in [("royalty", "http://127.0.0.1:3"), ("archives", "http://127.0.0.1:4")] {
            let policy: toml::Table = read(&format!("policies/{policy}.toml")).parse().unwrap();
            let found = &policy["app"]["upstream"];
            let found = found.as_array().map_or(found, |list| &list[0]);
            assert_eq!(found.as_str(), Some(upstream));
        }
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn the_gateway_accepts_the_configuration() {
        let contents = contents();
        let folder = Folder::make(&format!("accepted-{}", std::process::id()), &contents).unwrap();
        let (config, report) = config::load(&folder.configuration(), &Environment::from_iter([]), &[]);
        let config = config.unwrap_or_else(|_| panic!("{}", report.render()));
        assert_eq!(config.listeners[0].address, contents.gateway);
        assert_eq!(config.providers[0].issuer_text, contents.issuer);
        assert_eq!(config.policies.len(), 2);
    }
}
