//! What each listener shows its clients, at the start and after each reload.
//!
//! Everything is prepared before anything is shown, so that a certificate which cannot be used changes nothing. Which of the listeners in use
//! a configured one is, its address says; listeners that come, go, move or change their scheme wait for a start.
//!
//! May touch: memory only. Trust boundary: checked settings.

use std::net::SocketAddr;
use std::sync::Arc;

use super::StartError;
use crate::config::Listener;
use crate::http::Scheme;
use crate::server::{Front, Shown, TlsSetupError};

/// The listeners in use.
pub(super) struct Fronts(Vec<InUse>);

struct InUse {
    /// As it was configured.
    address: SocketAddr,
    secure: bool,
    scheme: Scheme,
    front: Arc<Front>,
}

/// What is to be shown from now on.
pub(super) struct Prepared(Vec<(Arc<Front>, Shown)>);

impl Fronts {
    pub(super) fn new(listeners: &[Listener]) -> Result<Self, StartError> {
        let build = |listener: &Listener| {
            let front = Arc::new(Front::new(listener).map_err(cannot)?);
            Ok(InUse { address: listener.address, secure: listener.tls.is_some(), scheme: listener.scheme, front })
        };
        listeners.iter().map(build).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SocketAddr, &Arc<Front>)> {
        self.0.iter().map(|one| (one.address, &one.front))
    }

    /// Prepares what the listeners are to show.
    pub(super) fn prepare(&self, listeners: &[Listener]) -> Result<Prepared, StartError> {
        let pairs =
            listeners.iter().enumerate().filter_map(|(index, listener)| Some((self.find(index, listener)?, listener)));
        let prepare = |(front, listener): (&Arc<Front>, &Listener)| {
            Ok((Arc::clone(front), front.prepare(listener).map_err(cannot)?))
        };
        pairs.map(prepare).collect::<Result<_, _>>().map(Prepared)
    }

    /// The listener in use that is configured in this place, or at this address.
    fn find(&self, index: usize, listener: &Listener) -> Option<&Arc<Front>> {
        let same = |one: &&InUse| {
            let alike = one.secure == listener.tls.is_some() && one.scheme == listener.scheme;
            one.address == listener.address && alike
        };
        let elsewhere = || self.0.iter().find(same).filter(|_| listener.address.port() != 0);
        self.0.get(index).filter(same).or_else(elsewhere).map(|one| &one.front)
    }
}

impl Prepared {
    /// Shows all of it.
    pub(super) fn show(self) {
        for (front, shown) in self.0 {
            front.show(shown);
        }
    }
}

fn cannot(error: TlsSetupError) -> StartError {
    StartError::Tls(error.to_string())
}
