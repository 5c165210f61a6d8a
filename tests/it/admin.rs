//! The operators' listener: alive, ready, and the counters that move.

use http::{Method, StatusCode};
use tokio::io::AsyncWriteExt as _;

use crate::harness::browser::{Browser, Reply};
use crate::harness::gateway::HOST;
use crate::harness::site::Site;
use crate::harness::soon;
use crate::harness::wire::Wire;

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
    let mut wire = Wire::connect(site.gateway.admin()).await;
    wire.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.unwrap();
    assert_eq!(wire.reply(false).await.unwrap().status, 404);
    assert_eq!(site.application.seen().len(), 0);
}

#[tokio::test]
async fn under_the_name_of_an_attackers_page_only_probes_and_metrics_are_answered() {
    let site = Site::new().await;
    for (request, status) in [
        ("GET /policies", 421),
        ("POST /reload", 421),
        ("GET /revocations", 421),
        ("GET /livez", 200),
        ("GET /readyz", 200),
        ("GET /metrics", 200),
    ] {
        let mut wire = Wire::connect(site.gateway.admin()).await;
        wire.send(format!("{request} HTTP/1.1\r\nHost: evil.example:9180\r\n\r\n")).await.unwrap();
        let reply = wire.reply(false).await.unwrap();
        assert_eq!(reply.status, status, "{request}");
        assert!(status == 200 || !String::from_utf8(reply.body).unwrap().contains("app"), "{request}");
    }
    let reloads =
        ["applied", "refused", "unchanged"].map(|outcome| format!("lychgate_reloads_total{{outcome=\"{outcome}\"}}"));
    for name in reloads {
        assert_eq!(sample(&site, &name).await, 0.0, "{name}");
    }
}

#[tokio::test]
async fn d01_clients_that_sit_on_the_operators_listener_keep_no_probe_out() {
    let site = Site::new().await;
    let mut sitting = Vec::new();
    for _ in 0..200 {
        let mut wire = Wire::connect(site.gateway.admin()).await;
        wire.send("GET /livez HTTP/1.1\r\nHost: ").await.unwrap();
        sitting.push(wire);
    }
    // Far below the time that a client of this listener has for its head.
    let probe = async { ask(&site, "/livez").await.status };
    let status = tokio::time::timeout(std::time::Duration::from_secs(5), probe).await.expect("a probe waits");
    assert_eq!(status, StatusCode::OK);
    // The newest are still served.
    let newest = sitting.last_mut().unwrap();
    newest.send("127.0.0.1\r\n\r\n").await.unwrap();
    assert_eq!(newest.reply(false).await.unwrap().status, 200);
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
async fn a_clients_own_failure_does_not_count_as_the_applications() {
    let site = Site::with(crate::harness::site::policy, |setup| setup.settings("[limits]\nbody = \"1KiB\"")).await;
    let large = format!("800\r\n{}\r\n", "x".repeat(2048));
    for (body, status) in [("2\r\nab\r\nZZ\r\n", 400), (large.as_str(), 413)] {
        let mut wire = Wire::connect(site.gateway.address()).await;
        let head = format!("POST /public/x HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n");
        wire.send(format!("{head}{body}")).await.unwrap();
        assert_eq!(soon(wire.reply(false)).await.unwrap().status, status);
    }
    assert_eq!(sample(&site, r#"lychgate_upstream_failures_total{app="app"}"#).await, 0.0);
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
