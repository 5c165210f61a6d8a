//! Every refusal has a code, every code stands where administrators look it up, and none is told to a client.
//!
//! The codes are read from the source: each `fn code` is a match without a rest, so a variant without a code does not compile, and a code
//! that no page names fails here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use http::Method;

use super::{limited, log, site_with};
use crate::harness::browser::Browser;
use crate::harness::gateway::{HOST, Setup};
use crate::harness::site::Site;
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The text of a function's body, from the first brace to the one that closes it.
fn body(text: &str) -> &str {
    let (mut depth, start) = (0_usize, text.find('{').unwrap());
    for (at, letter) in text[start..].char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[start..start + at];
        }
    }
    panic!("a function has no end")
}

fn is_code(text: &str) -> bool {
    text.len() > 3 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The string literals of a piece of source that look like codes.
fn literals(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2).filter(|text| is_code(text))
}

/// Every reason code of the source, and the file that has it.
fn codes_of_the_source() -> BTreeMap<String, PathBuf> {
    let (mut files, mut codes) = (Vec::new(), BTreeMap::new());
    sources(&root().join("src"), &mut files);
    // What pages call themselves for programs is another contract.
    for path in files.iter().filter(|path| !path.starts_with(root().join("src/pages"))) {
        let text = std::fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        let bodies = text.split("fn code(").skip(1).map(body);
        let noted = ["failed(\"", "note_unreadable(", "(431, \"", "(400, \""].map(|call| text.split(call).skip(1));
        let noted = noted.into_iter().flatten().filter_map(|rest| rest.split('"').next()).filter(|text| is_code(text));
        let all = bodies.flat_map(literals).chain(noted);
        codes.extend(all.map(|code| (code.to_owned(), path.clone())));
    }
    codes
}

/// Everything between backticks in the tables of a page.
fn documented() -> BTreeSet<String> {
    let pages = ["docs/access-log.md", "docs/providers.md", "docs/policy.md", "docs/configuration.md"];
    let text: String = pages.iter().map(|page| std::fs::read_to_string(root().join(page)).unwrap()).collect();
    let rows = text.lines().filter(|line| line.starts_with('|'));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn d03_every_reason_of_the_source_stands_in_the_documentation() {
    let (codes, documented) = (codes_of_the_source(), documented());
    assert!(codes.len() > 130, "only {} codes were found", codes.len());
    for known in
        ["rate_limited", "network_denied", "head_too_large", "head_unreadable", "session_over", "line_end_bare"]
    {
        assert!(codes.contains_key(known), "`{known}` was not found");
    }
    let missing: Vec<_> = codes.iter().filter(|(code, _)| !documented.contains(*code)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// An answer as its client reads it: the fields, and the whole page but how it looks.
fn said(fields: &str, page: &str) -> String {
    let (before, rest) = page.split_once("<style>").unwrap_or((page, ""));
    let after = rest.split_once("</style>").map_or("", |(_, after)| after);
    assert!(rest.is_empty() || !after.is_empty(), "{page}");
    format!("{fields}\n{before}{after}")
}

/// What no client may read in an answer of the gateway's own: where the application is, what rules are called, what headers it is told.
const INNER: [&str; 8] = ["127.0.0.1", "192.0.2.7", "keepers only", "X-Remote", "artists", "idp", "panicked", "src/"];

#[tokio::test]
async fn d03_no_refusal_tells_a_client_more_than_it_needs() {
    let rules = r#"[limits]
rate = { per = "person", requests = 3, every = "1h" }
[[rules]]
name = "keepers only"
paths = ["/keepers"]
deny = "'artists' in user.groups"
[[rules]]
name = "keepers only, twice"
paths = ["/twice"]
access = "public"
limits = { rate = { per = "address", requests = 1, every = "1h" } }"#;
    let settings =
        "[limits]\nbody = \"1KiB\"\nheader_count = 30\nstrangers = { requests = 3, every = \"1h\", burst = 3 }\n";
    let site = site_with(rules, settings).await;
    let mut ada = site.signed_in().await;
    let mut asked = Vec::new();
    for accept in ["text/html", "application/json"] {
        for (method, path, browser) in [
            (Method::GET, "/keepers", Some(&mut ada)),
            (Method::GET, "/a%00b", None),
            (Method::GET, "/a/..%2f../b", None),
            (Method::POST, "/public/large", None),
            (Method::DELETE, "/.lychgate/me", None),
            (Method::GET, "/.lychgate/callback?state=x&code=y", None),
            (Method::GET, "/.lychgate/callback", None),
            (Method::GET, "/.lychgate/nothing", None),
            (Method::POST, "/.lychgate/logout", None),
            (Method::POST, "/.lychgate/resend", None),
            (Method::GET, "/twice", None),
            (Method::GET, "/twice", None),
        ] {
            let mut nobody = Browser::new();
            let browser = browser.unwrap_or(&mut nobody);
            let fields = [("accept", accept), ("x-forwarded-for", "192.0.2.7"), ("sec-fetch-mode", "navigate")];
            let body = if path == "/public/large" { vec![7; 2048] } else { Vec::new() };
            asked.push((browser.send(method, &site.url(path), &fields, body.into()).await, accept));
        }
    }
    let log = log(site.gateway).await;
    let (mut seen, mut refused) = (BTreeSet::new(), 0);
    for (reply, accept) in asked.iter().filter(|(reply, _)| reply.status.as_u16() >= 400) {
        refused += 1;
        let fields: String =
            reply.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap())).collect();
        let said = said(&fields, &reply.text());
        let line = crate::harness::site::line_of(&log, reply);
        let reason = line["reason"].as_str().unwrap_or_else(|| panic!("no reason: {line}"));
        seen.insert(reason.to_owned());
        for inner in INNER.iter().copied().chain([reason]) {
            assert!(!said.contains(inner), "{inner} in the answer to {} ({accept}): {said}", reply.url);
        }
    }
    assert!(refused >= 20 && seen.len() >= 9, "{refused} {seen:?}");
}

/// Sends one request to a gateway in front of `upstream` and checks its answer: nothing of it is of the inside.
async fn fails(upstream: &str, request: &str, status: u16, reason: &str) {
    const SETTINGS: &str =
        "trusted_proxies = [\"127.0.0.0/8\"]\n[limits]\nheader_bytes = \"8KiB\"\n[timeouts]\nbody_stall = \"200ms\"\n";
    let app = "hosts = [\"app.localhost\"]\ntimeouts = { first_byte = \"200ms\", connect = \"200ms\" }";
    let policy = |_: &str| limited(upstream, "").replacen("hosts = [\"app.localhost\"]", app, 1);
    let site = Site::with(policy, |setup: Setup| setup.settings(SETTINGS)).await;
    for accept in ["text/html", "application/json"] {
        let mut client = Wire::connect(site.gateway.address()).await;
        let asked = request.replacen("\r\n", &format!("\r\nHost: {HOST}\r\nAccept: {accept}\r\n"), 1);
        client.send(asked).await.unwrap();
        let reply = soon(client.reply(false)).await.unwrap();
        assert_eq!(reply.status, status, "{}", reply.head);
        let said = said(&reply.head, &String::from_utf8(reply.body).unwrap());
        for inner in INNER.iter().chain([&reason, &"Server:", &"server:", &"hyper", &upstream]) {
            assert!(!said.contains(inner), "{inner} in {said}");
        }
    }
    let log = log(site.gateway).await;
    assert_eq!(log.iter().filter(|line| line["reason"] == reason && line["status"] == status).count(), 2, "{log:#?}");
}

#[tokio::test]
async fn d03_no_failure_tells_a_client_more_than_it_needs() {
    let silent = RawApplication::start().await;
    let nobody = RawApplication::start().await.url();
    let rambling = RawApplication::start().await;
    let rambling_url = rambling.url();
    let answering = tokio::spawn(async move {
        loop {
            let mut upstream = rambling.accept().await;
            upstream.request().await;
            upstream.send("no HTTP from src/artists\r\n\r\n").await.unwrap();
        }
    });
    let get = "GET /public/x HTTP/1.1\r\n\r\n";
    fails(&nobody, get, 502, "upstream_connect").await;
    fails(&rambling_url, get, 502, "upstream_invalid").await;
    fails(&silent.url(), get, 504, "upstream_timeout").await;
    let half = "POST /public/x HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf";
    fails(&silent.url(), half, 408, "request_stalled").await;
    let large = format!("GET /public/x HTTP/1.1\r\nX-Large: {}\r\n\r\n", "x".repeat(9 << 10));
    fails(&silent.url(), &large, 431, "head_too_large").await;
    fails(&silent.url(), "POST /public/x HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, "length_malformed").await;
    answering.abort();
}
