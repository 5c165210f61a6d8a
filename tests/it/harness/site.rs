//! The usual site: one provider, one application with public, staff and administration pages, one gateway in front.

use http::Method;
use lychgate::clock::ManualClock;
use serde_json::{Value, json};

use super::application::Application;
use super::browser::{Browser, Reply};
use super::gateway::{HOST, Setup, TestGateway, clock, provider};
use super::provider::FakeProvider;

/// The identity fields that the usual policy sets.
pub(crate) const IDENTITY: &[&str] = &["x-remote-user", "x-remote-groups"];
/// The name of the session's cookie over http.
pub(crate) const SESSION: &str = "lychgate";

/// The usual policy: `/public/**` for everybody, `/admin/**` for administrators, the rest for staff.
pub(crate) fn policy(upstream: &str) -> String {
    format!(
        r#"
[app]
hosts = ["{HOST}"]
upstream = "{upstream}"
[login]
provider = "idp"
[session]
idle = "30m"
max = "8h"
[headers]
X-Remote-User = "${{user.preferred_username}}"
X-Remote-Groups = {{ list = "${{user.groups}}", separator = ";" }}
[[rules]]
paths = ["/public/**"]
access = "public"
[[rules]]
paths = ["/admin/**"]
allow = "'admins' in user.groups"
[[rules]]
allow = "'staff' in user.groups"
"#
    )
}

/// Ada, who is staff.
pub(crate) fn ada() -> Vec<(String, Value)> {
    vec![("preferred_username".to_owned(), json!("ada")), ("groups".to_owned(), json!(["staff", "artists"]))]
}

/// Everything that a request passes; `clock` is the gateway's and the provider's.
pub(crate) struct Site {
    pub(crate) clock: ManualClock,
    pub(crate) provider: FakeProvider,
    pub(crate) application: Application,
    pub(crate) gateway: TestGateway,
}

impl Site {
    /// The usual site.
    pub(crate) async fn new() -> Self {
        Self::with(policy, |setup| setup).await
    }

    /// A site with another policy, made for the application's address, and a changed gateway.
    pub(crate) async fn with(policy: impl FnOnce(&str) -> String, change: impl FnOnce(Setup) -> Setup) -> Self {
        let clock = clock();
        let provider = provider(&clock).await;
        provider.script().person = ada();
        let application = Application::start(IDENTITY).await;
        let setup = Setup::new(&clock).provider(&provider).policy("app", &policy(&application.url()));
        let gateway = change(setup).start().await;
        Self { clock, provider, application, gateway }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.gateway.url(path)
    }

    /// A browser in which Ada has signed in.
    pub(crate) async fn signed_in(&self) -> Browser {
        let mut browser = Browser::new();
        let reply = browser.open(&self.url("/")).await;
        assert_eq!(reply.text(), "hello", "{} {}", reply.status, reply.url);
        browser
    }

    /// How a script's request for a staff page ends: 200 with a session, 401 without.
    pub(crate) async fn status(&self, browser: &mut Browser) -> u16 {
        browser.fetch(Method::GET, &self.url("/")).await.status.as_u16()
    }

    /// Begins a login for `path` and returns the address at the provider.
    pub(crate) async fn begin(&self, browser: &mut Browser, path: &str) -> String {
        let reply = browser.get(&self.url(path)).await;
        let address = reply.location().unwrap_or_else(|| panic!("{} {}", reply.status, reply.text()));
        assert!(address.starts_with(self.provider.issuer()), "{address}");
        address
    }

    /// Goes to the provider and comes back: the callback's address, not yet asked for.
    pub(crate) async fn come_back(&self, browser: &mut Browser, authorize_url: &str) -> String {
        browser.get(authorize_url).await.location().unwrap()
    }
}

/// The value of a parameter of an address.
pub(crate) fn parameter(address: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(address).unwrap();
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The address with one parameter changed, added (`Some`) or removed (`None`).
pub(crate) fn with_parameter(address: &str, name: &str, value: Option<&str>) -> String {
    let mut url = url::Url::parse(address).unwrap();
    let kept: Vec<(String, String)> = url.query_pairs().filter(|(key, _)| key != name).map(owned).collect();
    url.query_pairs_mut().clear().extend_pairs(kept).extend_pairs(value.map(|value| (name, value)));
    url.into()
}

fn owned((name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)) -> (String, String) {
    (name.into_owned(), value.into_owned())
}

/// The text of a page's request number, which the log line of the request has too.
pub(crate) fn line_of<'a>(log: &'a [Value], reply: &Reply) -> &'a Value {
    let text = reply.text();
    let of_it = |line: &&Value| text.contains(line["request_id"].as_str().unwrap());
    log.iter().find(of_it).unwrap_or_else(|| panic!("no line of the log belongs to {text}"))
}
