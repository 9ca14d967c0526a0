//! From the stack of layers to a `Config`, with every mistake on the way, not only the first.
//! Never knows a setting by name.

use figment::Error;
use figment::error::{Actual, Kind};
use figment::value::{Dict, Value};
use serde::de::DeserializeOwned;

use super::document::Aim;
use super::layers::Layers;
use super::problem::{Place, Problem};

/// Reads, and on a mistake takes the culprit out and reads again.
pub(super) fn gather<T>(layers: &Layers, known: &[String]) -> (T, Vec<Problem>)
where
    T: DeserializeOwned + Default,
{
    let mut settings = layers.merged();
    let mut problems = Vec::new();
    loop {
        let error = match settings.deserialize() {
            Ok(config) => return (config, problems),
            Err(error) => error,
        };
        problems.push(describe(&error, &settings, layers, known));
        if !take_out(&mut settings, &error.path) {
            return (T::default(), problems);
        }
    }
}

/// The paths of all settings that a value holds: `mqtt.receive_max`. A list counts as one.
pub(super) fn paths(value: &Value) -> Vec<String> {
    let Value::Dict(_, dict) = value else { return Vec::new() };
    let mut found = Vec::new();
    for (key, value) in dict {
        match value {
            Value::Dict(..) => {
                found.extend(paths(value).into_iter().map(|rest| format!("{key}.{rest}")));
            }
            _ => found.push(key.clone()),
        }
    }
    found
}

/// The value of a setting in a tree of values, through tables and lists.
pub(super) fn find<'v>(value: &'v Value, setting: &[String]) -> Option<&'v Value> {
    let mut here = value;
    for step in setting {
        here = match here {
            Value::Dict(_, dict) => dict.get(step)?,
            Value::Array(_, items) => items.get(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(here)
}

fn describe(error: &Error, settings: &Value, layers: &Layers, known: &[String]) -> Problem {
    let unknown = matches!(error.kind, Kind::UnknownField(..));
    let aim = if unknown { Aim::Key } else { Aim::Value };
    let tag = find(settings, &error.path).unwrap_or(settings).tag();
    let place = layers.place(tag, &error.path, aim);
    let hint = hint(error, &place, known);
    Problem { place, setting: error.path.clone(), message: message(error), hint }
}

fn message(error: &Error) -> String {
    let setting = error.path.join(".");
    match &error.kind {
        Kind::UnknownField(..) => format!("there is no setting `{setting}`"),
        Kind::UnknownVariant(found, words) => {
            let words = words.join(", ");
            format!("`{setting}` is to be one of {words}, but it is {found:?}")
        }
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            let (expected, found) = (plain(expected), shown(found));
            format!("`{setting}` is to be {expected}, but it is {found}")
        }
        other => format!("`{setting}`: {other}"),
    }
}

/// serde's words for a shape, in words that a reader of TOML knows.
fn plain(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list in [ ]",
        "a boolean" => "true or false",
        "a string" => "text in quotes",
        _ if expected.starts_with("struct ") => "a table of settings",
        _ => expected,
    }
}

fn shown(found: &Actual) -> String {
    match found {
        Actual::Bool(found) => found.to_string(),
        Actual::Unsigned(found) => found.to_string(),
        Actual::Signed(found) => found.to_string(),
        Actual::Float(found) => found.to_string(),
        Actual::Str(found) => format!("{found:?}"),
        Actual::Seq => "a list".into(),
        Actual::Map => "a table".into(),
        other => other.to_string(),
    }
}

fn hint(error: &Error, place: &Place, known: &[String]) -> Option<String> {
    match &error.kind {
        Kind::UnknownField(key, siblings) => {
            let meant = elsewhere(key, known).or_else(|| beside(error, nearest(key, siblings)?));
            match meant {
                Some(meant) => Some(format!("did you mean {}?", place.name_of(&meant))),
                None => Some(format!("known here: {}", siblings.join(", "))),
            }
        }
        Kind::UnknownVariant(word, words) => {
            nearest(word, words).map(|near| format!("did you mean \"{near}\"?"))
        }
        _ => None,
    }
}

/// The known name that a misspelt one was likely meant to be.
fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    const ALIKE: f64 = 0.8;
    let alike = |name: &&'static str| (strsim::jaro_winkler(word, name), *name);
    let best = known.iter().map(alike).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > ALIKE).then_some(best.1)
}

/// A right name in the wrong section, or single underscores in a variable's name.
fn elsewhere(key: &str, known: &[String]) -> Option<String> {
    let is_home = |setting: &&String| {
        setting.rsplit('.').next() == Some(key) || setting.replace('.', "_") == key
    };
    known.iter().find(is_home).cloned()
}

/// The path of a sibling of the setting that the error is about.
fn beside(error: &Error, sibling: &str) -> Option<String> {
    let (_, parents) = error.path.split_last()?;
    let steps = parents.iter().map(String::as_str).chain([sibling]);
    Some(steps.collect::<Vec<_>>().join("."))
}

/// Removes the entry at the path; inside a list the whole list, as its numbers must not shift.
fn take_out(settings: &mut Value, path: &[String]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    match parent(settings, parents) {
        Some(dict) => dict.remove(last).is_some(),
        None => take_out(settings, parents),
    }
}

fn parent<'v>(value: &'v mut Value, path: &[String]) -> Option<&'v mut Dict> {
    let mut here = value;
    for step in path {
        here = match here {
            Value::Dict(_, dict) => dict.get_mut(step)?,
            Value::Array(_, items) => items.get_mut(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    match here {
        Value::Dict(_, dict) => Some(dict),
        _ => None,
    }
}
