//! Parts of an address, percent-encoded. Knows no address.

use std::fmt::Write as _;

/// One part of a path or of a query, whatever is in it.
pub(crate) fn coded(text: &str) -> String {
    let mut coded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                coded.push(byte.into());
            }
            other => {
                let _ = write!(coded, "%{other:02X}");
            }
        }
    }
    coded
}

/// `?a=b&c=d`; of nothing, nothing.
pub(crate) fn query(said: &[(&str, &str)]) -> String {
    let all = said.iter().enumerate().map(|(at, (name, value))| {
        let sign = if at == 0 { '?' } else { '&' };
        format!("{sign}{name}={}", coded(value))
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::{coded, query};

    #[test]
    fn whatever_is_in_a_name_stays_in_its_part() {
        for (text, expected) in
            [("a-b_c.1~", "a-b_c.1~"), ("a/b c?", "a%2Fb%20c%3F"), ("%+#", "%25%2B%23")]
        {
            assert_eq!(coded(text), expected);
        }
        assert_eq!(coded("gr\u{fc}n"), "gr%C3%BCn");
        assert_eq!(query(&[("filter", "a/#"), ("limit", "5")]), "?filter=a%2F%23&limit=5");
        assert_eq!(query(&[]), "");
    }
}
