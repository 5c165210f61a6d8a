//! What each listener shows its clients, at the start and after each reload.
//!
//! Everything is prepared before anything is shown, so that a certificate which cannot be used changes nothing. Which of the listeners in use
//! a configured one is, its address says; listeners that come, go, move or change their scheme wait for a start. Until then one that moved follows the
//! files that its TLS names, as long as a configured listener still names them in the same way.
//!
//! May touch: memory only. Trust boundary: checked settings.

use std::net::SocketAddr;
use std::sync::Arc;

use super::StartError;
use crate::config::{Dated, Listener};
use crate::diagnostic::{Diagnostic, Report};
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
pub(super) struct Prepared {
    shown: Vec<(Arc<Front>, Shown)>,
    /// The listeners that are not followed any more: their addresses, and what they show that has an end.
    behind: Vec<(SocketAddr, Arc<[Dated]>)>,
}

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
        let mut prepared = Prepared { shown: Vec::new(), behind: Vec::new() };
        let mut settled = vec![false; self.0.len()];
        for (index, listener) in listeners.iter().enumerate() {
            let Some((place, one)) = self.find(index, listener) else { continue };
            settled.get_mut(place).into_iter().for_each(|settled| *settled = true);
            prepared.shown.push((Arc::clone(&one.front), one.front.prepare(listener).map_err(cannot)?));
        }
        let left = self.0.iter().zip(settled).filter(|(one, settled)| one.secure && !settled);
        for (one, _) in left {
            // Only what was written alike: what another listener asks of its clients may be less than is asked here.
            let alike = listeners.iter().filter_map(|listener| listener.tls.as_ref());
            match alike.into_iter().find(|tls| one.front.is_written_as(tls)) {
                Some(tls) => {
                    prepared.shown.push((Arc::clone(&one.front), one.front.prepare_tls(tls).map_err(cannot)?));
                }
                None => prepared.behind.push((one.address, one.front.dated())),
            }
        }
        Ok(prepared)
    }

    /// The listener in use that is configured in this place, or at this address.
    fn find(&self, index: usize, listener: &Listener) -> Option<(usize, &InUse)> {
        let same = |one: &InUse| {
            let alike = one.secure == listener.tls.is_some() && one.scheme == listener.scheme;
            one.address == listener.address && alike
        };
        let elsewhere = || self.0.iter().enumerate().find(|(_, one)| same(one));
        let here = self.0.get(index).filter(|one| same(one)).map(|one| (index, one));
        here.or_else(|| elsewhere().filter(|_| listener.address.port() != 0))
    }
}

impl Prepared {
    /// What goes on being shown that has an end, beside what is configured.
    pub(super) fn dated_behind(&self) -> impl Iterator<Item = &Dated> {
        self.behind.iter().flat_map(|(_, dated)| dated.iter())
    }

    /// What an administrator must know.
    pub(super) fn tell(&self, report: &mut Report) {
        for (address, _) in &self.behind {
            let message = format!("{address} goes on with the certificates and revocation lists that it has");
            let help = "its `listeners.tls` is not in the settings any more: restart, or put it back until then";
            report.push(Diagnostic::warning(message).help(help));
        }
    }

    /// Shows all of it.
    pub(super) fn show(self) {
        for (front, shown) in self.shown {
            front.show(shown);
        }
    }
}

fn cannot(error: TlsSetupError) -> StartError {
    StartError::Tls(error.to_string())
}
