//! Bytes as people write them in a table: hex pairs and quoted text. Knows nothing of MQTT.

/// Reads `10 0c 'MQTT' 05`: hex digits in pairs, spaces anywhere, text in single quotes,
/// and `xN(…)` for N times what stands in the brackets. `$'MQTT'` has its two-byte length before
/// it, `[21 00 0a]` the length that properties have before them.
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
            '$' => counted(rest, &mut bytes)?,
            '[' => properties(rest, &mut bytes)?,
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
    let (literal, rest) =
        inner.split_once('\'').ok_or_else(|| format!("no closing quote: {text}"))?;
    bytes.extend_from_slice(literal.as_bytes());
    Ok(rest)
}

fn counted<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Result<&'a str, String> {
    let mut field = Vec::new();
    let rest = quoted(text.get(1..).unwrap_or_default(), &mut field)?;
    let length = u16::try_from(field.len()).map_err(|_| format!("too long: {text}"))?;
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend(field);
    Ok(rest)
}

/// Texts in it may not hold the closing bracket.
fn properties<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Result<&'a str, String> {
    let inner = text.get(1..).unwrap_or_default();
    let (inner, rest) =
        inner.split_once(']').ok_or_else(|| format!("no closing bracket: {text}"))?;
    let inner = parse(inner)?;
    bytes.extend(varint(inner.len()));
    bytes.extend(inner);
    Ok(rest)
}

/// A variable byte integer: seven bits a byte, low ones first.
#[must_use]
pub fn varint(value: usize) -> Vec<u8> {
    let (mut bytes, mut left) = (Vec::new(), value);
    loop {
        let low = u8::try_from(left & 0x7f).expect("seven bits");
        left >>= 7;
        bytes.push(if left == 0 { low } else { low | 0x80 });
        if left == 0 {
            return bytes;
        }
    }
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
            ("$'MQTT' 05", b"\x00\x04MQTT\x05"),
            ("[] 01", b"\x00\x01"),
            ("[26 $'k' $''] 'x'", b"\x06\x26\x00\x01k\x00\x00x"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in ["1", "zz", "'open", "x(00)", "x2(00", "é", "$00", "[00"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_are_shown_as_hex_and_text() {
        assert_eq!(show(&[0x30, 0x41]), "[30 41] \"0A\"");
    }
}
