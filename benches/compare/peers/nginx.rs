//! nginx with `proxy_pass` and nothing else: the measure of what passing a request on costs.
//!
//! Two settings are kinder than its defaults, so that ratios do not flatter anybody: it may keep as many connections to
//! the application as there are requests at once, and it never writes an answer to a temporary file. Under large bodies it is
//! measured a second time, with large buffers for answers and without keeping uploads; the better of the two counts.

use super::{Peer, Running, Under, padded};
use crate::process::{PROXY_CORE, Process};
use crate::site::Site;
use crate::{Result, machine, ports};

/// nginx, one worker, with connections to the application kept open.
pub(crate) const PEER: Peer =
    Peer { name: "nginx", under: Under::All, missing, start: |site, _| start(site, "nginx", "") };

/// The same with settings for large bodies.
pub(crate) const TUNED: Peer =
    Peer { name: "nginx, 16 x 64k", under: Under::Large, missing, start: |site, _| start(site, TUNED.name, LARGE) };

const LARGE: &str =
    "proxy_buffers 16 64k; proxy_buffer_size 64k; proxy_busy_buffers_size 128k; proxy_request_buffering off;";

fn missing() -> Option<&'static str> {
    (!machine::installed("nginx")).then_some("Debian package nginx-light")
}

fn start(site: &Site, name: &'static str, settings: &str) -> Result<Running> {
    let (clear, tls) = (ports::free()?, ports::free()?);
    let tag = if settings.is_empty() { "nginx" } else { "nginx-large" };
    let file = format!("{tag}.conf");
    site.write(&file, &configuration(site, tag, settings, clear, tls))?;
    let command = ["nginx", "-p", &site.path(""), "-c", &file];
    let log = site.folder.join(format!("{tag}.log"));
    let mut process = Process::start(name, PROXY_CORE, &log, command)?;
    process.wait_until(|| ports::open(clear) && ports::open(tls))?;
    Ok(Running { name, process, clear, tls, clear_cookie: padded(""), tls_cookie: padded("") })
}

fn configuration(site: &Site, tag: &str, settings: &str, clear: u16, tls: u16) -> String {
    let (at, upstream, echo) = (site.folder.display(), site.upstream, site.echo);
    let (certificate, key) = (site.certificate.display(), site.key.display());
    format!(
        "daemon off; worker_processes 1; user root; pid {at}/{tag}.pid; error_log stderr;
events {{ worker_connections 20000; }}
http {{
  access_log {at}/{tag}-access.log combined; tcp_nodelay on;
  keepalive_requests 100000000; keepalive_timeout 1h;
  client_max_body_size 0; {settings}
  client_body_temp_path {at}/nginx-body; proxy_temp_path {at}/nginx-proxy; proxy_max_temp_file_size 0;
  http2_max_requests 100000000; http2_max_concurrent_streams 256;
  upstream application {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{clear} backlog=4096;
    listen 127.0.0.1:{tls} ssl http2 backlog=4096;
    ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;
    location = /socket {{
      proxy_pass http://127.0.0.1:{echo}; proxy_http_version 1.1; proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
    }}
    location / {{
      proxy_pass http://application; proxy_http_version 1.1;
      proxy_set_header Connection \"\"; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
}}
"
    )
}
