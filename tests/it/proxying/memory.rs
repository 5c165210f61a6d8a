//! What connections needed goes back to the system when they are gone, though nothing is asked of the gateway any more.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::gateway::{HOST, Setup, clock, provider};
use crate::harness::program::Program;
use crate::harness::site::policy;
use crate::harness::soon;

const CONNECTIONS: usize = 600;
/// Of a head that is never complete.
const PART: usize = 30 << 10;

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
