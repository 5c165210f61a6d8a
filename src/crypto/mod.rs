//! Sealing, signatures, keys and randomness.
//!
//! Layer 0: knows bytes, never what they mean. Sessions and pending logins are sealed here, with the [`Binding`] that their owners
//! give. Nothing here is logged; key types have no `Debug` and are zeroised when dropped.
//!
//! Trust boundary: [`KeyRing::open`] is given bytes from the wire; its failures are alike in kind (C03).
//! Specifications: AES-256-GCM (NIST SP 800-38D), HKDF with SHA-256 (RFC 5869), ES256 (RFC 7518).

mod client_key;
mod identity_keys;
mod key_ring;
pub mod random;
mod secret;
mod signature;
mod signing_key;

pub use client_key::{ClientKey, ClientKeyError};
pub use identity_keys::{DatedKey, IdentityKeys, KeySet, turn};
pub use key_ring::{Binding, KeyRing, KeyText, KeyTextError, OpenError};
pub use secret::Secret;
pub use signature::{Curve, PublicKey, SignatureAlgorithm};
pub use signing_key::{SigningKey, SigningKeyError};
