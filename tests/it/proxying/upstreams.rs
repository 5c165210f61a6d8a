//! Where an application is, what it is called, and what is said when it is not there.

use serde_json::Value;
use tokio::net::TcpSocket;

use super::{IDENTITY, Plan, anonymous, site};
use crate::harness::application::Application;
use crate::harness::gateway::HOST;
use crate::harness::soon;
use crate::harness::tls::Authority;
use crate::harness::wire::RawApplication;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An address that refuses connections for as long as the socket lives: bound, and not listening.
fn nobody() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url)
}

#[tokio::test]
async fn an_application_that_is_not_there_is_a_page_for_people_and_json_for_programs() {
    let (_socket, url) = nobody();
    let site = site(&url).await;
    let page = site.ask(anonymous("GET /public/x", "Accept: text/html\r\n", "")).await;
    assert_eq!(page.status, 502);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    let json = site.ask(anonymous("GET /public/x", "Accept: application/json\r\n", "")).await;
    let body: Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(json.status, 502);
    let page = String::from_utf8(page.body).unwrap();
    let log = site.log().await;
    assert!(log.iter().all(|line| line["reason"] == "upstream_connect"));
    let ids: Vec<_> = log.iter().map(|line| line["request_id"].as_str().unwrap()).collect();
    assert!(ids.iter().any(|id| page.contains(id)) && ids.iter().any(|id| body["request_id"] == *id));
}

#[tokio::test]
async fn another_server_answers_for_one_that_is_down() {
    let application = Application::start(IDENTITY).await;
    let ((_one, one), (_other, other)) = (nobody(), nobody());
    let upstream = format!("[\"{one}\", \"{}\", \"{other}\"]", application.url());
    let site = Plan { upstream: &upstream, ..Plan::default() }.start().await;
    for _ in 0..10 {
        let post = anonymous("POST /public/x", "Content-Length: 4\r\n", "data");
        for request in [anonymous("GET /public/x", "", ""), post] {
            assert_eq!(site.ask(request).await.status, 200);
        }
    }
    assert_eq!(application.seen().len(), 20);
    let log = site.log().await;
    let address = application.url().replace("http://", "");
    assert!(log.iter().all(|line| line["upstream"] == address.as_str()));
}

#[tokio::test]
async fn several_servers_take_turns() {
    let (one, other) = (Application::start(IDENTITY).await, Application::start(IDENTITY).await);
    let upstream = format!("[\"{}\", \"{}\"]", one.url(), other.url());
    let site = Plan { upstream: &upstream, ..Plan::default() }.start().await;
    let mut client = site.connect().await;
    for _ in 0..10 {
        client.send(anonymous("GET /public/x", "", "")).await.unwrap();
        assert_eq!(soon(client.reply(false)).await.unwrap().status, 200);
    }
    assert_eq!((one.seen().len(), other.seen().len()), (5, 5));
}

#[tokio::test]
async fn an_application_over_tls_is_trusted_by_its_own_authority_alone() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let application = RawApplication::start_tls(authority.certify("127.0.0.1").acceptor()).await;
    let upstream = format!("\"{}\"", application.url());
    let files = [("policies/ca.pem", authority.pem.as_str())];
    let site = Plan { upstream: &upstream, app: "ca = \"ca.pem\"", files: &files, ..Plan::default() }.start().await;
    let mut client = site.connect().await;
    client.send(anonymous("GET /public/x", "", "")).await.unwrap();
    let mut wire = soon(application.accept()).await;
    let seen = soon(wire.request()).await.unwrap();
    assert_eq!(seen.all("x-forwarded-proto"), ["http"], "what browsers see, not what the application speaks");
    wire.send(OK).await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().body, b"ok");

    let wrong_name = RawApplication::start_tls(authority.certify("other.example").acceptor()).await;
    let plain = RawApplication::start().await;
    let not_tls = format!("https://{}", plain.address());
    for (url, ca, application) in [
        (application.url(), &stranger.pem, &application),
        (wrong_name.url(), &authority.pem, &wrong_name),
        (not_tls, &authority.pem, &plain),
    ] {
        let (upstream, files) = (format!("\"{url}\""), [("policies/ca.pem", ca.as_str())]);
        let site = Plan { upstream: &upstream, app: "ca = \"ca.pem\"", files: &files, ..Plan::default() }.start().await;
        let answering = async {
            // Only the last one, which speaks no TLS, ever has a connection; it answers once, and is asked once.
            let mut wire = application.accept().await;
            assert_eq!(application.url(), plain.url(), "something was said to a stranger");
            wire.send("HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            drop(wire);
            std::future::pending::<std::convert::Infallible>().await
        };
        let reply = tokio::select! {
            never = answering => match never {},
            reply = site.ask(anonymous("GET /public/x", "", "")) => reply,
        };
        let log = site.log().await;
        assert_eq!((reply.status, log[0]["reason"].as_str()), (502, Some("upstream_tls")), "{url}");
    }
}

#[tokio::test]
async fn the_application_is_called_as_its_policy_says_and_its_redirects_are_brought_back() {
    for (app, literal) in [
        ("", None),
        ("host = \"keep\"", None),
        ("host = \"upstream\"", Some("")),
        ("host = \"inner.example:81\"", Some("inner.example:81")),
    ] {
        let application = RawApplication::start().await;
        let own = application.address().to_string();
        let named = match literal {
            None => HOST,
            Some("") => &own,
            Some(literal) => literal,
        };
        let upstream = format!("\"{}\"", application.url());
        let site = Plan { upstream: &upstream, app, ..Plan::default() }.start().await;
        let mut client = site.connect().await;
        client.send(anonymous("GET /public/first", "", "")).await.unwrap();
        let mut wire = soon(application.accept()).await;
        let outer = format!("http://{HOST}");
        let mut cases = vec![
            (format!("http://{named}/next?a=b"), format!("{outer}/next?a=b")),
            ("/relative".to_owned(), "/relative".to_owned()),
            ("https://other.example/x".to_owned(), "https://other.example/x".to_owned()),
        ];
        if literal.is_some() {
            cases.push((format!("http://{named}"), format!("{outer}/")));
            cases.push((format!("http://{named}.evil.example/"), format!("http://{named}.evil.example/")));
        }
        for (said, brought) in cases {
            let seen = soon(wire.request()).await.unwrap();
            assert_eq!((seen.all("host"), seen.all("x-forwarded-host")), (vec![named], vec![HOST]), "{app}");
            wire.send(format!("HTTP/1.1 302 Found\r\nLocation: {said}\r\nContent-Length: 0\r\n\r\n")).await.unwrap();
            let reply = soon(client.reply(false)).await.unwrap();
            assert_eq!(reply.header("location"), Some(brought.as_str()), "{app}: {said}");
            client.send(anonymous("GET /public/next", "", "")).await.unwrap();
        }
    }
}
