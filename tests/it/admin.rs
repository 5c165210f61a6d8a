//! The operators' listener: alive, ready, and the counters that move.

use http::{Method, StatusCode};
use tokio::io::AsyncWriteExt as _;

use crate::harness::browser::{Browser, Reply};
use crate::harness::gateway::HOST;
use crate::harness::site::Site;
use crate::harness::soon;

async fn ask(site: &Site, path: &str) -> Reply {
    Browser::new().get(&format!("http://127.0.0.1:{}{path}", site.gateway.admin().port())).await
}

/// The value of one sample; 0 when it does not stand there.
async fn sample(site: &Site, name: &str) -> f64 {
    let text = ask(site, "/metrics").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn livez_and_readyz_answer_and_everything_else_is_nothing() {
    let site = Site::new().await;
    let live = ask(&site, "/livez").await;
    assert_eq!((live.status, live.text().as_str()), (StatusCode::OK, "ok\n"));
    let ready = ask(&site, "/readyz").await;
    assert_eq!((ready.status, ready.json()["ready"].as_bool()), (StatusCode::OK, Some(true)));
    assert_eq!(ready.header("cache-control"), Some("no-store"));
    for path in ["/", "/livez/", "/metrics/x", "/.lychgate/logout", "/debug/pprof", "/config"] {
        assert_eq!(ask(&site, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let address = format!("http://127.0.0.1:{}/metrics", site.gateway.admin().port());
    let reply = Browser::new().fetch(Method::POST, &address).await;
    assert_eq!((reply.status, reply.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, Some("GET, HEAD")));
}

#[tokio::test]
async fn the_operators_addresses_are_not_among_those_of_the_clients() {
    let site = Site::new().await;
    for path in ["/livez", "/readyz", "/metrics", "/policies", "/reload", "/revocations"] {
        let reply = Browser::new().fetch(Method::GET, &site.url(path)).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path} is the application's");
    }
    let mut wire = crate::harness::wire::Wire::connect(site.gateway.admin()).await;
    wire.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.unwrap();
    assert_eq!(wire.reply(false).await.unwrap().status, 404);
    assert_eq!(site.application.seen().len(), 0);
}

#[tokio::test]
async fn counters_move_with_what_happens() {
    let site = Site::new().await;
    let allowed = r#"lychgate_requests_total{app="app",decision="allow",status="2xx"}"#;
    let denied = r#"lychgate_requests_total{app="app",decision="deny",status="4xx"}"#;
    let asked = r#"lychgate_requests_total{app="app",decision="sign_in",status="3xx"}"#;
    let public = r#"lychgate_requests_total{app="app",decision="public",status="2xx"}"#;
    let nowhere = r#"lychgate_requests_total{app="-",decision="refused",status="4xx"}"#;
    let logins = r#"lychgate_logins_total{provider="idp",outcome="succeeded"}"#;
    let failed = r#"lychgate_logins_total{provider="idp",outcome="failed"}"#;
    let ready = r#"lychgate_provider_ready{provider="idp"}"#;
    let accepted = "lychgate_connections_accepted_total";
    for name in [allowed, denied, asked, public, nowhere, logins, failed, accepted] {
        assert_eq!(sample(&site, name).await, 0.0, "{name}");
    }
    assert_eq!((sample(&site, ready).await, sample(&site, "lychgate_policy_version").await), (1.0, 1.0));

    let mut browser = site.signed_in().await;
    browser.get(&site.url("/statements")).await;
    browser.get(&site.url("/admin/x")).await;
    browser.get(&site.url("/public/x")).await;
    browser.get(&site.url("/").replace(HOST, "unknown.localhost")).await;
    site.provider.script().error = Some("access_denied");
    Browser::new().open(&site.url("/")).await;
    for (name, value) in
        [(allowed, 2.0), (denied, 1.0), (asked, 2.0), (public, 1.0), (nowhere, 1.0), (logins, 1.0), (failed, 1.0)]
    {
        assert_eq!(sample(&site, name).await, value, "{name}");
    }
    assert!(sample(&site, accepted).await >= 8.0);
    let count = sample(&site, r#"lychgate_request_duration_seconds_count{app="app"}"#).await;
    assert!(count >= 6.0, "{count}");
}

#[tokio::test]
async fn metrics_are_prometheus_text_without_anybody_in_it() {
    let site = Site::new().await;
    site.signed_in().await;
    let reply = ask(&site, "/metrics").await;
    let kind = reply.header("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    let text = reply.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut described = std::collections::BTreeSet::new();
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["#", "EOF"] => {}
            ["#", "TYPE", name, _] => drop(described.insert((*name).to_owned())),
            ["#", "HELP" | "UNIT", _, ..] => {}
            [.., value] => {
                assert!(value.parse::<f64>().is_ok(), "{line}");
                let name = line.split(['{', ' ']).next().unwrap();
                assert!(described.iter().any(|known| name.starts_with(known.as_str())), "{line}");
            }
            [] => panic!("an empty line"),
        }
    }
    assert!(!text.contains("\"ada") && !text.contains("/statements"), "{text}");
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_counted() {
    let site = Site::with(|_| crate::harness::site::policy("http://127.0.0.1:1"), |setup| setup).await;
    let reply = Browser::new().get(&site.url("/public/x")).await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert_eq!(sample(&site, r#"lychgate_upstream_failures_total{app="app"}"#).await, 1.0);
}

#[tokio::test]
async fn d05_a_gateway_that_drains_is_alive_and_not_ready() {
    let application = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", application.local_addr().unwrap());
    let site = Site::with(|_| crate::harness::site::policy(&upstream), |setup| setup).await;
    let admin = format!("http://127.0.0.1:{}", site.gateway.admin().port());
    let slow = site.url("/public/slow");
    let asked = tokio::spawn(async move { Browser::new().get(&slow).await });
    let (mut stream, _) = application.accept().await.unwrap();
    let stopping = site.gateway.begin_stop();
    // Between the wish to stop and the end of the last request, load balancers are told to look elsewhere.
    let unready = async {
        loop {
            let reply = Browser::new().get(&format!("{admin}/readyz")).await;
            if reply.status == StatusCode::SERVICE_UNAVAILABLE {
                return reply;
            }
        }
    };
    assert_eq!(soon(unready).await.json()["reasons"][0], "the gateway is draining");
    assert_eq!(Browser::new().get(&format!("{admin}/livez")).await.status, StatusCode::OK);
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(soon(asked).await.unwrap().status, StatusCode::NO_CONTENT);
    soon(stopping).await.unwrap();
}
