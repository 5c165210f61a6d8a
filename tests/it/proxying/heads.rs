//! HTTP/1.1 by cases, each under the paragraph of the RFC that it rests on (`tests/data/http1.toml`): what can be framed in two ways reaches
//! nobody, and nothing behind it is read; what names no host soundly is refused; what is sound is framed anew (H01, H02, H04 to H06).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{IDENTITY, anonymous, site};
use crate::harness::application::Application;
use crate::harness::soon;
use crate::harness::wire::RawApplication;

#[derive(Deserialize)]
struct Cases {
    refused: Vec<Refused>,
    head: Vec<Refused>,
    broken: Vec<Broken>,
    answered: Vec<Sound>,
    answer: Vec<Answer>,
}

#[derive(Deserialize)]
struct Refused {
    rfc: String,
    reason: String,
    heads: Vec<String>,
}

#[derive(Deserialize)]
struct Sound {
    rfc: String,
    heads: Vec<String>,
    /// As the application is asked for it.
    target: String,
    /// Fields that the application is not sent.
    #[serde(default)]
    absent: Vec<String>,
    body: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    rfc: String,
    answers: Vec<String>,
    status: u16,
    body: Option<String>,
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
    let mut expected = BTreeMap::<String, u64>::new();
    for Refused { rfc, reason, heads } in cases().refused {
        for head in heads {
            let mut client = site.connect().await;
            client.send(format!("{head}{behind}")).await.unwrap();
            let reply = soon(client.reply(false)).await.unwrap_or_else(|| panic!("no answer to {head:?}"));
            assert_eq!(reply.status, 400, "{rfc}: {head:?}");
            assert_eq!(soon(client.rest()).await, b"", "{rfc}: {head:?}");
            *expected.entry(reason.clone()).or_default() += 1;
        }
    }
    assert_eq!(application.seen().len(), 0);
    let counts: Vec<_> = expected.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
    let log = site.refused(&counts).await;
    assert_eq!(log.len() as u64, expected.values().sum::<u64>());
    assert!(log.iter().all(|line| line["status"] == 400 && line["decision"] == "refused"), "{log:#?}");
}

#[tokio::test]
async fn h01_a_refused_head_is_answered_wherever_it_is_cut() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    for head in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\nA: b\r\n\r\nGET /",
        "POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n0\r\n\r\n",
        "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        // Refused at this line's end, before the head's.
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n",
    ] {
        for at in 0..head.len() {
            let mut client = site.connect().await;
            client.send(&head[..at]).await.unwrap();
            tokio::task::yield_now().await;
            // What is sent to a connection that was refused already may be.
            let _ = client.send(&head[at..]).await;
            let reply = soon(client.reply(false)).await.unwrap_or_else(|| panic!("no answer to {head:?} cut at {at}"));
            assert_eq!(reply.status, 400, "{head:?} cut at {at}");
            assert_eq!(soon(client.rest()).await, b"", "{head:?} cut at {at}");
        }
    }
    assert_eq!(application.seen().len(), 0);
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
            let second = soon(client.reply(false)).await.unwrap_or_else(|| panic!("{rfc}: {head:?}: no answer"));
            assert_eq!(second.status, 400, "{rfc}: {head:?}");
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
    let mut count = 0;
    for Broken { rfc, bodies } in cases().broken {
        for body in bodies {
            count += 1;
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
    assert!(count >= 8, "{count} cases");
    site.refused(&[("request_broken", count)]).await;
}

#[test]
fn every_case_names_its_paragraph_and_stands_there_once() {
    let Cases { refused, head, broken, answered, answer } = cases();
    let refused = refused.iter().chain(&head).flat_map(|case| case.heads.iter().map(|head| (&case.rfc, head)));
    let answered = answered.iter().flat_map(|case| case.heads.iter().map(|head| (&case.rfc, head)));
    let broken = broken.iter().flat_map(|case| case.bodies.iter().map(|body| (&case.rfc, body)));
    let answer = answer.iter().flat_map(|case| case.answers.iter().map(|answer| (&case.rfc, answer)));
    let all: Vec<_> = refused.chain(answered).chain(broken).chain(answer).collect();
    let distinct: std::collections::BTreeSet<_> = all.iter().map(|(_, text)| text).collect();
    assert!(
        all.len() >= 150 && distinct.len() == all.len(),
        "{} cases, {} of them distinct",
        all.len(),
        distinct.len()
    );
    for (rfc, text) in all {
        assert!(rfc.starts_with("RFC ") && rfc.contains("section"), "{text:?} rests on {rfc:?}");
    }
}

#[tokio::test]
async fn h02_a_head_that_names_no_host_soundly_or_asks_for_a_tunnel_is_refused() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    let mut expected = Vec::new();
    for Refused { rfc, reason, heads } in cases().head {
        for head in heads {
            assert_eq!(site.ask(&head).await.status, 400, "{rfc}: {head:?}");
            expected.push(reason.clone());
        }
    }
    assert_eq!(application.seen().len(), 0);
    let log = site.log().await;
    let mut found: Vec<_> = log.iter().map(|line| line["reason"].as_str().unwrap().to_owned()).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn h02_h04_h06_a_sound_request_is_sent_on_with_one_target_one_host_and_framing_of_its_own() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    let mut count = 0;
    for Sound { rfc, heads, target, absent, body } in cases().answered {
        for head in heads {
            let mut client = site.connect().await;
            // The next request on the connection is answered too: both sides are in step.
            client.send(format!("{head}{}", anonymous("GET /public/next", "", ""))).await.unwrap();
            let mut reply = soon(client.reply(false)).await.unwrap();
            if reply.status == 100 {
                reply = soon(client.reply(false)).await.unwrap();
            }
            assert_eq!(reply.status, 200, "{rfc}: {head:?}");
            let kept = !head.contains("HTTP/1.0") && !head.contains("close");
            let next = soon(client.reply(false)).await;
            assert_eq!(next.is_some_and(|next| next.status == 200), kept, "{rfc}: {head:?}");
            count += 1 + usize::from(kept);
            let seen = application.seen();
            assert_eq!(seen.len(), count, "{rfc}: {head:?}");
            let seen = &seen[count - 1 - usize::from(kept)];
            assert_eq!(seen.target, target, "{rfc}: {head:?}");
            // It is one host, in the client's spelling.
            let host = seen.header("host").unwrap().to_lowercase();
            assert!(host.starts_with("app.localhost"), "{rfc}: {head:?}");
            assert!(absent.iter().all(|name| !seen.headers.contains_key(name)), "{rfc}: {:?}", seen.headers);
            assert!(body.as_ref().is_none_or(|body| seen.body == *body), "{rfc}: {head:?}");
        }
    }
    assert_eq!(site.log().await.len(), count);
}

#[tokio::test]
async fn h06_h07_h08_each_answer_hurts_or_serves_its_own_request_and_the_next_one_gets_its_own() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext";
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut wrong = Vec::new();
    for Answer { rfc, answers, status, body } in cases().answer {
        for answer in answers {
            let mut client = site.connect().await;
            client.send(anonymous("GET /public/x", "Accept: application/json\r\n", "")).await.unwrap();
            let mut upstream = soon(application.accept()).await;
            soon(upstream.request()).await.unwrap();
            // The gateway may have heard enough before everything is said.
            let _ = upstream.send(&answer).await;
            let mut upstream = Some(upstream).filter(|_| status != 502);
            let reply = soon(client.reply(false)).await.unwrap();
            if reply.status != status || body.as_ref().is_some_and(|body| reply.body != body.as_bytes()) {
                wrong.push((
                    rfc.clone(),
                    answer.clone(),
                    reply.status,
                    String::from_utf8_lossy(&reply.body).into_owned(),
                ));
            }
            client.send(anonymous("GET /public/next", "", "")).await.unwrap();
            // On the same connection of the application, or on another when this one is not used again.
            let kept = match &mut upstream {
                Some(upstream) => soon(upstream.request()).await.is_some(),
                None => false,
            };
            let mut upstream = match upstream.filter(|_| kept) {
                Some(upstream) => upstream,
                None => {
                    let mut other = soon(application.accept()).await;
                    soon(other.request()).await.unwrap();
                    other
                }
            };
            upstream.send(OK).await.unwrap();
            assert_eq!(soon(client.reply(false)).await.unwrap().body, b"next", "{rfc}: {answer:?}");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
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
