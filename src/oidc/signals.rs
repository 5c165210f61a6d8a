//! What a provider may send to end sessions, as it is configured.
//!
//! Shared values of `Authorization` fields are kept as digests: what is compared needs no secret.
//!
//! May touch: memory only. Trust boundary: the configuration.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use url::Url;

/// A value that the sender must know.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedValue([u8; 32]);

impl SharedValue {
    /// Of this text.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether `given` is it, in constant time.
    pub fn is(&self, given: &[u8]) -> bool {
        let given: [u8; 32] = Sha256::digest(given).into();
        self.0.ct_eq(&given).into()
    }
}

/// Who sends security event tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Transmitter {
    /// Its issuer, as text.
    pub issuer: String,
    /// What it calls this gateway.
    pub audience: String,
    /// Where its keys are; the provider's own keys when absent.
    pub jwks_uri: Option<Url>,
    /// What it must send as `Authorization`.
    pub authorization: Option<SharedValue>,
}

/// What a provider may send beside logout tokens.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Signals {
    /// Who sends security event tokens.
    pub events: Option<Transmitter>,
    /// What Okta's event hooks must carry as `Authorization`.
    pub okta_hooks: Option<SharedValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l03_only_the_very_value_is_the_value() {
        let shared = SharedValue::of("Bearer 0123456789");
        assert!(shared.is(b"Bearer 0123456789"));
        for wrong in ["", "Bearer 012345678", "Bearer 0123456789 ", "bearer 0123456789", "0123456789"] {
            assert!(!shared.is(wrong.as_bytes()), "{wrong:?}");
        }
    }
}
