//! One handshake, and what is known of the connection when it is done.
//!
//! Trust boundary: the wire, through rustls.

use std::sync::Arc;

use rustls::server::Acceptor;
use rustls::{ProtocolVersion, ServerConnection};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::TlsShown;
use super::failure::Failure;
use crate::certificate::Certificate;
use crate::gateway::TlsConnection;
use crate::http::HostName;
use crate::policy::{TlsFacts, TlsVersion};
use crate::server::watched::Watched;

/// A connection whose handshake is done.
pub(in super::super) struct Accepted {
    /// On the heap, because it is large and is handed on.
    pub(in super::super) stream: Box<TlsStream<Watched<TcpStream>>>,
    /// Whether the client and we speak HTTP/2.
    pub(in super::super) http2: bool,
    pub(in super::super) facts: TlsConnection,
}

/// Drives the handshake to its end.
pub(in super::super) async fn accept(shown: &TlsShown, stream: Watched<TcpStream>) -> Result<Accepted, Failure> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await.map_err(|error| Failure::of(&error))?;
    let settings = shown.settings.settings(hello.client_hello().cipher_suites());
    let stream = Box::new(hello.into_stream(settings).await.map_err(|error| Failure::of(&error))?);
    let session = stream.get_ref().1;
    let http2 = session.alpn_protocol() == Some(b"h2");
    let facts = facts(shown, session)?;
    Ok(Accepted { http2, facts, stream })
}

fn facts(shown: &TlsShown, session: &ServerConnection) -> Result<TlsConnection, Failure> {
    let version = version(session.protocol_version()).ok_or(Failure::Version)?;
    let shown_by_client = session.peer_certificates().and_then(|chain| chain.first());
    let client = match shown_by_client {
        Some(certificate) => Some(Arc::new(Certificate::of_client(certificate).ok_or(Failure::CertificateInvalid)?)),
        None => None,
    };
    let name = session.server_name().and_then(|name| HostName::parse(name).ok());
    Ok(TlsConnection::new(TlsFacts { version, client }, name, Arc::clone(&shown.certificates), shown.asks_clients))
}

/// The versions that this server offers.
fn version(version: Option<ProtocolVersion>) -> Option<TlsVersion> {
    match version? {
        ProtocolVersion::TLSv1_2 => Some(TlsVersion::V1_2),
        ProtocolVersion::TLSv1_3 => Some(TlsVersion::V1_3),
        _ => None,
    }
}
