//! Requests that can be framed in two ways reach nobody, and nothing behind them is read (H01, H05).

use serde::Deserialize;

use super::{IDENTITY, anonymous, site};
use crate::harness::application::Application;
use crate::harness::soon;
use crate::harness::wire::RawApplication;

#[derive(Deserialize)]
struct Cases {
    refused: Vec<Refused>,
    broken: Vec<Broken>,
}

#[derive(Deserialize)]
struct Refused {
    rfc: String,
    reason: String,
    heads: Vec<String>,
}

#[derive(Deserialize)]
struct Broken {
    rfc: String,
    bodies: Vec<String>,
}

fn cases() -> Cases {
    toml::from_str(include_str!("../../data/http1.toml")).unwrap()
}

#[tokio::test]
async fn h01_what_can_be_framed_in_two_ways_is_refused_and_ends_the_connection() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    let behind = anonymous("GET /public/smuggled", "", "");
    let mut expected = Vec::new();
    for Refused { rfc, reason, heads } in cases().refused {
        for head in heads {
            let mut client = site.connect().await;
            client.send(format!("{head}{behind}")).await.unwrap();
            let reply = soon(client.reply(false)).await.unwrap_or_else(|| panic!("no answer to {head:?}"));
            assert_eq!(reply.status, 400, "{rfc}: {head:?}");
            assert_eq!(soon(client.rest()).await, b"", "{rfc}: {head:?}");
            expected.push((reason.clone(), head));
        }
    }
    assert_eq!(application.seen().len(), 0);
    let log = site.log().await;
    assert_eq!(log.len(), expected.len());
    let mut found: Vec<_> = log.iter().map(|line| line["reason"].as_str().unwrap().to_owned()).collect();
    assert!(log.iter().all(|line| line["status"] == 400 && line["decision"] == "refused"), "{log:#?}");
    let mut reasons: Vec<_> = expected.into_iter().map(|(reason, _)| reason).collect();
    found.sort_unstable();
    reasons.sort_unstable();
    assert_eq!(found, reasons);
}

#[tokio::test]
async fn h01_h05_a_sound_request_before_a_doubtful_one_is_answered() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    let (mut heads, mut pieces) = (0, 0);
    for Refused { rfc, heads: cases, .. } in cases().refused {
        for head in cases {
            heads += 1;
            let mut client = site.connect().await;
            let packet = format!("{}{head}", anonymous("GET /public/first", "", ""));
            // In one packet, and cut at some place within the doubtful head.
            let cut = packet.len() - 1 - heads % head.len().min(20);
            for part in [&packet.as_bytes()[..cut], &packet.as_bytes()[cut..]] {
                // The first part may be enough for an end.
                if client.send(part).await.is_ok() {
                    pieces += 1;
                }
            }
            assert_eq!(soon(client.reply(false)).await.unwrap().status, 200, "{rfc}: {head:?}");
            if let Some(second) = soon(client.reply(false)).await {
                assert_eq!(second.status, 400, "{rfc}: {head:?}");
            }
        }
    }
    assert!(pieces > heads);
    assert_eq!(application.seen().len(), heads);
    assert!(application.seen().iter().all(|seen| seen.target == "/public/first"));
}

#[tokio::test]
async fn h01_a_body_of_bad_chunks_never_arrives_whole() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    for Broken { rfc, bodies } in cases().broken {
        for body in bodies {
            let mut client = site.connect().await;
            let behind = anonymous("GET /public/smuggled", "", "");
            let request = anonymous("POST /public/x", "Transfer-Encoding: chunked\r\n", &format!("{body}{behind}"));
            client.send(request).await.unwrap();
            let reply = soon(client.reply(false)).await.unwrap();
            assert_eq!(reply.status, 400, "{rfc}: {body:?}");
            assert_eq!(soon(client.rest()).await, b"", "{rfc}: {body:?}");
        }
    }
    assert_eq!(site.ask(anonymous("GET /public/last", "", "")).await.status, 200);
    assert_eq!(application.only().target, "/public/last");
    let log = site.log().await;
    assert!(log.iter().filter(|line| line["reason"] == "request_broken").count() >= 8, "{log:#?}");
}

#[tokio::test]
async fn h01_a_tunnel_carries_what_it_likes() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    client.send(anonymous("GET /public/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n", "")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request_head()).await.unwrap();
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    upstream.send(switching).await.unwrap();
    assert_eq!(soon(client.head()).await.unwrap().status, 101);
    let odd = b"a\nb\rc\r\nContent_Length: 1\n\n\0\x01#".as_slice();
    client.send(odd).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < odd.len() {
        seen.extend(soon(upstream.bytes()).await);
    }
    assert_eq!(seen, odd);
}
