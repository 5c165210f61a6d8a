//! Who may have a connection, and how many of them (D03).

use super::{IDENTITY, Plan, Site, anonymous};
use crate::harness::application::Application;
use crate::harness::soon;
use crate::harness::wire::Wire;

const TRUSTED: &str = "trusted_proxies = [\"127.0.0.1\"]\n[limits]\nconnections_per_address = 2\n";
const BEHIND: &str =
    "[[listeners]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n[[listeners]]\naddress = \"127.0.0.1:0\"\n";

/// A connection of `client`, as a load balancer opens it, with one answer on it; none when it was turned away.
async fn connect_from(site: &Site, client: &str) -> Option<Wire> {
    let mut wire = site.connect().await;
    let (family, server) = if client.contains(':') { ("TCP6", "2001:db8::1") } else { ("TCP4", "192.0.2.1") };
    let header = format!("PROXY {family} {client} {server} 50000 443\r\n");
    let _ = wire.send(format!("{header}{}", anonymous("GET /public/x", "", ""))).await;
    soon(wire.reply(false)).await.filter(|reply| reply.status == 200).map(|_| wire)
}

/// Waits until `client` is let in.
async fn let_in(site: &Site, client: &str) {
    soon(async { while connect_from(site, client).await.is_none() {} }).await;
}

#[tokio::test]
async fn d03_a_connection_beyond_the_cap_of_its_address_is_turned_away_and_others_are_served() {
    let application = Application::start(IDENTITY).await;
    let upstream = format!("\"{}\"", application.url());
    let site = Plan { upstream: &upstream, settings: TRUSTED, listeners: BEHIND, ..Plan::default() }.start().await;
    for (client, same, other) in [
        ("198.51.100.7", "198.51.100.7", "198.51.100.8"),
        ("2001:db8:0:7::1", "2001:db8:0:7:ffff::2", "2001:db8:0:8::1"),
    ] {
        let mut held = vec![connect_from(&site, client).await.unwrap(), connect_from(&site, same).await.unwrap()];
        assert!(connect_from(&site, same).await.is_none(), "{same}");
        assert!(connect_from(&site, other).await.is_some(), "{other}");
        for wire in &mut held {
            wire.send(anonymous("GET /public/x", "", "")).await.unwrap();
            assert_eq!(soon(wire.reply(false)).await.unwrap().status, 200);
        }
        drop(held);
        // Places become free again.
        let_in(&site, same).await;
    }
}

#[tokio::test]
async fn d03_a_trusted_proxy_is_not_counted() {
    let application = Application::start(IDENTITY).await;
    let upstream = format!("\"{}\"", application.url());
    let site = Plan { upstream: &upstream, settings: TRUSTED, ..Plan::default() }.start().await;
    let mut held = Vec::new();
    for _ in 0..6 {
        let mut wire = site.connect().await;
        wire.send(anonymous("GET /public/x", "", "")).await.unwrap();
        assert_eq!(soon(wire.reply(false)).await.unwrap().status, 200);
        held.push(wire);
    }
}

#[tokio::test]
async fn d03_a_client_that_speaks_for_itself_is_counted() {
    let application = Application::start(IDENTITY).await;
    let upstream = format!("\"{}\"", application.url());
    let settings = "[limits]\nconnections_per_address = 2\n";
    let site = Plan { upstream: &upstream, settings, ..Plan::default() }.start().await;
    let mut held = Vec::new();
    while held.len() < 2 {
        // Connections of the sign-in may still be closing.
        let mut wire = site.connect().await;
        let _ = wire.send(anonymous("GET /public/x", "", "")).await;
        if soon(wire.reply(false)).await.is_some() {
            held.push(wire);
        }
    }
    let mut refused = site.connect().await;
    let _ = refused.send(anonymous("GET /public/x", "", "")).await;
    assert!(soon(refused.reply(false)).await.is_none());
}

#[tokio::test]
async fn d03_networks_of_a_listener_let_in_and_keep_out() {
    let application = Application::start(IDENTITY).await;
    let upstream = format!("\"{}\"", application.url());
    let listeners = "[[listeners]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n\
        allow = [\"198.51.100.0/24\", \"2001:db8::/32\"]\ndeny = [\"198.51.100.128/25\"]\n\
        [[listeners]]\naddress = \"127.0.0.1:0\"\n";
    let site = Plan { upstream: &upstream, settings: TRUSTED, listeners, ..Plan::default() }.start().await;
    for (client, admitted) in [
        ("198.51.100.7", true),
        ("2001:db8::7", true),
        ("198.51.100.200", false),
        ("203.0.113.1", false),
        ("2001:db9::7", false),
        // An IPv4 address in an IPv6 header is the IPv4 address.
        ("::ffff:198.51.100.7", true),
        ("::ffff:198.51.100.200", false),
    ] {
        assert_eq!(connect_from(&site, client).await.is_some(), admitted, "{client}");
    }
    // Who is not announced is the peer, which is outside.
    let mut wire = site.connect().await;
    let _ = wire.send(format!("PROXY UNKNOWN\r\n{}", anonymous("GET /public/x", "", ""))).await;
    assert!(soon(wire.reply(false)).await.is_none());
}

#[tokio::test]
async fn d03_networks_are_of_one_listener_only_and_nothing_is_read_of_others() {
    let application = Application::start(IDENTITY).await;
    let upstream = format!("\"{}\"", application.url());
    let listeners = "[[listeners]]\naddress = \"127.0.0.1:0\"\ndeny = [\"127.0.0.0/8\"]\n\
        [[listeners]]\naddress = \"127.0.0.1:0\"\nallow = [\"127.0.0.1\"]\n";
    let site = Plan { upstream: &upstream, listeners, ..Plan::default() }.start().await;
    let mut outside = site.connect().await;
    let _ = outside.send(anonymous("GET /public/x", "", "")).await;
    assert!(soon(outside.reply(false)).await.is_none());
    let mut inside = Wire::connect(*site.gateway.running().addresses().last().unwrap()).await;
    inside.send(anonymous("GET /public/x", "", "")).await.unwrap();
    assert_eq!(soon(inside.reply(false)).await.unwrap().status, 200);
    assert_eq!(application.seen().len(), 1);
}
