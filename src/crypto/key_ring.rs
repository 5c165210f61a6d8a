//! The keys that seal cookies: the first seals, all open (C01).
//!
//! A configured key never encrypts anything itself. Each process derives a sealing key from it with a random 8-byte salt
//! (HKDF-SHA256) and takes a new salt after 2^32 seals, so no AES-GCM key ever sees more random nonces than SP 800-38D
//! section 8.3 allows, whatever the number of nodes and restarts. The salt travels in the envelope:
//!
//! ```text
//! version 1 | key id 4 | salt 8 | nonce 12 | ciphertext | tag 16
//! ```
//!
//! The associated data is the [`Binding`] (purpose, cookie name, scope), version and key id, each with its length, so that nothing can be moved
//! to another place or split differently (C02). Every failure is one [`OpenError`] to the outside (C03).
//!
//! Trust boundary: sealed bytes come from the wire. A stranger can make the gateway derive a key (about 1 us) by
//! inventing salts; derived keys are kept in a list of at most 64, and only when something opened with them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aes_gcm::aead::{Aead, AeadInOut, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce, Tag};
use base64::engine::Simd;
use base64::engine::general_purpose::{NO_PAD, STANDARD};
use base64::{Engine as _, decoded_len_estimate};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Secret, random};

const VERSION: u8 = 1;
const KEY_ID: usize = 4;
const SALT: usize = 8;
const NONCE: usize = 12;
const TAG: usize = 16;
const HEAD: usize = 1 + KEY_ID + SALT + NONCE;
const MAX_SEALS: u64 = 1 << 32;
/// How many derived keys a configured key remembers; the oldest falls out.
const KEPT_SALTS: usize = 64;

/// A configured key's text: 32 bytes in base64 (44 characters, either alphabet).
pub type KeyText = Secret<String>;

/// Why a configured key is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyTextError {
    /// Not base64.
    NotBase64,
    /// Base64, but of this many bytes instead of 32.
    WrongLength(usize),
    /// Text, bytes that count up, or few different ones: nobody generated this.
    NotRandom,
    /// No key at all, or more than 16.
    Count(usize),
}

impl std::fmt::Display for KeyTextError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotBase64 => write!(f, "a key is 32 bytes in base64, and this is no base64"),
            Self::WrongLength(found) => write!(f, "a key has 32 bytes, and this one has {found}"),
            Self::NotRandom => write!(f, "this key was not made by chance: it is text, counts, or repeats itself"),
            Self::Count(found) => write!(f, "a key ring has 1 to 16 keys, and this one has {found}"),
        }
    }
}

impl std::error::Error for KeyTextError {}

/// Sealed bytes that do not open: damaged, made for another place, or sealed with a key that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenError;

/// What sealed bytes are good for: opened with any other binding they are worthless.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// What the content is, for example `session` or `pending-login`.
    pub purpose: &'a str,
    /// The cookie that carries it.
    pub name: &'a str,
    /// The host it was made for.
    pub scope: &'a str,
}

/// The keys of this gateway, the sealing one first.
pub struct KeyRing {
    keys: Vec<RingKey>,
    /// Base64url without padding, with what the processor has for it: cookies are long, and each that a worker does not know is decoded.
    base64url: Simd,
}

struct RingKey {
    id: [u8; KEY_ID],
    master: Zeroizing<[u8; 32]>,
    sealing: Mutex<Arc<Derived>>,
    seals: AtomicU64,
    derived: Mutex<Vec<Arc<Derived>>>,
}

struct Derived {
    salt: [u8; SALT],
    cipher: Aes256Gcm,
}

impl KeyRing {
    /// A fresh key's text, what `lychgate keygen` prints.
    pub fn generate_key() -> KeyText {
        Secret::new(STANDARD.encode(random::bytes::<32>()))
    }

    /// Builds a ring of configured keys; the first seals. The error names the key by its index.
    pub fn new(texts: &[KeyText]) -> Result<Self, (usize, KeyTextError)> {
        if texts.is_empty() || texts.len() > 16 {
            return Err((0, KeyTextError::Count(texts.len())));
        }
        let keys = texts
            .iter()
            .enumerate()
            .map(|(index, text)| decode(text.expose()).map(RingKey::new).map_err(|error| (index, error)))
            .collect::<Result<_, _>>()?;
        Ok(Self { keys, base64url: Simd::url_safe(NO_PAD) })
    }

    /// Seals `content` and returns it in base64url without padding.
    pub fn seal(&self, binding: Binding<'_>, content: &[u8]) -> String {
        let Some(key) = self.keys.first() else { return String::new() };
        let derived = key.sealing_key();
        let nonce: [u8; NONCE] = random::bytes();
        let mut associated = Vec::with_capacity(associated_length(binding));
        associate(&key.id, binding, &mut associated);
        let payload = Payload { msg: content, aad: &associated };
        #[expect(clippy::expect_used, reason = "AES-GCM fails only above 64 GiB, and no caller holds that much")]
        let sealed = derived.cipher.encrypt(&Nonce::from(nonce), payload).expect("content is short");
        let mut out = Vec::with_capacity(HEAD + sealed.len());
        out.push(VERSION);
        out.extend_from_slice(&key.id);
        out.extend_from_slice(&derived.salt);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        self.base64url.encode(out)
    }

    /// Opens what [`KeyRing::seal`] made for the same binding.
    pub fn open(&self, binding: Binding<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        // One piece of memory for what was sealed, the associated data behind it, and the content, which takes the place of the former.
        let room = decoded_len_estimate(sealed.len()) + associated_length(binding);
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        self.base64url.decode_vec(sealed, &mut bytes).map_err(|_| OpenError)?;
        let length = bytes.len();
        if length < HEAD + TAG {
            return Err(OpenError);
        }
        let Head { version, id, salt, nonce } = Head::read(&bytes).ok_or(OpenError)?;
        associate(&id, binding, &mut bytes);
        let (text, associated) = bytes.split_at_mut_checked(length).ok_or(OpenError)?;
        let (body, tag) = text.split_last_chunk_mut::<TAG>().ok_or(OpenError)?;
        let body = body.get_mut(HEAD..).ok_or(OpenError)?;
        // An unknown version or key costs what a wrong tag costs, so that time tells nobody which of them it was (C03).
        let named = self.keys.iter().find(|key| key.id == id).filter(|_| version == VERSION);
        let key = named.or(self.keys.first()).ok_or(OpenError)?;
        let (derived, known) = key.opening_key(salt);
        let (nonce, tag) = (Nonce::from(nonce), Tag::from(*tag));
        derived.cipher.decrypt_inout_detached(&nonce, associated, body.into(), &tag).map_err(|_| OpenError)?;
        if named.is_none() {
            return Err(OpenError);
        }
        if !known {
            key.remember(derived);
        }
        bytes.truncate(length - TAG);
        bytes.drain(..HEAD);
        Ok(bytes)
    }
}

/// What stands before the ciphertext.
struct Head {
    version: u8,
    id: [u8; KEY_ID],
    salt: [u8; SALT],
    nonce: [u8; NONCE],
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (id, rest) = rest.split_first_chunk()?;
        let (salt, rest) = rest.split_first_chunk()?;
        Some(Self { version: *version, id: *id, salt: *salt, nonce: *rest.first_chunk()? })
    }
}

impl RingKey {
    fn new(master: Zeroizing<[u8; 32]>) -> Self {
        let mut id = [0u8; KEY_ID];
        expand(&master, None, b"lychgate key id v1", &mut id);
        let first = Self::derive(&master, random::bytes());
        Self { id, master, sealing: Mutex::new(first), seals: AtomicU64::new(0), derived: Mutex::new(Vec::new()) }
    }

    fn derive(master: &[u8; 32], salt: [u8; SALT]) -> Arc<Derived> {
        let mut key = Zeroizing::new([0u8; 32]);
        expand(master, Some(&salt), b"lychgate sealing v1", key.as_mut());
        Arc::new(Derived { salt, cipher: Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key)) })
    }

    /// The key to seal with; a new one is derived when the present one has sealed 2^32 times.
    fn sealing_key(&self) -> Arc<Derived> {
        let mut sealing = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.seals.fetch_add(1, Ordering::Relaxed) >= MAX_SEALS {
            *sealing = Self::derive(&self.master, random::bytes());
            self.seals.store(1, Ordering::Relaxed);
        }
        Arc::clone(&sealing)
    }

    fn opening_key(&self, salt: [u8; SALT]) -> (Arc<Derived>, bool) {
        let kept = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.iter().find(|derived| derived.salt == salt) {
            Some(derived) => (Arc::clone(derived), true),
            None => (Self::derive(&self.master, salt), false),
        }
    }

    fn remember(&self, derived: Arc<Derived>) {
        let mut kept = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_SALTS {
            kept.remove(0);
        }
        kept.push(derived);
    }
}

fn expand(master: &[u8; 32], salt: Option<&[u8]>, info: &[u8], out: &mut [u8]) {
    #[expect(
        clippy::expect_used,
        reason = "HKDF fails only above 8160 bytes of output, and the lengths here are fixed"
    )]
    Hkdf::<Sha256>::new(salt, master).expand(info, out).expect("a short output");
}

fn decode(text: &str) -> Result<Zeroizing<[u8; 32]>, KeyTextError> {
    let standard = Zeroizing::new(text.trim().replace('-', "+").replace('_', "/"));
    let bytes = Zeroizing::new(STANDARD.decode(standard.as_bytes()).map_err(|_| KeyTextError::NotBase64)?);
    let key: [u8; 32] = bytes.as_slice().try_into().map_err(|_| KeyTextError::WrongLength(bytes.len()))?;
    if is_contrived(&key) {
        return Err(KeyTextError::NotRandom);
    }
    Ok(Zeroizing::new(key))
}

/// Whether a key is one that no generator gives, but once in some 10^13: printable text, bytes that count, or fewer than 16 different ones.
fn is_contrived(key: &[u8; 32]) -> bool {
    let is_text = key.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let mut steps = key.iter().zip(key.iter().skip(1)).map(|(byte, next)| next.wrapping_sub(*byte));
    let step = steps.next();
    let counts = steps.all(|one| Some(one) == step);
    is_text || counts || key.iter().collect::<BTreeSet<_>>().len() < 16
}

/// Appends the associated data: version, key id, purpose, name and scope, each after its length, so that no two bindings share a text.
fn associate(id: &[u8; KEY_ID], binding: Binding<'_>, out: &mut Vec<u8>) {
    out.push(VERSION);
    out.extend_from_slice(id);
    for part in [binding.purpose, binding.name, binding.scope] {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part.as_bytes());
    }
}

/// How many bytes [`associate`] appends.
fn associated_length(binding: Binding<'_>) -> usize {
    let parts = [binding.purpose, binding.name, binding.scope];
    1 + KEY_ID + parts.map(|part| size_of::<u64>() + part.len()).iter().sum::<usize>()
}

#[cfg(test)]
mod tests;
