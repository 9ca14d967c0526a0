//! Counts, sizes and times with their ranges: from a number or from text with a unit.
//! Never knows which setting it reads; the caller names the range.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serializer};

use super::defaults::{GIB, KIB, MIB};

/// A plain number from `MIN` to `MAX`.
pub(super) fn count<'de, D, T, const MIN: u64, const MAX: u64>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    quantity(from, Range { unit: Unit::Count, min: MIN, max: MAX })
}

/// A size in bytes: `65536` or `"64 KiB"`.
pub(super) fn bytes<'de, D, T, const MIN: u64, const MAX: u64>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    quantity(from, Range { unit: Unit::Bytes, min: MIN, max: MAX })
}

/// Whole seconds: `60` or `"1 min"`.
pub(super) fn seconds<'de, D, T, const MIN: u64, const MAX: u64>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    quantity(from, Range { unit: Unit::Seconds, min: MIN, max: MAX })
}

/// Milliseconds: `10000` or `"10 s"`.
pub(super) fn millis<'de, D, const MIN: u64, const MAX: u64>(from: D) -> Result<Duration, D::Error>
where
    D: Deserializer<'de>,
{
    quantity(from, Range { unit: Unit::Millis, min: MIN, max: MAX }).map(Duration::from_millis)
}

/// The way back of [`millis`].
pub(super) fn millis_out<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn quantity<'de, D, T>(from: D, range: Range) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let number = from.deserialize_any(range)?;
    T::try_from(number).map_err(|_| D::Error::invalid_value(Unexpected::Unsigned(number), &range))
}

#[derive(Clone, Copy)]
enum Unit {
    Count,
    Bytes,
    Millis,
    Seconds,
}

/// Words that may follow a number, and how many of the setting's own unit each is worth.
/// A worth of 1 comes first: it is the unit in the setting's name.
type Words = &'static [(&'static str, u64)];

const BYTES: Words = &[
    ("B", 1),
    ("KiB", KIB),
    ("MiB", MIB),
    ("GiB", GIB),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];
const MILLIS: Words = &[("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000)];
const SECONDS: Words = &[("s", 1), ("min", 60), ("h", 3600), ("d", 86_400)];

impl Unit {
    fn words(self) -> Words {
        match self {
            Self::Count => &[],
            Self::Bytes => BYTES,
            Self::Millis => MILLIS,
            Self::Seconds => SECONDS,
        }
    }

    fn worth(self, word: &str) -> Option<u64> {
        if word.is_empty() {
            return Some(1);
        }
        let named = |(name, _): &&(&str, u64)| name.eq_ignore_ascii_case(word);
        self.words().iter().find(named).map(|(_, worth)| *worth)
    }

    fn parse(self, text: &str) -> Option<u64> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
        let (digits, word) = text.split_at(end);
        let number: u64 = digits.replace('_', "").parse().ok()?;
        number.checked_mul(self.worth(word.trim())?)
    }

    /// The shortest exact way to write a number of this unit.
    fn write(self, number: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |(_, worth): &&(&str, u64)| number > 0 && number.is_multiple_of(*worth);
        match self.words().iter().filter(exact).max_by_key(|(_, worth)| *worth) {
            Some((name, worth)) => write!(f, "{} {name}", number / worth),
            None => write!(f, "{number}"),
        }
    }
}

#[derive(Clone, Copy)]
struct Range {
    unit: Unit,
    min: u64,
    max: u64,
}

impl Range {
    fn hold<E: Error>(&self, number: u64, found: Unexpected<'_>) -> Result<u64, E> {
        if (self.min..=self.max).contains(&number) {
            Ok(number)
        } else {
            Err(E::invalid_value(found, self))
        }
    }
}

impl Visitor<'_> for Range {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.unit {
            Unit::Count => "a whole number from ",
            Unit::Bytes => "a size in bytes from ",
            Unit::Millis => "a time in milliseconds from ",
            Unit::Seconds => "a time in seconds from ",
        })?;
        self.unit.write(self.min, f)?;
        f.write_str(" to ")?;
        self.unit.write(self.max, f)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        self.hold(number, Unexpected::Unsigned(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        let found = Unexpected::Signed(number);
        let number = u64::try_from(number).map_err(|_| E::invalid_value(found, &self))?;
        self.hold(number, found)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        let found = Unexpected::Str(text);
        let number = self.unit.parse(text).ok_or_else(|| E::invalid_value(found, &self))?;
        self.hold(number, found)
    }
}

#[cfg(test)]
mod tests {
    use super::{Range, Unit, Visitor};

    #[track_caller]
    fn check(unit: Unit, text: &str, expected: Option<u64>) {
        assert_eq!(unit.parse(text), expected, "{text:?}");
    }

    #[test]
    fn text_may_carry_the_unit_or_leave_it_to_the_name() {
        check(Unit::Bytes, "4096", Some(4096));
        check(Unit::Bytes, "64 MiB", Some(64 * 1024 * 1024));
        check(Unit::Bytes, "64mib", Some(64 * 1024 * 1024));
        check(Unit::Bytes, "1 MB", Some(1_000_000));
        check(Unit::Millis, "250", Some(250));
        check(Unit::Millis, "10 s", Some(10_000));
        check(Unit::Seconds, "30 d", Some(2_592_000));
        check(Unit::Count, "10_000", Some(10_000));
    }

    #[test]
    fn text_that_is_no_quantity_is_refused() {
        check(Unit::Count, "", None);
        check(Unit::Count, "many", None);
        check(Unit::Count, "-1", None);
        check(Unit::Count, "3 MiB", None);
        check(Unit::Bytes, "64 parsecs", None);
        check(Unit::Bytes, "1.5 MiB", None);
        check(Unit::Bytes, "99999999999 GiB", None);
        check(Unit::Bytes, "99999999999999999999", None);
    }

    #[test]
    fn a_range_is_told_in_the_largest_exact_unit() {
        struct Told(Range);
        impl std::fmt::Display for Told {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.expecting(f)
            }
        }
        let size = Range { unit: Unit::Bytes, min: 128, max: 256 * 1024 * 1024 };
        assert_eq!(Told(size).to_string(), "a size in bytes from 128 B to 256 MiB");
        let count = Range { unit: Unit::Count, min: 0, max: 7 };
        assert_eq!(Told(count).to_string(), "a whole number from 0 to 7");
    }
}
