//! The labels of the counters, one type for each set of names.
//!
//! May touch: nothing. Trust boundary: values are names of the configuration and fixed words, so their number is bounded.

use prometheus_client::encoding::EncodeLabelSet;

/// A request, by what was decided and answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) app: String,
    pub(super) decision: &'static str,
    pub(super) status: &'static str,
}

/// A request that the gateway refused, by why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RefusalLabels {
    pub(super) app: String,
    pub(super) reason: &'static str,
}

/// What would have been decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ObservedLabels {
    pub(super) app: String,
    pub(super) decision: &'static str,
}

/// What became of an access token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TokenLabels {
    pub(super) app: String,
    pub(super) outcome: &'static str,
}

/// An application.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AppLabels {
    pub(super) app: String,
}

/// A request to a provider.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct ProviderRequestLabels {
    pub(super) provider: String,
    pub(super) endpoint: &'static str,
    pub(super) outcome: &'static str,
}

/// A file of certificates or revocation lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CertificateLabels {
    pub(super) file: String,
}

/// A provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ProviderLabels {
    pub(super) provider: String,
}

/// How a login or a refresh ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LoginLabels {
    pub(super) provider: String,
    pub(super) outcome: &'static str,
}

/// Why sessions were ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RevocationLabels {
    pub(super) cause: &'static str,
}

/// A provider's message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SignalLabels {
    pub(super) endpoint: &'static str,
    pub(super) outcome: &'static str,
}

/// How a reload ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReloadLabels {
    pub(super) outcome: &'static str,
}

/// Why a TLS handshake failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HandshakeLabels {
    pub(super) reason: &'static str,
}

/// What a connection was silent in for too long.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TimedOutLabels {
    pub(super) reason: &'static str,
}

/// Why a connection was turned away.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TurnedAwayLabels {
    pub(super) reason: &'static str,
}
