//! HAProxy in HTTP mode, passing requests on.

use super::{Peer, Running, Under, padded};
use crate::process::{PROXY_CORE, Process};
use crate::provider::Provider;
use crate::site::Site;
use crate::{Result, machine, ports};

/// HAProxy, one thread, with connections to the application kept open and shared.
pub(crate) const PEER: Peer = Peer {
    name: "HAProxy",
    under: Under::All,
    missing: || (!machine::installed("haproxy")).then_some("Debian package haproxy"),
    start,
};

fn start(site: &Site, _: &Provider) -> Result<Running> {
    let (clear, tls) = (ports::free()?, ports::free()?);
    let file = site.write("haproxy.cfg", &configuration(site, clear, tls))?;
    let file = file.display().to_string();
    let log = site.folder.join("haproxy-access.log");
    let command = ["haproxy", "-db", "-f", &file];
    let mut process = Process::start(PEER.name, PROXY_CORE, &log, command)?;
    process.wait_until(|| ports::open(clear) && ports::open(tls))?;
    Ok(Running { name: PEER.name, process, clear, tls, clear_cookie: padded(""), tls_cookie: padded("") })
}

/// Its access log goes to standard output, which is a file here: HAProxy itself writes to no file.
fn configuration(site: &Site, clear: u16, tls: u16) -> String {
    let (upstream, echo) = (site.upstream, site.echo);
    // It wants two files for each connection, and some more.
    let most = machine::open_files().saturating_sub(100) / 2;
    let pem = site.path("both.pem");
    format!(
        "global
  nbthread 1
  maxconn {most}
  log stdout format raw local0 info
  tune.h2.max-concurrent-streams 256
defaults
  mode http
  log global
  option httplog
  option forwardfor
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
  http-reuse always
frontend front
  bind 127.0.0.1:{clear} backlog 4096
  bind 127.0.0.1:{tls} ssl crt {pem} ssl-min-ver TLSv1.3 alpn h2,http/1.1 backlog 4096
  use_backend echo if {{ path /socket }}
  default_backend application
backend echo
  server one 127.0.0.1:{echo}
backend application
  server one 127.0.0.1:{upstream}
"
    )
}
