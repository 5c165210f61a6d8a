//! Many tabs and a large session: a browser's cookies stay few enough for a request's head.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use super::{groups, quiet};
use crate::harness::browser::Browser;
use crate::harness::gateway::HOST;
use crate::harness::site::Site;

/// Bytes of the cookies that a browser sends.
fn bytes(browser: &Browser) -> usize {
    browser.cookies[HOST].iter().map(|(name, cookie)| name.len() + cookie.value.len() + 3).sum()
}

#[tokio::test]
async fn c08_tabs_with_long_addresses_and_a_large_session_do_not_lock_the_browser_out() {
    for at_once in [false, true] {
        let site = Site::with(quiet, |setup| setup).await;
        site.provider.script().person =
            vec![("preferred_username".to_owned(), json!("ada")), ("groups".to_owned(), groups(80))];
        let (mut browser, mut begun) = (Browser::new(), Vec::new());
        let address = |tab: usize| site.url(&format!("/tab/{tab}?{}", "x".repeat(1950)));
        for tab in 0..8 {
            site.clock.advance(Duration::from_secs(1));
            // Tabs that are asked for before the browser has any cookie know nothing of each other.
            let mut asking = if at_once { Browser::new() } else { browser.clone() };
            begun.push(asking.get(&address(tab)).await.location().unwrap());
            let cookies = asking.cookies.remove(HOST).unwrap();
            match at_once {
                true => browser.cookies.entry(HOST.to_owned()).or_default().extend(cookies),
                false => drop(browser.cookies.insert(HOST.to_owned(), cookies)),
            }
        }
        for (tab, begun) in begun.iter().enumerate() {
            let reply = browser.open(begun).await;
            assert_eq!(reply.status, StatusCode::OK, "tab {tab}, at once: {at_once}");
            // The newest arrive where they wanted to; a tab whose login had to make room arrives at the application.
            assert!(reply.url == address(tab) || (tab > 0 && tab < 5 && reply.url == site.url("/")), "{}", reply.url);
            assert!(bytes(&browser) <= 24 * 1024, "{} bytes", bytes(&browser));
        }
        assert_eq!(browser.open(&site.url("/")).await.text(), "hello");
    }
}

#[tokio::test]
async fn c08_tabs_leave_room_in_a_head_that_may_be_short() {
    let site = Site::with(quiet, |setup| setup.settings("[limits]\nheader_bytes = \"16KiB\"\n")).await;
    let mut browser = Browser::new();
    for tab in 0..8 {
        let reply = browser.get(&site.url(&format!("/tab/{tab}?{}", "x".repeat(1950)))).await;
        assert_eq!(reply.status, StatusCode::FOUND, "tab {tab}");
        assert!(bytes(&browser) <= 12 * 1024, "{} bytes", bytes(&browser));
    }
}
