//! The table of all limits in docs/limits.md, made of the reference file. Writes no file.

use std::fmt::Write;

use super::page::cell;
use super::reference::{Entry, sections};

const HEAD: &str = "\
## All limits

Each with its unit and its default, made of [config/tidewire.toml](../config/tidewire.toml) by \
`tidewire config page --limits`; a test holds the
two equal. Braces stand for several: `listener.{a,b}.x` is `listener.a.x` and `listener.b.x`.

| setting | default | unit | |
|---|---|---|---|
";

/// A setting that bounds something; the same one of several listeners is one.
struct Limit {
    listeners: Vec<String>,
    /// The section; where there are listeners, what is behind their names in it.
    section: String,
    key: String,
    default: String,
    comment: String,
}

/// The last part of the page.
pub(super) fn table() -> String {
    let mut text = String::from(HEAD);
    for limit in limits() {
        let (name, unit) = (limit.name(), unit(&limit.key));
        let (default, comment) = (in_words(&limit.default, unit), cell(&limit.comment));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| `{name}` | {default} | {unit} | {comment} |");
    }
    text
}

fn limits() -> Vec<Limit> {
    let mut limits: Vec<Limit> = Vec::new();
    for section in sections() {
        let (listener, name) = match section.name.strip_prefix("listener.") {
            Some(rest) => {
                let (listener, behind) = rest.split_once('.').unwrap_or((rest, ""));
                (Some(listener.to_owned()), behind.to_owned())
            }
            None => (None, section.name),
        };
        for entry in section.entries.into_iter().filter(bounds) {
            let same = limits.iter_mut().find(|limit| {
                !limit.listeners.is_empty()
                    && (&limit.section, &limit.key) == (&name, &entry.key)
                    && (&limit.default, &limit.comment) == (&entry.default, &entry.comment)
            });
            match (same.filter(|_| listener.is_some()), &listener) {
                (Some(same), Some(listener)) => same.listeners.push(listener.clone()),
                _ => limits.push(Limit {
                    listeners: listener.iter().cloned().collect(),
                    section: name.clone(),
                    key: entry.key,
                    default: entry.default,
                    comment: entry.comment,
                }),
            }
        }
    }
    limits
}

/// A version is none, whatever it is called.
fn bounds(entry: &Entry) -> bool {
    is_limit(&entry.key) && entry.default.parse::<u64>().is_ok()
}

/// As its name says it.
fn is_limit(key: &str) -> bool {
    key.ends_with("_max") || key.ends_with("_min") || key.contains("timeout")
}

impl Limit {
    fn name(&self) -> String {
        let Self { listeners, section, key, .. } = self;
        let behind = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
        match &listeners[..] {
            [] => behind,
            [listener] => format!("listener.{listener}.{behind}"),
            several => format!("listener.{{{}}}.{behind}", several.join(",")),
        }
    }
}

fn unit(key: &str) -> &'static str {
    const UNITS: [(&str, &str); 9] = [
        ("bytes_per_s_", "bytes a second"),
        ("messages_per_s_", "messages a second"),
        ("connections_per_s_", "connections a second"),
        ("_per_minute_", "in a minute"),
        ("bytes_", "bytes"),
        ("_us_", "µs"),
        ("_ms_", "ms"),
        ("_s_", "s"),
        ("levels_", "levels"),
    ];
    let key = format!("{key}_");
    UNITS.iter().find(|(part, _)| key.contains(part)).map_or("number", |(_, unit)| *unit)
}

/// The number as it is, and what it comes to where that is easier to read.
fn in_words(default: &str, unit: &str) -> String {
    let number: Option<u64> = default.parse().ok();
    let scale: &[(u64, &str)] = match unit {
        "bytes" => &[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")],
        "ms" => &[(60_000, "min"), (1_000, "s")],
        "s" => &[(86_400, "days"), (60, "min")],
        _ => &[],
    };
    let fits =
        |(size, _): &&(u64, &str)| number.is_some_and(|it| it >= *size && it.is_multiple_of(*size));
    match (number, scale.iter().find(fits)) {
        (Some(number), Some((size, word))) => format!("`{default}` ({} {word})", number / size),
        _ => format!("`{default}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::{in_words, is_limit, sections, table, unit};

    fn page() -> String {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/limits.md");
        std::fs::read_to_string(path).expect("the page is there")
    }

    /// When it fails: replace the last part of the page by `cargo run -- config page --limits`.
    #[test]
    fn the_page_in_docs_ends_with_all_limits_as_the_reference_file_has_them() {
        let (page, table) = (page(), table());
        let (_, written) = page.split_once("## All limits").expect("the table is there");
        let written = format!("## All limits{written}");
        let differs = written.lines().zip(table.lines()).find(|(written, made)| written != made);
        assert_eq!(differs, None, "cargo run -- config page --limits");
        assert!(written == table, "cargo run -- config page --limits");
    }

    /// Words in code, each with what stands in brackets behind it.
    fn claims(text: &str) -> Vec<(&str, Option<&str>)> {
        let parts: Vec<&str> = text.split('`').collect();
        let codes = parts.iter().skip(1).step_by(2);
        let behind = parts.iter().skip(2).step_by(2);
        codes
            .zip(behind)
            .map(|(code, text)| {
                let inside = text.strip_prefix(" (").and_then(|text| text.split_once(')'));
                (*code, inside.map(|(inside, _)| inside))
            })
            .collect()
    }

    /// `32 MiB` as bytes, `10 s` in the unit of the key; `None`: it says no number.
    fn number(said: &str, key: &str) -> Option<u64> {
        if said == "off" {
            return Some(0);
        }
        let (digits, word) = said.split_once(' ').unwrap_or((said, ""));
        let number: u64 = digits.replace(',', "").parse().ok()?;
        let second = if unit(key) == "ms" { 1_000 } else { 1 };
        let scale = match word {
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "s" => second,
            "min" => 60 * second,
            "days" => 86_400 * second,
            // What holds beside the setting, whatever that is.
            "in any case" => return None,
            _ => 1,
        };
        Some(number * scale)
    }

    #[test]
    fn what_the_page_says_of_a_limit_is_its_name_and_its_default() {
        let (page, sections) = (page(), sections());
        let mut checked = 0;
        for (code, said) in claims(&page) {
            let (section, key) = code.rsplit_once('.').unwrap_or(("", code));
            let is_name = code.chars().all(|c| c.is_ascii_lowercase() || "_.".contains(c));
            if !is_name || !is_limit(key) {
                continue;
            }
            let named = sections.iter().filter(|one| one.name.ends_with(section));
            let entries = named.flat_map(|one| one.entries.iter().filter(|it| it.key == key));
            let defaults: Vec<&str> = entries.map(|entry| entry.default.as_str()).collect();
            assert!(!defaults.is_empty(), "there is no setting {code}");
            let Some(number) = said.and_then(|said| number(said, key)) else { continue };
            assert!(
                defaults.contains(&number.to_string().as_str()),
                "{code} {said:?} {defaults:?}"
            );
            checked += 1;
        }
        assert!(checked > 30, "a page that reads as empty proves nothing: {checked}");
    }

    #[test]
    fn units_are_those_of_the_names_and_numbers_are_shown_as_they_are_read() {
        for (key, default, shown, expected) in [
            ("bytes_per_s_max", "0", "`0`", "bytes a second"),
            ("packet_bytes_max", "2097152", "`2097152` (2 MiB)", "bytes"),
            ("session_expiry_s_max", "2592000", "`2592000` (30 days)", "s"),
            ("connect_timeout_ms", "10000", "`10000` (10 s)", "ms"),
            ("idle_timeout_s", "30", "`30`", "s"),
            ("replays_per_minute_max", "600", "`600`", "in a minute"),
            ("topic_levels_max", "128", "`128`", "levels"),
            ("sessions_per_user_max", "100000", "`100000`", "number"),
        ] {
            assert_eq!(unit(key), expected, "{key}");
            assert_eq!(in_words(default, unit(key)), shown, "{key}");
        }
    }
}
