//! Few descriptors: how many clients are let in, and that those who are get their answers (D04).

use tokio::net::TcpStream;

use crate::harness::application::Application;
use crate::harness::gateway::{HOST, Setup, clock, provider};
use crate::harness::program::{Program, lychgate_with_files};
use crate::harness::site::policy;
use crate::harness::soon;
use crate::harness::wire::Wire;

/// More than can be let in.
const SILENT: usize = 140;

/// A gateway with these limits of open files; its folder is there as long as the second part is.
async fn start(application: &Application, files: (u32, u32)) -> (Program, Setup) {
    let provider = provider(&clock()).await;
    let setup = Setup::new(&clock()).provider(&provider).policy("app", &policy(&application.url()));
    let config = setup.write();
    (Program::spawn(lychgate_with_files(files, &["run", "--config", config.to_str().unwrap()])), setup)
}

/// The status of a request for this host on this connection.
async fn status(client: &mut Wire, host: &str) -> u16 {
    client.send(format!("GET /public/x HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.unwrap();
    soon(client.reply(false)).await.unwrap().status
}

/// How many connections there is no descriptor for.
async fn turned_away(program: &Program) -> usize {
    let mut client = Wire::connect(program.admin()).await;
    client.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let text = String::from_utf8(soon(client.reply(false)).await.unwrap().body).unwrap();
    let name = "lychgate_connections_turned_away_total{reason=\"descriptors\"} ";
    text.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn d04_silent_clients_leave_descriptors_for_those_who_are_served() {
    let application = Application::start(&[]).await;
    let (program, _setup) = start(&application, (128, 128)).await;
    let address = program.address();
    let said = program.says("no more than ");
    assert!(said.contains("`limits.connections` is 10000, and 128 open files are allowed"), "{said}");
    let mut early = Wire::connect(address).await;
    assert_eq!(status(&mut early, "elsewhere.localhost").await, 404, "it is let in");
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    assert_eq!(status(&mut early, HOST).await, 200, "it needs a connection to the application");
    let told = program.says("reason=\"descriptors\"");
    assert!(told.contains("the limit of open files leaves no room for more"), "{told}");
    soon(async { while turned_away(&program).await < SILENT / 2 {} }).await;
    // There is room again when they are gone.
    drop(silent);
    soon(async {
        let mut late = Wire::connect(address).await;
        while late.send(format!("GET /public/x HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.is_err()
            || late.reply(false).await.is_none()
        {
            late = Wire::connect(address).await;
        }
    })
    .await;
}

#[tokio::test]
async fn d04_a_start_raises_the_limit_as_far_as_it_may() {
    let application = Application::start(&[]).await;
    let (program, _setup) = start(&application, (128, 1024)).await;
    let address = program.address();
    assert_eq!(program.most_files(), (1024, 1024));
    let mut early = Wire::connect(address).await;
    assert_eq!(status(&mut early, "elsewhere.localhost").await, 404, "it is let in");
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    assert_eq!((status(&mut early, HOST).await, turned_away(&program).await), (200, 0));
}
