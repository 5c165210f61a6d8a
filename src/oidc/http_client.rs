//! Bounded requests to a provider: no redirect is followed, time and size are limited, nothing is pooled.
//!
//! A provider that is slow, silent or sends without end costs one login its time limit and never more memory than
//! [`Limits::body`] (R16). Redirects are answers like any other, and callers refuse what is not 200, so that no answer can
//! send a client secret to another address (OIDC Core 16.5, RFC 9700 section 4.12).
//!
//! May touch: the network. Clear text only to loopback names. Trust boundary: everything that comes back.

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use url::Url;

use super::availability::FetchError;
use super::settings::SettingsError;
use crate::http::HostName;
use crate::socket;

/// A request to a provider.
pub(super) type HttpRequest = Request<Vec<u8>>;
/// A provider's whole answer.
pub(super) type HttpResponse = Response<Vec<u8>>;

/// What one request to a provider may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the first packet to the last byte of the answer.
    pub total: Duration,
    /// To connect and, where TLS is spoken, to shake hands.
    pub connect: Duration,
    /// The longest answer in bytes.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: Duration::from_secs(10), connect: Duration::from_secs(5), body: 1 << 20 }
    }
}

/// The client of one provider, with that provider's trusted certificates.
pub(super) struct HttpClient {
    tls: Arc<ClientConfig>,
    limits: Limits,
}

impl HttpClient {
    /// A client that trusts the certificates in `ca`, or the system's where there are none.
    pub(super) fn new(ca: Option<&[u8]>, limits: Limits) -> Result<Self, SettingsError> {
        let roots = match ca {
            Some(pem) => given_roots(pem)?,
            None => system_roots(),
        };
        let mut tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| SettingsError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Arc::new(tls), limits })
    }

    /// Makes one request and reads the whole answer, whatever its status.
    pub(super) async fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, FetchError> {
        tokio::time::timeout(self.limits.total, self.exchange(request)).await.map_err(|_| FetchError::TimedOut)?
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, FetchError> {
        let target = Target::of(request.uri())?;
        let connect = tokio::time::timeout(self.limits.connect, target.connect());
        let tcp = connect.await.map_err(|_| FetchError::TimedOut)??;
        let request = origin_form(request, &target)?;
        if !target.tls {
            return talk(tcp, request, self.limits.body).await;
        }
        let name = ServerName::try_from(target.tls_name().to_owned()).map_err(|_| FetchError::BadUrl)?;
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.tls));
        let handshake = tokio::time::timeout(self.limits.connect, connector.connect(name, tcp));
        let tls = handshake.await.map_err(|_| FetchError::TimedOut)?.map_err(|error| FetchError::tls(&error))?;
        talk(tls, request, self.limits.body).await
    }
}

/// Whether a URL may be asked at all: https, or http to this very machine; and no password in it.
pub(super) fn may_be_fetched(url: &Url) -> bool {
    let Some(host) = url.host_str().and_then(|host| HostName::parse(host).ok()) else { return false };
    let plain = url.username().is_empty() && url.password().is_none();
    plain && (url.scheme() == "https" || (url.scheme() == "http" && host.is_loopback()))
}

struct Target {
    tls: bool,
    host: HostName,
    port: u16,
    authority: String,
}

impl Target {
    fn of(uri: &Uri) -> Result<Self, FetchError> {
        let url = Url::parse(&uri.to_string()).map_err(|_| FetchError::BadUrl)?;
        if !may_be_fetched(&url) {
            return Err(FetchError::BadUrl);
        }
        let host = url.host_str().and_then(|host| HostName::parse(host).ok()).ok_or(FetchError::BadUrl)?;
        let port = url.port_or_known_default().ok_or(FetchError::BadUrl)?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        Ok(Self { tls: url.scheme() == "https", host, port, authority })
    }

    /// Loopback names never ask a resolver (RFC 6761 section 6.3).
    async fn connect(&self) -> Result<TcpStream, FetchError> {
        let name = self.host.as_str();
        let connected = if name == "localhost" || name.ends_with(".localhost") {
            let port = self.port;
            socket::connect(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]).await
        } else {
            let resolved = tokio::net::lookup_host((self.tls_name(), self.port)).await;
            socket::connect(resolved.map_err(|_| FetchError::NameUnknown)?.collect()).await
        };
        connected.map_err(|error| FetchError::Connect(error.kind()))
    }

    /// The host without the brackets of an IPv6 literal.
    fn tls_name(&self) -> &str {
        self.host.as_str().trim_start_matches('[').trim_end_matches(']')
    }
}

/// Path and query in the request line, the authority in Host.
fn origin_form(request: HttpRequest, target: &Target) -> Result<Request<Full<Bytes>>, FetchError> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = Uri::try_from(path).map_err(|_| FetchError::BadUrl)?;
    parts.headers.insert(HOST, HeaderValue::try_from(&target.authority).map_err(|_| FetchError::BadUrl)?);
    parts.headers.insert(USER_AGENT, HeaderValue::from_static(concat!("lychgate/", env!("CARGO_PKG_VERSION"))));
    Ok(Request::from_parts(parts, Full::new(Bytes::from(body))))
}

/// One request and its answer on a connection that is then dropped.
async fn talk<S>(stream: S, request: Request<Full<Bytes>>, limit: usize) -> Result<HttpResponse, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|_| FetchError::Protocol)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|_| FetchError::Protocol)?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, limit).collect().await.map_err(body_error)?;
        Ok(Response::from_parts(parts, body.to_bytes().to_vec()))
    };
    // The connection ends on its own once the answer is read; its errors come out of the answer.
    let driven = async {
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        answer = answer => answer,
        never = driven => match never {},
    }
}

fn body_error(error: Box<dyn std::error::Error + Send + Sync>) -> FetchError {
    if error.is::<LengthLimitError>() { FetchError::TooLarge } else { FetchError::Protocol }
}

fn given_roots(pem: &[u8]) -> Result<RootCertStore, SettingsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| SettingsError::Ca(error.to_string()))?;
        roots.add(certificate).map_err(|error| SettingsError::Ca(error.to_string()))?;
    }
    if roots.is_empty() { Err(SettingsError::Ca("it has no PEM certificate".to_owned())) } else { Ok(roots) }
}

/// The system's roots. Without any, each https request fails with an error that says so.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_text_stays_on_this_machine() {
        let allowed = |text: &str| may_be_fetched(&Url::parse(text).unwrap());
        assert!(allowed("https://idp.example/x?y") && allowed("http://127.0.0.1:8/") && allowed("http://a.localhost"));
        for bad in ["http://idp.example/", "http://localhost.evil/", "https://u:p@idp.example/", "ws://localhost/"] {
            assert!(!allowed(bad), "{bad}");
        }
    }

    #[test]
    fn a_ca_file_without_certificates_is_refused() {
        for bad in [&b""[..], b"nothing", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(HttpClient::new(Some(bad), Limits::default()), Err(SettingsError::Ca(_))));
        }
    }
}
