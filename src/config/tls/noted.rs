//! What the settings of TLS were read from, as two digests: the names, and what stood in the files.
//!
//! Two settings with the same contents are the same; two with the same names were written alike, and a file may have changed since.

use sha2::{Digest as _, Sha256};

/// The digests under way.
#[derive(Default)]
pub(super) struct Noted {
    names: Sha256,
    contents: Sha256,
}

impl Noted {
    /// A file: what it is for, what the settings call it, and what stands in it.
    pub(super) fn file(&mut self, key: &str, name: &str, bytes: &[u8]) {
        for digest in [&mut self.names, &mut self.contents] {
            add(digest, key.as_bytes());
        }
        add(&mut self.names, name.as_bytes());
        add(&mut self.contents, bytes);
    }

    /// Whether clients must show certificates.
    pub(super) fn demand(&mut self, required: bool) {
        for digest in [&mut self.names, &mut self.contents] {
            add(digest, &[u8::from(required)]);
        }
    }

    /// That of the names and that of the contents.
    pub(super) fn digests(self) -> [[u8; 32]; 2] {
        [self.names, self.contents].map(|digest| digest.finalize().into())
    }
}

/// With its length, so that no two rows of parts come to the same.
fn add(digest: &mut Sha256, part: &[u8]) {
    digest.update((part.len() as u64).to_be_bytes());
    digest.update(part);
}
