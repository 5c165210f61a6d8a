//! Applications that answer without reading a body, and take it for the next request on the connection (H05, H07, decision 78).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{IDENTITY, Plan, Site, anonymous, kept};
use crate::harness::application::Application;
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const HIDDEN: &str = "GET /admin/hidden HTTP/1.1\r\nHost: app.localhost\r\nX-Remote-User: root\r\n\r\n";
/// A rule for methods that none covers which names none.
const METHODS: &str = "[[rules]]\npaths = [\"/public/**\"]\naccess = \"public\"\nmethods = [\"PROPFIND\", \"PURGE\"]\n";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

/// An application that reads heads alone: what follows one is the next request to it, unless it was told that none follows. It answers with
/// the request's line.
struct HeadsOnly {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl HeadsOnly {
    async fn start() -> Self {
        let application = RawApplication::start().await;
        let (url, seen) = (application.url(), Arc::<Mutex<Vec<String>>>::default());
        let noted = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                tokio::spawn(serve(application.accept().await, Arc::clone(&noted)));
            }
        });
        Self { url, seen }
    }

    /// The lines of the requests that it found since it was asked last.
    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

async fn serve(mut wire: Wire, seen: Arc<Mutex<Vec<String>>>) {
    while let Some(request) = wire.request_head().await {
        let line = request.line().to_owned();
        seen.lock().unwrap().push(line.clone());
        if line.contains("hidden") {
            // The answer comes when the connection is somebody else's.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let (length, body) = if line.starts_with("HEAD ") { (0, "") } else { (line.len(), &*line) };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        if wire.send(answer).await.is_err() || request.all("connection") == ["close"] {
            return;
        }
    }
}

/// A body in both framings: fields and bytes.
fn framed(body: &str) -> [(String, String); 2] {
    [
        (format!("Content-Length: {}\r\n", body.len()), body.to_owned()),
        ("Transfer-Encoding: chunked\r\n".to_owned(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())),
    ]
}

/// Hides a request in the body of one with this method, and asks for a page on the same connection: the application must see these two, and
/// each of them get its own answer.
async fn hides(site: &Site, application: &HeadsOnly, method: &str) {
    for (fields, body) in framed(HIDDEN) {
        let mut client = site.connect().await;
        let line = format!("{method} /public/x");
        client.send(anonymous(&line, &fields, &body)).await.unwrap();
        let reply = soon(client.reply(method == "HEAD")).await.unwrap();
        assert_eq!(reply.status, 200, "{method}: {}", reply.head);
        client.send(anonymous("GET /public/mine", "", "")).await.unwrap();
        let mine = soon(client.reply(false)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&mine.body), "GET /public/mine HTTP/1.1", "{method}: {fields}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        let expected = [format!("{line} HTTP/1.1"), "GET /public/mine HTTP/1.1".to_owned()];
        assert_eq!(application.seen(), expected, "{method}: {fields}");
    }
}

#[tokio::test]
async fn h05_a_body_that_its_method_has_no_use_for_is_no_request_to_an_application_that_does_not_read_it() {
    let application = HeadsOnly::start().await;
    let site = keeping(&application.url, "always").await;
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "PURGE"] {
        hides(&site, &application, method).await;
    }
}

/// A gateway before an application with this `keep_alive`.
async fn keeping(url: &str, keep_alive: &str) -> Site {
    let (upstream, app) = (format!("\"{url}\""), format!("keep_alive = \"{keep_alive}\"\n{METHODS}"));
    Plan { upstream: &upstream, app: &app, ..Plan::default() }.start().await
}

#[tokio::test]
async fn h05_a_form_is_no_request_either_where_the_policy_says_that_bodies_are_not_read() {
    let application = HeadsOnly::start().await;
    for keep_alive in ["without_body", "never"] {
        let site = keeping(&application.url, keep_alive).await;
        application.seen();
        for method in ["POST", "PUT", "PATCH", "PROPFIND", "GET"] {
            hides(&site, &application, method).await;
        }
    }
}

/// Answers the next request, which must come on a connection of its own that is closed afterwards and have these `Connection` lines.
async fn alone(application: &RawApplication, client: &mut Wire, request: String, connection: &[&str]) {
    client.send(&request).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    let seen = soon(upstream.request()).await.unwrap();
    assert_eq!(seen.all("connection"), connection, "{request}");
    upstream.send(OK).await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 200, "{request}");
    assert_eq!(soon(upstream.rest()).await, b"", "{request}");
}

/// Answers the next request, which must come on the connection that is kept and say nothing of it.
async fn on_the_kept(upstream: &mut Wire, client: &mut Wire, request: String) {
    client.send(&request).await.unwrap();
    let seen = soon(upstream.request()).await.unwrap();
    assert_eq!(seen.all("connection"), Vec::<&str>::new(), "{request}");
    upstream.send(OK).await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 200, "{request}");
}

#[tokio::test]
async fn h07_what_leaves_no_connection_for_others_takes_none_from_them() {
    let application = RawApplication::start().await;
    let close = ["close"];
    let site = keeping(&application.url(), "always").await;
    let mut client = site.connect().await;
    let mut upstream = kept(&application, &mut client).await;
    for (fields, body) in framed("data") {
        alone(&application, &mut client, anonymous("GET /public/x", &fields, &body), &close).await;
        on_the_kept(&mut upstream, &mut client, anonymous("POST /public/x", &fields, &body)).await;
        on_the_kept(&mut upstream, &mut client, anonymous("PROPFIND /public/x", &fields, &body)).await;
    }
    alone(&application, &mut client, anonymous("GET /public/x", "Authorization: NTLM x\r\n", ""), &[]).await;
    on_the_kept(&mut upstream, &mut client, anonymous("DELETE /public/x", "Content-Length: 0\r\n", "")).await;
}

#[tokio::test]
async fn h07_a_policy_says_which_requests_leave_their_connection_for_others() {
    let application = RawApplication::start().await;
    let close = ["close"];
    let site = keeping(&application.url(), "without_body").await;
    let mut client = site.connect().await;
    let mut upstream = kept(&application, &mut client).await;
    alone(&application, &mut client, anonymous("POST /public/x", "Content-Length: 4\r\n", "data"), &close).await;
    on_the_kept(&mut upstream, &mut client, anonymous("POST /public/x", "Content-Length: 0\r\n", "")).await;
    on_the_kept(&mut upstream, &mut client, anonymous("GET /public/x", "", "")).await;
    drop((site, upstream));

    let site = keeping(&application.url(), "never").await;
    let mut client = site.connect().await;
    for line in ["GET /public/x", "POST /public/x"] {
        alone(&application, &mut client, anonymous(line, "", ""), &close).await;
    }
    // An upgrade has no room for it: its connection is nobody else's anyway.
    alone(&application, &mut client, anonymous("GET /public/x", UPGRADE, ""), &["upgrade"]).await;
}

#[tokio::test]
async fn h05_h06_an_upgrade_with_a_body_is_refused() {
    let application = Application::start(IDENTITY).await;
    let site = keeping(&application.url(), "always").await;
    let mut refused = 0;
    for (fields, body) in framed("data") {
        for method in ["GET", "POST"] {
            let fields = format!("{UPGRADE}{fields}Accept: application/json\r\n");
            for request in [
                anonymous(&format!("{method} /public/x"), &fields, &body),
                site.request(&format!("{method} /x"), &fields, &body),
            ] {
                let reply = site.ask(request).await;
                assert_eq!(reply.status, 400, "{}", reply.head);
                refused += 1;
            }
        }
    }
    assert_eq!(application.seen().len(), 0);
    // What is no body, and what is no upgrade that goes on, is none of it.
    for (fields, body) in [
        ("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAA\r\nContent-Length: 4\r\n", "data"),
        ("Upgrade: websocket\r\nContent-Length: 4\r\n", "data"),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n", ""),
    ] {
        assert_eq!(site.ask(anonymous("POST /public/x", fields, body)).await.status, 200, "{fields}");
    }
    let log = site.log().await;
    let said = log.iter().filter(|line| line["reason"] == "upgrade_with_body");
    assert_eq!(said.clone().count(), refused);
    assert!(said.clone().all(|line| line["decision"] == "refused"), "{log:#?}");
}

/// Applications may answer and read on, also where they are told that the connection ends.
#[tokio::test]
async fn h05_what_is_still_sent_after_an_early_answer_goes_on_where_the_connection_ends_with_it() {
    for (method, keep_alive) in [("POST", "without_body"), ("POST", "never"), ("DELETE", "always")] {
        let application = RawApplication::start().await;
        let site = keeping(&application.url(), keep_alive).await;
        let mut client = site.connect().await;
        client.send(anonymous(&format!("{method} /public/x"), "Content-Length: 8\r\n", "half")).await.unwrap();
        let mut upstream = soon(application.accept()).await;
        let head = soon(upstream.request_head()).await.unwrap();
        assert_eq!(head.all("connection"), ["close"], "{method}");
        assert_eq!(soon(upstream.bytes()).await, b"half", "{method}");
        let early = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
        upstream.send(early).await.unwrap();
        assert_eq!(soon(client.reply(false)).await.unwrap().status, 200, "{method}");
        client.send("rest").await.unwrap();
        assert_eq!(soon(upstream.rest()).await, b"rest", "{method}: all of it, and then the end");
    }
}
