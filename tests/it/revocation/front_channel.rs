//! Front-channel logout: OpenID Connect Front-Channel Logout 1.0, sections 2 and 3.

use super::okta::Disk;
use super::{Site, listening, site};
use crate::harness::browser::Browser;
use crate::harness::site::{parameter, policy};

const PATH: &str = "/.lychgate/frontchannel-logout";

fn address(site: &Site, pairs: &[(&str, &str)]) -> String {
    let mut url = url::Url::parse(&site.url(PATH)).unwrap();
    url.query_pairs_mut().extend_pairs(pairs);
    assert!(pairs.is_empty() || parameter(url.as_str(), pairs[0].0).is_some());
    url.into()
}

#[tokio::test]
async fn l05_front_channel_logout_ends_the_one_session_of_our_issuer_and_may_be_framed_by_it() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    let iss = site.provider.issuer().to_owned();
    for pairs in [
        &[][..],
        &[("iss", iss.as_str())],
        &[("sid", "session-1")],
        &[("iss", "https://other.example"), ("sid", "session-1")],
        &[("iss", iss.as_str()), ("sid", "")],
        &[("iss", iss.as_str()), ("sid", "session-1"), ("sid", "session-1")],
        &[("iss", iss.as_str()), ("iss", iss.as_str()), ("sid", "session-1")],
    ] {
        let reply = browser.get(&address(&site, pairs)).await;
        assert_eq!(reply.status.as_u16(), 400, "{pairs:?}");
        assert!(reply.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"), "{pairs:?}");
    }
    let other = [("iss", iss.as_str()), ("sid", "session-2")];
    assert_eq!(browser.get(&address(&site, &other)).await.status.as_u16(), 200);
    assert_eq!(site.status(&mut browser).await, 200);

    // No cookie comes along: browsers send none into a frame of another site.
    let reply = Browser::new().get(&address(&site, &[("iss", &iss), ("sid", "session-1")])).await;
    assert_eq!(reply.status.as_u16(), 200);
    let policy = reply.header("content-security-policy").unwrap();
    assert!(policy.ends_with(&format!("frame-ancestors {iss}")), "{policy}");
    assert_eq!((reply.header("x-frame-options"), reply.header("pragma")), (None, Some("no-cache")));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(site.status(&mut browser).await, 401);
}

#[tokio::test]
async fn l05_our_own_cookie_in_the_frame_ends_its_session_for_good() {
    let mut site = site().await;
    let mut browser = site.signed_in().await;
    let iss = site.provider.issuer().to_owned();
    let reply = browser.get(&address(&site, &[("iss", &iss), ("sid", "session-1")])).await;
    assert_eq!((reply.status.as_u16(), site.status(&mut browser).await), (200, 401));
    site.gateway = site.gateway.restart(&site.clock).await;
    assert_eq!(site.status(&mut browser).await, 401);
}

#[tokio::test]
async fn l05_what_could_not_be_written_down_is_no_success_and_counted_as_none() {
    let site = Site::with(policy, |setup| listening(setup).keeper(Disk::default())).await;
    let mut browser = site.signed_in().await;
    let iss = site.provider.issuer().to_owned();
    let reply = Browser::new().get(&address(&site, &[("iss", &iss), ("sid", "session-1")])).await;
    assert_eq!(reply.status.as_u16(), 503);
    let policy = reply.header("content-security-policy").unwrap();
    assert!(policy.ends_with(&format!("frame-ancestors {iss}")), "{policy}");
    assert_eq!(site.status(&mut browser).await, 401, "it holds all the same");
    let metrics = browser.get(&format!("http://{}/metrics", site.gateway.admin())).await.text();
    let counted = r#"lychgate_signals_total{endpoint="frontchannel_logout",outcome="signal_not_kept"} 1"#;
    assert!(metrics.contains(counted) && !metrics.contains(r#"outcome="accepted""#), "{metrics}");
}
