//! What all proxies of one measurement have in common.
//!
//! One folder below Cargo's temporary one holds every configuration, log, certificate and body; one upstream answers
//! all proxies; one certificate serves all TLS listeners. The host name is `localhost` throughout, because load
//! generators resolve it without help and name it in SNI and Host alike.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{LOAD_CORE, Process};
use crate::{Result, ports, websocket};

/// The bodies that the upstream serves: file name and size in bytes.
const BODIES: [(&str, usize); 3] = [("1k", 1024), ("64k", 64 * 1024), ("1m", 1024 * 1024)];

/// Makes wrk send a megabyte with each request.
const UPLOAD: &str = "wrk.method = 'POST'\nwrk.body = string.rep('x', 1048576)\n";

/// The shared surroundings of all proxies; dropping it ends the upstream.
pub(crate) struct Site {
    /// Where configurations and logs go.
    pub(crate) folder: PathBuf,
    /// The upstream's port on 127.0.0.1.
    pub(crate) upstream: u16,
    /// The port of an application that speaks after an upgrade.
    pub(crate) echo: u16,
    /// The certificate chain in PEM.
    pub(crate) certificate: PathBuf,
    /// The private key in PEM.
    pub(crate) key: PathBuf,
    _upstream: Process,
}

impl Site {
    /// Writes bodies and certificate, and starts the upstream beside the load generator.
    pub(crate) fn prepare() -> Result<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compare");
        let _ = fs::remove_dir_all(&folder); // of the last run, if there was one
        fs::create_dir_all(folder.join("bodies"))?;
        for (name, size) in BODIES {
            fs::write(folder.join("bodies").join(name), vec![b'x'; size])?;
        }
        fs::write(folder.join("upload.lua"), UPLOAD)?;
        let (certificate, key) = write_certificate(&folder)?;
        let upstream = ports::free()?;
        let process = start_upstream(&folder, upstream)?;
        let echo = websocket::start_echo()?;
        Ok(Self { folder, upstream, echo, certificate, key, _upstream: process })
    }

    /// Writes one configuration file and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// The path of a file in the folder, as text for configurations.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

impl Drop for Site {
    /// Removes the access logs, which grow by some hundred megabytes; the rest stays for looking at.
    fn drop(&mut self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            if path.to_string_lossy().ends_with("-access.log") {
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn write_certificate(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let (chain, secret) = (made.cert.pem(), made.signing_key.serialize_pem());
    fs::write(&certificate, &chain)?;
    fs::write(&key, &secret)?;
    fs::write(folder.join("both.pem"), chain + &secret)?;
    Ok((certificate, key))
}

/// The application: nginx with static bodies, and one page that repeats the identity headers that it was given.
fn start_upstream(folder: &Path, port: u16) -> Result<Process> {
    let at = folder.display();
    let text = format!(
        "daemon off; worker_processes 1; user root; pid {at}/upstream.pid; error_log stderr;
events {{ worker_connections 8192; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; keepalive_timeout 1h;
  underscores_in_headers on; default_type text/html; client_body_temp_path {at}/upstream-body;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    root {at}/bodies;
    location = /upload {{
      client_max_body_size 0; client_body_buffer_size 2m;
      proxy_pass http://127.0.0.1:{port}/taken; proxy_pass_request_body off; proxy_set_header Content-Length \"\";
    }}
    location = /taken {{ return 204; }}
    location = /whoami {{ return 200 \"[$http_x_remote_user][$http_oidc_claim_preferred_username]\"; }}
  }}
}}
"
    );
    let path = folder.join("upstream.conf");
    fs::write(&path, text)?;
    let log = folder.join("upstream.log");
    let command = ["nginx", "-p", &at.to_string(), "-c", "upstream.conf"];
    let mut process = Process::start("the upstream (nginx)", LOAD_CORE, &log, command)?;
    process.wait_until(|| ports::open(port))?;
    Ok(process)
}
