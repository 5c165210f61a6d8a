//! A browser as far as HTTP goes: cookies by host, the fields of a navigation, redirects followed by hand.
//!
//! All names are looked up on loopback: the URL's port says who is asked. Cookie paths are honoured, because the gateway relies on one.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{COOKIE, HOST, LOCATION, SET_COOKIE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Url;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cookie {
    pub(crate) value: String,
    pub(crate) attributes: String,
    path: String,
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) url: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// Where the answer redirects to, resolved as a browser does.
    pub(crate) fn location(&self) -> Option<String> {
        let location = self.headers.get(LOCATION)?.to_str().unwrap();
        Some(Url::parse(&self.url).unwrap().join(location).unwrap().into())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Status, fields and body, without the time and with `…` for what is drawn for each answer (identifiers, tokens, sealed texts): every run
    /// of twenty or more letters of base64url.
    pub(crate) fn without_what_is_drawn(&self) -> String {
        let fields = self.headers.iter().filter(|(name, _)| *name != "date");
        let fields: String = fields.map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap())).collect();
        let all = format!("{}\n{fields}\n{}", self.status, self.text());
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        let mut out = String::new();
        for part in all.split_inclusive(|letter| !is_letter(letter)) {
            let run = part.trim_end_matches(|letter| !is_letter(letter));
            out.push_str(if run.len() < 20 { run } else { "…" });
            out.push_str(&part[run.len()..]);
        }
        out
    }

    /// The one value of a field.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Cookies by host name and cookie name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Browser {
    pub(crate) cookies: BTreeMap<String, BTreeMap<String, Cookie>>,
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A navigation to `url`, as a browser makes it.
    pub(crate) async fn get(&mut self, url: &str) -> Reply {
        self.send(Method::GET, url, &[("accept", "text/html,*/*;q=0.8"), ("sec-fetch-mode", "navigate")], Bytes::new())
            .await
    }

    /// A script's request.
    pub(crate) async fn fetch(&mut self, method: Method, url: &str) -> Reply {
        self.send(method, url, &[("accept", "*/*"), ("sec-fetch-mode", "cors")], Bytes::new()).await
    }

    /// A form sent by a person.
    pub(crate) async fn post(&mut self, url: &str, form: &str, headers: &[(&str, &str)]) -> Reply {
        let mut all = vec![
            ("accept", "text/html"),
            ("sec-fetch-mode", "navigate"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        all.extend_from_slice(headers);
        self.send(Method::POST, url, &all, Bytes::copy_from_slice(form.as_bytes())).await
    }

    /// Goes to `url` and follows redirects, at most twenty, to the answer that is none.
    pub(crate) async fn open(&mut self, url: &str) -> Reply {
        let mut reply = self.get(url).await;
        for _ in 0..20 {
            match reply.location() {
                Some(next) => reply = self.get(&next).await,
                None => return reply,
            }
        }
        panic!("redirected more than twenty times, last to {}", reply.url);
    }

    /// Any request; cookies are sent and kept.
    pub(crate) async fn send(&mut self, method: Method, url: &str, headers: &[(&str, &str)], body: Bytes) -> Reply {
        let parsed = Url::parse(url).unwrap();
        let host = parsed.host_str().unwrap().to_owned();
        let port = parsed.port_or_known_default().unwrap();
        let target = &parsed[url::Position::BeforePath..url::Position::AfterQuery];
        let mut request = Request::builder().method(method).uri(target).header(HOST, format!("{host}:{port}"));
        if let Some(cookies) = self.cookies_for(&host, parsed.path()) {
            request = request.header(COOKIE, cookies);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let driving = tokio::spawn(connection);
        let response = sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        driving.abort();
        self.keep(&host, &parts.headers);
        Reply { url: url.to_owned(), status: parts.status, headers: parts.headers, body }
    }

    /// The cookie `name` of `host`.
    pub(crate) fn cookie(&self, host: &str, name: &str) -> Option<&Cookie> {
        self.cookies.get(host)?.get(name)
    }

    /// Plants a cookie.
    pub(crate) fn plant(&mut self, host: &str, name: &str, value: &str) {
        let cookie = Cookie { value: value.to_owned(), attributes: String::new(), path: "/".to_owned() };
        self.cookies.entry(host.to_owned()).or_default().insert(name.to_owned(), cookie);
    }

    /// The names of the cookies of `host`.
    pub(crate) fn cookie_names(&self, host: &str) -> Vec<String> {
        self.cookies.get(host).map(|cookies| cookies.keys().cloned().collect()).unwrap_or_default()
    }

    fn cookies_for(&self, host: &str, path: &str) -> Option<String> {
        let below = |cookie: &Cookie| {
            cookie.path == "/" || path == cookie.path || path.starts_with(&format!("{}/", cookie.path))
        };
        let pairs: Vec<String> = self
            .cookies
            .get(host)?
            .iter()
            .filter(|(_, cookie)| below(cookie))
            .map(|(name, cookie)| format!("{name}={}", cookie.value))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// Keeps the cookies of an answer.
    pub(crate) fn keep(&mut self, host: &str, headers: &HeaderMap) {
        for line in headers.get_all(SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (pair, attributes) = line.split_once("; ").unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').unwrap();
            let cookies = self.cookies.entry(host.to_owned()).or_default();
            if attributes.contains("Max-Age=0") {
                cookies.remove(name);
                continue;
            }
            let path = attributes.split("; ").find_map(|one| one.strip_prefix("Path=")).unwrap_or("/").to_owned();
            cookies
                .insert(name.to_owned(), Cookie { value: value.to_owned(), attributes: attributes.to_owned(), path });
        }
    }
}
