//! Several gateways that share their keys, while these are turned: in the order of the documentation nobody notices (C01).

use http::Method;

use super::Fleet;
use crate::harness::browser::Browser;
use crate::harness::gateway::{HOST, TestGateway};
use crate::harness::soon;
use crate::harness::wire::Wire;

/// What becomes of a session of `one` at `other`, and of a login that began at `one` when its response comes to `other`.
async fn across(one: &TestGateway, other: &TestGateway) -> (u16, u16) {
    let mut browser = Browser::new();
    assert_eq!(browser.open(&one.url("/")).await.text(), "hello");
    let session = browser.fetch(Method::GET, &other.url("/")).await.status.as_u16();
    let mut browser = Browser::new();
    let asked = browser.get(&one.url("/")).await.location().unwrap();
    let back = url::Url::parse(&browser.get(&asked).await.location().unwrap()).unwrap();
    // A load balancer has one address for both nodes.
    let pairs = browser.cookies[HOST].iter().map(|(name, cookie)| format!("{name}={}", cookie.value));
    let (cookies, port) = (pairs.collect::<Vec<_>>().join("; "), one.address().port());
    let target = &back[url::Position::BeforePath..url::Position::AfterQuery];
    let mut wire = Wire::connect(other.address()).await;
    let fields = format!("Host: {HOST}:{port}\r\nCookie: {cookies}\r\nAccept: text/html");
    wire.send(format!("GET {target} HTTP/1.1\r\n{fields}\r\n\r\n")).await.unwrap();
    (session, soon(wire.reply(false)).await.unwrap().status)
}

#[tokio::test]
async fn c01_a_key_that_is_turned_in_two_restarts_signs_nobody_out_on_any_node() {
    let fleet = Fleet::new().await;
    let [old, new] = fleet.keys.each_ref().map(String::as_str);
    let good = (200, 302);
    // The new key second, then first; each time there is a moment in which one node has been restarted and the other has not.
    for (before, after) in [(&[old][..], &[old, new][..]), (&[old, new], &[new, old])] {
        let (waiting, restarted) = (fleet.start(before).await, fleet.start(after).await);
        assert_eq!(across(&restarted, &waiting).await, good);
        assert_eq!(across(&waiting, &restarted).await, good);
    }
    // First at once: what the node that was restarted seals, the other cannot open.
    let (waiting, restarted) = (fleet.start(&[old]).await, fleet.start(&[new, old]).await);
    assert_eq!(across(&waiting, &restarted).await, good);
    let lost = (401, 400);
    assert_eq!(across(&restarted, &waiting).await, lost);
}
