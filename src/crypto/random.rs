//! The one door through which randomness comes in: the operating system's generator.
//!
//! A machine whose generator fails cannot run a gateway safely; the failure ends the process rather than weakening a
//! key, a nonce or a state value.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// `N` random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0u8; N];
    #[expect(clippy::expect_used, reason = "without randomness nothing here is safe, and no input can cause it")]
    getrandom::fill(&mut out).expect("the operating system must give random bytes");
    out
}

/// A random text of 43 characters in base64url: 256 bits, for state, nonce and PKCE verifier.
pub fn token() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<32>())
}
