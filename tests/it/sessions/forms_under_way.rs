//! Kept forms whose sending is broken off, or begun twice: used up by what an application has seen, and by nothing else.

use http::StatusCode;
use tokio::net::TcpListener;

use super::forms::{FORM, URLENCODED, confirm, send, sign_in, token};
use crate::harness::browser::{Browser, Reply};
use crate::harness::gateway::HOST;
use crate::harness::site::{Site, line_of, policy};
use crate::harness::soon;
use crate::harness::tls::Authority;
use crate::harness::wire::{RawApplication, Wire};
use crate::revocation::signing_out::sign_out;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// A form that is kept, its person signed in, and the page that holds it.
async fn kept(site: &Site) -> (Browser, Reply) {
    let mut browser = Browser::new();
    let page = send(&mut browser, site, "/pay", URLENCODED, FORM).await;
    sign_in(&mut browser, site, &page).await;
    (browser, page)
}

/// Presses the page's button and does not wait for the answer.
async fn click(site: &Site, browser: &Browser, token: &str) -> Wire {
    let mut wire = Wire::connect(site.gateway.address()).await;
    let pairs = browser.cookies[HOST].iter().map(|(name, cookie)| format!("{name}={}", cookie.value));
    let cookies: Vec<_> = pairs.collect();
    let (port, body) = (site.gateway.address().port(), format!("token={token}"));
    let head = format!(
        "POST /.lychgate/resend HTTP/1.1\r\nHost: {HOST}:{port}\r\nCookie: {}\r\nOrigin: null\r\nAccept: text/html\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        cookies.join("; "),
        body.len()
    );
    wire.send(head).await.unwrap();
    wire
}

/// Presses the page's button until the gateway has noticed that the sending before is over: it ends the application's connection first.
async fn confirm_when_over(browser: &mut Browser, site: &Site, token: &str) -> Reply {
    soon(async {
        loop {
            let reply = confirm(browser, site, token).await;
            if reply.status != StatusCode::CONFLICT {
                return reply;
            }
        }
    })
    .await
}

#[tokio::test]
async fn c13_a_form_whose_sending_is_broken_off_before_the_application_saw_it_goes_at_the_next_click() {
    let (authority, listener) = (Authority::new(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let upstream = format!("https://{}", listener.local_addr().unwrap());
    let over_tls = |_: &str| policy(&upstream).replace("upstream =", "ca = \"ca.pem\"\nupstream =");
    let site = Site::with(over_tls, |setup| setup.file("policies/ca.pem", &authority.pem)).await;
    let (mut browser, page) = kept(&site).await;
    // The application takes the connection, and is silent while both would agree on TLS.
    let first = click(&site, &browser, &token(&page)).await;
    let (silent, _) = soon(listener.accept()).await.unwrap();
    let twice = confirm(&mut browser, &site, &token(&page)).await;
    assert_eq!((twice.status, token(&twice)), (StatusCode::CONFLICT, token(&page)), "nobody knows yet");
    drop(first);
    soon(Wire::over(silent).rest()).await;
    let (form, tls) = (token(&page), authority.certify("127.0.0.1").acceptor());
    let before = browser.clone();
    let (reply, seen) = soon(async {
        tokio::join!(confirm_when_over(&mut browser, &site, &form), async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut application = Wire::over(tls.accept(stream).await.unwrap());
            let seen = application.request().await.unwrap();
            application.send(OK).await.unwrap();
            seen
        })
    })
    .await;
    assert_eq!((reply.status, reply.text().as_str()), (StatusCode::OK, "hello"));
    assert_eq!((seen.line(), &seen.body[..]), ("POST /pay HTTP/1.1", FORM));
    let again = confirm(&mut before.clone(), &site, &token(&page)).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST, "and once");
    let log = site.gateway.stop().await;
    assert_eq!(line_of(&log, &twice)["reason"], "form_under_way");
    assert_eq!(line_of(&log, &again)["reason"], "form_used");
}

#[tokio::test]
async fn c13_a_form_whose_sending_is_broken_off_when_the_application_had_it_does_not_go_again() {
    let application = RawApplication::start().await;
    let site = Site::with(|_| policy(&application.url()), |setup| setup).await;
    let (mut browser, page) = kept(&site).await;
    let first = click(&site, &browser, &token(&page)).await;
    let mut seeing = soon(application.accept()).await;
    assert_eq!(soon(seeing.request()).await.unwrap().body, FORM);
    let twice = confirm(&mut browser, &site, &token(&page)).await;
    assert_eq!((twice.status, token(&twice)), (StatusCode::CONFLICT, token(&page)));
    drop(first);
    assert_eq!(soon(seeing.rest()).await, b"");
    let again = confirm_when_over(&mut browser, &site, &token(&page)).await;
    assert_eq!((again.status, again.text().contains("name=\"token\"")), (StatusCode::BAD_REQUEST, false));
    assert_eq!(line_of(&site.gateway.stop().await, &again)["reason"], "form_used");
}

#[tokio::test]
async fn c13_a_form_whose_session_ends_while_it_waits_for_a_connection_is_shown_again() {
    let (authority, listener) = (Authority::new(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let upstream = format!("https://{}", listener.local_addr().unwrap());
    let over_tls = |_: &str| policy(&upstream).replace("upstream =", "ca = \"ca.pem\"\nupstream =");
    let site = Site::with(over_tls, |setup| setup.file("policies/ca.pem", &authority.pem)).await;
    let (mut browser, page) = kept(&site).await;
    let (form, mut other) = (token(&page), browser.clone());
    let (reply, _silent) = soon(async {
        tokio::join!(confirm(&mut browser, &site, &form), async {
            let silent = listener.accept().await.unwrap();
            assert_eq!(sign_out(&site, &mut other, "").await, 302);
            silent
        })
    })
    .await;
    assert_eq!((reply.status, token(&reply)), (StatusCode::UNAUTHORIZED, form.clone()), "the same form again");
    assert!(browser.cookie_names(HOST).iter().any(|name| name.starts_with("lychgate-form-")));
    let tls = authority.certify("127.0.0.1").acceptor();
    sign_in(&mut browser, &site, &reply).await;
    let (sent, seen) = soon(async {
        tokio::join!(confirm(&mut browser, &site, &form), async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut application = Wire::over(tls.accept(stream).await.unwrap());
            let seen = application.request().await.unwrap();
            application.send(OK).await.unwrap();
            seen
        })
    })
    .await;
    assert_eq!((sent.text().as_str(), &seen.body[..]), ("hello", FORM));
    assert_eq!(line_of(&site.gateway.stop().await, &reply)["reason"], "session_over");
}
