//! Signatures that others made: which algorithms there are, and whether a signature fits a public key.
//!
//! Asymmetric ones only: there is no `none` and no shared secret here, so neither can be asked for by mistake. A key knows
//! its kind, and fits only the algorithms of that kind and curve, so that no header can bend it into another use.
//!
//! May touch: nothing but memory. Trust boundary: keys and signatures are a provider's; aws-lc checks points and lengths.
//! Specifications: RFC 7518 sections 3.3 to 3.5 and 6, RFC 8037, RFC 9864 (`Ed25519` as a name of its own).

use aws_lc_rs::digest;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self as lc, UnparsedPublicKey};

/// The smallest RSA modulus (RFC 7518 section 3.3) and the largest that is worth the time, in bytes.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name is the specification's own word")]
pub enum SignatureAlgorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl SignatureAlgorithm {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
    ];

    /// The name in `alg`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Reads an `alg`; nothing for `none`, HS* and whatever else is not known.
    pub fn parse(name: &str) -> Option<Self> {
        // RFC 9864 section 2.2: `EdDSA` leaves the curve open, `Ed25519` is the one that is known here.
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The left half of the hash that goes with the algorithm, as `at_hash` has it (OpenID Connect Core 3.1.3.6).
    pub fn half_hash(self, text: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Rs256 | Self::Ps256 | Self::Es256 => &digest::SHA256,
            Self::Rs384 | Self::Ps384 | Self::Es384 => &digest::SHA384,
            Self::Rs512 | Self::Ps512 | Self::Es512 | Self::EdDsa => &digest::SHA512,
        };
        let hash = digest::digest(algorithm, text);
        hash.as_ref().iter().take(hash.as_ref().len() / 2).copied().collect()
    }
}

/// An elliptic curve of NIST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name is the specification's own word")]
pub enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    /// The length of a coordinate in bytes.
    pub const fn length(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// A public key that may verify something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// The uncompressed point.
    Ec(Curve, Vec<u8>),
    Ed25519(Vec<u8>),
}

impl PublicKey {
    /// An RSA key of its modulus and exponent, big-endian; none when it is shorter than 2048 bits or absurdly long.
    pub fn rsa(n: &[u8], e: &[u8]) -> Option<Self> {
        let trim = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
        let (n, e) = (trim(n), trim(e));
        (RSA_BYTES.contains(&n.len()) && (1..=8).contains(&e.len())).then_some(Self(Kind::Rsa { n, e }))
    }

    /// A point on a curve; none when a coordinate has another length than the curve's (RFC 7518 section 6.2.1.2).
    pub fn ec(curve: Curve, x: &[u8], y: &[u8]) -> Option<Self> {
        let sound = x.len() == curve.length() && y.len() == curve.length();
        sound.then(|| Self(Kind::Ec(curve, [&[4], x, y].concat())))
    }

    /// An Ed25519 key.
    pub fn ed25519(x: &[u8]) -> Option<Self> {
        (x.len() == 32).then(|| Self(Kind::Ed25519(x.to_vec())))
    }

    /// Whether a signature of this algorithm could be this key's.
    pub fn fits(&self, algorithm: SignatureAlgorithm) -> bool {
        self.method(algorithm).is_some()
    }

    /// Whether `signature` is this key's over `message`.
    pub fn verifies(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        let checked = match (&self.0, self.method(algorithm)) {
            (Kind::Rsa { n, e }, Some(Method::Rsa(method))) => {
                PublicKeyComponents { n, e }.verify(method, message, signature)
            }
            (Kind::Ec(_, key) | Kind::Ed25519(key), Some(Method::Plain(method))) => {
                UnparsedPublicKey::new(method, key).verify(message, signature)
            }
            _ => return false,
        };
        checked.is_ok()
    }

    fn method(&self, algorithm: SignatureAlgorithm) -> Option<Method> {
        use SignatureAlgorithm as A;
        Some(match (&self.0, algorithm) {
            (Kind::Rsa { .. }, A::Rs256) => Method::Rsa(&lc::RSA_PKCS1_2048_8192_SHA256),
            (Kind::Rsa { .. }, A::Rs384) => Method::Rsa(&lc::RSA_PKCS1_2048_8192_SHA384),
            (Kind::Rsa { .. }, A::Rs512) => Method::Rsa(&lc::RSA_PKCS1_2048_8192_SHA512),
            (Kind::Rsa { .. }, A::Ps256) => Method::Rsa(&lc::RSA_PSS_2048_8192_SHA256),
            (Kind::Rsa { .. }, A::Ps384) => Method::Rsa(&lc::RSA_PSS_2048_8192_SHA384),
            (Kind::Rsa { .. }, A::Ps512) => Method::Rsa(&lc::RSA_PSS_2048_8192_SHA512),
            (Kind::Ec(Curve::P256, _), A::Es256) => Method::Plain(&lc::ECDSA_P256_SHA256_FIXED),
            (Kind::Ec(Curve::P384, _), A::Es384) => Method::Plain(&lc::ECDSA_P384_SHA384_FIXED),
            (Kind::Ec(Curve::P521, _), A::Es512) => Method::Plain(&lc::ECDSA_P521_SHA512_FIXED),
            (Kind::Ed25519(_), A::EdDsa) => Method::Plain(&lc::ED25519),
            _ => return None,
        })
    }
}

enum Method {
    Rsa(&'static lc::RsaParameters),
    Plain(&'static dyn lc::VerificationAlgorithm),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r01_no_name_leads_to_no_signature_or_a_shared_secret() {
        for bad in ["none", "None", "", "HS256", "HS384", "HS512", "rs256", "RS256 ", "ES256K", "Ed448"] {
            assert_eq!(SignatureAlgorithm::parse(bad), None, "{bad}");
        }
        for good in SignatureAlgorithm::ALL {
            assert_eq!(SignatureAlgorithm::parse(good.name()), Some(good));
        }
    }

    #[test]
    fn r01_a_key_fits_the_algorithms_of_its_kind_and_curve_only() {
        let fits = |key: &PublicKey| {
            SignatureAlgorithm::ALL.into_iter().filter(|one| key.fits(*one)).map(SignatureAlgorithm::name).collect()
        };
        let fits: [Vec<&str>; 3] = [
            fits(&PublicKey::rsa(&[0xc1; 256], &[1, 0, 1]).unwrap()),
            fits(&PublicKey::ec(Curve::P384, &[1; 48], &[1; 48]).unwrap()),
            fits(&PublicKey::ed25519(&[1; 32]).unwrap()),
        ];
        assert_eq!(fits[0], ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]);
        assert_eq!((&fits[1][..], &fits[2][..]), (&["ES384"][..], &["EdDSA"][..]));
    }

    #[test]
    fn r01_keys_of_a_wrong_length_are_none() {
        assert_eq!(PublicKey::rsa(&[0xc1; 255], &[1, 0, 1]), None);
        assert_eq!(PublicKey::rsa(&[0xc1; 1025], &[1, 0, 1]), None);
        assert_eq!(PublicKey::rsa(&[0xc1; 256], &[0]), None);
        assert_eq!(PublicKey::ec(Curve::P256, &[1; 31], &[1; 32]), None);
        assert_eq!(PublicKey::ec(Curve::P521, &[1; 66], &[1; 65]), None);
        assert_eq!(PublicKey::ed25519(&[1; 33]), None);
    }
}
