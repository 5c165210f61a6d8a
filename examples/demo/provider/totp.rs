//! One-time codes that change with time.
//!
//! The second factor of the development provider: HOTP over the number of 30-second steps since 1970,
//! six digits, HMAC-SHA-1, as authenticator apps compute it. Pure: the time comes in as an argument.
//!
//! A code is checked against this step and the one before, so that somebody who reads it from the page
//! has 30 to 60 seconds to type it.
//!
//! RFC 6238 section 4, RFC 4226 section 5.3.

use aws_lc_rs::{constant_time, hmac};

/// The length of a time step in seconds.
pub(super) const STEP: u64 = 30;

/// The code that an authenticator with this secret shows at `now`, in seconds since 1970.
pub(super) fn code_at(secret: &[u8], now: u64) -> String {
    hotp(secret, now / STEP, 6)
}

/// Tells whether `code` is the code of this time step or of the one before.
pub(super) fn accepts(secret: &[u8], code: &str, now: u64) -> bool {
    [now, now.saturating_sub(STEP)].into_iter().any(|time| same(code, &code_at(secret, time)))
}

/// The seconds for which the code shown at `now` stays the current one.
pub(super) fn seconds_left(now: u64) -> u64 {
    STEP - now % STEP
}

fn same(a: &str, b: &str) -> bool {
    constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

fn hotp(secret: &[u8], counter: u64, digits: u32) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &counter.to_be_bytes());
    let number = truncate(tag.as_ref()) % 10_u32.pow(digits);
    format!("{number:0width$}", width = digits as usize)
}

/// Dynamic truncation: the low four bits of the last byte say where 31 bits are taken from.
fn truncate(tag: &[u8]) -> u32 {
    let offset = tag.last().map_or(0, |last| usize::from(last & 0x0f));
    let four = tag.iter().skip(offset).take(4);
    four.fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn vectors_of_rfc_6238_appendix_b() {
        let vectors = [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ];
        for (time, code) in vectors {
            assert_eq!(hotp(SECRET, time / STEP, 8), code, "at {time}");
        }
    }

    #[test]
    fn vectors_of_rfc_4226_appendix_d() {
        let codes =
            ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
        for (counter, code) in (0..).zip(codes) {
            assert_eq!(hotp(SECRET, counter, 6), code, "at {counter}");
        }
    }

    #[test]
    fn a_code_is_good_for_its_step_and_the_next() {
        let code = code_at(SECRET, 600);
        assert!(accepts(SECRET, &code, 600));
        assert!(accepts(SECRET, &code, 629));
        assert!(accepts(SECRET, &code, 659));
        assert!(!accepts(SECRET, &code, 660));
        assert!(!accepts(SECRET, &code, 599));
    }

    #[test]
    fn what_is_no_code_is_refused() {
        for wrong in ["", "0", "abcdef", "1234567"] {
            assert!(!accepts(SECRET, wrong, 600), "{wrong:?}");
        }
    }

    #[test]
    fn the_current_code_lasts_until_the_step_ends() {
        assert_eq!(seconds_left(600), 30);
        assert_eq!(seconds_left(629), 1);
    }
}
