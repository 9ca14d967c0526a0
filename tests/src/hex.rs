//! Bytes as people write them in a table: hex pairs and quoted text. Knows nothing of MQTT.

/// Reads `10 0c 'MQTT' 05`: hex digits in pairs, spaces anywhere, text in single quotes,
/// and `xN(…)` for N times what stands in the brackets.
///
/// # Errors
/// Says what is not understood.
pub fn parse(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '\'' => quoted(rest, &mut bytes)?,
            'x' => repeated(rest, &mut bytes)?,
            _ => pair(rest, &mut bytes)?,
        };
        rest = rest.trim_start();
    }
    Ok(bytes)
}

/// Bytes as a reader of a failed test wants them.
#[must_use]
pub fn show(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[{}] {:?}", pairs.join(" "), String::from_utf8_lossy(bytes))
}

fn quoted<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Result<&'a str, String> {
    let inner = text.get(1..).unwrap_or_default();
    let (literal, rest) = inner.split_once('\'').ok_or(format!("no closing quote: {text}"))?;
    bytes.extend_from_slice(literal.as_bytes());
    Ok(rest)
}

fn repeated<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Result<&'a str, String> {
    let wrong = || format!("expected xN(bytes): {text}");
    let (head, tail) = text.split_once('(').ok_or_else(wrong)?;
    let times: usize = head.get(1..).and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
    let (inner, rest) = tail.split_once(')').ok_or_else(wrong)?;
    bytes.extend(parse(inner)?.repeat(times));
    Ok(rest)
}

fn pair<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Result<&'a str, String> {
    let wrong = || format!("not a hex pair: {text}");
    let digits = text.get(..2).ok_or_else(wrong)?;
    bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
    Ok(text.get(2..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{parse, show};

    #[test]
    fn hex_text_and_repeats_mix() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("c0 00", &[0xc0, 0]),
            ("C000", &[0xc0, 0]),
            ("00 04 'MQTT' 05", b"\x00\x04MQTT\x05"),
            ("01 x3(ff 'a') 02", b"\x01\xffa\xffa\xffa\x02"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in ["1", "zz", "'open", "x(00)", "x2(00", "é"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_are_shown_as_hex_and_text() {
        assert_eq!(show(&[0x30, 0x41]), "[30 41] \"0A\"");
    }
}
