//! Numbers and bytes as people read them. Knows nothing of what they count.

/// A size in the largest unit that leaves a number above one.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, word: &str) -> String {
    match (number, word.strip_suffix('x').or(word.strip_suffix("ch"))) {
        (1, _) => format!("1 {word}"),
        (_, Some(_)) => format!("{number} {word}es"),
        (_, None) => format!("{number} {word}s"),
    }
}

/// Bytes as text if they are text, without a line end or any other control in it.
pub(crate) fn as_text(bytes: &[u8]) -> Option<&str> {
    let text = str::from_utf8(bytes).ok()?;
    (!text.chars().any(|letter| letter.is_control() && letter != '\t')).then_some(text)
}

/// Two digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Text, or `hex:…`, or a dash for nothing at all.
pub(crate) fn shown(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "-".into(),
        Some([]) => "\"\"".into(),
        Some(bytes) => as_text(bytes).map_or_else(|| format!("hex:{}", hex(bytes)), Into::into),
    }
}

/// How many seconds ago that was.
pub(super) fn seconds(since_ms: Option<i64>, now_ms: i64) -> Option<i64> {
    since_ms.map(|since| now_ms.saturating_sub(since).max(0) / 1000)
}

/// The same in words, behind something else.
pub(super) fn ago(since_ms: Option<i64>, now_ms: i64) -> String {
    let seconds = seconds(since_ms, now_ms);
    seconds.map_or(String::new(), |seconds| format!(", for {seconds} s"))
}

#[cfg(test)]
mod tests {
    use super::{count, shown, size};

    #[test]
    fn sizes_and_counts_read_well() {
        let sizes = [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB")];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
        assert_eq!((count(1, "file"), count(2, "batch")), ("1 file".into(), "2 batches".into()));
        assert_eq!(count(0, "index"), "0 indexes");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_in_hex() {
        let check = |bytes: Option<&[u8]>, text: &str| assert_eq!(shown(bytes), text);
        check(None, "-");
        check(Some(b""), "\"\"");
        check(Some("grün".as_bytes()), "grün");
        check(Some(b"a\n"), "hex:610a");
        check(Some(b"\xff\x00"), "hex:ff00");
    }
}
