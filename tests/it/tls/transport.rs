//! Strict-Transport-Security, and listeners that send everybody to https.

use bytes::Bytes;
use http::Response;

use super::policy;
use crate::harness::application::Application;
use crate::harness::gateway::{Setup, TestGateway, clock, provider};
use crate::harness::soon;
use crate::harness::wire::{Wire, WireReply};

/// A gateway for `app.example` and `app.localhost`, whose application says `hsts` where it says anything.
async fn gateway(listener: &str, hsts: Option<&'static str>) -> (TestGateway, Application) {
    let clock = clock();
    let provider = provider(&clock).await;
    let application = Application::answering(&["x-remote-user"], move |_| {
        let mut response = Response::new(Bytes::from_static(b"hello"));
        if let Some(hsts) = hsts {
            response.headers_mut().insert("strict-transport-security", http::HeaderValue::from_static(hsts));
        }
        response
    })
    .await;
    let listeners = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n{listener}\n[[listeners]]\naddress = \"127.0.0.1:0\"\nscheme = \"https\"\n"
    );
    let setup = Setup::new(&clock)
        .provider(&provider)
        .listeners(&listeners)
        .policy("app", &policy("app.example\", \"app.localhost", &application.url()));
    (setup.start().await, application)
}

async fn send(gateway: &TestGateway, request: &str) -> WireReply {
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send(request).await.unwrap();
    soon(wire.reply(request.starts_with("HEAD "))).await.unwrap()
}

async fn get(gateway: &TestGateway, host: &str, path: &str) -> WireReply {
    send(gateway, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
}

#[tokio::test]
async fn hsts_is_said_as_configured_and_the_applications_word_counts_where_nothing_is() {
    const USUAL: &str = "max-age=15552000";
    const THEIRS: &str = "max-age=63072000; includeSubDomains";
    let table = "hsts = { max_age = \"730d\", include_subdomains = true, preload = true }";
    for (hsts, theirs, said) in [
        ("", None, Some(USUAL)),
        ("", Some(THEIRS), Some(THEIRS)),
        ("hsts = false", None, None),
        ("hsts = false", Some(THEIRS), Some(THEIRS)),
        ("hsts = true", Some(THEIRS), Some(USUAL)),
        ("hsts = { max_age = \"0s\" }", Some(THEIRS), Some("max-age=0")),
        (table, Some("max-age=1"), Some("max-age=63072000; includeSubDomains; preload")),
    ] {
        let (gateway, _application) = gateway(&format!("scheme = \"https\"\n{hsts}"), theirs).await;
        let reply = get(&gateway, "app.example", "/public/x").await;
        assert_eq!((reply.status, reply.header("strict-transport-security")), (200, said), "{hsts} {theirs:?}");
        // What the gateway answers itself says it, too: a login, a refusal, an unknown host.
        let ours = said.filter(|said| theirs != Some(said));
        let ours = if hsts.is_empty() { Some(USUAL) } else { ours };
        for (host, path, status) in
            [("app.example", "/mine", 401), ("app.example", "/a%zz", 400), ("other.example", "/", 404)]
        {
            let reply = get(&gateway, host, path).await;
            let expected = ours.filter(|_| status != 400);
            assert_eq!((reply.status, reply.header("strict-transport-security")), (status, expected), "{hsts} {path}");
        }
        // On a loopback name it would lock everything else on this machine.
        let local = get(&gateway, "app.localhost", "/public/x").await;
        assert_eq!(local.header("strict-transport-security"), theirs, "{hsts}");
    }
}

#[tokio::test]
async fn hsts_is_never_said_over_http() {
    let (gateway, _application) = gateway("", Some("max-age=1")).await;
    assert_eq!(get(&gateway, "app.localhost", "/public/x").await.header("strict-transport-security"), None);
    assert_eq!(get(&gateway, "app.example", "/public/x").await.header("strict-transport-security"), None);
}

#[tokio::test]
async fn o01_a_listener_that_redirects_sends_known_hosts_to_the_same_place_over_https() {
    let (gateway, application) = gateway("redirect = \"https\"", None).await;
    for (host, target, location) in [
        ("app.example", "/", "https://app.example/"),
        ("APP.example.:80", "/a/b?x=1&y=%2f%2F", "https://app.example/a/b?x=1&y=%2f%2F"),
        ("app.example", "/public/%C3%A9?q=a+b", "https://app.example/public/%C3%A9?q=a+b"),
        ("app.localhost", "/x", "https://app.localhost/x"),
        // Wherever the path seems to lead, it stays a path of this host.
        ("app.example", "//evil.example/x", "https://app.example//evil.example/x"),
        ("app.example", "///evil.example", "https://app.example///evil.example"),
        ("app.example", "/@evil.example", "https://app.example/@evil.example"),
        ("app.example", "/.lychgate/callback?code=x", "https://app.example/.lychgate/callback?code=x"),
        ("app.example", "http://app.example/absolute?x", "https://app.example/absolute?x"),
        ("app.example", "http://app.example", "https://app.example/"),
    ] {
        let reply = get(&gateway, host, target).await;
        assert_eq!((reply.status, reply.header("location")), (308, Some(location)), "{host} {target}");
    }
    let body = "POST /x HTTP/1.1\r\nHost: app.example\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(send(&gateway, body).await.header("location"), Some("https://app.example/x"));
    for (host, target, status) in [
        ("evil.example", "/", 404),
        ("app.example.evil.example", "/", 404),
        ("evil.example@app.example", "/", 400),
        ("app.example", "/a%2fb", 400),
        ("app.example", "/a\\b", 400),
        ("app.example", "http://evil.example/", 400),
        ("app.example", "/..//evil", 400),
    ] {
        let reply = get(&gateway, host, target).await;
        assert_eq!((reply.status, reply.header("location")), (status, None), "{host} {target}");
    }
    // Nothing came to the application.
    assert!(application.seen().is_empty());
    let log = gateway.stop().await;
    assert_eq!(log.iter().filter(|line| line["reason"] == "to_https").count(), 11);
}

#[tokio::test]
async fn a_listener_that_redirects_knows_the_port_and_the_status() {
    let (gateway, _application) = gateway("redirect = { port = 8443, status = \"301\" }", None).await;
    let reply = get(&gateway, "app.example:8080", "/a?b").await;
    assert_eq!((reply.status, reply.header("location")), (301, Some("https://app.example:8443/a?b")));
}
