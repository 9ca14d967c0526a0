//! What differs between two configurations, setting by setting, for people. Judges nothing, and
//! shows no secret.

use std::collections::BTreeSet;
use std::fmt;

use figment::value::{Dict, Num, Value};
use serde::Serialize;

/// Stands for what is not to be seen.
const SECRET: &str = "(secret)";
/// Names of settings that hold one, where they do not name a file of it.
const SECRET_NAMES: [&str; 4] = ["password", "secret", "token", "bearer"];

/// A setting that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its path: `mqtt.receive_max`; of a list with names `stream[mqtt].retention_age_s`.
    pub setting: String,
    /// What it was; `None`: it was not there.
    pub old: Option<String>,
    /// What it is to be; `None`: it is to be no more.
    pub new: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, old, new } = self;
        match (old, new) {
            (Some(old), Some(new)) => write!(out, "{setting}: {old} -> {new}"),
            (None, Some(new)) => write!(out, "{setting}: new: {new}"),
            (Some(_), None) => write!(out, "{setting}: removed"),
            (None, None) => out.write_str(setting),
        }
    }
}

/// What is different in another one, in the order of their names.
pub(super) fn changes(old: &Value, new: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare("", Some(old), Some(new), &mut found);
    found
}

fn compare(path: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<Change>) {
    if let (Some(Value::Dict(_, old)), Some(Value::Dict(_, new))) = (old, new) {
        return compare_tables(path, old, new, found);
    }
    if let (Some(Value::Array(_, old)), Some(Value::Array(_, new))) = (old, new)
        && old.iter().chain(new).all(|item| item.as_dict().is_some())
    {
        return compare_lists(path, old, new, found);
    }
    if old.map(plain) != new.map(plain) {
        let shown = |value: &Value| shown(path, value);
        let (old, new) = (old.map(shown), new.map(shown));
        found.push(Change { setting: path.into(), old, new });
    }
}

fn compare_tables(path: &str, old: &Dict, new: &Dict, found: &mut Vec<Change>) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        compare(&path, old.get(name), new.get(name), found);
    }
}

/// Entries are known by their names; without one, by their places.
fn compare_lists(path: &str, old: &[Value], new: &[Value], found: &mut Vec<Change>) {
    let name = |(place, item): (usize, &Value)| match item.find_ref("name") {
        Some(Value::String(_, name)) => name.clone(),
        _ => place.to_string(),
    };
    let names = |list: &[Value]| list.iter().enumerate().map(name).collect::<Vec<_>>();
    let (old_names, new_names) = (names(old), names(new));
    let of = |list: &'_ [Value], names: &[String], name: &String| {
        let place = names.iter().position(|known| known == name)?;
        list.get(place).cloned()
    };
    let gone = old_names.iter().filter(|name| !new_names.contains(name));
    for name in new_names.iter().chain(gone) {
        let (was, is) = (of(old, &old_names, name), of(new, &new_names, name));
        compare(&format!("{path}[{name}]"), was.as_ref(), is.as_ref(), found);
    }
    let stay = |names: &[String], other: &[String]| -> Vec<String> {
        names.iter().filter(|name| other.contains(name)).cloned().collect()
    };
    if stay(&old_names, &new_names) != stay(&new_names, &old_names) {
        let (old, new) = (Some(old_names.join(", ")), Some(new_names.join(", ")));
        found.push(Change { setting: format!("{path} (order)"), old, new });
    }
}

fn shown(path: &str, value: &Value) -> String {
    let name = path.rsplit('.').next().unwrap_or(path);
    let is_secret = |word: &str| name.contains(word) && !name.ends_with("_file");
    match value {
        Value::String(..) if SECRET_NAMES.iter().any(|word| is_secret(word)) => SECRET.into(),
        Value::Dict(_, dict) => {
            let item =
                |(name, value): (&String, &Value)| format!("{name} = {}", shown(name, value));
            let items: Vec<_> = dict.iter().map(item).collect();
            format!("{{ {} }}", items.join(", "))
        }
        Value::Array(_, items) => {
            let items: Vec<_> = items.iter().map(|item| shown(path, item)).collect();
            format!("[{}]", items.join(", "))
        }
        value => without_credentials(&plain(value)),
    }
}

/// An address may hold a user and a password.
fn without_credentials(text: &str) -> String {
    let hidden = || {
        let (scheme, rest) = text.split_once("://")?;
        let authority = rest.split('/').next().unwrap_or(rest);
        let (_, host) = authority.rsplit_once('@')?;
        let path = rest.get(authority.len()..)?;
        Some(format!("{scheme}://{SECRET}@{host}{path}"))
    };
    hidden().unwrap_or_else(|| text.into())
}

/// As it would be written in the file.
fn plain(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, one) => format!("{one:?}"),
        Value::Bool(_, is_so) => is_so.to_string(),
        Value::Num(_, number) => number_text(number),
        Value::Empty(..) => "\"\"".into(),
        Value::Array(_, items) => {
            format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(", "))
        }
        Value::Dict(_, dict) => {
            let item = |(name, value): (&String, &Value)| format!("{name} = {}", plain(value));
            format!("{{ {} }}", dict.iter().map(item).collect::<Vec<_>>().join(", "))
        }
    }
}

fn number_text(number: &Num) -> String {
    match (number.to_u128(), number.to_i128(), number.to_f64()) {
        (Some(number), _, _) => number.to_string(),
        (_, Some(number), _) => number.to_string(),
        (_, _, Some(number)) => number.to_string(),
        _ => "?".into(),
    }
}

#[cfg(test)]
mod tests {
    use figment::value::Value;

    use super::{shown, without_credentials};

    #[test]
    fn no_secret_is_shown() {
        for (setting, value, expected) in [
            ("auth.http.password", "x", "(secret)"),
            ("auth.http.bearer_token", "x", "(secret)"),
            ("auth.password_file", "x", "\"x\""),
            ("stream[a].key", "topic", "\"topic\""),
        ] {
            assert_eq!(shown(setting, &Value::from(value)), expected, "{setting}");
        }
        let url = "\"https://me:word@host:1/path@x\"";
        assert_eq!(without_credentials(url), "\"https://(secret)@host:1/path@x\"");
    }
}
