//! Text with places that are filled in for each message: `{{seq}}`, `{{now}}`, `{{now_ms}}`,
//! `{{rand}}`. Knows no clock and no chance.

use crate::moment;

/// What is filled in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filling {
    /// The number of the message, from 1.
    pub(crate) seq: u64,
    /// Milliseconds since 1970.
    pub(crate) now_ms: i64,
    /// From 0 to 100.
    pub(crate) rand: f64,
}

/// The text for one message. What is no place of ours stays as it is.
pub(crate) fn fill(text: &str, filling: Filling) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        filled.push_str(before);
        let value = behind.split_once("}}").and_then(|(name, after)| {
            let value = match name.trim() {
                "seq" => filling.seq.to_string(),
                "now" => moment::rfc3339(filling.now_ms),
                "now_ms" => filling.now_ms.to_string(),
                "rand" => format!("{:.2}", filling.rand),
                _ => return None,
            };
            Some((value, after))
        });
        match value {
            Some((value, after)) => {
                filled.push_str(&value);
                rest = after;
            }
            None => {
                filled.push_str("{{");
                rest = behind;
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::{Filling, fill};

    #[test]
    fn places_are_filled_and_everything_else_stays() {
        let filling = Filling { seq: 7, now_ms: 1_795_174_200_123, rand: 12.345 };
        for (text, filled) in [
            ("21.5", "21.5"),
            ("n={{seq}} r={{ rand }}", "n=7 r=12.35"),
            ("{{now}}|{{now_ms}}", "2026-11-20T11:30:00.123Z|1795174200123"),
            ("{{ value_json.t }} {{seq}}", "{{ value_json.t }} 7"),
            ("{{{seq}}}", "{{{seq}}}"),
            ("{{seq", "{{seq"),
        ] {
            assert_eq!(fill(text, filling), filled, "{text}");
        }
    }
}
