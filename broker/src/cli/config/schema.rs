//! A JSON Schema of the configuration, for editors: names and comments of the reference file,
//! types and ranges as the settings themselves take them. Reads no file.

use serde_json::{Map, Value, json};

use super::reference::{Entry, Section, sections};
use crate::config::Config;

/// What no setting takes as a word.
const NONSENSE: &str = "no such word";
/// Units of sizes and times: a setting that takes one takes text besides numbers.
const UNITS: [&str; 3] = ["B", "ms", "s"];

/// The schema.
pub(crate) fn schema() -> Value {
    let mut root = object("Every setting of Tidewire.");
    for section in sections() {
        let properties: Map<String, Value> = section
            .entries
            .iter()
            .map(|entry| (entry.key.clone(), of_entry(&section, entry)))
            .collect();
        let place = place(&mut root, &section);
        if let Some(known) = place.get_mut("properties").and_then(Value::as_object_mut) {
            known.extend(properties);
        }
    }
    let head = [
        ("$schema", "http://json-schema.org/draft-07/schema#".into()),
        ("title", "tidewire.toml".into()),
    ];
    if let Some(fields) = root.as_object_mut() {
        fields.extend(head.map(|(name, value): (_, Value)| (name.to_owned(), value)));
    }
    root
}

fn object(description: &str) -> Value {
    json!({
        "type": "object",
        "description": description,
        "additionalProperties": false,
        "properties": {},
    })
}

/// The object of a section, with all that are around it.
fn place<'v>(root: &'v mut Value, section: &Section) -> &'v mut Value {
    let steps: Vec<&str> = section.name.split('.').collect();
    let mut here = root;
    for (depth, step) in steps.iter().enumerate() {
        let is_list = section.is_list && depth + 1 == steps.len();
        let name = steps.get(..=depth).unwrap_or_default().join(".");
        let new = || match is_list {
            true => {
                json!({ "type": "array", "items": object(&format!("One of [[{name}]]."))})
            }
            false => object(&format!("[{name}]")),
        };
        let next = &mut here["properties"][*step];
        if next.is_null() {
            *next = new();
        }
        here = if is_list { &mut next["items"] } else { next };
    }
    here
}

fn of_entry(section: &Section, entry: &Entry) -> Value {
    let mut schema = Map::new();
    schema.insert("description".into(), entry.comment.clone().into());
    let default = default(&entry.default);
    schema.extend(shape(section, entry, &default));
    schema.insert("default".into(), default);
    Value::Object(schema)
}

/// TOML as JSON.
fn default(text: &str) -> Value {
    let table: Option<toml::Table> = toml::from_str(&format!("it = {text}")).ok();
    let value = table.and_then(|mut table| table.remove("it"));
    value.and_then(|value| serde_json::to_value(value).ok()).unwrap_or(Value::Null)
}

/// Type and range.
fn shape(section: &Section, entry: &Entry, default: &Value) -> Map<String, Value> {
    let refusal = |value: &str| refusal(section, &entry.key, value);
    let shape = match default {
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Array(_) => json!({ "type": "array" }),
        Value::Object(_) => json!({ "type": "object" }),
        Value::String(_) => match words(&refusal(&format!("{NONSENSE:?}")).unwrap_or_default()) {
            words if words.is_empty() => json!({ "type": "string" }),
            words => json!({ "type": "string", "enum": words }),
        },
        Value::Number(number) => {
            let with_unit = |unit: &&str| refusal(&format!("\"{number} {unit}\"")).is_none();
            let takes_text = UNITS.iter().any(with_unit);
            let too_much = refusal(&i64::MAX.to_string()).unwrap_or_default();
            let mut shape = match takes_text {
                true => json!({ "type": ["integer", "string"] }),
                false => json!({ "type": "integer" }),
            };
            // Ranges of sizes and times are told in units.
            if let (false, Some((least, most))) = (takes_text, range(&too_much)) {
                shape["minimum"] = least.into();
                shape["maximum"] = most.into();
            }
            shape
        }
        Value::Null => json!({}),
    };
    shape.as_object().cloned().unwrap_or_default()
}

/// Why the setting does not take this value, which is TOML; `None`: it does.
fn refusal(section: &Section, key: &str, value: &str) -> Option<String> {
    let Section { name, is_list, .. } = section;
    let document = match is_list {
        true if key == "name" => format!("[[{name}]]\n{key} = {value}\n"),
        true => format!("[[{name}]]\nname = \"it\"\n{key} = {value}\n"),
        false => format!("[{name}]\n{key} = {value}\n"),
    };
    toml::from_str::<Config>(&document).err().map(|error| error.message().to_owned())
}

/// The words that would be taken.
fn words(refusal: &str) -> Vec<&str> {
    let Some((_, expected)) = refusal.split_once("expected ") else { return Vec::new() };
    match refusal.starts_with("unknown variant") {
        true => expected.split('`').skip(1).step_by(2).collect(),
        false => Vec::new(),
    }
}

/// "from 1 to 100".
fn range(refusal: &str) -> Option<(u64, u64)> {
    let (_, numbers) = refusal.split_once("from ")?;
    let (least, most) = numbers.split_once(" to ")?;
    let digits = most.find(|c: char| !c.is_ascii_digit()).unwrap_or(most.len());
    let (most, behind) = most.split_at(digits);
    // A unit makes another number of it.
    let is_plain = behind.trim_start().is_empty() || behind.starts_with('\n');
    Some((least.parse().ok()?, most.parse().ok().filter(|_| is_plain)?))
}

#[cfg(test)]
mod tests {
    use super::{Value, schema};

    #[track_caller]
    fn expect(path: &str, part: &str, value: Value) {
        let steps: Vec<_> = path.split('.').collect();
        let pointer = format!("/properties/{}", steps.join("/properties/"));
        let schema = schema();
        let found = schema.pointer(&pointer).unwrap_or_else(|| panic!("{path}: {schema:#}"));
        assert_eq!(found[part], value, "{path}: {found:#}");
    }

    #[test]
    fn settings_have_their_types_ranges_and_words() {
        expect("mqtt.receive_max", "type", "integer".into());
        expect("mqtt.receive_max", "minimum", 1.into());
        expect("mqtt.receive_max", "maximum", 65_535.into());
        expect("mqtt.packet_bytes_max", "type", vec!["integer", "string"].into());
        expect("mqtt.connect_timeout_ms", "type", vec!["integer", "string"].into());
        expect("listener.mqtt.bind", "type", "string".into());
        expect("listener.mqtt.bind", "enum", Value::Null);
        expect("listener.mqtt.anonymous", "enum", vec!["auto", "allow", "refuse"].into());
        expect("listener.mqtt.rate.messages_per_s_max", "default", 0.into());
        expect("listener.mqtts.tls.resumption", "type", "boolean".into());
        expect("listener.mqtt", "additionalProperties", false.into());
    }

    #[test]
    fn a_list_of_tables_is_described_too() {
        let schema = schema();
        let stream = &schema["properties"]["stream"]["items"];
        assert_eq!(stream["properties"]["partitions"]["type"], "integer", "{stream:#}");
        let words = &stream["properties"]["durability"]["enum"];
        assert_eq!(words.as_array().map(Vec::len), Some(3), "{stream:#}");
    }
}
