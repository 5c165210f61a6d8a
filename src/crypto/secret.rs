//! A value that must not be seen: no `Debug`, `Display`, `Serialize` or `==`; wiped when dropped.
//!
//! The one way to the value is [`Secret::expose`], so `grep expose` lists every place where a secret is used.

use std::sync::Arc;

use zeroize::{Zeroize, Zeroizing};

/// A shared, immutable secret.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(Arc<Zeroizing<T>>);

impl<T: Zeroize> Secret<T> {
    /// Takes the value over.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Zeroizing::new(value)))
    }

    /// Shows the value to code that needs it. Never log, compare with `==`, or serialise what this returns.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

/// A secret may come in anywhere; it goes out only through [`Secret::expose`].
impl<'de, T: Zeroize + serde::Deserialize<'de>> serde::Deserialize<'de> for Secret<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::new)
    }
}
