//! Traefik.

use serde_json::json;

use super::{ask, assert_ada_alone, cookies};
use crate::harness::gateway::HOST;
use crate::harness::site::{Site, policy};
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire};

/// What the gateway tells every application of the way of a request.
const TOLD: &[&str] =
    &["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "host", "x-request-id"];

/// A `Connection` line took fields away that the proxy had set.
#[tokio::test]
async fn t03_cve_2024_45410_a_connection_line_takes_nothing_away_that_we_set() {
    let site = Site::new().await;
    let mine = cookies(&site.signed_in().await);
    let all = "Connection: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Forwarded, Host, X-Request-Id, X-Remote-User, X-Remote-Groups\r\n";
    assert_eq!(ask(&site, "GET /mine", &format!("{mine}{all}")).await.status, 200);
    let seen = site.application.last();
    assert!(TOLD.iter().all(|name| seen.header(name).is_some()), "{:?}", seen.headers);
    assert_eq!(seen.header("x-remote-groups").as_deref(), Some("staff;artists"));
    assert_ada_alone(&site);
}

/// The first remedy compared names with case.
#[tokio::test]
async fn t03_cve_2026_29054_a_connection_line_in_any_case_takes_nothing_away() {
    let site = Site::new().await;
    let mine = cookies(&site.signed_in().await);
    for spell in [str::to_lowercase, str::to_uppercase, |name: &str| name.replace("ward", "WARD")] {
        let names =
            spell("x-forwarded-for, x-forwarded-proto, x-forwarded-host, x-real-ip, x-remote-user, x-remote-groups");
        for line in ["Connection", "connection", "CONNECTION"] {
            assert_eq!(
                ask(&site, "GET /mine", &format!("{mine}{line}: {names}\r\n{line}: close\r\n")).await.status,
                200
            );
            let seen = site.application.last();
            assert!(TOLD.iter().all(|name| seen.header(name).is_some()), "{:?}", seen.headers);
            assert_ada_alone(&site);
        }
    }
}

/// `X_Forwarded_Proto` and its like came through beside the fields that the proxy cleans.
#[tokio::test]
async fn t03_cve_2026_39858_an_underscore_alias_of_a_forwarding_field_reaches_nobody() {
    let site = Site::new().await;
    for name in [
        "X_Forwarded_Proto",
        "X_Forwarded_For",
        "X-Forwarded_Host",
        "X_Forwarded_Uri",
        "X_Real_IP",
        "X_FORWARDED_PREFIX",
    ] {
        assert_eq!(ask(&site, "GET /public/x", &format!("{name}: root\r\n")).await.status, 200);
        let seen = site.application.last();
        assert!(seen.headers.values().all(|value| value != "root"), "{name}: {:?}", seen.headers);
        assert_eq!(seen.header("x-forwarded-proto").as_deref(), Some("http"));
    }
}

/// So did `X.Forwarded.User`.
#[tokio::test]
async fn t03_cve_2026_88011_a_dot_alias_of_an_identity_field_reaches_nobody() {
    let site = Site::new().await;
    let mine = cookies(&site.signed_in().await);
    for name in
        ["X.Remote.User", "x.remote-user", "X.Forwarded.User", "X.WebAuth.User", "X~Remote~User", "X!Remote$Groups"]
    {
        assert_eq!(ask(&site, "GET /mine", &format!("{mine}{name}: root\r\n")).await.status, 200);
        assert_ada_alone(&site);
    }
}

/// Requests that came at once shared one check by a key that two different credentials could have in common.
#[tokio::test]
async fn t03_cve_2026_71326_requests_at_once_share_a_check_only_with_themselves() {
    const AUDIENCE: &str = "https://app.example/api";
    let bearer = format!("[bearer]\naudience = \"{AUDIENCE}\"\ntokens = \"opaque\"\ncache = \"30s\"\n[headers]");
    let site = Site::with(|upstream| policy(upstream).replace("[headers]", &bearer), |setup| setup).await;
    // Tokens whose parts could be cut differently, and that begin and end alike.
    let tokens = ["ada.grace", "ada", "adag.race", "a", "ada.grac", "da.grace", "ADA.grace"];
    let says = |number: usize| {
        json!({
            "active": true, "aud": AUDIENCE, "sub": format!("s-{number}"), "client_id": "export", "token_type": "Bearer",
            "preferred_username": format!("person-{number}"), "groups": ["staff"],
        })
    };
    let known = tokens.iter().enumerate().map(|(number, token)| ((*token).to_owned(), says(number)));
    site.provider.script().introspection = known.collect();
    let mut asking = tokio::task::JoinSet::new();
    for round in 0..10 {
        for (number, token) in tokens.into_iter().enumerate() {
            let address = site.gateway.address();
            asking.spawn(async move {
                let mut wire = Wire::connect(address).await;
                let target = format!("/{number}/{round}");
                let request = format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n\r\n");
                wire.send(request).await.unwrap();
                wire.reply(false).await.unwrap().status
            });
        }
    }
    assert!(soon(asking.join_all()).await.iter().all(|status| *status == 200));
    let seen = site.application.seen();
    assert_eq!(seen.len(), 70);
    for one in seen {
        let number = one.target.split('/').nth(1).unwrap();
        assert_eq!(one.header("x-remote-user"), Some(format!("person-{number}")), "{}", one.target);
    }
    assert_eq!(site.provider.requests("/introspect").len(), tokens.len());
}

/// CONNECT was passed on; what followed it was the next request to the application, whose answer somebody else got.
#[tokio::test]
async fn t03_cve_2026_71324_connect_is_refused_and_a_failed_upgrades_connection_is_not_used_again() {
    const LAST: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    let application = RawApplication::start().await;
    let url = application.url();
    let site = Site::with(|_| policy(&url), |setup| setup).await;
    let inner = format!("GET /public/stolen HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    for line in ["CONNECT app.localhost:80", "CONNECT /public/x", "CONNECT *"] {
        let mut client = Wire::connect(site.gateway.address()).await;
        let head = format!("{line} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n", inner.len());
        client.send(format!("{head}{inner}")).await.unwrap();
        assert_eq!(soon(client.reply(false)).await.unwrap().status, 400, "{line}");
    }
    let mut client = Wire::connect(site.gateway.address()).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    client.send(format!("GET /public/socket HTTP/1.1\r\nHost: {HOST}\r\n{upgrade}\r\n{inner}")).await.unwrap();
    let mut first = soon(application.accept()).await;
    assert_eq!(soon(first.request()).await.unwrap().line(), "GET /public/socket HTTP/1.1");
    first.send("HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 405);
    // Whoever comes next has a connection of their own, and their own answer.
    let mut other = Wire::connect(site.gateway.address()).await;
    other.send(format!("GET /public/own HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.unwrap();
    let mut lines = Vec::new();
    for _ in 0..2 {
        let mut next = soon(application.accept()).await;
        lines.push(soon(next.request()).await.unwrap().line().to_owned());
        next.send(LAST).await.unwrap();
        // Each is for one request, so the other request comes on the connection of the failed upgrade if on any that is there.
        tokio::spawn(async move { next.rest().await });
        if lines.iter().any(|line| line.contains("/public/own")) {
            break;
        }
    }
    assert!(lines.iter().any(|line| line.contains("/public/own")), "{lines:?}");
    assert_eq!(soon(first.rest()).await, b"", "nothing more came on the connection of the failed upgrade");
    assert_eq!(soon(other.reply(false)).await.unwrap().body, b"ok");
}
