//! TLS towards clients: rustls with aws-lc-rs, versions 1.2 and 1.3, h2 and http/1.1.
//!
//! Post-quantum key exchange is preferred (X25519MLKEM768). There are no settings for suites: rustls offers only sound ones ([`suites`] tells in
//! which order), and has neither compression nor renegotiation. A [`Front`] holds what a listener shows at the moment; a reload puts another one there, and connections
//! that are open go on with theirs.
//!
//! Trust boundary: the wire. Specification: RFC 8446, RFC 5246, RFC 7301 (ALPN), RFC 6066 section 3 (SNI).

mod failure;
mod handshake;
mod suites;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::{self, Certificates, Dated, Listener, ServerTls};
use crate::gateway::ListenerRules;
use crate::http::HostName;
use suites::ByOffer;

pub(super) use failure::{Failure, Failures};
pub(super) use handshake::{Accepted, accept};

/// Why TLS cannot be set up.
#[derive(Debug)]
pub struct TlsSetupError(rustls::Error);

impl fmt::Display for TlsSetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS cannot be set up: {}", self.0)
    }
}

impl std::error::Error for TlsSetupError {}

/// What is true for all connections that a listener accepts from now on. One for all workers; swapped as a whole.
pub struct Front(ArcSwap<Shown>);

/// What a listener shows its clients.
pub struct Shown {
    pub(super) rules: Arc<ListenerRules>,
    pub(super) tls: Option<TlsShown>,
}

/// The TLS of a listener.
pub(super) struct TlsShown {
    settings: Arc<ByOffer>,
    certificates: Arc<Certificates>,
    asks_clients: bool,
    digest: [u8; 32],
    names: [u8; 32],
    dated: Arc<[Dated]>,
}

impl Front {
    /// Sets up what the listener shows first.
    pub fn new(listener: &Listener) -> Result<Self, TlsSetupError> {
        Shown::new(listener, None).map(|shown| Self(ArcSwap::from_pointee(shown)))
    }

    /// Prepares what it is to show after a reload. What has not changed is kept, with the keys of its session tickets.
    pub fn prepare(&self, listener: &Listener) -> Result<Shown, TlsSetupError> {
        Shown::new(listener, Some(&self.0.load()))
    }

    /// Prepares the TLS alone, for a listener that has no settings of its own until the next start; what else is true for it stays.
    pub fn prepare_tls(&self, tls: &ServerTls) -> Result<Shown, TlsSetupError> {
        let now = self.0.load();
        Ok(Shown { rules: Arc::clone(&now.rules), tls: Some(TlsShown::renew(now.tls.as_ref(), tls)?) })
    }

    /// Whether what it shows was read from files that were called the same, each for the same purpose.
    pub fn is_written_as(&self, tls: &ServerTls) -> bool {
        self.0.load().tls.as_ref().is_some_and(|shown| shown.names == tls.names)
    }

    /// What it shows that has an end.
    pub fn dated(&self) -> Arc<[Dated]> {
        self.0.load().tls.as_ref().map(|shown| Arc::clone(&shown.dated)).unwrap_or_default()
    }

    /// Shows this from now on; connections that are open go on as they are.
    pub fn show(&self, shown: Shown) {
        self.0.store(Arc::new(shown));
    }

    pub(super) fn shown(&self) -> Arc<Shown> {
        self.0.load_full()
    }
}

impl Shown {
    fn new(listener: &Listener, before: Option<&Self>) -> Result<Self, TlsSetupError> {
        let before = before.and_then(|before| before.tls.as_ref());
        let tls = listener.tls.as_ref().map(|tls| TlsShown::renew(before, tls));
        Ok(Self { rules: Arc::new(ListenerRules::new(listener)), tls: tls.transpose()? })
    }
}

impl TlsShown {
    /// What was shown before, where nothing of it has changed.
    fn renew(before: Option<&Self>, tls: &ServerTls) -> Result<Self, TlsSetupError> {
        match before.filter(|before| before.digest == tls.digest) {
            Some(before) => Ok(before.same(tls)),
            None => Self::new(tls),
        }
    }

    fn new(tls: &ServerTls) -> Result<Self, TlsSetupError> {
        Ok(Self {
            settings: Arc::new(settings(tls)?),
            certificates: Arc::clone(&tls.certificates),
            asks_clients: tls.client.is_some(),
            digest: tls.digest,
            names: tls.names,
            dated: config::dated_of(tls).into(),
        })
    }

    fn same(&self, tls: &ServerTls) -> Self {
        let (settings, certificates) = (Arc::clone(&self.settings), Arc::clone(&self.certificates));
        Self { settings, certificates, names: tls.names, dated: config::dated_of(tls).into(), ..*self }
    }
}

/// The settings of one listener, shared by all workers so that a session ticket of one is good at another.
fn settings(tls: &ServerTls) -> Result<ByOffer, TlsSetupError> {
    let mut usual = server_config(tls, false)?;
    let mut chacha20 = server_config(tls, true)?;
    if tls.client.is_some() {
        // A resumed session would bring back a certificate that was verified some time ago, and is not looked at again: it may have been
        // revoked or have run out since. So every connection is a full handshake.
        for config in [&mut usual, &mut chacha20] {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
    } else {
        usual.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsSetupError)?;
        chacha20.ticketer = Arc::clone(&usual.ticketer);
        chacha20.session_storage = Arc::clone(&usual.session_storage);
    }
    Ok(ByOffer { usual: Arc::new(usual), chacha20: Arc::new(chacha20) })
}

fn server_config(tls: &ServerTls, chacha20_first: bool) -> Result<ServerConfig, TlsSetupError> {
    let builder = ServerConfig::builder_with_provider(suites::provider(chacha20_first))
        .with_safe_default_protocol_versions()
        .map_err(TlsSetupError)?;
    let builder = match &tls.client {
        None => builder.with_no_client_auth(),
        Some(client) => builder.with_client_cert_verifier(Arc::clone(&client.verifier)),
    };
    let mut config = builder.with_cert_resolver(Arc::new(ByName(Arc::clone(&tls.certificates))));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ignore_client_order = true;
    Ok(config)
}

/// Shows the certificate for the name that is asked for.
struct ByName(Arc<Certificates>);

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByName").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| HostName::parse(name).ok());
        self.0.at(self.0.place(name.as_ref())).map(|one| Arc::clone(one.certified()))
    }
}
