//! A moment as people and programs write it: UTC, RFC 3339. Knows no time zone.

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Beyond these a year has no four digits.
const RANGE: std::ops::Range<i64> = -62_167_219_200_000..253_402_300_800_000;

/// Milliseconds since 1970 as `2026-11-20T11:30:00.123Z`; a number that is no such moment as it is.
pub(crate) fn rfc3339(ms: i64) -> String {
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
pub(crate) fn compact(ms: i64) -> String {
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

/// A day since 1970 from year, month and day: the way back of [`date`].
fn day_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// `2026-11-20`, `2026-11-20T11:30` or with seconds, parts of them and a `Z`: milliseconds since
/// 1970, UTC.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (day, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let [year, month, day] = numbers(day, '-')?;
    let (time, parts) = time.split_once('.').unwrap_or((time, "0"));
    let is_short = time.matches(':').count() == 1;
    let with_seconds = if is_short { format!("{time}:00") } else { time.to_owned() };
    let [hour, minute, second] = numbers(&with_seconds, ':')?;
    let is_sound = (0..=9999).contains(&year)
        && (1..=12).contains(&month)
        && hour < 24
        && minute < 60
        && second < 60
        && !parts.is_empty()
        && parts.bytes().all(|digit| digit.is_ascii_digit());
    let days = is_sound.then(|| day_of(year, month, day))?;
    // A day that the month does not have comes back as another.
    if date(days) != (year, month, day) {
        return None;
    }
    let milli: i64 = format!("{parts:0<3}").get(..3)?.parse().ok()?;
    Some(days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + milli)
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let number = |part: &str| {
        let is_plain = (1..=4).contains(&part.len()) && part.bytes().all(|it| it.is_ascii_digit());
        is_plain.then(|| part.parse().ok()).flatten()
    };
    let found: Option<Vec<i64>> = text.split(between).map(number).collect();
    found?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{compact, parse, rfc3339};

    #[test]
    fn a_moment_is_read_as_it_is_written() {
        for ms in [0, 951_782_399_999, 951_868_800_000, 1_795_174_200_123, 253_402_300_799_999] {
            assert_eq!(parse(&rfc3339(ms)), Some(ms));
        }
        assert_eq!(parse("2026-11-20"), parse("2026-11-20T00:00:00.000Z"));
        assert_eq!(parse("2026-11-20 11:30"), parse("2026-11-20T11:30:00Z"));
        for wrong in ["", "now", "2026-02-30", "2026-13-01", "2026-11-20T25:00", "1-1", "é-1-1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

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
