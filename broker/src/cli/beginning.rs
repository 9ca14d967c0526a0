//! Where a subscription begins: as the user says it, and as the filter that asks for it.

use crate::cli::span;
use crate::moment;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// With what comes from now on.
    Latest,
    /// With the oldest that is kept.
    Earliest,
    /// With what came at this time or later, in milliseconds since 1970.
    At(i64),
}

/// `earliest`, `latest`, how long ago (`2h`) or a time (`2026-11-20T11:30`).
pub(crate) fn parse(text: &str, now_ms: i64) -> Result<Beginning, String> {
    match text {
        "earliest" => return Ok(Beginning::Earliest),
        "latest" => return Ok(Beginning::Latest),
        _ => {}
    }
    if let Some(at_ms) = moment::parse(text) {
        return Ok(Beginning::At(at_ms.max(0)));
    }
    // A number alone could be anything.
    let ago = span::parse(text).ok().filter(|_| text.ends_with(|c: char| c.is_ascii_alphabetic()));
    let ago_ms = ago.map(|ago| i64::try_from(ago.as_millis()).unwrap_or(i64::MAX));
    ago_ms
        .map(|ago_ms| Beginning::At(now_ms.saturating_sub(ago_ms).max(0)))
        .ok_or_else(|| "earliest, latest, 2h (ago) or a time such as 2026-11-20T11:30".into())
}

impl Beginning {
    /// The filter that asks for it.
    pub(crate) fn of(self, filter: &str) -> String {
        match self {
            Self::Latest => filter.into(),
            Self::Earliest => format!("$s/earliest/{filter}"),
            Self::At(at_ms) => format!("$s/{at_ms}000/{filter}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Beginning, parse};

    #[test]
    fn a_beginning_is_a_word_a_time_or_some_time_ago() {
        let now_ms = 1_795_174_200_000;
        for (text, filter) in [
            ("earliest", "$s/earliest/a/#"),
            ("latest", "a/#"),
            ("2h", "$s/1795167000000000/a/#"),
            ("2026-11-20T11:30", "$s/1795174200000000/a/#"),
            ("99999d", "$s/0000/a/#"),
        ] {
            assert_eq!(parse(text, now_ms).unwrap().of("a/#"), filter, "{text}");
        }
        assert_eq!(parse("1970-01-01", 0), Ok(Beginning::At(0)));
        for wrong in ["", "7", "yesterday", "2 weeks"] {
            assert!(parse(wrong, now_ms).is_err(), "{wrong}");
        }
    }
}
