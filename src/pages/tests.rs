//! What people and programs are shown, page by page, and that nothing can break out of it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::*;

const ID: &str = "01JD3V7C6S";

fn every_page() -> Vec<Page<'static>> {
    let (app, retry_url) = ("royalty", "/statements?year=2026");
    static ME: LazyLock<Me<'static>> = LazyLock::new(|| Me {
        app: "royalty",
        who: "ada",
        facts: vec![("Provider", "okta".to_owned()), ("Ends at", "2026-11-25 20:00 UTC".to_owned())],
        claims: vec![("groups", "[\"staff\"]".to_owned())],
        action: "/.lychgate/logout",
        token: "t0ken",
        back_url: "/",
        provider: None,
    });
    vec![
        Page::Me(&ME),
        Page::SignedOut { app, sign_in_url: "/" },
        Page::SignOut {
            app,
            action: "/.lychgate/logout",
            token: "t0ken",
            stay_url: "/",
            provider: Some("https://idp.example"),
        },
        Page::Forbidden { app, person: Some("Ada Lovelace"), sign_out_url: Some("/.lychgate/logout") },
        Page::Forbidden { app, person: None, sign_out_url: None },
        Page::StepUpFailed { app, retry_url },
        Page::SignInRequired { app, sign_in_url: retry_url },
        Page::SessionOver { app, sign_in_url: retry_url },
        Page::FormKept {
            app,
            path: "/statements",
            action: "/.lychgate/resend",
            token: "t0ken",
            sign_in_url: "/.lychgate/sign-in?for=/",
        },
        Page::FormUnsent { app, path: "/statements", action: "/.lychgate/resend", token: "t0ken" },
        Page::FormUnderWay { app, path: "/statements", action: "/.lychgate/resend", token: "t0ken" },
        Page::FormNotKept { app, reason: "it is larger than 1 MiB", sign_in_url: "/" },
        Page::SignedIn { app },
        Page::LoginFailed {
            what: "The sign-in took longer than ten minutes.",
            advice: "Start again; your password was not the problem.",
            retry_url: Some(retry_url),
        },
        Page::ProviderUnavailable { retry_url },
        Page::Unavailable { app, retry_url: Some(retry_url) },
        Page::Timeout { app, retry_url: None },
        Page::BadRequest { reason: "the path holds an encoded control character" },
        Page::NetworkDenied,
        Page::TooManyRequests { wait: 1 },
        Page::TooManyRequests { wait: 42 },
        Page::TooManyRequests { wait: 91 },
        Page::NotFound,
        Page::TooLarge,
        Page::HeadTooLarge,
        Page::RequestTimeout,
        Page::Overloaded,
    ]
}

fn html(page: &Page<'_>) -> String {
    String::from_utf8(page.html(ID).body.to_vec()).unwrap()
}

/// The body of a page, without the head that all have alike.
fn main_part(page: &Page<'_>) -> String {
    let text = html(page);
    let start = text.find("<h1>").unwrap();
    text[start..text.find("</main>").unwrap()].to_owned()
}

#[test]
fn every_page_says_what_happened_and_what_to_do() {
    let mut shown = String::new();
    for page in every_page() {
        let csp = page.html(ID).csp;
        let json = String::from_utf8(page.json(ID).to_vec()).unwrap();
        shown.push_str(&format!("=== {} {}\n", page.status().as_u16(), page.code()));
        shown.push_str(&format!("{}\n{json}\n{}\n\n", main_part(&page).trim(), csp.to_str().unwrap()));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn the_whole_page_is_one_document_with_its_own_style_only() {
    insta::assert_snapshot!(html(&Page::NotFound));
    for page in every_page() {
        let text = html(&page);
        for part in ["<!doctype html>", "<html lang=\"en\">", "<main>", "name=\"viewport\"", "color-scheme", ID] {
            assert!(text.contains(part), "{part} missing in {page:?}");
        }
        assert_eq!(text.matches("<h1>").count(), 1, "{page:?}");
        for part in ["<script", "<img", "<link", "@import", "url(", " style="] {
            assert!(!text.contains(part), "{part} in {page:?}");
        }
    }
}

#[test]
fn the_policy_names_the_hash_of_the_style_that_stands_in_the_page() {
    use base64::Engine as _;
    use sha2::Digest as _;
    let page = Page::NotFound.html(ID);
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    let style = text.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(style));
    assert!(page.csp.to_str().unwrap().contains(&format!("style-src 'sha256-{hash}'")), "{:?}", page.csp);
}

/// Every page that shows anything of others, with the worst in each place; `address` is where it leads.
fn hostile_pages<'a>(hostile: &'a str, address: &'a str, me: &'a Me<'a>) -> Vec<Page<'a>> {
    let (app, token, path, reason) = (hostile, hostile, hostile, hostile);
    let (retry_url, sign_in_url, action) = (address, address, "/x\"><script>alert(1)</script>");
    vec![
        Page::Me(me),
        Page::SignedOut { app, sign_in_url },
        Page::SignOut { app, action, token, stay_url: address, provider: me.provider },
        Page::TokenRefused { reason, code: None },
        Page::Forbidden { app, person: Some(hostile), sign_out_url: Some(address) },
        Page::StepUpFailed { app, retry_url },
        Page::SignInRequired { app, sign_in_url },
        Page::SessionOver { app, sign_in_url },
        Page::FormKept { app, path, action, token, sign_in_url },
        Page::FormUnsent { app, path, action, token },
        Page::FormUnderWay { app, path, action, token },
        Page::FormNotKept { app, reason, sign_in_url },
        Page::SignedIn { app },
        Page::LoginFailed { what: hostile, advice: hostile, retry_url: Some(retry_url) },
        Page::ProviderUnavailable { retry_url },
        Page::Unavailable { app, retry_url: Some(retry_url) },
        Page::Timeout { app, retry_url: Some(retry_url) },
        Page::BadRequest { reason },
    ]
}

#[test]
fn nothing_breaks_out_of_its_place() {
    let hostile = "\"><script>alert(1)</script><a href='x' onclick=\"y\">&{{ 7*7 }}";
    for address in ["/x\"><script>alert(1)</script>", "/'><script>", "javascript:alert(1)", "//evil.example/"] {
        let me = Me {
            app: hostile,
            who: hostile,
            facts: vec![("Provider", hostile.to_owned())],
            claims: vec![(hostile, hostile.to_owned())],
            action: "/.lychgate/logout",
            token: hostile,
            back_url: address,
            provider: Some("https://a; script-src 'unsafe-inline'"),
        };
        let pages = hostile_pages(hostile, address, &me);
        let kinds = |pages: &[Page<'_>]| pages.iter().map(|page| page.code().to_owned()).collect::<BTreeSet<_>>();
        let plain = [
            "network_denied",
            "too_many_requests",
            "not_found",
            "too_large",
            "head_too_large",
            "request_timeout",
            "overloaded",
        ];
        let left: Vec<_> = kinds(&every_page()).difference(&kinds(&pages)).cloned().collect();
        assert!(left.iter().all(|kind| plain.contains(&&**kind)), "{left:?} are not looked at");
        for page in pages {
            let rendered = page.html(hostile);
            let text = String::from_utf8(rendered.body.to_vec()).unwrap();
            for part in ["<script", "onclick=\"", "javascript:", "href=\"//", "<a href='", ">49<", "&49"] {
                assert!(!text.contains(part), "{part} of {address} in\n{text}");
            }
            assert!(!rendered.csp.to_str().unwrap().contains("script-src"), "{:?}", rendered.csp);
            let json: serde_json::Value = serde_json::from_slice(&page.json(hostile)).unwrap();
            assert_eq!(json["request_id"], hostile);
        }
    }
}

#[test]
fn whom_to_ask_stands_above_the_number_that_is_quoted_and_is_escaped() {
    let contact = Some("the desk <b>, desk@gmr.example & 555");
    let foot = Foot { request_id: ID, contact };
    for page in every_page() {
        let text = String::from_utf8(page.html(foot).body.to_vec()).unwrap();
        let shown = format!("Contact: the desk &lt;b&gt;, desk@gmr.example &amp; 555<br>Request id: <code>{ID}</code>");
        assert!(text.contains(&shown), "{text}");
        assert!(!html(&page).contains("Contact: "), "{page:?}");
        let json: serde_json::Value = serde_json::from_slice(&page.json(foot)).unwrap();
        assert_eq!(json["contact"].as_str(), contact);
        let json: serde_json::Value = serde_json::from_slice(&page.json(ID)).unwrap();
        assert!(json.get("contact").is_none());
    }
}

#[test]
fn answers_carry_their_security_headers_in_both_forms() {
    for page in every_page() {
        for (form, kind) in [(Form::Html, "text/html; charset=utf-8"), (Form::Json, "application/json")] {
            let answer = page.answer(form, ID);
            assert_eq!(answer.status(), page.status());
            for (name, value) in [
                ("content-type", kind),
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                ("cache-control", "no-store"),
                ("x-frame-options", "DENY"),
            ] {
                assert_eq!(answer.headers()[name], value, "{page:?}");
            }
            let csp = answer.headers()["content-security-policy"].to_str().unwrap();
            assert!(csp.starts_with("default-src 'none'; ") && csp.contains("frame-ancestors 'none'"), "{csp}");
        }
    }
}

#[test]
fn json_is_for_those_that_ask_for_it() {
    for (accept, form) in [
        (None, Form::Html),
        (Some("*/*"), Form::Html),
        (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Form::Html),
        (Some("application/json"), Form::Json),
        (Some("application/json, text/plain, */*"), Form::Json),
        (Some("APPLICATION/PROBLEM+JSON;q=1"), Form::Json),
        (Some("application/json, text/html"), Form::Html),
    ] {
        let field = accept.map(HeaderValue::from_static);
        assert_eq!(Form::wanted(field.as_ref()), form, "{accept:?}");
    }
}
