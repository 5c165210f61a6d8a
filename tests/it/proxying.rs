//! Requests on their way to the application and back, as they stand on the wire.

mod bodies;
mod connections;
mod descriptors;
mod doubt;
mod drain;
mod early;
mod failing;
mod floods;
mod framing;
mod front;
mod goodbyes;
mod heads;
mod hostile;
mod http2;
mod keeping;
mod lasting;
mod limits;
mod memory;
mod mixed;
mod parked;
mod paths;
mod proxy_protocol;
mod refusals;
mod reuse;
mod scrubbing;
mod silences;
mod unread;
mod upgrade;
mod uploads;
mod upstreams;

use lychgate::clock::ManualClock;
use serde_json::{Value, json};

use crate::harness::browser::Browser;
use crate::harness::gateway::{HOST, Setup, TestGateway, clock, provider};
use crate::harness::provider::FakeProvider;
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire, WireReply};

/// The identity fields of these tests' policy.
const IDENTITY: &[&str] = &["x-remote-user", "x-remote-groups", "x-remote-email"];

/// What differs between the sites of these tests.
#[derive(Clone, Copy, Default)]
struct Plan<'a> {
    /// `upstream` as TOML.
    upstream: &'a str,
    /// Further lines of `[app]`, and tables below it.
    app: &'a str,
    /// Lines for `lychgate.toml`.
    settings: &'a str,
    /// Listeners in place of one of clear text.
    listeners: &'a str,
    /// Files beside `lychgate.toml`: name and text.
    files: &'a [(&'a str, &'a str)],
}

/// A gateway in front of one application, and a person who is signed in: Ada, who has groups and no e-mail address.
struct Site {
    gateway: TestGateway,
    /// The `Cookie` line of the person's browser.
    cookie: String,
    _provider: FakeProvider,
    _clock: ManualClock,
}

impl Plan<'_> {
    async fn start(self) -> Site {
        let clock = clock();
        let provider = provider(&clock).await;
        provider.script().person =
            vec![("preferred_username".to_owned(), json!("ada")), ("groups".to_owned(), json!(["staff", "artists"]))];
        let mut setup = Setup::new(&clock).provider(&provider).settings(self.settings).policy("app", &self.policy());
        for (name, text) in self.files {
            setup = setup.file(name, text);
        }
        if !self.listeners.is_empty() {
            setup = setup.listeners(self.listeners);
        }
        let gateway = setup.start().await;
        let cookie = sign_in(&gateway).await;
        Site { gateway, cookie, _provider: provider, _clock: clock }
    }

    fn policy(self) -> String {
        let Self { upstream, app, .. } = self;
        format!(
            r#"
[app]
hosts = ["{HOST}"]
upstream = {upstream}
{app}
[login]
provider = "idp"
[headers]
X-Remote-User = "${{user.preferred_username}}"
X-Remote-Groups = {{ list = "${{user.groups}}", separator = ";" }}
X-Remote-Email = "${{user.email}}"
[[rules]]
paths = ["/public/**"]
access = "public"
[[rules]]
paths = ["/preflight/**"]
methods = ["OPTIONS"]
access = "public"
[[rules]]
paths = ["/admin/**"]
allow = "'admins' in user.groups"
[[rules]]
allow = "'staff' in user.groups"
"#
        )
    }
}

/// A site in front of `upstream`, with nothing special.
async fn site(upstream: &str) -> Site {
    Plan { upstream: &format!("\"{upstream}\""), ..Plan::default() }.start().await
}

/// Signs Ada in over the last listener, which must speak clear text; does not open the page asked for.
pub(crate) async fn sign_in(gateway: &TestGateway) -> String {
    let mut browser = Browser::new();
    let port = gateway.running().addresses().last().unwrap().port();
    let mut next = format!("http://{HOST}:{port}/");
    for _ in 0..3 {
        next = browser.get(&next).await.location().unwrap();
    }
    let cookies = &browser.cookies[HOST];
    cookies.iter().map(|(name, cookie)| format!("{name}={}", cookie.value)).collect::<Vec<_>>().join("; ")
}

impl Site {
    async fn connect(&self) -> Wire {
        Wire::connect(self.gateway.address()).await
    }

    /// A request of the person: request line without version, further lines, body.
    fn request(&self, line: &str, fields: &str, body: &str) -> String {
        format!("{line} HTTP/1.1\r\nHost: {HOST}\r\nCookie: {}\r\n{fields}\r\n{body}", self.cookie)
    }

    /// Sends one request on a connection of its own and reads the answer.
    async fn ask(&self, request: impl AsRef<[u8]>) -> WireReply {
        let bodiless = request.as_ref().starts_with(b"HEAD ");
        soon(async {
            let mut wire = self.connect().await;
            wire.send(request).await.unwrap();
            wire.reply(bodiless).await.unwrap()
        })
        .await
    }

    /// Stops the gateway; the lines of its access log but those of the sign-in.
    async fn log(self) -> Vec<Value> {
        let lines = soon(self.gateway.stop()).await;
        let sign_in = ["/", "/.lychgate/callback"].map(Value::from);
        lines.into_iter().filter(|line| !sign_in.contains(&line["path"])).collect()
    }
}

/// A request of nobody: request line without version, further lines, body.
fn anonymous(line: &str, fields: &str, body: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n{body}")
}

/// Brings `client` and the gateway to a kept connection of the application.
async fn kept(application: &RawApplication, client: &mut Wire) -> Wire {
    client.send(anonymous("GET /public/first", "", "")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request()).await.unwrap();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 200);
    upstream
}
