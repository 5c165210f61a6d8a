//! What connections can make the gateway keep, and that it goes back to the system when they are gone, though nothing is asked of the gateway any more.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::application::Application;
use crate::harness::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, frame, frames, head, opening};
use crate::harness::gateway::{HOST, Setup, clock, provider};
use crate::harness::program::Program;
use crate::harness::site::policy;
use crate::harness::soon;
use crate::harness::tls::Authority;
use crate::harness::wire::Wire;

const CONNECTIONS: usize = 600;
/// Of a head that is never complete.
const PART: usize = 30 << 10;

const LYING: u32 = 120;
/// Bytes of an answer that a client lets lie: with its head, as much as is read at once on HTTP/1.1.
const ANSWER: usize = 120 << 10;
/// Two pieces, what the application's connection and a request need, and some more.
const FOR_EACH: usize = 56 << 10;

/// Waits until the program's resident memory is as it should be.
async fn until(program: &Program, enough: impl Fn(usize) -> bool) {
    soon(async {
        while !enough(program.resident()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn d06_an_idle_gateway_gives_back_the_memory_of_connections_that_are_gone() {
    let provider = provider(&clock()).await;
    let setup = Setup::new(&clock())
        .provider(&provider)
        .settings("[limits]\nconnections_per_address = 1000")
        .policy("app", &policy("http://127.0.0.1:1"));
    let program = Program::start(&setup.write());
    let address = program.address();
    let before = program.resident();
    let mut head = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Much: ").into_bytes();
    head.resize(PART, b'm');
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(&head).await.unwrap();
        clients.push(client);
    }
    let needed = CONNECTIONS * PART;
    until(&program, |resident| resident > before + needed).await;
    drop(clients);
    until(&program, |resident| resident < before + needed / 2).await;
}

#[tokio::test]
async fn d01_answers_that_lie_with_http_2_clients_hold_two_small_pieces_each() {
    let provider = provider(&clock()).await;
    let application = Application::answering(&[], |_| http::Response::new(vec![b'x'; ANSWER].into())).await;
    let authority = Authority::new();
    let certified = authority.certify(HOST);
    let setup = Setup::new(&clock())
        .provider(&provider)
        .listeners(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"cert.pem\", key = \"key.pem\" }\n",
        )
        .file("cert.pem", &certified.certificate)
        .file("key.pem", &certified.key)
        .policy("app", &policy(&application.url()));
    let program = Program::start(&setup.write());
    let address = program.address();
    let (before, mut clients) = (program.resident(), Vec::new());
    for _ in 0..4 {
        let mut client = Wire::over(authority.connect(address, HOST, &["h2"]).await);
        let one_byte = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1]);
        let ask = |number| frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &head("GET", "/public/x"));
        client.send([opening(), one_byte, (0..LYING).flat_map(ask).collect()].concat()).await.unwrap();
        let mut read = Vec::new();
        // A byte of each has come.
        while frames(&read).iter().filter(|frame| frame.kind == DATA).count() < LYING as usize {
            let more = soon(client.bytes()).await;
            assert!(!more.is_empty());
            read.extend(more);
        }
        clients.push(client);
    }
    // The second piece has been read when those that come later have been answered.
    let (held, most) = (program.resident() - before, clients.len() * LYING as usize * FOR_EACH);
    assert!(held < most, "{held} bytes are held for {} answers, {most} are enough", clients.len() * LYING as usize);
}
