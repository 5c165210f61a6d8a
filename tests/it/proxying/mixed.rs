//! Long mixed streams: requests in, decisions and requests at the application are as many, whatever ends a connection (H05).
//!
//! The streams are random and the same in every run. Bodies look like requests, and every connection ends in another way.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Response;

use super::{IDENTITY, Site, anonymous, site};
use crate::harness::application::Application;
use crate::harness::soon;

const CONNECTIONS: usize = 80;
const SMUGGLED: &str = "GET /public/smuggled HTTP/1.1\r\nHost: app.localhost\r\n\r\n";

/// Numbers that look random (Knuth's linear congruential generator).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// One request of a stream and what must become of it.
struct Planned {
    bytes: String,
    path: String,
    status: u16,
    decision: &'static str,
    at_application: bool,
}

impl Planned {
    fn reaches(bytes: String, path: &str, decision: &'static str) -> Self {
        Self { bytes, path: path.to_owned(), status: 200, decision, at_application: true }
    }

    fn ends(bytes: String, path: &str, status: u16, decision: &'static str) -> Self {
        Self { bytes, path: path.to_owned(), status, decision, at_application: false }
    }

    fn is_head(&self) -> bool {
        self.bytes.starts_with("HEAD ")
    }
}

/// How a connection ends behind its requests.
struct Ending {
    /// A last request that counts.
    last: Option<Planned>,
    /// Bytes behind it that count for nothing.
    tail: String,
}

/// A request that leaves the connection open.
fn sound(site: &Site, kind: usize, number: &str) -> Planned {
    let chunks = format!("{:x}\r\n{SMUGGLED}\r\n0\r\nX-Remote-User: root\r\n\r\n", SMUGGLED.len());
    let length = format!("Content-Length: {}\r\n", SMUGGLED.len());
    let (open, own, admin) = (format!("/public/{number}"), format!("/mine/{number}"), format!("/admin/{number}"));
    match kind {
        0 => Planned::reaches(anonymous(&format!("GET {open}"), "", ""), &open, "public"),
        1 => Planned::reaches(anonymous(&format!("POST {open}"), &length, SMUGGLED), &open, "public"),
        2 => Planned::reaches(
            anonymous(&format!("PUT {open}"), "Transfer-Encoding: chunked\r\n", &chunks),
            &open,
            "public",
        ),
        3 => Planned::reaches(anonymous(&format!("HEAD {open}"), "", ""), &open, "public"),
        4 => Planned::reaches(site.request(&format!("GET {own}"), "X_Remote_User: root\r\n", ""), &own, "allow"),
        5 => Planned::reaches(site.request(&format!("POST {own}"), &length, SMUGGLED), &own, "allow"),
        6 => Planned::reaches(site.request(&format!("GET /x/..//mine/./{number}"), "", ""), &own, "allow"),
        7 => Planned::ends(anonymous(&format!("GET {own}"), "", ""), &own, 401, "sign_in"),
        8 => Planned::ends(site.request(&format!("GET {admin}"), "", ""), &admin, 403, "deny"),
        9 => Planned::ends(site.request(&format!("GET /public/%2e%2e/admin/{number}"), "", ""), &admin, 403, "deny"),
        10 => Planned::ends(anonymous(&format!("GET {open}%2fx"), "", ""), &open, 400, "refused"),
        11 => Planned::ends(anonymous("GET /.lychgate/me", "", ""), "/.lychgate/me", 401, "reserved"),
        12 => {
            let bytes = format!("GET {open} HTTP/1.1\r\nHost: other.localhost\r\n\r\n");
            Planned::ends(bytes, &open, 404, "refused")
        }
        _ => Planned::ends(anonymous(&format!("TRACE {open}"), "", ""), &open, 400, "refused"),
    }
}

fn ending(site: &Site, kind: usize, number: &str) -> Ending {
    let (open, own) = (format!("/public/{number}"), format!("/mine/{number}"));
    let doubtful = |fields: &str| anonymous(&format!("POST {open}"), fields, SMUGGLED);
    match kind {
        0 => Ending { last: None, tail: String::new() },
        1 => {
            let bytes = doubtful("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n");
            Ending { last: Some(Planned::ends(bytes, &open, 400, "refused")), tail: SMUGGLED.to_owned() }
        }
        2 => {
            let bytes = doubtful("Content-Length: 4\r\nContent-Length: 4\r\n");
            Ending { last: Some(Planned::ends(bytes, &open, 400, "refused")), tail: SMUGGLED.to_owned() }
        }
        3 => {
            let bytes = format!("GET {open} HTTP/1.1\nHost: app.localhost\n\n");
            Ending { last: Some(Planned::ends(bytes, &open, 400, "refused")), tail: SMUGGLED.to_owned() }
        }
        4 => {
            let bytes = site.request(&format!("GET {own}"), "Connection: close\r\n", "");
            Ending { last: Some(Planned::reaches(bytes, &own, "allow")), tail: SMUGGLED.to_owned() }
        }
        5 => Ending { last: None, tail: format!("GET {open} HTTP/1.1\r\nHost: app.loc") },
        // Its body never comes whole, so that the application is not asked for it whole either.
        6 => {
            let bytes = anonymous(&format!("POST {open}"), "Content-Length: 1000\r\n", SMUGGLED);
            Ending { last: Some(Planned::ends(bytes, &open, 0, "public")), tail: String::new() }
        }
        _ => {
            let bytes = anonymous(&format!("POST {open}"), "Transfer-Encoding: chunked\r\n", "zz\r\nx\r\n0\r\n\r\n");
            Ending { last: Some(Planned::ends(bytes, &open, 400, "public")), tail: SMUGGLED.to_owned() }
        }
    }
}

/// Sends the whole stream in pieces and reads every answer that must come.
async fn converse(site: &Site, random: &mut Random, planned: &[Planned], tail: &str) {
    let mut client = site.connect().await;
    let stream = planned.iter().map(|one| one.bytes.as_str()).chain([tail]).collect::<String>();
    let mut rest = stream.as_bytes();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(1 + random.below(rest.len().min(700)));
        // The gateway may have ended the connection already.
        let _ = client.send(piece).await;
        // It gets a chance to read each piece by itself.
        tokio::task::yield_now().await;
        rest = after;
    }
    for one in planned.iter().filter(|one| one.status != 0) {
        let reply = client.reply(one.is_head()).await.unwrap_or_else(|| panic!("no answer to {}", one.bytes));
        assert_eq!(reply.status, one.status, "{}", one.bytes);
        let answers_it = one.is_head() || !one.at_application || reply.body == one.path.as_bytes();
        assert!(answers_it, "{}: {}", one.bytes, String::from_utf8_lossy(&reply.body));
    }
}

#[tokio::test]
async fn h05_requests_in_decisions_and_requests_at_the_application_are_as_many() {
    let application = Application::answering(IDENTITY, |seen| Response::new(Bytes::from(seen.target.clone()))).await;
    let site = site(&application.url()).await;
    let mut random = Random(0x5eed_1e55);
    let mut all = Vec::new();
    for connection in 0..CONNECTIONS {
        let count = random.below(13);
        let mut planned: Vec<Planned> =
            (0..count).map(|number| sound(&site, random.below(14), &format!("{connection}-{number}"))).collect();
        let Ending { last, tail } = ending(&site, connection % 8, &format!("{connection}-last"));
        planned.extend(last);
        soon(converse(&site, &mut random, &planned, &tail)).await;
        all.extend(planned);
    }
    assert!(all.len() > 400, "{} requests", all.len());

    let mut seen: Vec<String> = application.seen().into_iter().map(|seen| seen.target).collect();
    let mut sent: Vec<String> = all.iter().filter(|one| one.at_application).map(|one| one.path.clone()).collect();
    seen.sort_unstable();
    sent.sort_unstable();
    assert_eq!(seen, sent, "each request that is allowed is at the application once, and no other");
    for one in application.seen() {
        let user = one.header("x-remote-user");
        assert_eq!(user.is_some(), one.target.starts_with("/mine/"), "{}", one.target);
        assert!(user.is_none_or(|user| user == "ada") && !one.target.contains("smuggled"));
    }

    let log = site.log().await;
    assert_eq!(log.len(), all.len(), "each request is decided once, and nothing else is");
    let count = |decisions: &mut dyn Iterator<Item = String>| {
        decisions.fold(BTreeMap::<String, usize>::new(), |mut counts, decision| {
            *counts.entry(decision).or_default() += 1;
            counts
        })
    };
    let decided = count(&mut log.iter().map(|line| line["decision"].as_str().unwrap().to_owned()));
    assert_eq!(decided, count(&mut all.iter().map(|one| one.decision.to_owned())));
}
