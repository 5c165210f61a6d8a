//! mod_auth_openidc.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, StatusCode};
use lychgate::crypto::{Binding, KeyRing};
use lychgate::http::ReturnTo;

use super::{ask, assert_stays, cookies};
use crate::harness::browser::Browser;
use crate::harness::gateway::HOST;
use crate::harness::site::{SESSION, Site};

/// AES-GCM was used with the same initialisation vector every time.
#[tokio::test]
async fn t03_cve_2021_32791_nothing_is_sealed_twice_with_one_nonce() {
    let keys = KeyRing::new(&[KeyRing::generate_key()]).ok().unwrap();
    let binding = Binding { purpose: "session", name: "n", scope: "s" };
    let sealed = (0..2000).map(|_| URL_SAFE_NO_PAD.decode(keys.seal(binding, b"the same")).unwrap());
    // Behind version, key id and salt, as the head of `key_ring` says.
    let nonces: BTreeSet<Vec<u8>> = sealed.map(|sealed| sealed[13..25].to_vec()).collect();
    assert_eq!(nonces.len(), 2000);
    let site = Site::new().await;
    let (one, two) = (site.signed_in().await, site.signed_in().await);
    assert_ne!(one.cookie(HOST, SESSION), two.cookie(HOST, SESSION));
}

/// What was kept of a form was written into the page's script without escaping.
#[tokio::test]
async fn t03_cve_2021_32792_a_kept_form_brings_no_markup_into_its_page() {
    let site = Site::new().await;
    let attack = "</script><script>alert(1)</script>=\"><img src=x onerror=alert(2)>&'-alert(3)-'=</textarea><b>";
    let headers = [
        ("accept", "text/html"),
        ("sec-fetch-mode", "navigate"),
        ("origin", &*site.url("")),
        ("content-type", "application/x-www-form-urlencoded; charset=\"><script>alert(4)</script>"),
    ];
    // Of all this the page shows the path, in which marks may stand as they are.
    let address = site.url("/pay'&x?%22%3E%3Cscript%3Ealert(5)%3C/script%3E");
    let page = Browser::new().send(Method::POST, &address, &headers, Bytes::from_static(attack.as_bytes())).await;
    let text = page.text();
    assert_eq!(page.status.as_u16(), 401);
    assert!(text.contains("name=\"token\""), "the form is kept: {text}");
    assert!(text.contains("pay&#x27;&amp;x") && !text.contains("pay'"), "{text}");
    for forbidden in ["<script", "onerror", "<img", "alert(1)", "alert(2)", "alert(3)", "alert(4)"] {
        assert!(!text.contains(forbidden), "{forbidden}: {text}");
    }
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("script-src"), "{policy}");
    assert_eq!(site.application.seen().len(), 0);
}

/// Logins that another site begins went on to whatever `target_link_uri` said.
#[tokio::test]
async fn t03_cve_2021_39191_a_login_that_another_site_begins_leads_only_to_us() {
    let site = Site::new().await;
    let issuer: String = url::form_urlencoded::byte_serialize(site.provider.issuer().as_bytes()).collect();
    for target in ["https%3A%2F%2Fevil.example%2F", "%2F%2Fevil.example", "%2F%5Cevil.example", "javascript%3Aalert(1)"]
    {
        for page in ["callback", "sign-in", ""] {
            let page = site.url(&format!("/.lychgate/{page}"));
            for (read, more) in [(format!("iss={issuer}"), ""), (String::new(), "&for=%2F")] {
                let without = Browser::new().get(&format!("{page}?{read}")).await;
                let url = format!("{page}?{read}&target_link_uri={target}{more}&login_hint=ada");
                let mut browser = Browser::new();
                let reply = browser.get(&url).await;
                assert_stays(&site, &reply, &url);
                assert_eq!(reply.without_what_is_drawn(), without.without_what_is_drawn(), "{url}");
                if reply.location().is_some() {
                    let end = browser.open(&reply.location().unwrap()).await;
                    assert!(end.url.starts_with(&site.url("/")), "{url} ended at {}", end.url);
                }
            }
        }
    }
}

/// `?logout=/%09/evil.example` led away after signing out.
#[tokio::test]
async fn t03_cve_2022_23527_signing_out_leads_to_no_other_site() {
    let site = Site::new().await;
    for target in
        ["/%09/evil.example", "/%5C/evil.example", "//evil.example", "https://evil.example", "/%0A/evil.example"]
    {
        for name in ["logout", "post_logout_redirect_uri", "state", "return_to", "rd"] {
            let mut browser = site.signed_in().await;
            let (plain, origin) = (site.url("/.lychgate/logout"), site.url(""));
            let asked = browser.get(&plain).await.without_what_is_drawn();
            let ended = browser.clone().post(&plain, "", &[("origin", &origin)]).await.without_what_is_drawn();
            let mut browser = site.signed_in().await;
            let url = format!("{plain}?{name}={target}");
            let reply = browser.get(&url).await;
            assert_stays(&site, &reply, &url);
            assert_eq!(reply.without_what_is_drawn(), asked, "{url}");
            let reply = browser.post(&url, &format!("{name}={target}"), &[("origin", &origin)]).await;
            assert_stays(&site, &reply, &url);
            assert_eq!(reply.without_what_is_drawn(), ended, "{url}");
            let end = browser.open(&reply.location().unwrap_or_else(|| site.url("/.lychgate/signed-out"))).await;
            assert!(end.url.starts_with(&site.url("/.lychgate/signed-out")), "{url} ended at {}", end.url);
        }
    }
    assert_eq!(ReturnTo::parse("/%09/evil.example"), None);
}

/// A Cookie field of separators only made the process crash where cookies are taken out for the application.
#[tokio::test]
async fn t03_cve_2023_28625_a_crafted_cookie_field_crashes_nothing() {
    let site = Site::new().await;
    let mine = cookies(&site.signed_in().await);
    let mine = mine.trim_start_matches("Cookie: ").trim_end();
    for field in
        ["", ";", ";;", "; ;", "=", ";=", "=;=", "lychgate", "lychgate=", "lychgate;", "=lychgate", " ; lychgate=; ;"]
    {
        assert_eq!(ask(&site, "GET /mine", &format!("Cookie: {field}\r\n")).await.status, 401, "{field:?}");
        assert_eq!(ask(&site, "GET /public/x", &format!("Cookie: {field}\r\n")).await.status, 200, "{field:?}");
        let left = site.application.last().header("cookie").unwrap_or_default();
        assert!(!left.to_lowercase().split(';').any(|part| part.trim().starts_with("lychgate=")), "{field:?}: {left}");
    }
    assert_eq!(
        ask(&site, "GET /mine", &format!("Cookie: ;;{mine};;=\r\n")).await.status,
        200,
        "and the next one is served"
    );
}

/// The number of a session's parts was taken from a cookie and counted to.
#[tokio::test]
async fn t03_cve_2024_24814_an_invented_number_of_chunks_costs_nothing() {
    let site = Site::new().await;
    let counts = ["99999999", "4294967295", "18446744073709551616", "-1", "0", "6", "9", "00000005", "+5", "5x", "0x5"];
    for count in counts {
        for field in [format!("lychgate={count}.AAAA"), format!("lychgate_chunks={count}; lychgate={count}")] {
            assert_eq!(ask(&site, "GET /mine", &format!("Cookie: {field}\r\n")).await.status, 401, "{field}");
        }
    }
    assert_eq!(site.application.seen().len(), 0);
}

/// Behind the page that sends people to the provider came the content that they had no right to.
#[tokio::test]
async fn t03_cve_2025_31492_nothing_of_the_application_follows_the_way_to_the_provider() {
    let site = Site::new().await;
    for (method, fields) in [
        ("GET", "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n"),
        ("HEAD", "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n"),
        ("GET", "Accept: application/json\r\n"),
        ("POST", "Accept: text/html\r\nContent-Length: 0\r\n"),
    ] {
        let mut wire = crate::harness::wire::Wire::connect(site.gateway.address()).await;
        let request = format!("{method} /private HTTP/1.1\r\nHost: {HOST}\r\n{fields}Connection: close\r\n\r\n");
        wire.send(request).await.unwrap();
        let all = String::from_utf8_lossy(&crate::harness::soon(wire.rest()).await).into_owned();
        let status: u16 = all.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(matches!(status, 302 | 401), "{method}: {all}");
        assert!(!all.contains("hello") && all.matches("HTTP/1.1").count() == 1, "{all}");
    }
    assert_eq!(site.application.seen().len(), 0, "the application was not even asked");
}

/// A POST without body or type, where forms are kept, made the process crash.
#[tokio::test]
async fn t03_cve_2025_3891_an_empty_form_without_session_crashes_nothing() {
    let site = Site::new().await;
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    for fields in ["", form, "Content-Type:\r\n", "Content-Type: ;\r\n", "Content-Type: multipart/form-data\r\n"] {
        for body in ["", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n"] {
            let end = if body.starts_with('T') { "0\r\n\r\n" } else { "" };
            let origin = format!("Origin: {}\r\nAccept: text/html\r\nSec-Fetch-Mode: navigate\r\n", site.url(""));
            let request = format!("POST /pay HTTP/1.1\r\nHost: {HOST}\r\n{origin}{fields}{body}\r\n{end}");
            let status = super::send(&site, request).await.status;
            assert!(matches!(status, 400 | 401 | 415), "{fields:?} {body:?}: {status}");
        }
    }
    assert_eq!(site.application.seen().len(), 0);
    let mut browser = site.signed_in().await;
    assert_eq!(browser.get(&site.url("/")).await.status, StatusCode::OK, "and the next one is served");
}
