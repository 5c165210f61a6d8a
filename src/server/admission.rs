//! Who may have a connection at all: places, networks, and the PROXY header of a load balancer in front.
//!
//! On a listener with `proxy_protocol` only peers in `trusted_proxies` are let in, and whom they announce counts as the client from then
//! on, everywhere: networks, places, headers, logs. A peer that announces nobody is the client itself, and then nothing is believed
//! that stands in its requests: whoever is behind it could have written that.
//!
//! May touch: the socket, up to the end of the PROXY header and not one byte further. Trust boundary: addresses are the kernel's, or
//! those of a trusted proxy. Bounds: the header is read within the limit for the handshake; a warning a minute and reason at the most.
//! Specification: HAProxy's "The PROXY protocol", section 2.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::addresses::Place;
use super::worker::Shared;
use crate::config::Admits;
use crate::http::proxy_protocol::{Announced, HeaderReader};

/// Why a connection is closed before anything was said on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TurnedAway {
    /// There are as many connections as there may be.
    Connections,
    /// There are as many as there are descriptors for.
    Descriptors,
    /// Its address has as many as one may have.
    ConnectionsPerAddress,
    /// Its address is outside the listener's networks.
    Network,
    /// The listener takes connections of trusted proxies only.
    ProxyUntrusted,
    /// A trusted proxy sent no PROXY header, or a broken one.
    ProxyHeader,
    /// A trusted proxy left without a byte, as some health checks do.
    ProxySilent,
}

impl TurnedAway {
    /// The word in logs and labels.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Descriptors => "descriptors",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::Network => "network",
            Self::ProxyUntrusted => "proxy_untrusted",
            Self::ProxyHeader => "proxy_header",
            Self::ProxySilent => "proxy_silent",
        }
    }

    const fn help(self) -> &'static str {
        match self {
            Self::Connections => "limits.connections is reached",
            Self::Descriptors => {
                "the limit of open files leaves no room for more; raise it, or lower limits.connections"
            }
            Self::ConnectionsPerAddress => {
                "limits.connections_per_address is reached; name load balancers in trusted_proxies"
            }
            Self::Network => "the listener's allow and deny do not admit it",
            Self::ProxyUntrusted => "the listener has proxy_protocol and the peer is not in trusted_proxies",
            Self::ProxyHeader => {
                "the listener has proxy_protocol and the peer sent no header of it; switch it on at the load balancer"
            }
            Self::ProxySilent => "a health check without a header, most likely",
        }
    }
}

/// One that is let in.
pub(super) struct Admitted {
    /// The client, as far as connections tell.
    pub(super) client: SocketAddr,
    /// Whether forwarding fields of this client are believed when it is a trusted proxy.
    pub(super) may_forward: bool,
    /// Its place among those of its address.
    pub(super) place: Option<Place>,
}

/// A listener's door.
pub(super) struct Admission {
    pub(super) shared: Arc<Shared>,
    pub(super) admits: Admits,
}

impl Admission {
    /// Whether connections begin with a header that has to be read before anything is known of the client.
    pub(super) fn announces(&self) -> bool {
        self.admits.proxy_protocol
    }

    /// Whether this peer may say whom it speaks for.
    pub(super) fn check_proxy(&self, peer: SocketAddr) -> Result<(), TurnedAway> {
        if self.is_trusted(peer.ip().to_canonical()) { Ok(()) } else { Err(TurnedAway::ProxyUntrusted) }
    }

    /// Lets a client in, whom the kernel or a PROXY header names.
    pub(super) fn admit(&self, client: SocketAddr, may_forward: bool) -> Result<Admitted, TurnedAway> {
        let address = client.ip().to_canonical();
        if !self.admits.networks.admit(address) {
            return Err(TurnedAway::Network);
        }
        let place = if self.is_trusted(address) {
            None
        } else {
            Some(self.shared.addresses.place(address).ok_or(TurnedAway::ConnectionsPerAddress)?)
        };
        Ok(Admitted { client, may_forward, place })
    }

    /// Reads the header of a trusted proxy and lets in whom it announces.
    pub(super) async fn announced(&self, stream: &mut TcpStream, peer: SocketAddr) -> Result<Admitted, TurnedAway> {
        match read_header(stream).await {
            Ok(Announced::Client(client)) => self.admit(client, true),
            Ok(Announced::Nobody) => self.admit(peer, false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(TurnedAway::ProxySilent),
            Err(_) => Err(TurnedAway::ProxyHeader),
        }
    }

    /// Counts a connection that is turned away, and tells of it now and then.
    pub(super) fn note(&self, why: TurnedAway, peer: SocketAddr) {
        self.shared.metrics.turned_away(why.as_str());
        if why != TurnedAway::ProxySilent && self.shared.told.may_tell(why) {
            let (reason, help) = (why.as_str(), why.help());
            tracing::warn!(%peer, reason, help, "a connection was turned away; others for this reason are only counted");
        }
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.shared.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

/// When each reason was told last.
pub(super) struct Told {
    began: Instant,
    /// The second after which the reason may be told again.
    next: [AtomicU64; 7],
}

impl Default for Told {
    fn default() -> Self {
        Self { began: Instant::now(), next: Default::default() }
    }
}

impl Told {
    const PAUSE: Duration = Duration::from_secs(60);

    fn may_tell(&self, why: TurnedAway) -> bool {
        let now = self.began.elapsed().as_secs();
        let Some(next) = self.next.get(why as usize) else { return false };
        let due = next.load(Ordering::Relaxed);
        let then = now + Self::PAUSE.as_secs();
        now >= due && next.compare_exchange(due, then, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Bytes are looked at before they are taken, so that none behind the header is. `UnexpectedEof` when there were none at all.
async fn read_header(stream: &mut TcpStream) -> io::Result<Announced> {
    let (mut reader, mut window) = (HeaderReader::default(), [0; 512]);
    let mut ended = io::ErrorKind::UnexpectedEof;
    loop {
        let seen = match stream.peek(&mut window).await {
            // Health checks leave in this way too.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            seen => seen?,
        };
        let bytes = window.get(..seen).filter(|bytes| !bytes.is_empty()).ok_or(ended)?;
        let (taken, announced) = reader.take(bytes).map_err(|_| io::ErrorKind::InvalidData)?;
        ended = io::ErrorKind::InvalidData;
        if let Some(taken) = window.get_mut(..taken) {
            stream.read_exact(taken).await?;
        }
        if let Some(announced) = announced {
            return Ok(announced);
        }
    }
}
