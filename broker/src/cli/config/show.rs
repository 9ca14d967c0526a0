//! The configuration that holds, as TOML or JSON, with who said so. Reads no file.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::reference::sections;
use crate::config::Explained;

/// Where the note of a line begins, if the line is not longer.
const NOTE_AT: usize = 44;

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// With who said so.
    pub(crate) has_origin: bool,
    /// Without what nobody said.
    pub(crate) is_changed_only: bool,
}

/// As a file that means the same.
pub(crate) fn toml(settings: &[Explained], view: View) -> String {
    let settings = sorted(settings, view);
    let mut text = String::new();
    let mut at = 0;
    while let Some(first) = settings.get(at) {
        let section = split(&first.setting).0;
        let of_it: Vec<&Explained> = settings
            .iter()
            .skip(at)
            .take_while(|it| split(&it.setting).0 == section)
            .copied()
            .collect();
        at += of_it.len();
        let (lists, plain): (Vec<&Explained>, Vec<&Explained>) =
            of_it.into_iter().partition(|it| tables(&it.value).is_some());
        if !plain.is_empty() && !section.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "[{section}]");
        }
        for one in &plain {
            let line = format!("{} = {}", split(&one.setting).1, written(&one.value));
            text.push_str(&noted(&line, one, view));
        }
        if !plain.is_empty() {
            text.push('\n');
        }
        for one in lists {
            for table in tables(&one.value).into_iter().flatten() {
                text.push_str(&noted(&format!("[[{}]]", one.setting), one, view));
                for (key, value) in table.iter().filter(|(_, value)| !value.is_null()) {
                    let _ = writeln!(text, "{key} = {}", written(value));
                }
                text.push('\n');
            }
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// The same as JSON.
pub(crate) fn document(settings: &[Explained], view: View) -> Value {
    let one = |it: &Explained| {
        let value = match view.has_origin {
            true => json!({
                "value": it.value,
                "origin": it.origin.as_deref().unwrap_or("default"),
            }),
            false => it.value.clone(),
        };
        (it.setting.clone(), value)
    };
    Value::Object(sorted(settings, view).into_iter().map(one).collect())
}

/// In the order of the reference file.
fn sorted(settings: &[Explained], view: View) -> Vec<&Explained> {
    let mut places = HashMap::new();
    for section in sections() {
        let own = section.is_list.then(|| section.name.clone());
        let keys = section.entries.iter().map(|entry| format!("{}.{}", section.name, entry.key));
        for setting in own.into_iter().chain(keys) {
            let place = places.len();
            places.entry(setting).or_insert(place);
        }
    }
    let is_shown = |it: &&Explained| !view.is_changed_only || it.origin.is_some();
    let mut shown: Vec<&Explained> = settings.iter().filter(is_shown).collect();
    shown.sort_by_key(|it| places.get(&it.setting).copied().unwrap_or(usize::MAX));
    shown
}

/// Section and key.
fn split(setting: &str) -> (&str, &str) {
    setting.rsplit_once('.').unwrap_or(("", setting))
}

/// The tables of a list that has nothing else.
fn tables(value: &Value) -> Option<Vec<&Map<String, Value>>> {
    let items = value.as_array().filter(|items| !items.is_empty())?;
    items.iter().map(Value::as_object).collect()
}

/// A value as TOML.
fn written(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let known = fields.iter().filter(|(_, value)| !value.is_null());
            let fields = known.map(|(key, value)| format!("{key} = {}", written(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        // What JSON escapes in a text is escaped so in TOML.
        other => other.to_string(),
    }
}

fn noted(line: &str, one: &Explained, view: View) -> String {
    match view.has_origin {
        true => format!("{line:<NOTE_AT$} # {}\n", one.origin.as_deref().unwrap_or("default")),
        false => format!("{line}\n"),
    }
}
