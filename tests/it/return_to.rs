//! Where a person is after signing in: the page asked for, and never another origin, whatever the first request was.
//!
//! Every `Location` is resolved with the parser that browsers' own follow (the URL standard).

use http::StatusCode;
use lychgate::oidc::MAX_RESPONSE;
use url::Url;

use crate::harness::browser::Browser;
use crate::harness::gateway::HOST;
use crate::harness::site::{Site, parameter, policy};
use crate::harness::wire::Wire;

include!("../data/return_to.rs");

/// Sends a navigation with exactly this target; the pending login's cookie and the address at the provider, if one began.
pub(crate) async fn navigate(site: &Site, target: &str) -> (u16, Option<(String, String)>) {
    let mut wire = Wire::connect(site.gateway.address()).await;
    let port = site.gateway.address().port();
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {HOST}:{port}\r\nAccept: text/html\r\nSec-Fetch-Mode: navigate\r\nConnection: close\r\n\r\n"
    );
    wire.send(request).await.unwrap();
    let Some(reply) = wire.reply(false).await else { return (0, None) };
    let begun = reply.header("location").map(str::to_owned).zip(reply.header("set-cookie").map(str::to_owned));
    (reply.status, begun)
}

/// Finishes the login and returns where the browser is sent, as it is written and as a browser reads it.
pub(crate) async fn finish(site: &Site, authorize_url: &str, cookie: &str) -> (String, Url) {
    let mut browser = Browser::new();
    let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
    browser.plant(HOST, name, value);
    let back = site.come_back(&mut browser, authorize_url).await;
    let reply = browser.get(&back).await;
    assert_eq!(reply.status, StatusCode::FOUND);
    let written = reply.header("location").unwrap().to_owned();
    (written, Url::parse(&reply.location().unwrap()).unwrap())
}

#[tokio::test]
async fn o01_no_first_request_leads_to_another_origin() {
    let site = Site::new().await;
    let own = Url::parse(&site.url("/")).unwrap().origin();
    let port = site.gateway.address().port();
    let forms = [
        "//evil.example/",
        "///evil.example",
        "/\\evil.example",
        "/%5cevil.example",
        "/%09/evil.example",
        "/./evil.example//x",
        "/.//evil.example",
        "/a/..//evil.example",
        "/%2fevil.example",
        "/?next=//evil.example",
        "/;@evil.example",
        "/@evil.example",
        "/%0d%0aLocation:%20https://evil.example",
        "https://evil.example/",
        "http:evil.example",
        "//evil.example%2f..",
        "/\u{ff0f}evil.example",
        "*",
        "evil.example",
        "?//evil.example",
    ];
    let agreeing = format!("http://{HOST}:{port}//evil.example/x");
    let foreign = format!("http://{HOST}:{port}@evil.example/");
    let hostile = lines(HOSTILE).filter(|line| line.bytes().all(|byte| byte.is_ascii_graphic()));
    let targets = forms.map(str::to_owned).into_iter().chain([agreeing, foreign]).chain(hostile);
    let (mut begun, mut refused) = (0, 0);
    for target in targets {
        let (status, login) = navigate(&site, &target).await;
        let Some((authorize_url, cookie)) = login else {
            // The gateway's own pages answer for themselves.
            let own_page = status == 200 && target.contains("lychgate");
            assert!(status == 0 || (400..500).contains(&status) || own_page, "{target}: {status}");
            refused += 1;
            continue;
        };
        begun += 1;
        assert!(authorize_url.starts_with(site.provider.issuer()), "{target}");
        let redirect_uri = Url::parse(&parameter(&authorize_url, "redirect_uri").unwrap()).unwrap();
        assert_eq!(redirect_uri.origin(), own, "{target}");
        let (written, resolved) = finish(&site, &authorize_url, &cookie).await;
        assert_eq!(resolved.origin(), own, "{target} leads to {written}");
        assert!(written.starts_with('/') && !written.starts_with("//") && !written.contains('\\'), "{written}");
    }
    assert!(begun >= 60 && refused >= 200, "{begun} begun, {refused} refused");
    assert_eq!(site.application.seen().len(), 0);
}

/// No address comes in as a parameter: what other gateways follow is not read, and `for` names an application and is compared.
#[tokio::test]
async fn o01_no_address_in_a_parameter_makes_any_difference_to_an_answer() {
    let site = Site::new().await;
    let (stranger, ada) = (Browser::new(), site.signed_in().await);
    for (who, parameter) in [
        (&stranger, "sign-in?for"),
        (&ada, "sign-in?for"),
        (&stranger, "callback?target_link_uri"),
        (&ada, "callback?target_link_uri"),
        (&ada, "logout?post_logout_redirect_uri"),
        (&stranger, "signed-out?post_logout_redirect_uri"),
    ] {
        let (page, _) = parameter.split_once('?').unwrap();
        let without = who.clone().get(&site.url(&format!("/.lychgate/{page}"))).await.without_what_is_drawn();
        for address in lines(HOSTILE) {
            let value: String = url::form_urlencoded::byte_serialize(address.as_bytes()).collect();
            if page == "callback" && value.len() > MAX_RESPONSE / 2 {
                // A response that long is not read at all, which is said in other words.
                continue;
            }
            let reply = who.clone().get(&site.url(&format!("/.lychgate/{parameter}={value}"))).await;
            assert_eq!(reply.without_what_is_drawn(), without, "{parameter}: {address:?}");
        }
    }
    // The one that is compared does something where it names an application.
    let begun = stranger.clone().get(&site.url("/.lychgate/sign-in?for=%2F")).await;
    assert!(begun.location().unwrap().starts_with(site.provider.issuer()));
    assert_eq!(site.application.seen().len(), 1, "Ada's first request alone");
}

#[tokio::test]
async fn o02_good_addresses_survive_unchanged() {
    let site = Site::new().await;
    let mut count = 0;
    // What no client may send in a request line is for the type's own tests.
    for address in lines(GOOD).filter(|line| line.bytes().all(|byte| byte.is_ascii_graphic())) {
        let (status, login) = navigate(&site, &address).await;
        let (authorize_url, cookie) = login.unwrap_or_else(|| panic!("{address}: {status}"));
        let (written, resolved) = finish(&site, &authorize_url, &cookie).await;
        assert_eq!(written, address);
        assert_eq!(resolved.as_str(), site.url(&as_browsers_write(&address)));
        count += 1;
    }
    assert!(count >= 60, "{count} addresses");
}

#[tokio::test]
async fn o02_an_address_that_is_too_long_to_keep_leads_to_the_root() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    let reply = browser.open(&site.url(&format!("/statements?{}", "x".repeat(4000)))).await;
    assert_eq!((reply.status, reply.url), (StatusCode::OK, site.url("/")));
}

#[tokio::test]
async fn o01_who_comes_in_clear_text_is_sent_to_https_on_the_same_host() {
    let listeners =
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\nscheme = \"https\"\n";
    let site =
        Site::with(|upstream| policy(upstream).replace(HOST, "app.example"), |setup| setup.listeners(listeners)).await;
    for target in [
        "/statements?next=//evil.example",
        "//evil.example/",
        "/./evil.example",
        "/public/x",
        "/.lychgate/callback?code=1",
    ] {
        let mut wire = Wire::connect(site.gateway.address()).await;
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: app.example:80\r\nAccept: text/html\r\nConnection: close\r\n\r\n");
        wire.send(request).await.unwrap();
        let reply = wire.reply(false).await.unwrap();
        assert_eq!((reply.status, reply.header("set-cookie")), (308, None), "{target}");
        let location = Url::parse(reply.header("location").unwrap()).unwrap();
        assert_eq!(location.origin().ascii_serialization(), "https://app.example", "{target}");
    }
    let mut wire = Wire::connect(site.gateway.address()).await;
    wire.send("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").await.unwrap();
    let reply = wire.reply(false).await.unwrap();
    assert_eq!((reply.status, reply.header("location")), (404, None));
    assert_eq!(site.application.seen().len(), 0);
}
