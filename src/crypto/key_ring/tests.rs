//! Keys as they turn, and every change of what was sealed.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use sha2::Digest as _;

use super::*;

const BINDING: Binding<'static> = Binding { purpose: "session", name: "__Host-lychgate", scope: "a.example" };

fn ring(count: usize) -> (KeyRing, Vec<KeyText>) {
    let texts: Vec<KeyText> = (0..count).map(|_| KeyRing::generate_key()).collect();
    (KeyRing::new(&texts).ok().unwrap(), texts)
}

#[test]
fn c01_the_first_key_seals_and_all_keys_open() {
    let (old, texts) = ring(1);
    let sealed = old.seal(BINDING, b"content");
    let rotated = KeyRing::new(&[KeyRing::generate_key(), texts[0].clone()]).ok().unwrap();
    assert_eq!(**rotated.open(BINDING, sealed.as_bytes()).as_ref().unwrap(), b"content");
    let newer = rotated.seal(BINDING, b"content");
    assert_eq!(old.open(BINDING, newer.as_bytes()), Err(OpenError));
}

#[test]
fn c01_the_format_is_what_it_was() {
    let key = Secret::new(STANDARD.encode(Sha256::digest(b"a key of long ago")));
    // Sealed with HKDF and AES-GCM of another library (Python's cryptography).
    let sealed = "AdAiK6dkZWZnaGlqa8jJysvMzc7P0NHS01HRDVzl5m6E7mp-S6lR4kgOslumB-pnWSg_5dxrHY-Dx3No";
    let opened = KeyRing::new(&[key]).ok().unwrap().open(BINDING, sealed.as_bytes());
    assert_eq!(**opened.as_ref().unwrap(), b"content of long ago");
}

#[test]
fn c01_a_sealing_key_is_replaced_after_2_to_the_32_seals() {
    let (ring, _) = ring(1);
    let salt = |ring: &KeyRing| ring.keys[0].sealing.lock().unwrap().salt;
    let before = salt(&ring);
    ring.keys[0].seals.store(MAX_SEALS - 1, Ordering::Relaxed);
    let last = ring.seal(BINDING, b"last");
    assert_eq!(salt(&ring), before);
    let next = ring.seal(BINDING, b"next");
    assert_ne!(salt(&ring), before);
    assert!(ring.open(BINDING, last.as_bytes()).is_ok() && ring.open(BINDING, next.as_bytes()).is_ok());
}

#[test]
fn c01_two_seals_of_the_same_content_differ() {
    let (ring, _) = ring(1);
    assert_ne!(ring.seal(BINDING, b"same"), ring.seal(BINDING, b"same"));
}

#[test]
fn c02_moved_to_another_purpose_name_or_scope_nothing_opens() {
    let (ring, _) = ring(2);
    let sealed = ring.seal(BINDING, b"content");
    let moved = [
        Binding { purpose: "pending-login", ..BINDING },
        Binding { name: "__Host-lychgate-1", ..BINDING },
        Binding { scope: "b.example", ..BINDING },
        Binding { purpose: "session_", name: "_Host-lychgate", scope: "a.example" },
    ];
    for binding in moved {
        assert_eq!(ring.open(binding, sealed.as_bytes()), Err(OpenError), "{binding:?}");
    }
}

#[test]
fn c03_every_bit_flip_and_every_truncation_is_refused() {
    let (ring, _) = ring(2);
    let sealed = URL_SAFE_NO_PAD.decode(ring.seal(BINDING, b"content")).unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(ring.open(BINDING, URL_SAFE_NO_PAD.encode(&flipped).as_bytes()), Err(OpenError), "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert_eq!(ring.open(BINDING, URL_SAFE_NO_PAD.encode(&sealed[..length]).as_bytes()), Err(OpenError));
    }
}

#[test]
fn c03_invented_salts_are_not_remembered() {
    let (ring, _) = ring(1);
    let sealed = URL_SAFE_NO_PAD.decode(ring.seal(BINDING, b"content")).unwrap();
    for number in 0..200u8 {
        let mut forged = sealed.clone();
        forged[5] = forged[5].wrapping_add(number.max(1));
        assert!(ring.open(BINDING, URL_SAFE_NO_PAD.encode(&forged).as_bytes()).is_err());
    }
    assert!(ring.keys[0].derived.lock().unwrap().is_empty());
}

#[test]
fn keys_that_nobody_generated_are_refused() {
    let error = |text: &str| KeyRing::new(&[Secret::new(text.to_owned())]).err().map(|(_, error)| error);
    assert_eq!(error("not base64!"), Some(KeyTextError::NotBase64));
    assert_eq!(error("c2hvcnQ="), Some(KeyTextError::WrongLength(5)));
    let counting: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let down: [u8; 32] = std::array::from_fn(|at| 250 - 7 * u8::try_from(at).unwrap());
    let fifteen: [u8; 32] = std::array::from_fn(|at| u8::try_from(at % 15 * 17).unwrap());
    for key in [
        [0; 32],
        *b"changeme-changeme-changeme-chang",
        [b'k'; 32],
        *b"0123456789abcdef0123456789abcdef",
        counting,
        down,
        fifteen,
    ] {
        assert_eq!(error(&STANDARD.encode(key)), Some(KeyTextError::NotRandom), "{key:?}");
    }
    let sixteen: [u8; 32] = std::array::from_fn(|at| u8::try_from(at % 16 * 15).unwrap());
    assert_eq!(error(&STANDARD.encode(sixteen)), None);
    for _ in 0..1000 {
        assert!(KeyRing::new(&[KeyRing::generate_key()]).is_ok());
    }
    assert_eq!(KeyRing::new(&[]).err(), Some((0, KeyTextError::Count(0))));
}

#[test]
fn c03_no_content_is_content_too() {
    let (ring, _) = ring(1);
    let sealed = ring.seal(BINDING, b"");
    assert_eq!(**ring.open(BINDING, sealed.as_bytes()).as_ref().unwrap(), b"");
}

#[test]
fn c01_what_was_derived_is_kept_once_and_only_so_much_of_it_and_only_of_what_opens() {
    let (ring, texts) = ring(1);
    let kept = |ring: &KeyRing| ring.keys[0].derived.lock().unwrap().len();
    // Another process with the same key has its own salt.
    let others = || KeyRing::new(&texts).ok().unwrap().seal(BINDING, b"content");
    let first = others();
    for _ in 0..3 {
        ring.open(BINDING, first.as_bytes()).unwrap();
        assert_eq!(kept(&ring), 1);
    }
    let elsewhere = Binding { scope: "b.example", ..BINDING };
    assert_eq!((ring.open(elsewhere, others().as_bytes()), kept(&ring)), (Err(OpenError), 1));
    for _ in 0..2 * KEPT_SALTS {
        ring.open(BINDING, others().as_bytes()).unwrap();
    }
    assert_eq!(kept(&ring), KEPT_SALTS);
}

#[test]
fn c01_what_is_opened_has_room_for_itself_and_what_it_is_bound_to_and_for_no_more() {
    let (ring, _) = ring(1);
    for scope in ["", "a.example", "a-much-longer-name.of-some-host.example/archives"] {
        let binding = Binding { scope, ..BINDING };
        let mut associated = Vec::new();
        associate(&ring.keys[0].id, binding, &mut associated);
        assert_eq!(associated_length(binding), associated.len());
        for length in [0, 40, 4000] {
            let opened = ring.open(binding, ring.seal(binding, &vec![7; length]).as_bytes()).unwrap();
            // Base64 is decoded in groups of three bytes.
            let needed = HEAD + length + TAG + associated.len();
            assert!((needed..needed + 3).contains(&opened.capacity()), "{} for {needed}", opened.capacity());
        }
    }
}

#[test]
fn what_is_wrong_with_a_key_is_said() {
    for (error, word) in [
        (KeyTextError::NotBase64, "base64"),
        (KeyTextError::WrongLength(31), "31"),
        (KeyTextError::NotRandom, "by chance"),
        (KeyTextError::Count(17), "17"),
    ] {
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn c03_only_one_text_opens_to_a_content() {
    let (ring, _) = ring(1);
    for length in 0..200 {
        let sealed = ring.seal(BINDING, &vec![7; length]);
        assert!(ring.open(BINDING, sealed.as_bytes()).is_ok());
        assert_eq!(URL_SAFE_NO_PAD.decode(&sealed).map(|bytes| bytes.len()), Ok(HEAD + length + TAG));
        // Other letters for the same bits, padding, the other alphabet, what is no letter.
        let (start, last) = sealed.split_at(sealed.len() - 1);
        let others = (0..=255).filter(|other| [*other] != *last.as_bytes());
        let texts = others.map(|other| [start.as_bytes(), &[other]].concat());
        let longer = ["=", "==", "A", "\n", " "].map(|end| [sealed.as_bytes(), end.as_bytes()].concat());
        let damaged = (0..sealed.len()).step_by(7).map(|at| {
            let mut text = sealed.clone().into_bytes();
            text[at] = b"+/=.\0\x80\xff"[at % 7];
            text
        });
        for text in texts.chain(longer).chain(damaged) {
            assert_eq!(ring.open(BINDING, &text), Err(OpenError), "{length}: {}", text.escape_ascii());
        }
    }
}

proptest! {
    #[test]
    fn t02_base64_is_that_of_the_plain_engine(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "[-_A-Za-z0-9]{0,300}|.{0,40}") {
        let (ring, _) = ring(1);
        prop_assert_eq!(ring.base64url.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes));
        prop_assert_eq!(ring.base64url.decode(URL_SAFE_NO_PAD.encode(&bytes)), Ok(bytes));
        prop_assert_eq!(ring.base64url.decode(&text).ok(), URL_SAFE_NO_PAD.decode(&text).ok());
    }

    #[test]
    fn t02_what_was_sealed_opens_to_the_same(content in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (ring, _) = ring(1);
        let sealed = ring.seal(BINDING, &content);
        prop_assert_eq!(ring.open(BINDING, sealed.as_bytes()).map(|opened| opened.to_vec()), Ok(content));
    }

    #[test]
    fn c03_garbage_never_opens(garbage in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (ring, _) = ring(1);
        prop_assert_eq!(ring.open(BINDING, &garbage), Err(OpenError));
    }
}
