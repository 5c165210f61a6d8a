//! What a provider's name stands for: an issuer, and this gateway's registration there as a client.
//!
//! Sessions and logins under way keep it beside the name, so that nothing of theirs counts where the name stands for another issuer or client by
//! now (R10): a `sub` of one issuer is somebody else at another, and `sub` may differ by client (OpenID Connect Core 8.1).
//!
//! May touch: nothing but memory. Trust boundary: the administrator's own texts; 64 bits tell them apart.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::write_hexadecimal;

/// An issuer and a client there, as the first 64 bits of their SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration(pub(super) [u8; 8]);

impl Registration {
    /// Both as they are configured.
    pub fn new(issuer: &str, client_id: &str) -> Self {
        let length = (issuer.len() as u64).to_be_bytes();
        let digest = Sha256::new().chain_update(length).chain_update(issuer).chain_update(client_id).finalize();
        Self(digest.first_chunk().copied().unwrap_or_default())
    }
}

impl fmt::Display for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(2 * self.0.len());
        write_hexadecimal(&self.0, &mut text);
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r10_another_issuer_or_client_is_another_registration() {
        let one = Registration::new("https://idp.example", "lychgate");
        assert_eq!(one, Registration::new("https://idp.example", "lychgate"));
        for (issuer, client) in [
            ("https://idp.example/", "lychgate"),
            ("https://idp.example", "lychgate2"),
            ("https://idp.examplel", "ychgate"),
            ("", "https://idp.examplelychgate"),
        ] {
            assert_ne!(one, Registration::new(issuer, client), "{issuer} {client}");
        }
        assert_eq!(one.to_string().len(), 16);
    }
}
