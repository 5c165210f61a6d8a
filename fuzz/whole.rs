//! The whole gateway under a fuzzer's bytes on HTTP/1.1: a real listener, the reading of requests, the pipeline, and an application that records.
//!
//! `@ADA@` in the bytes stands for the cookie of a person who is signed in. While they are answered, a neighbour on a connection of its own,
//! which stays open, asks for a page that no input can name, and must get that page. What must hold stands in `judged.rs`.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::answers::Answer;
use super::judged::{End, Whole, latin};

/// Stands behind the fuzzer's bytes, so that a connection that is still sound ends by itself.
const LAST: &str = "\r\n\r\nGET /public/last HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n\r\n";
/// How long nothing may come before the client ends: what is looked at is never this time.
const SILENCE: Duration = Duration::from_millis(40);
/// Nothing here takes so long.
const HANGS: Duration = Duration::from_secs(20);
/// The neighbour's address: nobody else's here.
const NEIGHBOUR: &str = "127.0.0.1";

static WHOLE: LazyLock<(Whole, Mutex<Neighbour>)> = LazyLock::new(|| (Whole::start("gateway", None), Mutex::default()));

/// Sends the bytes on a connection of their own and checks what became of them.
pub(crate) fn gateway(data: &[u8]) {
    let (whole, neighbour) = &*WHOLE;
    let said = [&whole.said(data), LAST.as_bytes()].concat();
    let (mut stream, client) = connect(whole.address());
    let mut neighbour = neighbour.lock().unwrap_or_else(PoisonError::into_inner);
    // An error means that the gateway has closed already.
    let _ = stream.write_all(&said);
    let page = neighbour.ask(whole);
    let (got, end) = read(stream);
    let neighbours = neighbour.answer(whole, &page);
    let told = whole.check();
    whole.judge(&got, end, &client, &told);
    let neighbourly: Vec<_> = told.into_iter().filter(|told| told.target() == page).collect();
    whole.judge(&neighbours, End::Closed, NEIGHBOUR, &neighbourly);
}

/// Connects from the next of many addresses, by which the gateway knows each client, and with it each execution.
pub(super) fn connect(address: SocketAddr) -> (TcpStream, String) {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let client = Ipv4Addr::new(127, 1, high, low);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((client, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap_or_else(|error| panic!("{client} cannot connect to the gateway: {error}"));
    socket.set_tcp_nodelay(true).unwrap();
    (socket.into(), client.to_string())
}

/// Reads to the end of the connection.
fn read(mut stream: TcpStream) -> (Vec<u8>, End) {
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let (mut got, mut piece, mut end) = (Vec::new(), [0; 4096], End::Closed);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return (got, end),
            Ok(count) => got.extend_from_slice(&piece[..count]),
            // libFuzzer's alarm.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                assert_eq!(end, End::Closed, "a connection stays open after its client has ended");
                end = End::AfterClient;
                let _ = stream.shutdown(Shutdown::Write);
                stream.set_read_timeout(Some(HANGS)).unwrap();
            }
            Err(_) => return (got, End::Broken),
        }
    }
}

/// A client that does nothing wrong.
#[derive(Default)]
struct Neighbour {
    stream: Option<TcpStream>,
    asked: usize,
}

impl Neighbour {
    /// Asks for a page that it has not asked for before; which.
    fn ask(&mut self, whole: &Whole) -> String {
        self.asked += 1;
        let page = format!("/public/{}/{}", whole.application.mark, self.asked);
        self.send(whole, &page);
        page
    }

    fn send(&mut self, whole: &Whole, page: &str) {
        let request = format!("GET {page} HTTP/1.1\r\nHost: app.localhost\r\n\r\n");
        let stream = self.stream.get_or_insert_with(|| {
            let stream = TcpStream::connect(whole.address()).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(HANGS)).unwrap();
            stream
        });
        // A connection that was closed while it was idle is found out by reading.
        let _ = stream.write_all(request.as_bytes());
    }

    /// The answer, which it asks for once more where an idle connection was closed.
    fn answer(&mut self, whole: &Whole, page: &str) -> Vec<u8> {
        let mut got = self.read();
        if got.is_empty() {
            self.stream = None;
            self.send(whole, page);
            got = self.read();
        }
        assert!(latin(&got).contains(page), "the neighbour asked for {page} and got {:?}", latin(&got));
        if Answer::read(&got, false).all("connection").contains(&"close") {
            self.stream = None;
        }
        got
    }

    fn read(&mut self) -> Vec<u8> {
        let Some(stream) = &mut self.stream else { return Vec::new() };
        let (mut got, mut piece) = (Vec::new(), [0; 4096]);
        while !got.windows(4).any(|part| part == b"\r\n\r\n") || !Answer::read(&got, false).whole {
            match stream.read(&mut piece) {
                Ok(count) if count > 0 => got.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("the neighbour waits for an answer")
                }
                _ => break,
            }
        }
        got
    }
}
