//! TLS and HTTP/2 in front (H02, H03, D01, D05).

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{IDENTITY, Plan, Site};
use crate::harness::application::Application;
use crate::harness::frames::{HEADERS, frame, frames, head, opening};
use crate::harness::gateway::HOST;
use crate::harness::soon;
use crate::harness::tls::Authority;
use crate::harness::wire::{RawApplication, Wire};

/// A TLS listener, and one of clear text as a load balancer uses it: a person signs in over the second.
const LISTENERS: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
    tls = { certificate = \"cert.pem\", key = \"key.pem\" }\n\
    [[listeners]]\naddress = \"127.0.0.1:0\"\nscheme = \"https\"\n";

pub(super) type Sender = SendRequest<BoxBody<Bytes, Infallible>>;

/// A site with TLS, and who certified it.
pub(super) async fn secure(upstream: &str, settings: &str) -> (Site, Authority) {
    let authority = Authority::new();
    let certified = authority.certify(HOST);
    let files = [("cert.pem", certified.certificate.as_str()), ("key.pem", certified.key.as_str())];
    let upstream = format!("\"{upstream}\"");
    let plan = Plan { upstream: &upstream, settings, listeners: LISTENERS, files: &files, ..Plan::default() };
    (plan.start().await, authority)
}

pub(super) async fn http2(site: &Site, authority: &Authority) -> Sender {
    let stream = authority.connect(site.gateway.address(), HOST, &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub(super) fn request(method: Method, target: &str, fields: &[(&str, &str)]) -> http::request::Builder {
    let builder = Request::builder().method(method).uri(format!("https://{HOST}{target}"));
    fields.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value))
}

pub(super) fn nothing() -> BoxBody<Bytes, Infallible> {
    Empty::new().boxed()
}

pub(super) async fn get(sender: &mut Sender, target: &str, fields: &[(&str, &str)]) -> Response<Incoming> {
    soon(sender.send_request(request(Method::GET, target, fields).body(nothing()).unwrap())).await.unwrap()
}

pub(super) async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(soon(response.into_body().collect()).await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn tls_speaks_what_the_client_offers() {
    let application = Application::start(IDENTITY).await;
    let (site, authority) = secure(&application.url(), "").await;
    for protocols in [&[][..], &["http/1.1"]] {
        let mut client = Wire::over(authority.connect(site.gateway.address(), HOST, protocols).await);
        client.send(site.request("GET /mine", "", "")).await.unwrap();
        assert_eq!(soon(client.reply(false)).await.unwrap().body, b"hello");
        assert_eq!(application.last().header("x-forwarded-proto").as_deref(), Some("https"));
        assert_eq!(application.last().header("x-remote-user").as_deref(), Some("ada"));
    }
    let mut sender = http2(&site, &authority).await;
    let response = get(&mut sender, "/mine", &[("cookie", &site.cookie)]).await;
    assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
    assert_eq!(text(response).await, "hello");
    let seen = application.last();
    assert_eq!((seen.header("host").as_deref(), seen.header("x-remote-user").as_deref()), (Some(HOST), Some("ada")));
    let protocols: Vec<_> = site.log().await.iter().map(|line| line["protocol"].as_str().unwrap().to_owned()).collect();
    assert_eq!(protocols.iter().filter(|protocol| *protocol == "HTTP/2").count(), 1);
}

#[tokio::test]
async fn h03_a_request_over_http2_becomes_one_of_http11() {
    let application = RawApplication::start().await;
    let (site, authority) = secure(&application.url(), "").await;
    let mut sender = http2(&site, &authority).await;
    let fields = [
        ("cookie", "a=1"),
        ("cookie", site.cookie.as_str()),
        ("cookie", "b=2"),
        ("te", "trailers"),
        ("x_remote_user", "root"),
        ("accept", "*/*"),
    ];
    let asking = sender.send_request(request(Method::GET, "/mine?x=%2f", &fields).body(nothing()).unwrap());
    let answering = async {
        let mut upstream = application.accept().await;
        let seen = upstream.request().await.unwrap();
        upstream.send("HTTP/1.1 200 OK\r\nConnection: close\r\nKeep-Alive: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n").await.unwrap();
        seen
    };
    let (response, seen) = soon(async { tokio::join!(asking, answering) }).await;
    assert_eq!(seen.line(), "GET /mine?x=%2f HTTP/1.1");
    assert_eq!((seen.all("cookie"), seen.all("host")), (vec!["a=1; b=2"], vec![HOST]));
    let expected = [
        "accept",
        "cookie",
        "forwarded",
        "host",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-remote-groups",
        "x-remote-user",
        "x-request-id",
    ];
    assert_eq!(seen.names(), expected);
    let response = response.unwrap();
    for name in ["connection", "keep-alive", "transfer-encoding"] {
        assert!(!response.headers().contains_key(name), "{name}");
    }
    let body = soon(response.into_body().collect()).await.unwrap();
    assert_eq!(body.trailers(), None);
    assert_eq!(body.to_bytes(), "ok");
}

#[tokio::test]
async fn h06_s04_a_body_over_http2_is_streamed_and_its_trailers_are_dropped() {
    let application = RawApplication::start().await;
    let (site, authority) = secure(&application.url(), "").await;
    let mut sender = http2(&site, &authority).await;
    let (pieces, body) = unbounded_channel();
    let body = Piecewise(body).boxed();
    let asking = tokio::spawn(sender.send_request(request(Method::POST, "/public/x", &[]).body(body).unwrap()));
    let mut upstream = soon(application.accept()).await;
    let seen = soon(upstream.request_head()).await.unwrap();
    assert_eq!(seen.all("transfer-encoding"), ["chunked"]);
    for piece in ["first", "second"] {
        pieces.send(Frame::data(Bytes::from_static(piece.as_bytes()))).unwrap();
        assert_eq!(soon(upstream.chunk()).await.unwrap(), piece.as_bytes());
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-remote-user", "root".parse().unwrap());
    pieces.send(Frame::trailers(trailers)).unwrap();
    drop(pieces);
    assert_eq!(soon(upstream.chunk()).await, None);
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    let mut response = soon(asking).await.unwrap().unwrap();
    for piece in ["one", "two"] {
        upstream.send(format!("3\r\n{piece}\r\n")).await.unwrap();
        assert_eq!(soon(response.frame()).await.unwrap().unwrap().into_data().unwrap(), piece);
    }
}

/// A body of what comes through a channel.
struct Piecewise(UnboundedReceiver<Frame<Bytes>>);

impl Body for Piecewise {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|frame| frame.map(Ok))
    }
}

#[tokio::test]
async fn h02_the_authority_of_http2_and_a_host_field_agree() {
    let application = Application::start(IDENTITY).await;
    let (site, authority) = secure(&application.url(), "").await;
    let mut sender = http2(&site, &authority).await;
    let status = |host: &'static str| [("host", host)];
    assert_eq!(get(&mut sender, "/public/x", &status(HOST)).await.status(), 200);
    assert_eq!(get(&mut sender, "/public/x", &status("APP.localhost:443")).await.status(), 200);
    assert_eq!(get(&mut sender, "/public/x", &status("evil.example")).await.status(), 400);
    assert_eq!(get(&mut sender, "/public/x", &status("app.localhost:444")).await.status(), 400);
    assert_eq!(get(&mut sender, "/public/x", &[("host", HOST), ("host", HOST)]).await.status(), 400);
    assert_eq!(application.seen().len(), 2);
}

#[tokio::test]
async fn h05_streams_are_authorised_one_by_one() {
    let application = Application::answering(IDENTITY, |seen| Response::new(Bytes::from(seen.target.clone()))).await;
    let (site, authority) = secure(&application.url(), "").await;
    let mut sender = http2(&site, &authority).await;
    let mut asked = Vec::new();
    for number in 0..60 {
        let (target, fields) = match number % 3 {
            0 => (format!("/public/{number}"), vec![]),
            1 => (format!("/private/{number}"), vec![]),
            _ => (format!("/private/{number}"), vec![("cookie", site.cookie.as_str())]),
        };
        sender.ready().await.unwrap();
        let sending = sender.send_request(request(Method::GET, &target, &fields).body(nothing()).unwrap());
        asked.push((number % 3, target, tokio::spawn(sending)));
    }
    for (kind, target, sending) in asked {
        let response = soon(sending).await.unwrap().unwrap();
        assert_eq!(response.status(), if kind == 1 { 401 } else { 200 });
        assert!(kind == 1 || text(response).await == target);
    }
    assert_eq!(application.seen().len(), 40);
    drop(sender);
    assert_eq!(site.log().await.len(), 60);
}

#[tokio::test]
async fn d03_too_many_fields_over_http2_get_431() {
    let application = Application::start(IDENTITY).await;
    let (site, authority) = secure(&application.url(), "[limits]\nheader_count = 20\nheader_bytes = \"8KiB\"\n").await;
    let mut sender = http2(&site, &authority).await;
    let many: Vec<_> = (0..40).map(|_| ("accept", "a")).collect();
    assert_eq!(get(&mut sender, "/public/x", &many).await.status(), 431);
    let large = "x".repeat(9000);
    assert_eq!(get(&mut sender, "/public/x", &[("accept", &large)]).await.status(), 431);
    assert_eq!(get(&mut sender, "/public/x", &many[..15]).await.status(), 200);
    assert_eq!(application.seen().len(), 1);
}

/// Each limit that is not `which` is long.
fn timeouts(which: &str) -> String {
    let all = ["handshake", "first_byte", "header", "idle", "body_stall"];
    let lines = all.map(|name| format!("{name} = \"{}\"\n", if name == which { "300ms" } else { "1h" }));
    format!("[timeouts]\n{}", lines.concat())
}

#[tokio::test]
async fn d01_a_handshake_that_does_not_go_on_is_ended() {
    let application = Application::start(IDENTITY).await;
    let (site, _authority) = secure(&application.url(), &timeouts("handshake")).await;
    // Nothing; the head of a TLS record; a request of clear text, which is no handshake.
    for said in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n"] {
        let mut stream = TcpStream::connect(site.gateway.address()).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut rest = Vec::new();
        let _ = soon(stream.read_to_end(&mut rest)).await;
        assert!(!rest.starts_with(b"HTTP/"), "{rest:?}");
    }
    assert_eq!(application.seen().len(), 0);
}

#[tokio::test]
async fn d01_http2_that_does_not_begin_is_ended() {
    let application = Application::start(IDENTITY).await;
    let (site, authority) = secure(&application.url(), &timeouts("first_byte")).await;
    // The preface and empty settings, and then never a request; a part of one.
    let (begun, part) = (opening(), frame(HEADERS, 0, 1, &head("GET", "/public/x")));
    for (said, goes_away) in [
        (&b""[..], false),
        (b"PRI * HTTP/2.0\r\n\r\nS", false),
        (&begun, true),
        (&[begun.as_slice(), &part].concat(), true),
    ] {
        let mut stream = authority.connect(site.gateway.address(), HOST, &["h2"]).await;
        stream.write_all(said).await.unwrap();
        let mut rest = Vec::new();
        let _ = soon(stream.read_to_end(&mut rest)).await;
        assert_eq!(frames(&rest).iter().find_map(|frame| frame.goes_away()), goes_away.then_some(0), "{said:?}");
    }
    assert!(site.metrics().await.contains("lychgate_connections_timed_out_total{reason=\"first_byte\"} 4"));
}

#[tokio::test]
async fn d01_an_idle_http2_connection_is_closed() {
    let application = Application::start(IDENTITY).await;
    let (site, authority) = secure(&application.url(), &timeouts("idle")).await;
    let stream = authority.connect(site.gateway.address(), HOST, &["h2"]).await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let response = soon(sender.send_request(request(Method::GET, "/public/x", &[]).body(nothing()).unwrap())).await;
    assert_eq!(text(response.unwrap()).await, "hello");
    soon(connection).await.unwrap().unwrap();
}

#[tokio::test]
async fn d01_an_http2_client_that_takes_nothing_is_left() {
    let application = RawApplication::start().await;
    let (site, authority) = secure(&application.url(), &timeouts("body_stall")).await;
    let mut sender = http2(&site, &authority).await;
    let asking = sender.send_request(request(Method::GET, "/public/x", &[]).body(nothing()).unwrap());
    let answering = async {
        let mut upstream = application.accept().await;
        upstream.request().await.unwrap();
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
        upstream
    };
    let (response, mut upstream) = soon(async { tokio::join!(asking, answering) }).await;
    let response = response.unwrap();
    // The client keeps the stream's window shut: it reads frames, but never takes from this body.
    let piece = vec![7u8; 1 << 20];
    soon(async { while upstream.send(&piece).await.is_ok() {} }).await;
    drop(response);
    drop(sender);
    assert_eq!(site.log().await[0]["complete"], false);
}

#[tokio::test]
async fn d05_streams_under_way_are_finished_at_a_stop() {
    let application = RawApplication::start().await;
    let (site, authority) = secure(&application.url(), "").await;
    let mut sender = http2(&site, &authority).await;
    let asking = tokio::spawn(sender.send_request(request(Method::GET, "/public/x", &[]).body(nothing()).unwrap()));
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request()).await.unwrap();
    let stopping = site.gateway.begin_stop();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").await.unwrap();
    let response = soon(asking).await.unwrap().unwrap();
    upstream.send("after").await.unwrap();
    assert_eq!(text(response).await, "firstafter");
    soon(stopping).await.unwrap();
}

#[tokio::test]
async fn an_http2_body_that_is_given_up_does_not_hurt_its_neighbours() {
    let application = RawApplication::start().await;
    let (site, authority) = secure(&application.url(), "").await;
    let mut sender = http2(&site, &authority).await;
    let asking = tokio::spawn(sender.send_request(request(Method::GET, "/public/1", &[]).body(nothing()).unwrap()));
    let mut first = soon(application.accept()).await;
    soon(first.request()).await.unwrap();
    first.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await.unwrap();
    drop(soon(asking).await.unwrap().unwrap());
    assert_eq!(soon(first.rest()).await, b"", "the application's connection ends with the stream");
    let asking = tokio::spawn(sender.send_request(
        request(Method::PUT, "/public/2", &[]).body(Full::new(Bytes::from_static(b"x")).boxed()).unwrap(),
    ));
    let mut second = soon(application.accept()).await;
    assert_eq!(soon(second.request()).await.unwrap().body, b"x");
    second.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    assert_eq!(text(soon(asking).await.unwrap().unwrap()).await, "ok");
}

#[tokio::test]
async fn d03_requests_that_come_together_all_begin_though_none_is_answered() {
    const STREAMS: usize = 120;
    let application = RawApplication::start().await;
    let (site, authority) = secure(&application.url(), "").await;
    let mut senders = [http2(&site, &authority).await, http2(&site, &authority).await];
    let mut answers = tokio::task::JoinSet::new();
    for number in 0..2 * STREAMS {
        let request = request(Method::GET, &format!("/public/{number}"), &[]).body(nothing()).unwrap();
        answers.spawn(senders[number / STREAMS].send_request(request));
    }
    let mut asked = Vec::new();
    while asked.len() < 2 * STREAMS {
        let mut wire = soon(application.accept()).await;
        let request = soon(wire.request()).await.unwrap();
        asked.push((request.line().to_owned(), wire));
    }
    let mut lines: Vec<_> = asked.iter().map(|(line, _)| line.clone()).collect();
    lines.sort_unstable();
    let mut expected: Vec<_> = (0..2 * STREAMS).map(|number| format!("GET /public/{number} HTTP/1.1")).collect();
    expected.sort_unstable();
    assert_eq!(lines, expected);
    for (_, wire) in &mut asked {
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    }
    while let Some(answer) = soon(answers.join_next()).await {
        assert_eq!(answer.unwrap().unwrap().status(), 200);
    }
}
