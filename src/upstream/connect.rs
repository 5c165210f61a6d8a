//! Opening a connection to the application: TCP, TLS where asked for, HTTP/1.1.
//!
//! Trust boundary: the application's certificate is checked against the system's roots or the application's own CA file; there is
//! no switch to leave the check out. Specification: RFC 9112, RFC 8446, RFC 9525.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::UpstreamError;
use super::connection::Connection;
use super::socket::Socket;
use crate::socket::connect_to;

/// Numbers of servers; those in clear text by their authority, so that connections to one are shared by all applications that run there, and
/// stay when policies are loaded anew. Over TLS whom to trust is an application's own affair. Bound: the servers that policies ever named.
static SERVERS: Mutex<BTreeMap<Arc<str>, usize>> = Mutex::new(BTreeMap::new());
static NEXT_ID: AtomicUsize = AtomicUsize::new(0);

fn id_of(authority: &Arc<str>, over_tls: bool) -> usize {
    let new = || NEXT_ID.fetch_add(1, Ordering::Relaxed);
    if over_tls {
        return new();
    }
    let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
    *servers.entry(Arc::clone(authority)).or_insert_with(new)
}

/// Whom to trust when the application speaks TLS.
#[derive(Clone)]
pub struct TlsTrust(Arc<ClientConfig>);

/// Why certificates for [`TlsTrust`] cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsTrustError(String);

impl fmt::Display for TlsTrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsTrustError {}

impl TlsTrust {
    /// Trusts the certificate authorities of a PEM text and no others.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TlsTrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| TlsTrustError(format!("the file is no PEM: {error:?}")))?;
            roots.add(certificate).map_err(|error| TlsTrustError(format!("a certificate is unusable: {error}")))?;
        }
        if roots.is_empty() {
            return Err(TlsTrustError(
                "the file holds no certificate, expected PEM blocks named CERTIFICATE".to_owned(),
            ));
        }
        Self::with_roots(roots)
    }

    /// Trusts what the operating system trusts.
    pub fn system() -> Result<Self, TlsTrustError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::with_roots(roots)
    }

    fn with_roots(roots: RootCertStore) -> Result<Self, TlsTrustError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsTrustError(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

/// One server of an application.
pub struct Target {
    /// By which the pool knows its connections.
    pub(super) id: usize,
    host: Box<str>,
    port: u16,
    tls: Option<(TlsTrust, ServerName<'static>)>,
    authority: Arc<str>,
}

impl Target {
    /// A server at `host` (a name or an address literal) and `port`, over TLS where `tls` is given.
    pub fn new(host: &str, port: u16, tls: Option<TlsTrust>) -> Result<Self, TlsTrustError> {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let name =
            || ServerName::try_from(bare.to_owned()).map_err(|_| TlsTrustError(format!("`{host}` is no name for TLS")));
        let tls = tls.map(|trust| name().map(|name| (trust, name))).transpose()?;
        let authority = if bare.contains(':') { format!("[{bare}]:{port}") } else { format!("{bare}:{port}") };
        let authority = Arc::from(authority);
        let id = id_of(&authority, tls.is_some());
        Ok(Self { id, host: bare.into(), port, tls, authority })
    }

    /// `host:port` as it stands in logs.
    pub fn authority(&self) -> &Arc<str> {
        &self.authority
    }

    /// The same as it stands in `Host`: without the port where that is the scheme's own (RFC 9110 sections 4.2.1 to 4.2.3).
    pub fn in_host(&self) -> &str {
        let own = if self.tls.is_some() { ":443" } else { ":80" };
        self.authority.strip_suffix(own).unwrap_or(&self.authority)
    }

    /// Opens a connection; the caller limits the time.
    pub(super) async fn open(&self) -> Result<Connection, UpstreamError> {
        let stream = connect_to(&self.host, self.port).await.map_err(|_| UpstreamError::Connect)?;
        stream.set_nodelay(true).map_err(|_| UpstreamError::Connect)?;
        match &self.tls {
            None => Ok(Connection::new(Socket::Clear(stream))),
            Some((trust, name)) => {
                let connector = TlsConnector::from(Arc::clone(&trust.0));
                let stream = connector.connect(name.clone(), stream).await.map_err(|_| UpstreamError::Tls)?;
                Ok(Connection::new(Socket::Tls(Box::new(stream))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h07_connections_in_clear_are_shared_by_server_and_those_over_tls_are_not() {
        let id = |host: &str, port, tls: Option<&TlsTrust>| Target::new(host, port, tls.cloned()).unwrap().id;
        let trust = TlsTrust::system().unwrap();
        assert_eq!(id("a.test", 80, None), id("a.test", 80, None));
        assert_eq!(id("[::1]", 80, None), id("::1", 80, None));
        assert_ne!(id("a.test", 80, None), id("a.test", 81, None));
        assert_ne!(id("a.test", 80, None), id("b.test", 80, None));
        assert_ne!(id("a.test", 443, Some(&trust)), id("a.test", 443, Some(&trust)));
        assert_ne!(id("a.test", 443, Some(&trust)), id("a.test", 443, None));
    }
}
