//! API clients with access tokens: which are accepted, what becomes of their requests, what is said to those that are refused.
//!
//! Specifications: RFC 6750 (bearer tokens), RFC 9068 (JWT access tokens), RFC 7662 (introspection), RFC 9470 (step-up).

mod documents;
mod introspection;
mod limits;
mod requests;
mod revoked;
mod strangers;
mod tokens;

use bytes::Bytes;
use http::Method;
use lychgate::clock::ManualClock;
use serde_json::{Value, json};

use crate::harness::application::Application;
use crate::harness::browser::{Browser, Reply};
use crate::harness::gateway::{HOST, Setup, TestGateway, clock, provider};
use crate::harness::keys::{KEYS, Signing};
use crate::harness::provider::{CLIENT_SECRET, FakeProvider};
use crate::harness::site::ada;

pub(crate) const AUDIENCE: &str = "https://app.example/api";
/// What the applications may be told.
const IDENTITY: &[&str] =
    &["x-remote-user", "x-remote-groups", "x-kind", "x-client", "x-remote-assertion", "authorization"];

/// An application with browser users and API clients.
fn policy(upstream: &str, host: &str, bearer: &str) -> String {
    format!(
        r#"
[app]
hosts = ["{host}"]
upstream = "{upstream}"
[login]
provider = "idp"
[bearer]
audience = "{AUDIENCE}"
{bearer}
[headers]
X-Remote-User = "${{user.preferred_username}}"
X-Remote-Groups = {{ list = "${{user.groups}}", separator = ";" }}
X-Kind = "${{session.kind}}"
X-Client = "${{user.client_id}}"
[[rules]]
paths = ["/public/**"]
access = "public"
[[rules]]
paths = ["/maybe/**"]
access = "optional"
[[rules]]
paths = ["/admin/**"]
allow = "'admins' in user.groups"
[[rules]]
paths = ["/strong/**"]
step_up = {{ acr = ["phr"], max_age = "10m" }}
[[rules]]
allow = "'staff' in user.groups"
"#
    )
}

/// A gateway in front of one recording application, with a provider whose tokens the tests make themselves.
struct Api {
    clock: ManualClock,
    provider: FakeProvider,
    application: Application,
    gateway: TestGateway,
}

impl Api {
    /// `bearer` are further lines of `[bearer]`.
    async fn new(bearer: &str) -> Self {
        Self::with(bearer, |setup, _| setup).await
    }

    /// `change` is given the application's address, too.
    async fn with(bearer: &str, change: impl FnOnce(Setup, &str) -> Setup) -> Self {
        let clock = clock();
        let provider = provider(&clock).await;
        provider.script().person = ada();
        let application = Application::start(IDENTITY).await;
        let url = application.url();
        let setup = Setup::new(&clock).provider(&provider).policy("app", &policy(&url, HOST, bearer));
        let gateway = change(setup, &url).start().await;
        Self { clock, provider, application, gateway }
    }

    /// The claims of a sound token.
    fn claims(&self) -> Value {
        use lychgate::clock::Clock;
        let clock: Clock = self.clock.clock();
        let now = clock.now().seconds();
        json!({
            "iss": self.provider.issuer(), "aud": AUDIENCE, "sub": "ada-7", "client_id": "export", "iat": now,
            "exp": now + 300, "jti": "t-1", "scope": "read write", "preferred_username": "ada", "groups": ["staff"],
        })
    }

    /// A sound token with these claims changed.
    fn token(&self, changes: Value) -> String {
        let mut claims = self.claims();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        signed(&claims.to_string())
    }

    /// A program's request.
    async fn get(&self, path: &str, authorization: &str) -> Reply {
        ask(&self.gateway.url(path), &[("authorization", authorization)]).await
    }

    async fn bearer(&self, path: &str, token: &str) -> Reply {
        self.get(path, &format!("Bearer {token}")).await
    }
}

/// A token of the type that RFC 9068 asks for.
fn signed(payload: &str) -> String {
    KEYS.token(Signing::Rs256, &[("typ".to_owned(), json!("at+jwt"))], payload, CLIENT_SECRET)
}

/// A request without cookies.
async fn ask(url: &str, headers: &[(&str, &str)]) -> Reply {
    Browser::new().send(Method::GET, url, headers, Bytes::new()).await
}

/// The error code of the answer's challenge.
fn error_of(reply: &Reply) -> Option<&str> {
    reply.header("www-authenticate")?.split("error=\"").nth(1)?.split('"').next()
}

/// What every answer to a request with a token that is not accepted has.
fn assert_refused(reply: &Reply, status: u16, error: &str, what: &str) {
    assert_eq!((reply.status.as_u16(), error_of(reply)), (status, Some(error)), "{what}: {}", reply.text());
    assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer realm=\""), "{what}");
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{what}");
    assert_eq!(reply.header("set-cookie"), None, "{what}");
    assert_eq!(reply.json()["error"], error, "{what}");
}
