//! TLS towards clients: rustls with aws-lc-rs, versions 1.2 and 1.3, h2 and http/1.1.
//!
//! Post-quantum key exchange is preferred (X25519MLKEM768). There are no settings for suites: rustls offers only sound ones.
//! Specification: RFC 8446, RFC 7301 (ALPN).

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Why TLS cannot be set up.
#[derive(Debug)]
pub struct TlsSetupError(rustls::Error);

impl fmt::Display for TlsSetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS cannot be set up: {}", self.0)
    }
}

impl std::error::Error for TlsSetupError {}

/// The settings of one TLS listener, shared by all workers so that a session ticket of one is good at another.
pub fn server_config(certified: Arc<CertifiedKey>) -> Result<Arc<ServerConfig>, TlsSetupError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsSetupError)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Single(certified)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsSetupError)?;
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Single(Arc<CertifiedKey>);

impl ResolvesServerCert for Single {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}
