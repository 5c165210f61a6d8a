//! Answers that caches in front may keep: none of them carries a cookie of ours.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};

use crate::harness::application::Application;
use crate::harness::browser::{Browser, Reply};
use crate::harness::gateway::{Setup, clock, provider};
use crate::harness::site::{IDENTITY, Site, ada, policy};

/// A site whose application says of its answers what the query says: `NAME=VALUE` fields, with `_` for a space.
async fn site() -> Site {
    let clock = clock();
    let provider = provider(&clock).await;
    provider.script().person = ada();
    provider.script().refresh_tokens = true;
    let application = Application::answering(IDENTITY, |seen| {
        let mut answer = Response::builder();
        for pair in seen.target.split_once('?').map(|(_, query)| query).into_iter().flat_map(|query| query.split('&')) {
            let (name, value) = pair.split_once(':').unwrap();
            answer = answer.header(name, value.replace('_', " ").replace("%22", "\""));
        }
        answer.body(Bytes::from_static(b"hello")).unwrap()
    })
    .await;
    let text = policy(&application.url()).replace("max = \"8h\"", "max = \"8h\"\nrefresh = \"1h\"");
    let gateway = Setup::new(&clock).provider(&provider).policy("app", &text).start().await;
    Site { clock, provider, application, gateway }
}

fn said(reply: &Reply) -> (bool, String) {
    let fields = reply.headers.get_all("cache-control").iter().map(|value| value.to_str().unwrap());
    (reply.headers.contains_key("set-cookie"), fields.collect::<Vec<_>>().join(" | "))
}

#[tokio::test]
async fn c04_no_cookie_of_ours_goes_out_with_an_answer_that_shared_caches_keep() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    for (fields, kept) in [
        ("cache-control:public,_max-age=3600", "private, max-age=3600"),
        ("cache-control:max-age=60,_s-maxage=600", "private, max-age=60"),
        ("cache-control:PUBLIC&cache-control:S-MaxAge=9,_immutable", "private, immutable"),
        ("cache-control:private=%22x-a,_x-b%22,_max-age=5", "private, max-age=5"),
        ("cache-control:max-age=5,_ext=%22a,_public%22", "private, max-age=5, ext=\"a, public\""),
        ("cache-control:max-age=5,_ext=%22a,_public", "private"),
        ("cache-control:no-cache", "private, no-cache"),
        ("last-modified:Tue,_01_Jan_2019_00:00:00_GMT", "private"),
        ("", "private"),
        ("cache-control:no-store", "no-store"),
        ("cache-control:max-age=5,_Private", "max-age=5, Private"),
        (
            "cache-control:public&cdn-cache-control:max-age=9&surrogate-control:max-age=9&x-cdn-cache-control:public",
            "private",
        ),
    ] {
        let url = site.url(if fields.is_empty() { "/asset" } else { "/asset?" }) + fields;
        let at_once = browser.fetch(Method::GET, &url).await;
        assert!(!said(&at_once).0, "{fields}: nothing is to be renewed");
        let untouched: Vec<_> = fields.split('&').filter_map(|pair| pair.strip_prefix("cache-control:")).collect();
        assert_eq!(
            said(&at_once).1,
            untouched.join(" | ").replace('_', " ").replace("%22", "\""),
            "{fields}: as it came"
        );
        site.clock.advance(Duration::from_secs(10 * 60));
        // Every sixth time the session is refreshed as well, which brings two cookies.
        let renewed = browser.fetch(Method::GET, &url).await;
        assert_eq!((renewed.status, said(&renewed)), (StatusCode::OK, (true, kept.to_owned())), "{fields}");
        for name in ["cdn-cache-control", "surrogate-control", "x-cdn-cache-control"] {
            assert!(!renewed.headers.contains_key(name), "{name} speaks to caches in front");
        }
    }
    assert_eq!(site.provider.refreshes(), 2);
}

#[tokio::test]
async fn c04_what_an_application_says_to_caches_passes_as_it_is_where_no_cookie_goes_out() {
    const SAID: [(&str, &str); 12] = [
        ("age", "7"),
        ("cache-control", "public, max-age=3600, s-maxage=60"),
        ("cdn-cache-control", "max-age=9"),
        ("edge-control", "cache-maxage=9"),
        ("etag", "\"a\""),
        ("expires", "Tue, 01 Jan 2030 00:00:00 GMT"),
        ("last-modified", "Tue, 01 Jan 2019 00:00:00 GMT"),
        ("pragma", "no-cache"),
        ("surrogate-control", "max-age=9"),
        ("vary", "accept, cookie"),
        ("x-accel-expires", "9"),
        ("x-cdn-cache-control", "public"),
    ];
    let site = site().await;
    let ada = site.signed_in().await;
    let written = |(name, value): (&str, &str)| format!("{name}:{}", value.replace(' ', "_").replace('"', "%22"));
    for said in [&SAID[..], &[]].into_iter().chain(SAID.iter().map(std::slice::from_ref)) {
        let query: Vec<String> = said.iter().copied().map(written).collect();
        for (mut browser, page) in [(Browser::new(), "/public/asset"), (ada.clone(), "/asset")] {
            let separator = if said.is_empty() { "" } else { "?" };
            let reply = browser.fetch(Method::GET, &site.url(&format!("{page}{separator}{}", query.join("&")))).await;
            assert_eq!((reply.status, reply.headers.contains_key("set-cookie")), (StatusCode::OK, false), "{said:?}");
            let spoken = SAID.iter().filter_map(|(name, _)| Some((*name, reply.header(name)?)));
            assert_eq!(spoken.collect::<Vec<_>>(), said, "{page}");
        }
    }
}
