//! Two providers at one host, one of which is in the wrong hands and sends people on to the other: whose response it is that comes back.
//!
//! The responses do not say it themselves (no `iss`), so the address that they come to must. Specification: RFC 9700 section 4.4.

use http::StatusCode;
use lychgate::app::Plan;
use lychgate::config::Environment;
use serde_json::json;

use crate::harness::application::Application;
use crate::harness::browser::{Browser, Reply};
use crate::harness::gateway::{HOST, Setup, TestGateway, clock, provider};
use crate::harness::program::{ended, lychgate};
use crate::harness::provider::{CLIENT_ID, FakeProvider, posted, value};
use crate::harness::site::{IDENTITY, ada, line_of, parameter, policy, with_parameter};

const OWN: &str = "callback = \"own\"\n";
const FORM_POST: &str = "response_mode = \"form_post\"\n";
const CALLBACK: &str = "/.lychgate/callback";

/// People of `one` sign in at the application below `/one`, and those of `two` below `/two`.
struct Host {
    one: FakeProvider,
    two: FakeProvider,
    applications: [Application; 2],
    gateway: TestGateway,
}

fn below(name: &str, upstream: &str) -> String {
    let text = policy(upstream).replace("[\"/", &format!("[\"/{name}/")).replace("\"idp\"", &format!("\"{name}\""));
    text.replace("[login]", &format!("path = \"/{name}\"\n[login]"))
}

fn table(name: &str, provider: &FakeProvider, more: &str) -> String {
    format!(
        "[providers.{name}]\nissuer = \"{}\"\nclient_id = \"{CLIENT_ID}\"\nclient_secret = {{ file = \"client.secret\" }}\n{more}",
        provider.issuer()
    )
}

/// A provider that does not say in its responses who it is.
async fn unnamed() -> FakeProvider {
    let provider = provider(&clock()).await;
    let mut script = provider.script();
    script.metadata = vec![("authorization_response_iss_parameter_supported".to_owned(), json!(false))];
    script.response_issuer = Some(String::new());
    script.person = ada();
    drop(script);
    provider
}

impl Host {
    /// With these lines in the tables of the two providers.
    async fn new([one_more, two_more]: [&str; 2], change: impl FnOnce(Setup) -> Setup) -> Self {
        let (one, two) = (unnamed().await, unnamed().await);
        let applications = [Application::start(IDENTITY).await, Application::start(IDENTITY).await];
        let setup = Setup::new(&clock())
            .settings("reload = \"signal\"")
            .settings(&table("one", &one, one_more))
            .settings(&table("two", &two, two_more))
            .policy("one", &below("one", &applications[0].url()))
            .policy("two", &below("two", &applications[1].url()));
        let host = Self { one, two, applications, gateway: change(setup).start().await };
        // Each knows the address of its own client.
        for (provider, name, more) in [(&host.one, "/one", one_more), (&host.two, "/two", two_more)] {
            let own = if more.contains(OWN) { name } else { "" };
            let scheme = if more.contains(FORM_POST) { "https" } else { "http" };
            let address = host.url(&format!("{CALLBACK}{own}")).replacen("http", scheme, 1);
            provider.script().redirect_uris = vec![address];
        }
        host
    }

    fn url(&self, path: &str) -> String {
        self.gateway.url(path)
    }

    fn tokens_asked(&self) -> [usize; 2] {
        [&self.one, &self.two].map(|provider| provider.requests("/token").len())
    }

    /// What the authorization endpoint of `two` answers to a login that began there: a redirect to `one`, with a request that the attacker
    /// took from a login of their own.
    fn led_astray(begun_at_two: &str, of_the_attacker: &str) -> String {
        with_parameter(of_the_attacker, "state", parameter(begun_at_two, "state").as_deref())
    }
}

/// The code of a login at `one` is worth nothing to whoever has the request that it was made for, unless it gets to them.
async fn is_safe(host: &Host, come_back: impl AsyncFn(&mut Browser, &str) -> Reply) -> Reply {
    // 1. The attacker begins a login at the application of `one`, and keeps it.
    let mut attacker = Browser::new();
    let of_the_attacker = attacker.get(&host.url("/one/report")).await.location().unwrap();
    // 2. Somebody follows a link to the application of `two`.
    let mut victim = Browser::new();
    let begun_at_two = victim.get(&host.url("/two/")).await.location().unwrap();
    assert!(begun_at_two.starts_with(host.two.issuer()), "{begun_at_two}");
    // 3. `one` signs them in under the state of that login, and they come back.
    let reply = come_back(&mut victim, &Host::led_astray(&begun_at_two, &of_the_attacker)).await;
    // 4. The attacker ends their own login with the code that `two` got.
    let got = host.two.requests("/token");
    if let Some(code) = got.iter().find_map(|request| value(&request.form, "code")) {
        let back = parameter(&of_the_attacker, "redirect_uri").unwrap();
        let state = parameter(&of_the_attacker, "state").unwrap();
        let taken = attacker.open(&format!("{back}?code={code}&state={state}")).await;
        panic!("`two` got the code, and the attacker with it {}: {:?}", taken.status, host.applications[0].seen());
    }
    assert_eq!(host.tokens_asked(), [0, 0]);
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
    assert!(reply.text().contains("Signing in did not work"), "{}", reply.text());
    // No session, and the login is spent, as after a response of another issuer.
    assert!(victim.cookie_names(HOST).is_empty(), "{:?}", victim.cookie_names(HOST));
    reply
}

async fn all_sign_in(host: &Host) {
    for (path, application) in ["/one/", "/two/"].iter().zip(&host.applications) {
        assert_eq!(Browser::new().open(&host.url(path)).await.text(), "hello");
        assert_eq!(application.seen().len(), 1);
    }
}

#[tokio::test]
async fn r10_a_provider_that_sends_people_on_to_another_one_gets_no_code() {
    for settings in [["", OWN], [OWN, ""], [OWN, OWN]] {
        let host = Host::new(settings, |setup| setup).await;
        let reply = is_safe(&host, async |victim, led| victim.open(led).await).await;
        all_sign_in(&host).await;
        let log = host.gateway.stop().await;
        let line = line_of(&log, &reply);
        assert_eq!((&line["reason"], &line["app"]), (&json!("callback_mismatch"), &json!("two")));
    }
}

#[tokio::test]
async fn r10_neither_does_one_whose_responses_are_posted() {
    for settings in [["", OWN], [OWN, ""], [OWN, OWN]] {
        let settings = settings.map(|own| format!("{own}{FORM_POST}"));
        let host = Host::new([&settings[0], &settings[1]], Setup::behind_tls).await;
        let reply = is_safe(&host, async |victim, led| {
            let (action, body) = posted(&host.one.authorize(led));
            victim.post(&action, &body, &[("origin", host.one.issuer())]).await
        });
        let reply = reply.await;
        let log = host.gateway.stop().await;
        assert_eq!(line_of(&log, &reply)["reason"], "callback_mismatch");
    }
}

#[tokio::test]
async fn r10_each_provider_is_asked_for_its_own_address_and_redeems_its_codes_with_it() {
    for more in ["", "pushed_requests = true\n"] {
        let settings = [more.to_owned(), format!("{OWN}{more}")];
        let host = Host::new([&settings[0], &settings[1]], |setup| setup).await;
        all_sign_in(&host).await;
        for (provider, path) in [(&host.one, CALLBACK.to_owned()), (&host.two, format!("{CALLBACK}/two"))] {
            let wanted = host.url(&path);
            let asked = provider.requests(if more.is_empty() { "/authorize" } else { "/par" }).pop().unwrap();
            let asked = if more.is_empty() { &asked.query } else { &asked.form };
            assert_eq!(value(asked, "redirect_uri"), Some(wanted.as_str()));
            let redeemed = provider.requests("/token").pop().unwrap();
            assert_eq!(value(&redeemed.form, "redirect_uri"), Some(wanted.as_str()));
        }
    }
}

#[tokio::test]
async fn r10_s02_no_other_address_below_the_callback_is_one() {
    let host = Host::new(["", OWN], |setup| setup).await;
    let mut browser = Browser::new();
    let begun = browser.get(&host.url("/two/")).await.location().unwrap();
    let back = browser.get(&begun).await.location().unwrap();
    assert!(back.starts_with(&host.url("/.lychgate/callback/two?")), "{back}");
    for (path, status) in [
        ("/.lychgate/callback/", 404),
        ("/.lychgate/callback/Two", 404),
        ("/.lychgate/callback/two/", 404),
        ("/.lychgate/callback/two/two", 404),
        ("/.lychgate/callback/three", 404),
        ("/.lychgate/callbacktwo", 404),
        ("/.lychgate/callback", 400),
        // Known, and the provider of none of this browser's logins.
        ("/.lychgate/callback/one", 400),
    ] {
        let reply = browser.clone().get(&back.replace("/.lychgate/callback/two", path)).await;
        assert_eq!(reply.status.as_u16(), status, "{path}");
    }
    assert_eq!(host.tokens_asked(), [0, 0]);
    for method in ["PUT", "HEAD"] {
        let method = http::Method::from_bytes(method.as_bytes()).unwrap();
        let reply = browser.clone().send(method, &back, &[("accept", "text/html")], bytes::Bytes::new()).await;
        assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, Some("GET, POST")));
    }
    // One way of writing it is as good as another.
    let spelled = back.replace("/callback/two", "/callback/%74wo");
    assert_eq!(browser.open(&spelled).await.text(), "hello");
    assert_eq!((host.tokens_asked(), host.applications[0].seen().len()), ([0, 1], 0));
}

/// What a start says to two tables and two policies.
fn said(change: impl FnOnce(Setup) -> Setup) -> Option<String> {
    let path = change(Setup::new(&clock()));
    let (plan, report) = Plan::read(&path.write(), &Environment::from_iter([]), &[]);
    plan.is_none().then(|| report.render())
}

fn provider_table(name: &str, issuer: &str, more: &str) -> String {
    format!("[providers.{name}]\nissuer = \"{issuer}\"\nclient_id = \"of-{name}\"\nclient_auth = \"none\"\n{more}")
}

#[test]
fn r10_providers_at_one_address_of_a_host_are_an_error_that_says_what_to_register() {
    let upstream = "http://127.0.0.1:9";
    let (one, two) = (below("one", upstream), below("two", upstream));
    // The second one has a host of its own besides.
    let two = two.replace(&format!("\"{HOST}\""), &format!("\"{HOST}\", \"two.localhost\""));
    let with = |first: &str, second: &str, two: &str| {
        let tables = [provider_table("one", "https://one.example", first), second.to_owned()];
        said(|setup| {
            let setup = tables.iter().fold(setup, |setup, table| setup.settings(table));
            setup.listeners("[[listeners]]\naddress = \"127.0.0.1:8080\"\n").policy("one", &one).policy("two", two)
        })
    };
    let of_two = |issuer, more| provider_table("two", issuer, more);
    let text = with("", &of_two("https://two.example", ""), &two).unwrap();
    for part in [
        "people sign in on `app.localhost` at `one` (policy `one`) and `two` (policy `two`)",
        "callback = \"own\" in all of these but one",
        "[providers.one] http://app.localhost:8080/.lychgate/callback/one",
        "[providers.two] http://app.localhost:8080/.lychgate/callback/two http://two.localhost:8080/.lychgate/callback/two",
        "docs/providers.md#several-providers",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(text.matches("people sign in on").count(), 1, "{text}");
    for (first, second, two) in [
        // Addresses of their own, or one alone.
        ("", of_two("https://two.example", OWN), &two),
        (OWN, of_two("https://two.example", ""), &two),
        (OWN, of_two("https://two.example", OWN), &two),
        // Two clients of one issuer.
        ("", of_two("https://one.example", ""), &two),
        // Different hosts.
        ("", of_two("https://two.example", ""), &two.replace(&format!("\"{HOST}\", "), "")),
        // One that nobody signs in at here.
        ("", of_two("https://two.example", ""), &two.replace("\"two\"\n", "\"one\"\n")),
    ] {
        assert_eq!(with(first, &second, two), None, "{first} {second} {two}");
    }
    // Providers that tell no upper from lower case have one address for both.
    let (loud, quiet) = (below("ONE", upstream), one.clone());
    let text = said(|setup| {
        let setup = setup.settings(&provider_table("one", "https://one.example", OWN));
        let setup = setup.settings(&provider_table("ONE", "https://two.example", OWN));
        setup.policy("loud", &loud).policy("quiet", &quiet)
    });
    let text = text.unwrap();
    assert!(text.contains("`ONE` (policy `loud`) and `one` (policy `quiet`)") && text.contains("names"), "{text}");
}

#[tokio::test]
async fn r10_providers_of_one_host_at_one_address_are_an_error_of_check_start_and_reload() {
    let host = Host::new(["", OWN], |setup| setup).await;
    let file = host.gateway.folder().join("lychgate.toml");
    let settings = host.gateway.read("lychgate.toml");
    host.gateway.write("lychgate.toml", &settings.replace(OWN, ""));
    let reload = format!("http://127.0.0.1:{}/reload", host.gateway.admin().port());
    let attempt = Browser::new().fetch(http::Method::POST, &reload).await.json();
    assert_eq!((&attempt["outcome"], &attempt["version"]), (&json!("refused"), &json!(1)), "{attempt}");
    assert!(attempt["findings"].as_str().unwrap().contains("`one` (policy `one`) and `two` (policy `two`)"));
    all_sign_in(&host).await;
    for command in ["check", "run"] {
        let (code, _, err) = ended(lychgate(&[command, "--config"]).arg(&file));
        assert_eq!(code, 64, "{err}");
        assert!(err.contains("callback = \"own\"") && err.contains("/.lychgate/callback/two"), "{err}");
    }
    // With different addresses again, and the other way round: a login that was under way is not taken, and the next one is.
    let mut browser = Browser::new();
    let begun = browser.get(&host.url("/two/")).await.location().unwrap();
    let back = browser.get(&begun).await.location().unwrap();
    let swapped = settings.replace(OWN, "").replace("[providers.one]\n", &format!("[providers.one]\n{OWN}"));
    host.gateway.write("lychgate.toml", &swapped);
    let attempt = Browser::new().fetch(http::Method::POST, &reload).await.json();
    assert_eq!(attempt["outcome"], "applied", "{attempt}");
    let reply = browser.get(&back).await;
    assert_eq!((reply.status, host.tokens_asked()), (StatusCode::BAD_REQUEST, [1, 1]));
    host.one.script().redirect_uris.clear();
    host.two.script().redirect_uris.clear();
    assert_eq!(browser.open(&host.url("/two/")).await.text(), "hello");
}
