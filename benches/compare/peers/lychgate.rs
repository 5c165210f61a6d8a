//! Lychgate, doing the whole work: a session from a real login, rules by path and group, three identity headers, its
//! access log in a file, one worker.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use lychgate::crypto::KeyRing;

use super::{Peer, Running, Under, padded};
use crate::login::{Scheme, sign_in};
use crate::process::{PROXY_CORE, Process};
use crate::provider::Provider;
use crate::site::Site;
use crate::{Result, ports};

/// The gateway as built for this measurement.
pub(crate) const PEER: Peer = Peer { name: "Lychgate", under: Under::All, missing: || None, start };

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_lychgate");
/// The policy's name, which sessions are sealed for.
pub(crate) const POLICY: &str = "royalty";

/// How one gateway differs from the others that run beside it.
pub(crate) struct Setup<'a> {
    /// What the table calls it.
    pub(crate) name: &'static str,
    /// Names its files.
    pub(crate) tag: &'a str,
    /// How many workers.
    pub(crate) workers: usize,
    /// On which cores.
    pub(crate) cores: &'a str,
    /// Policies beside the usual one: name and text.
    pub(crate) policies: &'a [(String, String)],
}

/// The gateway as the others are measured against: one worker, one policy.
pub(crate) const USUAL: Setup<'static> =
    Setup { name: "Lychgate", tag: "lychgate", workers: 1, cores: PROXY_CORE, policies: &[] };

/// A gateway that is ready.
pub(crate) struct Started {
    pub(crate) running: Running,
    /// What its sessions are sealed with.
    pub(crate) keys: KeyRing,
}

fn start(site: &Site, provider: &Provider) -> Result<Running> {
    Ok(start_as(site, provider, &USUAL)?.running)
}

/// Starts a gateway and signs in.
pub(crate) fn start_as(site: &Site, provider: &Provider, setup: &Setup<'_>) -> Result<Started> {
    let (clear, tls, admin) = (ports::free()?, ports::free()?, ports::free()?);
    let (file, keys) = prepare(site, provider, setup, [clear, tls, admin])?;
    let log = site.folder.join(format!("{}.log", setup.tag));
    let command = [PROGRAM, "run", "--config", &file];
    let mut process = Process::start(setup.name, setup.cores, &log, command)?;
    process.wait_until(|| is_ready(admin))?;
    let running = Running {
        name: setup.name,
        process,
        clear,
        tls,
        clear_cookie: padded(&sign_in(site, provider, Scheme::Clear, clear)?),
        tls_cookie: padded(&sign_in(site, provider, Scheme::Tls, tls)?),
    };
    Ok(Started { running, keys })
}

/// Writes a gateway's files for its three ports: clear, TLS, admin. Returns the configuration's path and the session keys.
pub(crate) fn prepare(
    site: &Site,
    provider: &Provider,
    setup: &Setup<'_>,
    ports: [u16; 3],
) -> Result<(String, KeyRing)> {
    let tag = setup.tag;
    let key = KeyRing::generate_key();
    let path = site.write(&format!("{tag}.key"), key.expose())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    let policies = site.folder.join(format!("{tag}-policies"));
    fs::create_dir_all(&policies)?;
    // Sessions that were ended in another row are none of this one's.
    match fs::remove_dir_all(site.folder.join(format!("{tag}-state"))) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs::write(policies.join(format!("{POLICY}.toml")), policy(site, provider))?;
    for (name, text) in setup.policies {
        fs::write(policies.join(format!("{name}.toml")), text)?;
    }
    let file = site.write(&format!("{tag}.toml"), &configuration(site, provider, setup, ports))?;
    let keys = KeyRing::new(&[key]).map_err(|_| "a fresh key is no key")?;
    Ok((file.display().to_string(), keys))
}

/// Whether `/readyz` answers 200, which it does once the provider is known.
pub(crate) fn is_ready(admin: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", admin)) else {
        return false;
    };
    let request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    let asked = stream.write_all(request).is_ok() && stream.read_to_string(&mut answer).is_ok();
    asked && answer.starts_with("HTTP/1.1 200")
}

fn configuration(site: &Site, provider: &Provider, setup: &Setup<'_>, [clear, tls, admin]: [u16; 3]) -> String {
    let (tag, workers) = (setup.tag, setup.workers);
    let (certificate, key) = (site.certificate.display(), site.key.display());
    let (issuer, client) = (&provider.issuer, &provider.first_client);
    let (id, secret, at) = (client.id, client.secret, site.folder.display());
    format!(
        r#"policies = ["{tag}-policies/*.toml"]
workers = {workers}
state = "{tag}-state"

[[listeners]]
address = "127.0.0.1:{clear}"

[[listeners]]
address = "127.0.0.1:{tls}"
tls = {{ certificate = "{certificate}", key = "{key}" }}

[providers.measured]
issuer = "{issuer}"
client_id = "{id}"
client_secret = {{ value = "{secret}" }}
scopes = ["openid", "profile", "email", "groups"]

[keys]
session = [{{ file = "{tag}.key" }}]

[admin]
address = "127.0.0.1:{admin}"

[limits]
connections = 20000
connections_per_address = 20000
# Everybody comes from one address here.
strangers = {{ requests = 500000, every = "1m", burst = 1000000000 }}

[timeouts]
idle = "1h"

[log]
access = {{ file = "{at}/{tag}-access.log" }}
"#
    )
}

fn policy(site: &Site, provider: &Provider) -> String {
    let (upstream, group) = (site.upstream, provider.group);
    format!(
        r#"[app]
hosts = ["localhost"]
upstream = "http://127.0.0.1:{upstream}"

[login]
provider = "measured"

[headers]
X-Remote-User = "${{user.preferred_username}}"
X-Remote-Email = "${{user.email}}"
X-Remote-Groups = {{ list = "${{user.groups}}", separator = ";" }}

[[rules]]
paths = ["/admin/**"]
allow = "'royalty-admins' in user.groups"

[[rules]]
allow = "'{group}' in user.groups"
"#
    )
}
