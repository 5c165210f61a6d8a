//! What a message costs that is relayed after an upgrade: 64 tunnels, each with one message of 128 bytes on its way to the application
//! or back.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{self, Client};
use crate::closed::{self, Worker};
use crate::peers::lychgate::{self, Setup};
use crate::peers::{self, Running};
use crate::rounds::{Contender, in_turn};
use crate::site::Site;
use crate::{Bench, Result, table};

const TUNNELS: usize = 64;
const MESSAGE: [u8; 128] = [0x81; 128];
const HOST: &str = "socket.localhost";

pub(crate) fn measure(bench: &Bench) -> Result<()> {
    let mut running = Vec::new();
    for peer in [peers::nginx::PEER, peers::haproxy::PEER] {
        if bench.includes(peer.name) && (peer.missing)().is_none() {
            running.push((peer.start)(&bench.site, &bench.provider)?);
        }
    }
    if bench.includes(lychgate::PEER.name) {
        let policies = [("socket".to_owned(), policy(&bench.site))];
        let setup = Setup { policies: &policies, ..lychgate::USUAL };
        running.push(lychgate::start_as(&bench.site, &bench.provider, &setup)?.running);
    }
    let contenders: Vec<Contender<'_>> = running
        .iter()
        .map(|proxy| Contender {
            name: proxy.name.to_owned(),
            process: &proxy.process,
            send: Box::new(move |seconds| relay(proxy, seconds)),
        })
        .collect();
    let title = "WebSocket messages of 128 bytes, 64 tunnels (cpu us and req/s: for each message in one direction)";
    print!("{}", table::print(title, &in_turn(bench.pace, &contenders)));
    Ok(())
}

fn policy(site: &Site) -> String {
    let echo = site.echo;
    format!("[app]\nhosts = [\"{HOST}\"]\nupstream = \"http://127.0.0.1:{echo}\"\n[[rules]]\naccess = \"public\"\n")
}

/// Each echo is two messages.
fn relay(proxy: &Running, seconds: u64) -> Result<crate::load::Load> {
    let mut load = closed::run(seconds, async || Tunnel::open(proxy).await, TUNNELS)?;
    load.requests *= 2.0;
    load.rate *= 2.0;
    Ok(load)
}

struct Tunnel(Client<TcpStream>);

impl Tunnel {
    async fn open(proxy: &Running) -> Result<Self> {
        let mut connection = client::clear(proxy.clear).await?;
        let request = format!(
            "GET /socket HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        connection.send(request.as_bytes()).await?;
        connection.head().await?.must_be(101)?;
        Ok(Self(connection))
    }
}

impl Worker for Tunnel {
    async fn once(&mut self) -> Result<()> {
        self.0.echo(&MESSAGE).await
    }
}

/// The application: switches protocols whatever is asked, and sends back what comes. Returns its port; lasts as long as the program.
pub(crate) fn start_echo() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(echo(stream));
            }
        });
    });
    Ok(port)
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 4096];
    let mut have = 0;
    while !buffer.get(..have).is_some_and(|head| head.ends_with(b"\r\n\r\n")) {
        match stream.read(buffer.get_mut(have..).unwrap_or_default()).await? {
            0 => return Ok(()),
            more => have += more,
        }
    }
    let switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    stream.write_all(switched).await?;
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(buffer.get(..read).unwrap_or_default()).await?;
    }
}
