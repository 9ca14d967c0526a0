//! A moment as people and programs write it: UTC, RFC 3339. Knows no time zone.

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Beyond these a year has no four digits.
const RANGE: std::ops::Range<i64> = -62_167_219_200_000..253_402_300_800_000;

/// Milliseconds since 1970 as `2026-11-20T11:30:00.123Z`; a number that is no such moment as it is.
pub(super) fn rfc3339(ms: i64) -> String {
    if !RANGE.contains(&ms) {
        return ms.to_string();
    }
    let (year, month, day) = date(ms.div_euclid(DAY_MS));
    let rest = ms.rem_euclid(DAY_MS);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// The same without punctuation and parts of a second, for names of files.
pub(super) fn compact(ms: i64) -> String {
    let whole = rfc3339(ms);
    let digits = whole.split('.').next().unwrap_or_default();
    format!("{}Z", digits.replace(['-', ':'], ""))
}

/// Year, month and day of a day since 1970, in the Gregorian calendar without end.
fn date(day: i64) -> (i64, i64, i64) {
    // Years that begin in March have their odd day at the end, and 400 of them are 146,097 days.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::{compact, rfc3339};

    #[test]
    fn a_moment_is_written_as_the_calendar_has_it() {
        let moments = [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_795_174_200_123, "2026-11-20T11:30:00.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "253402300800000"),
            (i64::MIN, "-9223372036854775808"),
        ];
        for (ms, text) in moments {
            assert_eq!(rfc3339(ms), text);
        }
        assert_eq!(compact(1_795_174_200_123), "20261120T113000Z");
    }
}
