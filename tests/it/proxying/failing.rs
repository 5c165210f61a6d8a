//! The same three counts where things fail: an application that closes, talks nonsense and breaks off, and clients that reset (H05).
//!
//! Each address says what the application does when it is asked for it, so that what becomes of a request is known. A request that may be sent
//! twice (RFC 9110 section 9.2.2) may be at the application twice, when the first connection was closed on it; every other one is there once
//! at the most. Random, and the same in every run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::net::TcpStream;

use super::floods::Door;
use super::mixed::Random;
use super::{Site, site};
use crate::harness::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, fields, frame, frames, head, opening,
};
use crate::harness::gateway::HOST;
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire};

const CONNECTIONS: usize = 40;
const BODY: &str = "GET /public/smuggled HTTP/1.1\r\nHost: app.localhost\r\n\r\n";

/// An application that does what the last digit of an address says, and notes what it was asked for.
struct Failing {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Failing {
    async fn start() -> Self {
        let application = RawApplication::start().await;
        let (url, seen) = (application.url(), Arc::<Mutex<Vec<String>>>::default());
        let noted = Arc::clone(&seen);
        let accepting = tokio::spawn(async move {
            loop {
                tokio::spawn(answer(application.accept().await, Arc::clone(&noted)));
            }
        });
        Self { url, seen, accepting }
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(mut gateway: Wire, seen: Arc<Mutex<Vec<String>>>) {
    while let Some(request) = gateway.request().await {
        let asked = request.line().trim_end_matches(" HTTP/1.1").to_owned();
        let good = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{asked}", asked.len());
        let (said, ends) = match asked.as_bytes().last() {
            Some(b'5') => (String::new(), true),
            Some(b'6') => ("nonsense\r\n\r\n".to_owned(), true),
            // Nothing said that the connection would end.
            Some(b'7') => (good, true),
            Some(b'8') => (format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{asked}"), true),
            _ => (good, false),
        };
        seen.lock().unwrap().push(asked);
        if gateway.send(said).await.is_err() || ends {
            return;
        }
    }
}

/// One request.
struct Asked {
    method: &'static str,
    path: String,
    is_adas: bool,
}

impl Asked {
    /// Its address is its own.
    fn any(random: &mut Random, number: &str) -> Self {
        let (area, is_adas) =
            [("public", false), ("public", true), ("mine", true), ("mine", true), ("mine", false), ("admin", true)]
                [random.below(6)];
        let method = ["GET", "GET", "POST"][random.below(3)];
        Self { method, path: format!("/{area}/{number}-{}", random.below(10)), is_adas }
    }

    fn is_for_application(&self) -> bool {
        self.path.starts_with("/public/") || (self.path.starts_with("/mine/") && self.is_adas)
    }

    fn on_http1(&self, site: &Site) -> String {
        let cookie = if self.is_adas { format!("Cookie: {}\r\n", site.cookie) } else { String::new() };
        let (length, body) = match self.method {
            "POST" => (format!("Content-Length: {}\r\n", BODY.len()), BODY),
            _ => (String::new(), ""),
        };
        format!("{} {} HTTP/1.1\r\nHost: {HOST}\r\n{cookie}{length}\r\n{body}", self.method, self.path)
    }

    fn on_http2(&self, site: &Site, stream: u32) -> Vec<u8> {
        let cookie = if self.is_adas { fields(&[("cookie", site.cookie.as_bytes())]) } else { Vec::new() };
        let block = [head(self.method, &self.path), cookie].concat();
        match self.method {
            "POST" => {
                let body = frame(DATA, END_STREAM, stream, BODY.as_bytes());
                [frame(HEADERS, END_HEADERS, stream, &block), body].concat()
            }
            _ => frame(HEADERS, END_HEADERS | END_STREAM, stream, &block),
        }
    }
}

/// Requests by decision and class of status, as the metrics have them.
async fn counted(site: &Site) -> BTreeMap<(String, String), u64> {
    let text = site.metrics().await;
    let lines = text.lines().filter_map(|line| line.strip_prefix("lychgate_requests_total{"));
    let counts = lines.map(|line| {
        let (labels, count) = line.rsplit_once(' ').unwrap();
        let label =
            |name: &str| labels.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned();
        ((label("decision"), label("status")), count.parse::<u64>().unwrap())
    });
    counts.fold(BTreeMap::new(), |mut all, (key, count)| {
        if count > 0 {
            *all.entry(key).or_default() += count;
        }
        all
    })
}

/// The same of the log.
fn logged(log: &[Value]) -> BTreeMap<(String, String), u64> {
    log.iter().fold(BTreeMap::new(), |mut all, line| {
        let status = format!("{}xx", line["status"].as_u64().unwrap() / 100);
        *all.entry((line["decision"].as_str().unwrap().to_owned(), status)).or_default() += 1;
        all
    })
}

/// What is counted when nothing is under way any more.
async fn settled(site: &Site) -> BTreeMap<(String, String), u64> {
    soon(async { while site.gauge("lychgate_connections").await > 0 {} }).await;
    let mut before = counted(site).await;
    loop {
        // Answers of streams outlive their connection by a moment.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let now = counted(site).await;
        if now == before {
            return now;
        }
        before = now;
    }
}

/// Compares the three counts; `all` are the requests, of which those that are `whole` must have been decided.
async fn compare(site: Site, application: &Failing, before: BTreeMap<(String, String), u64>, all: &[(Asked, bool)]) {
    let mut counted = settled(&site).await;
    for (key, count) in before {
        *counted.get_mut(&key).unwrap() -= count;
    }
    counted.retain(|_, count| *count > 0);
    let log = site.log().await;
    assert_eq!(counted, logged(&log), "each request that was decided is counted once and has one line");

    let by_path: BTreeMap<&str, &Value> = log.iter().map(|line| (line["path"].as_str().unwrap(), line)).collect();
    assert_eq!(by_path.len(), log.len(), "a request has two lines");
    let seen = application.seen.lock().unwrap().iter().fold(BTreeMap::<String, u64>::new(), |mut all, asked| {
        *all.entry(asked.clone()).or_default() += 1;
        all
    });
    let mut found = 0;
    for (asked, is_whole) in all {
        let Asked { method, path, .. } = asked;
        let arrived = seen.get(&format!("{method} {path}")).copied().unwrap_or_default();
        found += usize::from(arrived > 0);
        let Some(line) = by_path.get(path.as_str()) else {
            assert!(!is_whole && arrived == 0, "{method} {path} has no line and arrived {arrived} times");
            continue;
        };
        let most = if *method == "GET" { 2 } else { 1 };
        assert!(arrived <= if asked.is_for_application() { most } else { 0 }, "{arrived} times: {line}");
        assert!(arrived > 0 || line["upstream"].is_null(), "never at the application: {line}");
        let decisions: &[&str] = match asked {
            asked if asked.is_for_application() => &["public", "allow"],
            Asked { is_adas: true, .. } => &["deny"],
            _ => &["sign_in", "deny"],
        };
        assert!(decisions.contains(&line["decision"].as_str().unwrap()), "{line}");
        let expected: &[u64] = match (asked.is_for_application(), path.as_bytes().last()) {
            _ if !is_whole => continue,
            (false, _) => &[401, 403],
            (true, Some(b'5' | b'6')) => &[502],
            // A connection may be closed on a request that is not sent twice.
            (true, _) if *method == "POST" => &[200, 502],
            (true, _) => &[200],
        };
        assert!(expected.contains(&line["status"].as_u64().unwrap()), "{line}");
        assert!(line["status"] != 200 || (line["complete"] == !path.ends_with('8') && arrived > 0), "{line}");
    }
    assert_eq!(found, seen.len(), "nothing else is at the application: {seen:#?}");
    let whole = all.iter().filter(|(_, is_whole)| *is_whole).count();
    assert!(whole > 150 && all.len() - whole > 50 && found > 100, "{whole} of {}, {found}", all.len());
}

/// A connection that is reset when it is dropped.
async fn resetting(site: &Site) -> TcpStream {
    let stream = TcpStream::connect(site.gateway.address()).await.unwrap();
    stream.set_zero_linger().unwrap();
    stream
}

#[tokio::test]
async fn h05_the_three_counts_agree_where_applications_fail_and_clients_reset() {
    let application = Failing::start().await;
    let site = site(&application.url).await;
    let before = settled(&site).await;
    let (mut random, mut all) = (Random(0x00fa_1105), Vec::new());
    for connection in 0..CONNECTIONS {
        let asked: Vec<_> = (0..10).map(|number| Asked::any(&mut random, &format!("{connection}-{number}"))).collect();
        let is_whole = connection % 2 == 0;
        let mut client = Wire::over(resetting(&site).await);
        if is_whole {
            for one in &asked {
                client.send(one.on_http1(&site)).await.unwrap();
                let reply = soon(client.reply(false)).await.unwrap_or_else(|| panic!("no answer to {}", one.path));
                if reply.header("connection") == Some("close") || one.path.ends_with('8') {
                    client = Wire::over(resetting(&site).await);
                }
            }
        } else {
            let _ = client.send(asked.iter().map(|one| one.on_http1(&site)).collect::<String>()).await;
            for _ in 0..random.below(4) {
                let _ = soon(client.reply(false)).await;
            }
        }
        drop(client);
        all.extend(asked.into_iter().map(|one| (one, is_whole)));
    }
    compare(site, &application, before, &all).await;
}

#[tokio::test]
async fn h05_the_three_counts_agree_over_http2_where_applications_fail_and_clients_reset() {
    let application = Failing::start().await;
    let door = Door::open(&application.url, "").await;
    let before = settled(&door.site).await;
    let (mut random, mut all) = (Random(0x00fa_1115), Vec::new());
    for connection in 0..CONNECTIONS {
        let asked: Vec<_> = (0..20).map(|number| Asked::any(&mut random, &format!("{connection}-{number}"))).collect();
        let stream = door.connect().await;
        stream.get_ref().0.set_zero_linger().unwrap();
        let mut client = Wire::over(stream);
        let sent = (0..).zip(&asked).map(|(number, one)| one.on_http2(&door.site, 2 * number + 1));
        client.send([opening(), sent.collect::<Vec<_>>().concat()].concat()).await.unwrap();
        let many = match connection % 4 {
            0 | 2 => asked.len(),
            1 => random.below(asked.len()),
            // What is taken back is not answered.
            _ => random.below(10),
        };
        if connection % 4 == 3 {
            // Half of them are taken back at some time.
            let resets = (0..10).map(|turn| frame(RST_STREAM, 0, 4 * turn + 1, &[0, 0, 0, 8]));
            client.send(resets.collect::<Vec<_>>().concat()).await.unwrap();
        }
        let mut read = Vec::new();
        let ended = |read: &[u8]| {
            let told = frames(read).into_iter();
            let ends = told
                .filter(|frame| frame.kind == RST_STREAM || (frame.kind <= HEADERS && frame.flags & END_STREAM != 0));
            ends.map(|frame| frame.stream).collect::<BTreeSet<_>>().len()
        };
        while ended(&read) < many {
            let more = soon(client.bytes()).await;
            if more.is_empty() {
                break;
            }
            read.extend(more);
        }
        let is_whole = many == asked.len();
        assert!(!is_whole || (ended(&read) == many && frames(&read).iter().all(|frame| frame.kind != GOAWAY)));
        drop(client);
        all.extend(asked.into_iter().map(|one| (one, is_whole)));
    }
    compare(door.site, &application, before, &all).await;
}
