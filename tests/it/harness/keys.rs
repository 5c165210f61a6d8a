//! Signing keys of the fake provider and what it makes with them: JWKs and JWTs, sound and unsound ones.
//!
//! Keys are generated once per test process. Tokens are put together by hand, so that a test can ask for any header.

use std::sync::LazyLock;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The keys of one process.
pub(crate) static KEYS: LazyLock<Keys> = LazyLock::new(Keys::generate);

pub(crate) struct Keys {
    rsa: RsaKeyPair,
    /// Never published.
    stranger: RsaKeyPair,
    ec: EcdsaKeyPair,
    ec384: EcdsaKeyPair,
    ec521: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

/// How an ID token is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Signing {
    #[default]
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
    /// `alg: none` and no signature.
    Unsigned,
    /// HS256 with the client's secret.
    ClientSecret,
    /// HS256 with the public RSA key as the secret: the classic confusion.
    PublicKeyAsSecret,
    /// RS256 with a key that nobody published, under the published `kid`.
    Stranger,
    /// RS256 with one bit of the signature turned.
    Broken,
    /// RS256 in the header, an empty signature.
    EmptySignature,
}

impl Keys {
    fn generate() -> Self {
        let random = SystemRandom::new();
        let ec = |algorithm: &'static signature::EcdsaSigningAlgorithm| {
            let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).unwrap()
        };
        let new_rsa = || {
            let key = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
            RsaKeyPair::from_pkcs8(key.as_der().unwrap().as_ref()).unwrap()
        };
        Self {
            rsa: new_rsa(),
            stranger: new_rsa(),
            ec: ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            ec384: ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            ec521: ec(&signature::ECDSA_P521_SHA512_FIXED_SIGNING),
            ed: Ed25519KeyPair::generate().unwrap(),
        }
    }

    /// The published keys: one of each kind, `kid` `rsa`, `ec`, `ec384`, `ec521` and `ed`.
    pub(crate) fn jwks(&self) -> Vec<Value> {
        let point = |key: &EcdsaKeyPair| {
            let bytes = key.public_key().as_ref()[1..].to_vec();
            let (x, y) = bytes.split_at(bytes.len() / 2);
            (encode(x), encode(y))
        };
        let ((x256, y256), (x384, y384)) = (point(&self.ec), point(&self.ec384));
        let (x521, y521) = point(&self.ec521);
        vec![
            rsa_jwk("rsa", &self.rsa),
            json!({"kty": "EC", "kid": "ec", "use": "sig", "crv": "P-256", "x": x256, "y": y256}),
            json!({"kty": "EC", "kid": "ec384", "use": "sig", "crv": "P-384", "x": x384, "y": y384}),
            json!({"kty": "EC", "kid": "ec521", "use": "sig", "crv": "P-521", "x": x521, "y": y521}),
            json!({"kty": "OKP", "kid": "ed", "use": "sig", "crv": "Ed25519", "x": encode(self.ed.public_key().as_ref())}),
        ]
    }

    /// The stranger's key as it would be published, for tests that rotate to it.
    pub(crate) fn stranger_jwk(&self, kid: &str) -> Value {
        rsa_jwk(kid, &self.stranger)
    }

    /// A compact JWT of these claims; `header` members replace the ordinary ones, null removes.
    pub(crate) fn token(&self, signing: Signing, header: &[(String, Value)], payload: &str, secret: &str) -> String {
        let mut head = json!({"alg": algorithm(signing), "typ": "JWT", "kid": key_id(signing)});
        for (name, value) in header {
            head[name] = value.clone();
        }
        head.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let input = format!("{}.{}", encode(head.to_string().as_bytes()), encode(payload.as_bytes()));
        let signature = self.sign(signing, input.as_bytes(), secret);
        format!("{input}.{}", encode(&signature))
    }

    fn sign(&self, signing: Signing, input: &[u8], secret: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        let rsa = |key: &RsaKeyPair, encoding: &'static dyn signature::RsaEncoding| {
            let mut out = vec![0; key.public_modulus_len()];
            key.sign(encoding, &random, input, &mut out).unwrap();
            out
        };
        let mac = |key: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), input).as_ref().to_vec();
        match signing {
            Signing::Rs256 => rsa(&self.rsa, &signature::RSA_PKCS1_SHA256),
            Signing::Rs384 => rsa(&self.rsa, &signature::RSA_PKCS1_SHA384),
            Signing::Rs512 => rsa(&self.rsa, &signature::RSA_PKCS1_SHA512),
            Signing::Ps256 => rsa(&self.rsa, &signature::RSA_PSS_SHA256),
            Signing::Ps384 => rsa(&self.rsa, &signature::RSA_PSS_SHA384),
            Signing::Ps512 => rsa(&self.rsa, &signature::RSA_PSS_SHA512),
            Signing::Stranger => rsa(&self.stranger, &signature::RSA_PKCS1_SHA256),
            Signing::Es256 => self.ec.sign(&random, input).unwrap().as_ref().to_vec(),
            Signing::Es384 => self.ec384.sign(&random, input).unwrap().as_ref().to_vec(),
            Signing::Es512 => self.ec521.sign(&random, input).unwrap().as_ref().to_vec(),
            Signing::EdDsa => self.ed.sign(input).as_ref().to_vec(),
            Signing::Unsigned | Signing::EmptySignature => Vec::new(),
            Signing::ClientSecret => mac(secret.as_bytes()),
            Signing::PublicKeyAsSecret => mac(self.rsa.public_key().as_ref()),
            Signing::Broken => {
                let mut out = rsa(&self.rsa, &signature::RSA_PKCS1_SHA256);
                out[100] ^= 1;
                out
            }
        }
    }
}

/// `at_hash` of an access token for the SHA-256 algorithms (OIDC Core 3.1.3.6).
pub(crate) fn access_token_hash(access_token: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, access_token.as_bytes());
    encode(&digest.as_ref()[..16])
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

const fn algorithm(signing: Signing) -> &'static str {
    match signing {
        Signing::Rs256 | Signing::Stranger | Signing::Broken | Signing::EmptySignature => "RS256",
        Signing::Rs384 => "RS384",
        Signing::Rs512 => "RS512",
        Signing::Ps256 => "PS256",
        Signing::Ps384 => "PS384",
        Signing::Ps512 => "PS512",
        Signing::Es256 => "ES256",
        Signing::Es384 => "ES384",
        Signing::Es512 => "ES512",
        Signing::EdDsa => "EdDSA",
        Signing::Unsigned => "none",
        Signing::ClientSecret | Signing::PublicKeyAsSecret => "HS256",
    }
}

const fn key_id(signing: Signing) -> &'static str {
    match signing {
        Signing::Es256 => "ec",
        Signing::Es384 => "ec384",
        Signing::Es512 => "ec521",
        Signing::EdDsa => "ed",
        _ => "rsa",
    }
}

/// The public key is `SEQUENCE { INTEGER n, INTEGER 65537 }` in DER: n has 256 bytes after 9 of framing.
fn rsa_jwk(kid: &str, key: &RsaKeyPair) -> Value {
    let der = key.public_key().as_ref();
    json!({"kty": "RSA", "kid": kid, "use": "sig", "e": "AQAB", "n": encode(&der[9..265])})
}
