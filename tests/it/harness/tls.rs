//! A certificate authority for one test, and TLS with what it certifies.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
};
use rcgen::{
    CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// An authority that nobody trusts who was not told to.
pub(crate) struct Authority {
    /// Its certificate in PEM.
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key in PEM.
pub(crate) struct Certified {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        // Two authorities of one name would be told apart by their signatures only.
        Self::named(&format!("Authority {}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// An authority of this name.
    pub(crate) fn named(name: &str) -> Self {
        Self::valid(name, &[(1975, 4096)])
    }

    /// An authority with one key and a certificate for each of these spans, from the beginning of a year to that of another.
    pub(crate) fn valid(name: &str, years: &[(i32, i32)]) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = Self::params(name);
        let pem = years.iter().map(|span| {
            (params.not_before, params.not_after) =
                (rcgen::date_time_ymd(span.0, 1, 1), rcgen::date_time_ymd(span.1, 1, 1));
            params.self_signed(&key).unwrap().pem()
        });
        let pem = pem.collect();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// An authority that this one has certified with the number 4, from the beginning of a year to that of another.
    pub(crate) fn under(&self, name: &str, years: (i32, i32)) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = Self::params(name);
        params.serial_number = Some(SerialNumber::from(4));
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(years.0, 1, 1), rcgen::date_time_ymd(years.1, 1, 1));
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    /// Certifies a server of this name or address.
    pub(crate) fn certify(&self, name: &str) -> Certified {
        self.sign(CertificateParams::new([name.to_owned()]).unwrap())
    }

    /// Certifies what these parameters say.
    pub(crate) fn sign(&self, params: CertificateParams) -> Certified {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Certified { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// The list of certificates that are revoked, by their serial numbers; made in 2020, good until this year.
    pub(crate) fn revoke(&self, serials: &[u64], year: i32) -> String {
        self.revoke_some(serials, (2020, year), None)
    }

    /// The same, made in the first year and good until the second, for a part of all certificates.
    pub(crate) fn revoke_some(&self, serials: &[u64], years: (i32, i32), part: Option<CrlScope>) -> String {
        let at = rcgen::date_time_ymd(years.0, 1, 1);
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: at,
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: at,
            next_update: rcgen::date_time_ymd(years.1, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: part.map(|part| CrlIssuingDistributionPoint {
                distribution_point: CrlDistributionPoint { uris: vec!["http://crl.example/part.crl".to_owned()] },
                scope: Some(part),
            }),
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// A client that trusts this authority alone.
    pub(crate) fn client(&self) -> TlsClient<'_> {
        let versions = rustls::ALL_VERSIONS;
        TlsClient { authority: self, shows: None, protocols: &[], versions, suites: &[], says_name: true, kept: None }
    }

    /// Connects as a client that trusts this authority alone and offers these protocols.
    pub(crate) async fn connect(&self, address: SocketAddr, name: &str, protocols: &[&str]) -> TlsStream<TcpStream> {
        self.connect_after(&[], address, name, protocols).await
    }

    /// The same, after these bytes in clear text.
    pub(crate) async fn connect_after(
        &self,
        first: &[u8],
        address: SocketAddr,
        name: &str,
        protocols: &[&str],
    ) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(first).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }
}

/// How a client connects.
#[derive(Clone)]
pub(crate) struct TlsClient<'a> {
    authority: &'a Authority,
    shows: Option<&'a Certified>,
    protocols: &'a [&'a str],
    versions: &'a [&'static SupportedProtocolVersion],
    /// None is rustls' own order.
    suites: &'a [SupportedCipherSuite],
    says_name: bool,
    /// The one configuration of all its connections, without which nothing is resumed.
    kept: Option<Arc<OnceLock<Arc<ClientConfig>>>>,
}

impl<'a> TlsClient<'a> {
    /// Shows this certificate when it is asked for one.
    pub(crate) fn shows(self, certified: &'a Certified) -> Self {
        Self { shows: Some(certified), ..self }
    }

    /// Offers these protocols above TLS.
    pub(crate) fn protocols(self, protocols: &'a [&'a str]) -> Self {
        Self { protocols, ..self }
    }

    /// Speaks only this version.
    pub(crate) fn version(self, version: &'a [&'static SupportedProtocolVersion]) -> Self {
        Self { versions: version, ..self }
    }

    /// Offers these suites, in this order.
    pub(crate) fn suites(self, suites: &'a [SupportedCipherSuite]) -> Self {
        Self { suites, ..self }
    }

    /// Does not say for which host the connection is.
    pub(crate) fn nameless(self) -> Self {
        Self { says_name: false, ..self }
    }

    /// Remembers sessions, and resumes them on its next connections.
    pub(crate) fn remembering(self) -> Self {
        Self { kept: Some(Arc::default()), ..self }
    }

    /// A connection, or why there is none.
    pub(crate) async fn connect(&self, address: SocketAddr, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let config = match &self.kept {
            Some(kept) => Arc::clone(kept.get_or_init(|| Arc::new(self.config()))),
            None => Arc::new(self.config()),
        };
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(config).connect(name, stream).await
    }

    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.pem.as_bytes()).unwrap()).unwrap();
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        if !self.suites.is_empty() {
            provider.cipher_suites = self.suites.to_vec();
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.shows {
            None => builder.with_no_client_auth(),
            Some(certified) => {
                let (chain, key) = certified.read();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = self.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.enable_sni = self.says_name;
        config.resumption =
            if self.kept.is_some() { Resumption::in_memory_sessions(32) } else { Resumption::disabled() };
        config
    }
}

impl Certified {
    /// The certificate's bytes.
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }

    fn read(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes()).collect::<Result<_, _>>();
        (chain.unwrap(), PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap())
    }

    /// A server that shows this certificate.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.read().0, self.read().1);
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}
