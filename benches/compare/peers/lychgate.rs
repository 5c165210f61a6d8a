//! Lychgate, doing the whole work: a session from a real login, rules by path and group, three identity headers, its
//! access log in a file, one worker.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{Peer, Running, Under, padded};
use crate::login::{Scheme, sign_in};
use crate::process::{PROXY_CORE, Process};
use crate::provider::Provider;
use crate::site::Site;
use crate::{Result, ports};

/// The gateway as built for this measurement.
pub(crate) const PEER: Peer = Peer { name: "Lychgate", under: Under::All, missing: || None, start };

const PROGRAM: &str = env!("CARGO_BIN_EXE_lychgate");

fn start(site: &Site, provider: &Provider) -> Result<Running> {
    let (clear, tls, admin) = (ports::free()?, ports::free()?, ports::free()?);
    let text = configuration(site, provider, clear, tls, admin);
    let file = site.write("lychgate.toml", &text)?;
    site.write("royalty.toml", &policy(site, provider))?;
    let file = file.display().to_string();
    let log = site.folder.join("lychgate.log");
    let command = [PROGRAM, "run", "--config", &file];
    let mut process = Process::start(PEER.name, PROXY_CORE, &log, command)?;
    process.wait_until(|| is_ready(admin))?;
    Ok(Running {
        name: PEER.name,
        process,
        clear,
        tls,
        clear_cookie: padded(&sign_in(site, provider, Scheme::Clear, clear)?),
        tls_cookie: padded(&sign_in(site, provider, Scheme::Tls, tls)?),
    })
}

/// Whether `/readyz` answers 200, which it does once the provider is known.
fn is_ready(admin: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", admin)) else {
        return false;
    };
    let request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    let asked = stream.write_all(request).is_ok() && stream.read_to_string(&mut answer).is_ok();
    asked && answer.starts_with("HTTP/1.1 200")
}

fn configuration(site: &Site, provider: &Provider, clear: u16, tls: u16, admin: u16) -> String {
    let (certificate, key) = (site.certificate.display(), site.key.display());
    let (issuer, client) = (&provider.issuer, &provider.first_client);
    let (id, secret, at) = (client.id, client.secret, site.folder.display());
    format!(
        r#"policies = ["royalty.toml"]
workers = 1
state = "lychgate-state"

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

[admin]
address = "127.0.0.1:{admin}"

[limits]
connections = 20000

[log]
access = {{ file = "{at}/lychgate-access.log" }}
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
