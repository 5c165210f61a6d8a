//! One connection to the operators' listener: one request, within time limits.
//!
//! The head has [`PATIENCE`], the answer's way out as much again; between them is what the gateway does, which has limits of its own. A client
//! that wants more asks on a new connection: probes and scrapers do, and nobody keeps a place by sending and not reading.
//!
//! Trust boundary: whoever reaches the socket.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

/// How long a client may take for the head of its request, and once more for the answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Serves the connection to its end; `patience` is [`PATIENCE`] but in tests.
pub(super) async fn serve<S, A>(stream: S, patience: Duration, answer: impl Fn(Request<Incoming>) -> A)
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Future<Output = Response<Full<Bytes>>>,
{
    let answered = Notify::new();
    let service = service_fn(|request| {
        let (answer, answered) = (answer(request), &answered);
        async move {
            let response = answer.await;
            answered.notify_one();
            Ok::<_, Infallible>(response)
        }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(patience).keep_alive(false);
    let late = async {
        answered.notified().await;
        tokio::time::sleep(patience).await;
    };
    tokio::select! {
        _ = server.serve_connection(TokioIo::new(stream), service) => {}
        () = late => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    use super::*;

    const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    /// More than the pipe between client and listener holds.
    const ANSWER: &[u8] = &[b'x'; 4096];
    const PATIENCE: Duration = Duration::from_millis(200);
    /// Longer than any loaded machine needs.
    const LONG: Duration = Duration::from_secs(30);

    /// How long a connection lasted on which a client sent this and read so much, and what it read.
    async fn served(sent: &[u8], read: u64, (patience, working): (Duration, Duration)) -> (Duration, String) {
        let (mut client, server) = tokio::io::duplex(1024);
        let began = Instant::now();
        let serving = tokio::spawn(serve(server, patience, move |_| async move {
            tokio::time::sleep(working).await;
            Response::new(Full::new(Bytes::from_static(ANSWER)))
        }));
        client.write_all(sent).await.unwrap();
        let mut got = String::new();
        (&mut client).take(read).read_to_string(&mut got).await.unwrap();
        tokio::time::timeout(LONG, serving).await.expect("it lasts").unwrap();
        (began.elapsed(), got)
    }

    #[tokio::test]
    async fn d01_a_client_that_reads_nothing_is_waited_for_only_so_long() {
        let working = PATIENCE * 3;
        // From when there is an answer: what the gateway itself takes is no fault of the client.
        let (lasted, _) = served(REQUEST, 0, (PATIENCE, working)).await;
        assert!(lasted >= working + PATIENCE, "{lasted:?}");
        for nothing in [&b""[..], b"GET /metrics HTTP/1.1\r\nHost: "] {
            let (lasted, _) = served(nothing, 0, (PATIENCE, Duration::ZERO)).await;
            assert!(lasted >= PATIENCE, "{lasted:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_serves_one_request_and_says_so() {
        let (lasted, got) = served(&REQUEST.repeat(3), u64::MAX, (LONG, Duration::ZERO)).await;
        assert!(lasted < LONG && got.contains("connection: close\r\n") && got.ends_with("xxx"), "{lasted:?} {got}");
        assert_eq!(got.matches("HTTP/1.1 200 OK").count(), 1, "{got}");
    }
}
