//! A legacy application that records what it is told, and fails the test on any field that the test did not expect.
//!
//! Every field that is not ordinary HTTP must be in the list of expected identity fields; what is not is a leak or a forgery that came
//! through, and the test fails when the application is dropped.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Fields that may always come through.
const ORDINARY: &[&str] = &[
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization-of-the-application",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "if-none-match",
    "origin",
    "range",
    "referer",
    "sec-fetch-mode",
    "sec-websocket-key",
    "sec-websocket-version",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

/// One request as the application saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// Path and query as on the wire.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    /// The one value of a field; none when it is absent. Fails when it stands there twice.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        assert!(values.len() <= 1, "{name} stands there {} times", values.len());
        values.first().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }
}

type Answered = Response<BoxBody<Bytes, Infallible>>;
type Answering = Box<dyn Fn(&Seen) -> Response<Bytes> + Send + Sync>;

struct Shared {
    seen: Mutex<Vec<Seen>>,
    expected: BTreeSet<String>,
    leaks: Mutex<Vec<String>>,
    answering: Answering,
}

/// A running application; it stops when dropped.
pub(crate) struct Application {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Application {
    /// Answers 200 and `hello` to everything; `expected` are the identity fields that it may be given.
    pub(crate) async fn start(expected: &[&str]) -> Self {
        Self::answering(expected, |_| Response::new(Bytes::from_static(b"hello"))).await
    }

    /// Answers what `answering` says.
    pub(crate) async fn answering(
        expected: &[&str],
        answering: impl Fn(&Seen) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            expected: expected.iter().map(|name| name.to_lowercase()).collect(),
            leaks: Mutex::default(),
            answering: Box::new(answering),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    /// `http://127.0.0.1:PORT`, for a policy's `upstream`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far that came whole, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The only request so far.
    pub(crate) fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen[0].clone()
    }

    /// The last request.
    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().unwrap()
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.accepting.abort();
        let leaks = self.shared.leaks.lock().unwrap();
        if !leaks.is_empty() && !std::thread::panicking() {
            panic!("the application was told what nobody expected: {leaks:?}");
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Answered, Infallible> {
    let (parts, body) = request.into_parts();
    for name in parts.headers.keys() {
        if !ORDINARY.contains(&name.as_str()) && !shared.expected.contains(name.as_str()) {
            shared.leaks.lock().unwrap().push(name.to_string());
        }
    }
    let Ok(body) = body.collect().await.map(|body| body.to_bytes()) else {
        return Ok(Response::builder().status(400).body(Full::default().boxed()).unwrap());
    };
    let seen = Seen { method: parts.method, target: parts.uri.to_string(), headers: parts.headers, body };
    shared.seen.lock().unwrap().push(seen.clone());
    Ok((shared.answering)(&seen).map(|body| Full::new(body).boxed()))
}
