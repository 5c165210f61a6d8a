//! Signing in as a browser does: follow redirects, keep cookies.
//!
//! The walk starts at a page of the application without a session and must be sent away; it must come back to that page
//! and be shown under the person's name, which only a request that carried the identity headers can bring about.
//! What is left is the Cookie header that the load generator sends.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use url::Url;

use crate::provider::Provider;
use crate::site::Site;
use crate::{Result, client};

/// Clear or TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Clear,
    Tls,
}

const MOST_REDIRECTS: usize = 8;

/// Signs the provider's person in at the proxy on `port` and returns the session's Cookie header.
pub(crate) fn sign_in(site: &Site, provider: &Provider, scheme: Scheme, port: u16) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let scheme = if scheme == Scheme::Tls { "https" } else { "http" };
    let start = Url::parse(&format!("{scheme}://localhost:{port}/whoami"))?;
    runtime.block_on(walk(site, provider, start))
}

/// Cookies by authority; ports count, because every proxy here shares one host name.
type Jar = BTreeMap<String, BTreeMap<String, String>>;

async fn walk(site: &Site, provider: &Provider, start: Url) -> Result<String> {
    let mut jar = Jar::new();
    let mut url = start.clone();
    for step in 0..MOST_REDIRECTS {
        let cookies = cookie_header(&jar, &url);
        let response = fetch(site, &url, &cookies).await?;
        keep_cookies(&mut jar, &url, &response);
        let status = response.status();
        if let Some(location) = response.headers().get(header::LOCATION) {
            url = url.join(location.to_str()?)?;
            continue;
        }
        let page = String::from_utf8_lossy(response.body());
        let arrived = status == StatusCode::OK && url == start && step > 0;
        if arrived && page.contains(&format!("[{}]", provider.person)) {
            return Ok(cookie_header(&jar, &url));
        }
        return Err(format!("the login ended at {url} with {status} and: {page}").into());
    }
    Err(format!("the login was redirected {MOST_REDIRECTS} times, last to {url}").into())
}

async fn fetch(site: &Site, url: &Url, cookies: &str) -> Result<Response<Bytes>> {
    let port = url.port().ok_or("an address without a port")?;
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    if url.scheme() == "https" {
        let name = ServerName::try_from("localhost")?;
        return exchange(client::connector(site, "http/1.1")?.connect(name, stream).await?, url, cookies).await;
    }
    exchange(stream, url, cookies).await
}

async fn exchange<S>(stream: S, url: &Url, cookies: &str) -> Result<Response<Bytes>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let target = url.query().map(|query| format!("{}?{query}", url.path()));
    let mut request = Request::get(target.as_deref().unwrap_or(url.path()))
        .header(header::HOST, url.authority())
        .header(header::ACCEPT, "text/html");
    if !cookies.is_empty() {
        request = request.header(header::COOKIE, cookies);
    }
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?);
    let (head, body) = response.await?.into_parts();
    let body = body.collect().await?.to_bytes();
    driver.abort();
    Ok(Response::from_parts(head, body))
}

fn keep_cookies(jar: &mut Jar, url: &Url, response: &Response<Bytes>) {
    let kept = jar.entry(url.authority().to_owned()).or_default();
    for line in response.headers().get_all(header::SET_COOKIE) {
        let Ok(cookie) = cookie_pair(line) else {
            continue;
        };
        let (name, value, gone) = cookie;
        if gone {
            kept.remove(&name);
        } else {
            kept.insert(name, value);
        }
    }
}

/// Name, value, and whether the line deletes the cookie.
fn cookie_pair(line: &header::HeaderValue) -> Result<(String, String, bool)> {
    let line = line.to_str()?;
    let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
    let (name, value) = pair.split_once('=').ok_or("a cookie without =")?;
    let attributes = attributes.to_ascii_lowercase();
    let gone = value.is_empty() || attributes.contains("max-age=0") || attributes.contains("1970");
    Ok((name.trim().to_owned(), value.to_owned(), gone))
}

fn cookie_header(jar: &Jar, url: &Url) -> String {
    let kept = jar.get(url.authority()).into_iter().flatten();
    let pairs: Vec<String> = kept.map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("; ")
}
