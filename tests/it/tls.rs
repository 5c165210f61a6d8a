//! TLS towards clients: which certificate they are shown, what they show themselves, and what changes while the gateway runs.

mod certificates;
mod clients;
mod failures;
mod reload;
mod revocation;
mod suites;
mod told;
mod transport;

use std::net::SocketAddr;

use lychgate::clock::ManualClock;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::harness::application::Application;
use crate::harness::browser::Browser;
use crate::harness::gateway::{Setup, TestGateway, clock, provider};
use crate::harness::provider::FakeProvider;
use crate::harness::site::ada;
use crate::harness::soon;
use crate::harness::tls::{Authority, Certified};
use crate::harness::wire::{Wire, WireReply};

/// A clear listener behind a load balancer, over which people sign in.
const CLEAR: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\nscheme = \"https\"\n";

/// Two hosts, each with a page for everybody and one for staff.
fn policy(host: &str, upstream: &str) -> String {
    format!(
        r#"
[app]
hosts = ["{host}"]
upstream = "{upstream}"
[login]
provider = "idp"
[headers]
X-Remote-User = "${{user.preferred_username}}"
X-Device = "${{request.tls.client.fingerprint}}"
[[rules]]
paths = ["/public/**"]
access = "public"
[[rules]]
paths = ["/device/**"]
allow = "request.tls.client.verified && request.tls.client.common_name == 'laptop-7'"
[[rules]]
allow = "'staff' in user.groups"
"#
    )
}

/// A gateway with one TLS listener and a clear one, in front of `a.gmr.localhost` and `b.gmr.localhost`.
struct Site {
    gateway: TestGateway,
    authority: Authority,
    application: Application,
    _provider: FakeProvider,
    _clock: ManualClock,
}

impl Site {
    /// `listener` are the lines of the TLS listener; `files` lie beside the configuration.
    async fn start(authority: Authority, listener: &str, files: &[(&str, &str)]) -> Self {
        Self::with(authority, listener, files, |setup| setup.settings("reload = \"signal\"")).await
    }

    async fn with(
        authority: Authority,
        listener: &str,
        files: &[(&str, &str)],
        change: impl FnOnce(Setup) -> Setup,
    ) -> Self {
        let clock = clock();
        let provider = provider(&clock).await;
        provider.script().person = ada();
        let application = Application::start(&["x-remote-user", "x-device"]).await;
        let listeners = format!("[[listeners]]\naddress = \"127.0.0.1:0\"\n{listener}\n{CLEAR}");
        let mut setup = Setup::new(&clock).provider(&provider).listeners(&listeners);
        for host in ["a", "b"] {
            setup = setup.policy(host, &policy(&format!("{host}.gmr.localhost"), &application.url()));
        }
        for (name, text) in files {
            setup = setup.file(name, text);
        }
        let gateway = change(setup).start().await;
        Self { gateway, authority, application, _provider: provider, _clock: clock }
    }

    /// The TLS listener.
    fn address(&self) -> SocketAddr {
        self.gateway.address()
    }

    /// A counter or gauge.
    async fn sample(&self, name: &str) -> Option<f64> {
        let url = format!("http://127.0.0.1:{}/metrics", self.gateway.admin().port());
        let text = Browser::new().get(&url).await.text();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits until this many handshakes have failed for this reason.
    async fn failed(&self, reason: &str, times: f64) {
        let name = format!("lychgate_tls_handshakes_failed_total{{reason=\"{reason}\"}}");
        soon(async { while self.sample(&name).await != Some(times) {} }).await;
    }
}

/// What the other side of a connection has shown.
fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// Sends one request and reads the answer; none when the connection ends without one.
async fn ask(stream: TlsStream<TcpStream>, host: &str, path: &str, fields: &str) -> Option<WireReply> {
    let mut wire = Wire::over(stream);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
    soon(async { wire.send(request).await.ok() }).await?;
    soon(wire.reply(false)).await
}

/// Two certificates, one for each host.
fn two(authority: &Authority) -> [Certified; 2] {
    ["a.gmr.localhost", "b.gmr.localhost"].map(|name| authority.certify(name))
}
