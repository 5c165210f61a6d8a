//! What was ended while a clock was ahead, after the clock was set right.

use std::time::Duration;

use super::signing_out::sign_out;
use super::{later, site};

#[tokio::test]
async fn l04_c11_whoever_was_ended_while_the_clock_was_ahead_is_told_until_when_and_sent_in_no_circle() {
    let site = site().await;
    site.clock.advance(Duration::from_secs(3600));
    let mut browser = site.signed_in().await;
    assert_eq!(sign_out(&site, &mut browser, "everywhere=1").await, 302);
    site.clock.set_back(Duration::from_secs(3600));
    // Redirected more than twenty times, this panics.
    let reply = browser.open(&site.url("/statements")).await;
    assert_eq!(reply.status.as_u16(), 503, "{}", reply.text());
    assert_eq!(reply.header("retry-after"), Some("3601"));
    assert_eq!(site.status(&mut browser).await, 401);
    site.clock.advance(Duration::from_secs(3600));
    later(&site);
    assert_eq!(browser.open(&site.url("/statements")).await.text(), "hello");
    let log = site.gateway.stop().await;
    assert_eq!(log.iter().filter(|line| line["reason"] == "ended_ahead").count(), 1, "{log:#?}");
}
