//! Forms that meet no session: kept byte for byte, sent once, by the same person in the same browser, and by nobody else.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::browser::{Browser, Reply};
use crate::harness::gateway::{HOST, Setup};
use crate::harness::site::{SESSION, Site, line_of, policy};

pub(super) const URLENCODED: &str = "application/x-www-form-urlencoded; charset=ISO-8859-1";
const MULTIPART: &str = "multipart/form-data; boundary=----x7MA4YWxkTrZu0gW";

/// Duplicates, order, an encoding that is not UTF-8, empty fields, odd separators.
pub(super) const FORM: &[u8] = b"b=2&a=1&b=1&name=J%F6rg&empty=&=noname&plus=a+b%2Bc&semi=1;2&&last";

fn multipart() -> Vec<u8> {
    let mut body = b"------x7MA4YWxkTrZu0gW\r\nContent-Disposition: form-data; name=\"file\"; filename=\"scan.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n".to_vec();
    body.extend((0..=255u8).cycle().take(100_000));
    body.extend_from_slice(b"\r\n------x7MA4YWxkTrZu0gW\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nagain\r\n------x7MA4YWxkTrZu0gW--\r\n");
    body
}

pub(super) async fn send(browser: &mut Browser, site: &Site, path: &str, kind: &str, body: &[u8]) -> Reply {
    let origin = site.url("");
    let referer = site.url("/form");
    let headers = [
        ("accept", "text/html"),
        ("sec-fetch-mode", "navigate"),
        ("origin", origin.as_str()),
        ("referer", referer.as_str()),
        ("content-type", kind),
    ];
    browser.send(Method::POST, &site.url(path), &headers, Bytes::copy_from_slice(body)).await
}

/// The page's text with its entities resolved.
fn plain(reply: &Reply) -> String {
    reply.text().replace("&#x2f;", "/").replace("&#x27;", "'")
}

/// The sealed form of a page.
pub(super) fn token(reply: &Reply) -> String {
    let text = reply.text();
    let (_, rest) = text.split_once("name=\"token\" value=\"").unwrap_or_else(|| panic!("no form in {text}"));
    rest.split('"').next().unwrap().to_owned()
}

/// Presses the page's button, as a browser does: the page hides its origin.
pub(super) async fn confirm(browser: &mut Browser, site: &Site, token: &str) -> Reply {
    browser.post(&site.url("/.lychgate/resend"), &format!("token={token}"), &[("origin", "null")]).await
}

/// Signs in in another tab, by the page's link.
pub(super) async fn sign_in(browser: &mut Browser, site: &Site, page: &Reply) {
    let text = plain(page);
    let at = text.find("/.lychgate/sign-in?for=").unwrap();
    let link = text[at..].split('"').next().unwrap();
    let reply = browser.open(&site.url(link)).await;
    assert!(reply.text().contains("You are signed in to app"), "{}", reply.text());
}

#[tokio::test]
async fn c13_a_form_that_meets_an_expired_session_is_sent_byte_for_byte_after_the_person_confirms() {
    let site = Site::new().await;
    for (kind, body) in [
        (URLENCODED, FORM.to_vec()),
        (MULTIPART, multipart()),
        ("text/plain", b"a=1\r\nb=2\r\n".to_vec()),
        (URLENCODED, Vec::new()),
        (URLENCODED, vec![b'x'; 1024 * 1024]),
    ] {
        let mut browser = site.signed_in().await;
        site.clock.advance(Duration::from_secs(31 * 60));
        let seen = site.application.seen().len();
        let page = send(&mut browser, &site, "/pay?to=a%2Fb&to=c", kind, &body).await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{kind}");
        let text = plain(&page);
        assert!(text.contains("What you sent to /pay has not reached app"), "{text:.900}");
        assert!(!text.contains("rg&") && !text.contains("scan.bin"), "the page tells nothing of the content");
        sign_in(&mut browser, &site, &page).await;
        assert_eq!(site.application.seen().len(), seen, "nothing goes before it is confirmed");
        let reply = confirm(&mut browser, &site, &token(&page)).await;
        assert_eq!((reply.status, reply.text().as_str()), (StatusCode::OK, "hello"), "{kind}");
        assert_eq!(site.application.seen().len(), seen + 1);
        let got = site.application.last();
        assert_eq!((got.method.as_str(), got.target.as_str()), ("POST", "/pay?to=a%2Fb&to=c"));
        assert!(got.body == body, "{kind}: {} bytes became {}", body.len(), got.body.len());
        assert_eq!(got.header("content-type").as_deref(), Some(kind));
        assert_eq!(got.header("origin"), Some(site.url("")));
        assert_eq!(got.header("referer"), Some(site.url("/form")));
        assert_eq!(got.header("x-remote-user").as_deref(), Some("ada"));
        assert_eq!(browser.cookie_names(HOST), [SESSION, "lychgate-hint"], "its cookie is gone");
    }
}

#[tokio::test]
async fn c13_a_form_without_any_session_is_kept_too_and_the_button_before_signing_in_loses_nothing() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    let page = send(&mut browser, &site, "/pay", URLENCODED, FORM).await;
    let too_early = confirm(&mut browser, &site, &token(&page)).await;
    assert_eq!(too_early.status, StatusCode::UNAUTHORIZED);
    assert_eq!(token(&too_early), token(&page), "the same page again");
    sign_in(&mut browser, &site, &page).await;
    assert_eq!(confirm(&mut browser, &site, &token(&too_early)).await.text(), "hello");
    assert_eq!(site.application.only().body, FORM);
}

#[tokio::test]
async fn c13_a_form_is_kept_for_an_application_whatever_it_is_called() {
    let titled = |upstream: &str| policy(upstream).replace("[login]", "title = \"Expenses & more\"\n[login]");
    let site = Site::with(titled, |setup| setup).await;
    let mut browser = Browser::new();
    let page = send(&mut browser, &site, "/pay", URLENCODED, FORM).await;
    assert!(page.text().contains("Expenses &amp; more"), "{}", page.text());
    let text = plain(&page);
    let at = text.find("/.lychgate/sign-in?for=").unwrap();
    browser.open(&site.url(text[at..].split('"').next().unwrap())).await;
    assert_eq!(confirm(&mut browser, &site, &token(&page)).await.text(), "hello");
    assert_eq!(site.application.only().body, FORM);
}

#[tokio::test]
async fn c13_forms_of_several_tabs_are_kept_side_by_side() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    let first = send(&mut browser, &site, "/one", URLENCODED, b"n=1").await;
    let second = send(&mut browser, &site, "/two", URLENCODED, b"n=2").await;
    sign_in(&mut browser, &site, &first).await;
    for (page, path, body) in [(&second, "/two", "n=2"), (&first, "/one", "n=1")] {
        assert_eq!(confirm(&mut browser, &site, &token(page)).await.text(), "hello");
        let got = site.application.last();
        assert_eq!((got.target.as_str(), &got.body[..]), (path, body.as_bytes()));
    }
    for _ in 0..12 {
        send(&mut browser, &site, "/many", URLENCODED, b"n=3").await;
    }
    browser.cookies.get_mut(HOST).unwrap().remove(SESSION);
    for _ in 0..12 {
        send(&mut browser, &site, "/many", URLENCODED, b"n=3").await;
    }
    let kept = browser.cookie_names(HOST).iter().filter(|name| name.starts_with("lychgate-form-")).count();
    assert_eq!(kept, 8, "bounded");
}

#[tokio::test]
async fn c13_a_kept_form_is_sent_once() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    let page = send(&mut browser, &site, "/pay", URLENCODED, FORM).await;
    sign_in(&mut browser, &site, &page).await;
    let copy = browser.clone();
    assert_eq!(confirm(&mut browser, &site, &token(&page)).await.text(), "hello");
    let twice = confirm(&mut browser, &site, &token(&page)).await;
    assert_eq!(twice.status, StatusCode::BAD_REQUEST);
    let copied = confirm(&mut copy.clone(), &site, &token(&page)).await;
    assert_eq!(copied.status, StatusCode::BAD_REQUEST, "nor from a copy of the browser");
    assert_eq!(site.application.seen().len(), 1);
    let log = site.gateway.stop().await;
    assert_eq!(line_of(&log, &twice)["reason"], "form_other_browser");
    assert_eq!(line_of(&log, &copied)["reason"], "form_used");
    let sent: Vec<_> = log.iter().filter(|line| line["path"] == "/pay" && line["decision"] == "allow").collect();
    assert_eq!((sent.len(), &sent[0]["who"]), (1, &json!("ada")), "the log tells where it went");
}

#[tokio::test]
async fn c13_nobody_else_sends_a_kept_form() {
    let site = Site::new().await;
    let mut victim = site.signed_in().await;
    site.clock.advance(Duration::from_secs(31 * 60));
    let page = send(&mut victim, &site, "/pay", URLENCODED, FORM).await;
    let seen = site.application.seen().len();
    // Somebody else signs in in the same browser.
    site.provider.script().claims = vec![crate::harness::provider::Claim::Set("sub", json!("grace-8"))];
    let mut same_browser = victim.clone();
    sign_in(&mut same_browser, &site, &page).await;
    let other_person = confirm(&mut same_browser, &site, &token(&page)).await;
    assert!(other_person.text().contains("filled in by somebody else"), "{}", other_person.text());
    // The page is stolen, without the browser's cookie.
    site.provider.script().claims.clear();
    let mut thief = site.signed_in().await;
    let other_browser = confirm(&mut thief, &site, &token(&page)).await;
    assert_eq!((other_person.status, other_browser.status), (StatusCode::BAD_REQUEST, StatusCode::BAD_REQUEST));
    // Another site sends it in the victim's browser.
    let headers = [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")];
    let form = format!("token={}", token(&page));
    let foreign = victim.clone().post(&site.url("/.lychgate/resend"), &form, &headers).await;
    let old_browser =
        victim.clone().post(&site.url("/.lychgate/resend"), &form, &[("origin", "https://evil.example")]).await;
    assert_eq!((foreign.status, old_browser.status), (StatusCode::BAD_REQUEST, StatusCode::BAD_REQUEST));
    assert!(site.application.seen().iter().skip(seen).all(|request| request.method == Method::GET));
    // The one who filled it in still can.
    sign_in(&mut victim, &site, &page).await;
    assert_eq!(confirm(&mut victim, &site, &token(&page)).await.text(), "hello");
    let log = site.gateway.stop().await;
    for (reply, reason) in [
        (&other_person, "form_other_person"),
        (&other_browser, "form_other_browser"),
        (&foreign, "form_foreign"),
        (&old_browser, "form_foreign"),
    ] {
        assert_eq!(line_of(&log, reply)["reason"], reason);
    }
}

#[tokio::test]
async fn c13_a_kept_form_that_was_touched_moved_or_too_old_is_not_sent() {
    let site = Site::with(policy, |setup| {
        setup.policy("elsewhere", &policy("http://127.0.0.1:9").replace(HOST, "elsewhere.localhost"))
    })
    .await;
    let mut browser = Browser::new();
    let page = send(&mut browser, &site, "/pay", URLENCODED, FORM).await;
    sign_in(&mut browser, &site, &page).await;
    let good = token(&page);
    let session = browser.cookie(HOST, SESSION).unwrap().value.clone();
    let mut bad: Vec<String> = (0..good.len()).step_by(7).map(|at| flipped(&good, at)).collect();
    bad.extend([
        String::new(),
        "x".to_owned(),
        good[1..].to_owned(),
        good[..good.len() - 4].to_owned(),
        ".".to_owned(),
    ]);
    bad.extend([format!("{}.{session}", &good[..8]), good.replace('.', ""), format!("../{good}"), "A".repeat(100_000)]);
    for token in &bad {
        let reply = confirm(&mut browser.clone(), &site, token).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{token:.60}");
    }
    let mut moved = browser.clone();
    let cookies = moved.cookies[HOST].clone();
    moved.cookies.insert("elsewhere.localhost".to_owned(), cookies);
    let elsewhere = site.url("/.lychgate/resend").replace(HOST, "elsewhere.localhost");
    let reply = moved.post(&elsewhere, &format!("token={good}"), &[("origin", "null")]).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(browser.get(&site.url("/.lychgate/resend")).await.status, StatusCode::METHOD_NOT_ALLOWED);
    site.clock.advance(Duration::from_secs(61 * 60));
    let late = confirm(&mut browser, &site, &good).await;
    assert!(late.text().contains("more than an hour"), "{}", late.text());
    assert_eq!(site.application.seen().len(), 0);
}

fn flipped(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn c13_what_is_too_large_foreign_or_no_form_is_refused_clearly() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    let large = send(&mut browser, &site, "/pay", URLENCODED, &vec![b'x'; 1024 * 1024 + 1]).await;
    assert_eq!(large.status, StatusCode::UNAUTHORIZED);
    assert!(large.text().contains("could not be kept: it is larger than 1 MiB"), "{}", large.text());
    let own = site.url("");
    let cases: [(&str, &[(&str, &str)]); 7] = [
        ("another site", &[("origin", "https://evil.example")]),
        ("another site, by the browser's word", &[("sec-fetch-site", "cross-site"), ("origin", &own)]),
        ("a neighbour", &[("sec-fetch-site", "same-site"), ("origin", &own)]),
        ("nobody knows who", &[]),
        ("a hidden origin", &[("origin", "null")]),
        ("a script", &[("sec-fetch-mode", "cors"), ("origin", &own)]),
        ("no form", &[("content-type", "application/json"), ("origin", &own)]),
    ];
    for (case, headers) in cases {
        let mut all = vec![("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("content-type", URLENCODED)];
        all.retain(|(name, _)| !headers.iter().any(|(other, _)| other == name));
        all.extend_from_slice(headers);
        let reply = browser.send(Method::POST, &site.url("/pay"), &all, Bytes::from_static(FORM)).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{case}");
        assert!(!reply.text().contains("name=\"token\""), "{case}: {}", reply.text());
        assert!(browser.cookie_names(HOST).is_empty(), "{case}");
    }
    assert_eq!(site.application.seen().len(), 0);
}

#[tokio::test]
async fn c13_a_policy_can_refuse_forms() {
    let refusing = |upstream: &str| policy(upstream).replace("max = \"8h\"", "max = \"8h\"\nposts = \"refuse\"");
    let site = Site::with(refusing, |setup| setup).await;
    let reply = send(&mut Browser::new(), &site, "/pay", URLENCODED, FORM).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert!(reply.text().contains("nothing of it has reached the application"), "{}", reply.text());
}

#[tokio::test]
async fn c13_the_policy_decides_a_kept_form_when_it_is_sent() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    let page = send(&mut browser, &site, "/admin/pay", URLENCODED, FORM).await;
    sign_in(&mut browser, &site, &page).await;
    let reply = confirm(&mut browser, &site, &token(&page)).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(site.application.seen().len(), 0);
}

#[tokio::test]
async fn c13_a_page_of_a_kept_form_has_no_script_and_its_cookie_every_attribute() {
    let site = Site::with(policy, Setup::behind_tls).await;
    let url = site.url("/pay").replace("http://", "https://");
    let mut browser = Browser::new();
    let own = url.strip_suffix("/pay").unwrap().to_owned();
    let reply =
        browser.post(&url, "<script>alert(1)</script>=1", &[("origin", &own), ("sec-fetch-site", "same-origin")]).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert!(!reply.text().contains("<script") && !reply.text().contains("alert"), "CVE-2021-32792: {}", reply.text());
    let csp = reply.header("content-security-policy").unwrap();
    assert!(csp.starts_with("default-src 'none'") && !csp.contains("script-src"), "{csp}");
    let name = browser.cookie_names(HOST).pop().unwrap();
    assert!(name.starts_with("__Host-lychgate-form-"), "{name}");
    let attributes = &browser.cookie(HOST, &name).unwrap().attributes;
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=3600");
}
