//! Kept forms that cannot be sent just now: they are not used up before the application has seen something of them, and nobody takes all the room.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::task::JoinSet;

use super::forms::{FORM, URLENCODED, confirm, send, sign_in, token};
use crate::harness::browser::Browser;
use crate::harness::gateway::HOST;
use crate::harness::site::{SESSION, Site, line_of, policy};
use crate::harness::soon;
use crate::harness::wire::Wire;

#[tokio::test]
async fn c13_a_form_that_meets_a_limit_is_sent_when_there_is_room() {
    let limited = |upstream: &str| {
        let rule = "[[rules]]\npaths = [\"/pay\"]\nlimits = { rate = { per = \"person\", requests = 2, every = \"10m\", burst = 1 } }\n[[rules]]\n";
        policy(upstream).replace("max = \"8h\"", "max = \"8h\"\nrefresh = \"10m\"").replacen("[[rules]]\n", rule, 1)
    };
    let site = Site::with(limited, |setup| setup).await;
    site.provider.script().refresh_tokens = true;
    let mut browser = Browser::new();
    let page = send(&mut browser, &site, "/pay", URLENCODED, FORM).await;
    sign_in(&mut browser, &site, &page).await;
    site.clock.advance(Duration::from_secs(9 * 60));
    let own = site.url("");
    let headers = [("origin", own.as_str())];
    assert_eq!(browser.post(&site.url("/pay"), "first=1", &headers).await.status, StatusCode::OK);
    site.clock.advance(Duration::from_secs(60));
    let before = browser.clone();
    for round in 0..2 {
        let reply = confirm(&mut browser, &site, &token(&page)).await;
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS, "{round}");
        assert_eq!(reply.header("retry-after"), Some("240"));
        assert!(reply.text().contains("has not reached app"), "{}", reply.text());
        assert_eq!(token(&reply), token(&page), "the same form again");
    }
    assert_ne!(
        browser.cookie(HOST, SESSION),
        before.cookie(HOST, SESSION),
        "what was refreshed meanwhile reaches the browser"
    );
    site.clock.advance(Duration::from_secs(240));
    assert_eq!(confirm(&mut browser, &site, &token(&page)).await.text(), "hello");
    assert_eq!(site.application.last().body, FORM);
    let copied = confirm(&mut before.clone(), &site, &token(&page)).await;
    assert_eq!(copied.status, StatusCode::BAD_REQUEST, "and once");
    assert_eq!(site.application.seen().iter().filter(|seen| seen.body == FORM).count(), 1);
    let log = site.gateway.stop().await;
    assert_eq!(log.iter().filter(|line| line["reason"] == "rate_limited" && line["status"] == 429).count(), 2);
    assert_eq!(line_of(&log, &copied)["reason"], "form_used");
}

#[tokio::test]
async fn c13_a_form_for_an_application_that_is_away_is_kept_until_it_is_back() {
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let site = Site::with(|_| policy(&format!("http://127.0.0.1:{port}")), |setup| setup).await;
    let mut browser = Browser::new();
    let page = send(&mut browser, &site, "/pay", URLENCODED, b"").await;
    sign_in(&mut browser, &site, &page).await;
    for _ in 0..2 {
        let reply = confirm(&mut browser, &site, &token(&page)).await;
        assert_eq!((reply.status, token(&reply)), (StatusCode::BAD_GATEWAY, token(&page)));
    }
    // It takes the request and dies: nobody knows what became of it, so it does not go again.
    let back = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    site.clock.advance(Duration::from_secs(60));
    let form = token(&page);
    let (reply, ()) = soon(async {
        tokio::join!(confirm(&mut browser, &site, &form), async {
            let (stream, _) = back.accept().await.unwrap();
            assert!(Wire::over(stream).request().await.is_some());
        })
    })
    .await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert!(!reply.text().contains("name=\"token\""), "{}", reply.text());
    assert!(!browser.cookie_names(HOST).iter().any(|name| name.starts_with("lychgate-form-")));
}

#[tokio::test]
async fn c13_a_form_that_the_policy_refuses_is_not_used_up() {
    let stepped = |upstream: &str| {
        let rule = "[[rules]]\npaths = [\"/pay\"]\nstep_up = { acr = [\"phr\"] }\n[[rules]]\n";
        policy(upstream).replacen("[[rules]]\n", rule, 1)
    };
    let site = Site::with(stepped, |setup| setup).await;
    let mut browser = Browser::new();
    let page = send(&mut browser, &site, "/pay", URLENCODED, FORM).await;
    sign_in(&mut browser, &site, &page).await;
    assert_eq!(confirm(&mut browser, &site, &token(&page)).await.status, StatusCode::UNAUTHORIZED);
    // Stepped up in another tab, the person goes back and sends it.
    assert_eq!(browser.open(&site.url("/pay")).await.text(), "hello");
    assert_eq!(confirm(&mut browser, &site, &token(&page)).await.text(), "hello");
    assert_eq!(site.application.last().body, FORM);
}

/// Sends the head of a form that never comes, and waits for an answer.
async fn idle(site: &Site, path: &str, cookie: &str) -> (Wire, u16) {
    let mut wire = Wire::connect(site.gateway.address()).await;
    let port = site.gateway.address().port();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nAccept: text/html\r\n{cookie}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n"
    );
    wire.send(head).await.unwrap();
    let status = wire.reply(false).await.map_or(0, |reply| reply.status);
    (wire, status)
}

#[tokio::test]
async fn c13_one_stranger_does_not_take_the_room_of_all() {
    let proxied = "trusted_proxies = [\"127.0.0.0/8\"]\n";
    for (path, cookie, status) in
        [("/.lychgate/resend", "Cookie: lychgate-form-AAAAAAAA=x\r\n", 400), ("/pay", "", 401)]
    {
        let site = std::sync::Arc::new(Site::with(policy, |setup| setup.settings(proxied)).await);
        let mut strangers = JoinSet::new();
        for _ in 0..40 {
            let site = std::sync::Arc::clone(&site);
            strangers.spawn(async move { idle(&site, path, cookie).await });
        }
        let mut wires = Vec::new();
        for _ in 0..36 {
            let (wire, answered) = soon(strangers.join_next()).await.unwrap().unwrap();
            assert_eq!(answered, status, "{path}: no more than a few at once");
            wires.push(wire);
        }
        let own = site.url("");
        let fields = [
            ("accept", "text/html"),
            ("sec-fetch-mode", "navigate"),
            ("origin", &own),
            ("content-type", URLENCODED),
            ("x-forwarded-for", "192.0.2.7"),
        ];
        let mut browser = Browser::new();
        let page = browser.send(Method::POST, &site.url("/pay"), &fields, Bytes::from_static(FORM)).await;
        assert!(page.text().contains("name=\"token\""), "{path}: {}", page.text());
        drop(strangers);
    }
}

#[tokio::test]
async fn c13_what_cannot_be_a_kept_form_is_refused_before_it_comes() {
    let site = Site::new().await;
    for cookie in ["", "Cookie: lychgate-form-AAAAAAA=x; lychgate-formAAAAAAAA=x\r\n"] {
        let (_, status) = soon(idle(&site, "/.lychgate/resend", cookie)).await;
        assert_eq!(status, 400, "{cookie}");
    }
    let log = site.gateway.stop().await;
    assert_eq!(log.iter().filter(|line| line["reason"] == "form_other_browser").count(), 2);
}

#[tokio::test]
async fn c13_every_401_about_a_form_has_a_challenge_and_the_log_says_why_one_was_not_kept() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    let page = send(&mut browser, &site, "/pay", URLENCODED, FORM).await;
    let large = send(&mut browser, &site, "/pay", URLENCODED, &vec![b'x'; 1024 * 1024 + 1]).await;
    let early = confirm(&mut browser, &site, &token(&page)).await;
    let script = browser.fetch(Method::GET, &site.url("/.lychgate/sign-in?for=%2F")).await;
    for reply in [&page, &large, &early, &script] {
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"app\""), "{}", reply.text());
    }
    let log = site.gateway.stop().await;
    for (reply, reason) in [(&page, "session_absent"), (&large, "form_too_large"), (&early, "session_absent")] {
        assert_eq!(line_of(&log, reply)["reason"], reason);
    }
}

#[tokio::test]
async fn c13_the_log_says_that_there_was_no_room_for_a_form() {
    let site = std::sync::Arc::new(Site::new().await);
    let mut strangers = JoinSet::new();
    for _ in 0..5 {
        let site = std::sync::Arc::clone(&site);
        strangers.spawn(async move { idle(&site, "/pay", "").await.1 });
    }
    assert_eq!(soon(strangers.join_next()).await.unwrap().unwrap(), 401);
    strangers.shutdown().await;
    let log = std::sync::Arc::into_inner(site).unwrap().gateway.stop().await;
    let count = |reason: &str| log.iter().filter(|line| line["reason"] == reason).count();
    assert_eq!((count("form_no_room"), count("form_broken_off") + count("session_absent")), (1, 4));
}

#[tokio::test]
async fn c13_there_is_nothing_to_sign_in_to_where_nobody_signs_in() {
    let open = |upstream: &str| {
        format!("[app]\nhosts = [\"{HOST}\"]\nupstream = \"{upstream}\"\n[[rules]]\naccess = \"public\"\n")
    };
    let site = Site::with(open, |setup| setup).await;
    for named in ["%2F", "%2Fx"] {
        let reply = Browser::new().get(&site.url(&format!("/.lychgate/sign-in?for={named}"))).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{named}");
    }
}
