//! The keys that identity assertions are signed with, over time: one signs, those before and after it are published too.
//!
//! A key is published a day before it signs, so that applications that keep the key set know it by then, and for a day after it
//! signed last, which is longer than any assertion lives. Keys that a configuration names are the operator's to turn: the first
//! signs and all are published.
//!
//! The handle [`IdentityKeys`] lives as long as the process; policies and workers hold it, and the set in it is replaced in one step.
//! No lock is taken to sign. Times are seconds since 1970. Trust boundary: none; keys are made here or the operator's.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;

use super::{Secret, SigningKey, SigningKeyError};

const DAY: i64 = 24 * 60 * 60;
/// How long a key is published before it signs.
const PUBLISHED_BEFORE: i64 = DAY;
/// How long a key is published after it signed last.
const PUBLISHED_AFTER: i64 = DAY;
/// How old the newest key may become before another one is made.
const TURNED_AFTER: i64 = 90 * DAY;

/// The keys of a running gateway.
#[derive(Default)]
pub struct IdentityKeys {
    set: ArcSwapOption<KeySet>,
    /// Signs where nothing is served yet: in tests of policies, before the keys are there.
    rehearsal: OnceLock<Option<Arc<SigningKey>>>,
}

/// Keys and when they are used.
pub struct KeySet(Vec<Scheduled>);

struct Scheduled {
    key: Arc<SigningKey>,
    /// The first second in which it signs; none for a key that is only published.
    signs_from: Option<i64>,
    /// The first second in which it is not published any more.
    published_until: Option<i64>,
}

/// A key made by the gateway, and when.
#[derive(Clone)]
pub struct DatedKey {
    /// When it was made.
    pub made: i64,
    /// Base64 of its PKCS #8.
    pub text: Secret<String>,
}

impl IdentityKeys {
    /// Puts other keys in use.
    pub fn replace(&self, set: KeySet) {
        self.set.store(Some(Arc::new(set)));
    }

    /// Whether there are keys that applications can know.
    pub fn are_there(&self) -> bool {
        self.set.load().is_some()
    }

    /// The key that signs at `now`.
    pub(crate) fn signing(&self, now: i64) -> Option<Arc<SigningKey>> {
        match &*self.set.load() {
            Some(set) => set.signing(now).cloned(),
            None => self.rehearsal.get_or_init(rehearsal_key).clone(),
        }
    }

    /// The JSON Web Key Set that is published at `now`.
    pub fn published(&self, now: i64) -> String {
        let keys = self.set.load().as_ref().map(|set| set.published(now).join(",")).unwrap_or_default();
        format!("{{\"keys\":[{keys}]}}")
    }
}

fn rehearsal_key() -> Option<Arc<SigningKey>> {
    SigningKey::generate().and_then(|text| SigningKey::from_base64(&text)).ok().map(Arc::new)
}

impl KeySet {
    /// Keys that a configuration names: the first signs.
    pub fn configured(keys: &[Arc<SigningKey>]) -> Self {
        let schedule = |(index, key): (usize, &Arc<SigningKey>)| Scheduled {
            key: Arc::clone(key),
            signs_from: (index == 0).then_some(i64::MIN),
            published_until: None,
        };
        Self(keys.iter().enumerate().map(schedule).collect())
    }

    /// Keys that the gateway made, oldest first.
    pub fn dated(keys: &[DatedKey]) -> Result<Self, SigningKeyError> {
        let mut set = Vec::with_capacity(keys.len());
        for (index, dated) in keys.iter().enumerate() {
            let key = Arc::new(SigningKey::from_base64(&dated.text)?);
            let signs_from = if index == 0 { i64::MIN } else { dated.made.saturating_add(PUBLISHED_BEFORE) };
            let published_until = keys.get(index + 1).map(|next| out_of_use(next.made));
            set.push(Scheduled { key, signs_from: Some(signs_from), published_until });
        }
        Ok(Self(set))
    }

    fn signing(&self, now: i64) -> Option<&Arc<SigningKey>> {
        let due = self.0.iter().filter(|one| one.signs_from.is_some_and(|from| from <= now));
        due.max_by_key(|one| one.signs_from).map(|one| &one.key)
    }

    fn published(&self, now: i64) -> Vec<String> {
        let published = self.0.iter().filter(|one| one.published_until.is_none_or(|until| now < until));
        published.map(|one| one.key.public_jwk()).collect()
    }
}

/// When the key before one that was made at `made` is not published any more.
fn out_of_use(made: i64) -> i64 {
    made.saturating_add(PUBLISHED_BEFORE + PUBLISHED_AFTER)
}

/// Takes keys out that are out of use, and makes one when the newest is old; whether anything is different.
pub fn turn(keys: &mut Vec<DatedKey>, now: i64) -> Result<bool, SigningKeyError> {
    let before = keys.len();
    let spent = keys.iter().skip(1).take_while(|next| out_of_use(next.made) <= now).count();
    keys.drain(..spent.min(before));
    let is_old = keys.last().is_none_or(|newest| newest.made.saturating_add(TURNED_AFTER) <= now);
    if is_old {
        keys.push(DatedKey { made: now, text: SigningKey::generate()? });
    }
    Ok(is_old || spent > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(keys: &[DatedKey], now: i64) -> (String, usize) {
        let set = KeySet::dated(keys).ok().unwrap();
        (set.signing(now).unwrap().id().to_owned(), set.published(now).len())
    }

    #[test]
    fn a_key_is_published_before_it_signs_and_after_it_signed_last() {
        let mut keys = Vec::new();
        assert_eq!(turn(&mut keys, 0), Ok(true));
        let (first, published) = at(&keys, 0);
        assert_eq!(published, 1);
        assert_eq!(turn(&mut keys, TURNED_AFTER - 1), Ok(false));
        assert_eq!(turn(&mut keys, TURNED_AFTER), Ok(true), "a second key is made");

        let made = TURNED_AFTER;
        assert_eq!(at(&keys, made), (first.clone(), 2), "it is published and does not sign yet");
        assert_eq!(at(&keys, made + PUBLISHED_BEFORE - 1), (first.clone(), 2));
        let (second, published) = at(&keys, made + PUBLISHED_BEFORE);
        assert!(second != first && published == 2, "it signs, and the old one is still published");
        let last = made + PUBLISHED_BEFORE + PUBLISHED_AFTER;
        assert_eq!(at(&keys, last - 1), (second.clone(), 2));
        assert_eq!(at(&keys, last), (second.clone(), 1));
        assert_eq!(turn(&mut keys, last), Ok(true), "the old key goes");
        assert_eq!((keys.len(), at(&keys, last)), (1, (second, 1)));
    }

    #[test]
    fn a_gateway_that_was_off_for_long_goes_on_with_its_old_key_until_the_new_one_is_known() {
        let mut keys = Vec::new();
        turn(&mut keys, 0).unwrap();
        let (first, _) = at(&keys, 0);
        let later = 10 * TURNED_AFTER;
        assert_eq!(turn(&mut keys, later), Ok(true));
        assert_eq!(at(&keys, later), (first, 2));
    }

    #[test]
    fn of_configured_keys_the_first_signs_and_all_are_published() {
        let key = || Arc::new(SigningKey::from_base64(&SigningKey::generate().unwrap()).unwrap());
        let (first, second) = (key(), key());
        let keys = IdentityKeys::default();
        assert_eq!(keys.published(5), r#"{"keys":[]}"#);
        assert!(!keys.are_there() && keys.signing(5).is_some(), "policies can be tried without keys");
        keys.replace(KeySet::configured(&[Arc::clone(&first), second]));
        assert_eq!(keys.signing(5).unwrap().id(), first.id());
        let published: serde_json::Value = serde_json::from_str(&keys.published(5)).unwrap();
        assert_eq!(published["keys"].as_array().unwrap().len(), 2);
    }
}
