//! A number of bytes that carries its unit: `32KiB`, `1 GiB`, `500kB`.
//!
//! `KiB`, `MiB`, `GiB` count in 1024, `kB`, `MB`, `GB` in 1000, `B` in one; upper and lower case alike. A bare number is
//! refused, so that nobody has to guess.

use std::fmt;
use std::str::FromStr;

/// Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

/// Why a text is no number of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByteSizeError {
    /// There is no whole number before the unit.
    NoNumber,
    /// There is no unit.
    NoUnit,
    /// The unit is not one of ours.
    UnknownUnit(String),
    /// More than 64 bits can count.
    TooLarge,
}

impl fmt::Display for ByteSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNumber => write!(f, "it does not begin with a whole number"),
            Self::NoUnit => write!(f, "the unit is missing (B, KiB, MiB, GiB, kB, MB or GB)"),
            Self::UnknownUnit(unit) => write!(f, "unknown unit `{unit}` (B, KiB, MiB, GiB, kB, MB or GB)"),
            Self::TooLarge => write!(f, "more than can be counted"),
        }
    }
}

impl std::error::Error for ByteSizeError {}

const UNITS: &[(&str, u64)] =
    &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];

impl ByteSize {
    /// This many bytes.
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// This many times 1024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// This many times 1024 x 1024 bytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// The number of bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory; saturates where memory is smaller.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(ByteSizeError::NoNumber);
        }
        let number: u64 = number.parse().map_err(|_| ByteSizeError::TooLarge)?;
        number.checked_mul(factor(unit.trim())?).map(Self).ok_or(ByteSizeError::TooLarge)
    }
}

fn factor(unit: &str) -> Result<u64, ByteSizeError> {
    match unit {
        "" => Err(ByteSizeError::NoUnit),
        "B" | "b" => Ok(1),
        _ => UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .map(|(_, factor)| *factor)
            .ok_or_else(|| ByteSizeError::UnknownUnit(unit.to_owned())),
    }
}

/// The largest binary unit that divides it: `32KiB`.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS
            .iter()
            .filter(|(name, _)| name.contains('i'))
            .find(|(_, size)| self.0 != 0 && self.0.is_multiple_of(*size));
        match unit {
            Some((name, size)) => write!(f, "{}{name}", self.0 / size),
            None => write!(f, "{}B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_carry_their_unit() {
        for (text, bytes) in [
            ("32KiB", 32_768),
            ("1 GiB", 1 << 30),
            ("500kB", 500_000),
            ("0B", 0),
            ("7 mib", 7 << 20),
            ("3GB", 3_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        assert_eq!(ByteSize::kib(32).to_string(), "32KiB");
        assert_eq!(ByteSize::bytes(1_500).to_string(), "1500B");
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for (text, error) in [
            ("", ByteSizeError::NoNumber),
            ("-1KiB", ByteSizeError::NoNumber),
            ("10", ByteSizeError::NoUnit),
            ("1.5MiB", ByteSizeError::UnknownUnit(".5MiB".to_owned())),
            ("1KB/s", ByteSizeError::UnknownUnit("KB/s".to_owned())),
            ("18446744073709551615GiB", ByteSizeError::TooLarge),
            ("99999999999999999999B", ByteSizeError::TooLarge),
        ] {
            assert_eq!(text.parse::<ByteSize>(), Err(error), "{text}");
        }
    }
}
