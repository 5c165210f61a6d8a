//! Parts of sessions that were really sealed, mixed as the bytes of an input say.
//!
//! Hardly any bytes that a fuzzer makes are a part of a session, so that joining would only be seen to fail. Here every input begins with all the
//! cookies of a session in one to five parts, and each five bytes of it change something about them. What is sealed differs in each run (its
//! salt and nonce are drawn), and what an input does with it does not.

use std::sync::LazyLock;

use http::header::{COOKIE, HeaderMap, HeaderValue};
use lychgate::claims::Claims;
use lychgate::clock::Timestamp;
use lychgate::crypto::KeyRing;
use lychgate::session::{CookieNames, Registration, SealedSessions, Session, SessionId};

/// The longest part that a session is cut into.
const LONGEST: usize = 3800;
/// Bytes of a claim with which a session takes one to five cookies.
const SIZES: [usize; 5] = [10, 4_000, 7_000, 9_500, 12_500];
/// What a byte is overwritten with: letters of the sealed text, and what stands behind a count.
const LETTERS: &[u8] = b"AZaz09-_.25";

/// Which cookie of a session, and its value, a count in the first's included.
type Cookie = (usize, Vec<u8>);

struct Original {
    session: Session,
    text: Vec<u8>,
    cookies: Vec<Cookie>,
}

struct Mint {
    keys: KeyRing,
    names: CookieNames,
}

impl Mint {
    fn sealed(&self) -> SealedSessions<'_> {
        SealedSessions { keys: &self.keys, names: &self.names, scope: "app.example/app" }
    }

    fn original(&self, claim_bytes: usize) -> Original {
        let now = Timestamp::from_seconds(1_795_000_000);
        let claims = format!(r#"{{"sub":"1","big":"{}"}}"#, "x".repeat(claim_bytes));
        let id = SessionId::new();
        let session = Session {
            id,
            root: id,
            provider: "idp".into(),
            registration: Registration::new("https://idp.example", "lychgate"),
            subject: "1".into(),
            provider_session: None,
            acr: None,
            amr: vec!["pwd".into()],
            authenticated_at: now,
            started_at: now,
            seen_at: now,
            refresh_at: None,
            generation: 0,
            claims: Claims::from_json(claims.as_bytes()).unwrap(),
            absent_claims: Vec::new(),
        };
        let fields = self.sealed().seal(&session, &HeaderMap::new()).unwrap();
        let values = fields.iter().map(|field| {
            let pair = field.as_bytes().split(|byte| *byte == b';').next().unwrap();
            pair.splitn(2, |byte| *byte == b'=').nth(1).unwrap().to_vec()
        });
        let cookies: Vec<Cookie> = values.enumerate().collect();
        Original { session, text: joined(&cookies).unwrap(), cookies }
    }
}

static MINT: LazyLock<Mint> = LazyLock::new(|| Mint { keys: super::ring(), names: CookieNames::new(true, None) });

/// Two sessions of each number of parts: one to change, and one to take parts of.
static ORIGINALS: LazyLock<Vec<[Original; 2]>> = LazyLock::new(|| {
    let pairs = SIZES.iter().zip(1..).map(|(size, parts)| {
        let pair = [MINT.original(*size), MINT.original(*size)];
        assert!(pair.iter().all(|original| original.cookies.len() == parts));
        pair
    });
    pairs.collect()
});

/// What cookies say: the first of each name counts, the first part says how many there are, and no other is longer than it may be.
fn joined(cookies: &[Cookie]) -> Option<Vec<u8>> {
    let value = |wanted| cookies.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_slice());
    let first = value(0)?;
    let (count, first) = match first.iter().position(|byte| *byte == b'.') {
        None => (1, first),
        Some(dot) => match &first[..dot] {
            [digit @ b'2'..=b'5'] => (usize::from(digit - b'0'), &first[dot + 1..]),
            _ => return None,
        },
    };
    let others = (1..count).map(|index| value(index).filter(|part| part.len() <= LONGEST));
    let others: Option<Vec<&[u8]>> = others.collect();
    Some([first, &others?.concat()].concat())
}

/// Changes cookies as five bytes say: what, which, which else, and how many bytes of it.
fn change(cookies: &mut Vec<Cookie>, said: &[u8], another: &Original) {
    let &[what, one, other, high, low] = said else { return };
    if cookies.is_empty() {
        return;
    }
    let at = |byte: u8| usize::from(byte) % cookies.len();
    let (one, with) = (at(one), at(other));
    let place = |value: &[u8]| usize::from(u16::from_be_bytes([high, low])) % (value.len() + 1);
    let cut = place(&cookies[one].1);
    match what % 10 {
        0 => drop(cookies.remove(one)),
        1 => cookies.insert(with, cookies[one].clone()),
        2 => cookies.swap(one, with),
        3 => {
            let value = cookies[one].1.clone();
            cookies[one].1 = std::mem::replace(&mut cookies[with].1, value);
        }
        // The end of one becomes the beginning of another: where they were neighbours, they are only cut elsewhere.
        4 => {
            let moved = cookies[one].1.split_off(cut);
            cookies[with].1.splice(..0, moved);
        }
        5 => cookies[one].1.truncate(cut),
        6 => cookies[one].0 = usize::from(other % 7),
        7 => {
            let more = cookies[with].1[..place(&cookies[with].1)].to_vec();
            cookies[one].1.extend(more);
        }
        8 => {
            if let Some(byte) = cookies[one].1.get_mut(cut) {
                *byte = LETTERS[usize::from(other) % LETTERS.len()];
            }
        }
        _ => cookies[one].1.clone_from(&another.cookies[usize::from(other) % another.cookies.len()].1),
    }
}

/// A session opens exactly when its parts say its whole text, and then it is the same.
pub(super) fn mixed(which: u8, changes: &[u8]) {
    let originals = &ORIGINALS[usize::from(which) % ORIGINALS.len()];
    let mut cookies = originals[0].cookies.clone();
    for said in changes.chunks(5).take(16) {
        change(&mut cookies, said, &originals[1]);
    }
    let pairs = cookies.iter().map(|(index, value)| {
        let name = if *index == 0 { MINT.names.first().to_owned() } else { format!("{}.{index}", MINT.names.first()) };
        [name.as_bytes(), b"=", value].concat()
    });
    let field = HeaderValue::from_bytes(&pairs.collect::<Vec<_>>().join(&b"; "[..])).unwrap();
    let headers = HeaderMap::from_iter([(COOKIE, field)]);
    let (sealed, said) = (MINT.sealed(), joined(&cookies));
    let text = sealed.text(&headers).ok();
    assert_eq!(text.as_deref(), said.as_deref());
    let opened = text.and_then(|text| sealed.open(&text).ok());
    let whole = originals.iter().find(|original| Some(&original.text) == said.as_ref());
    assert_eq!(opened.as_ref(), whole.map(|original| &original.session));
}
