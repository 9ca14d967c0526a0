//! Each setting with its value and who said so. Decides nothing between layers.

use figment::value::Value;
use serde_json::Value as Json;

use super::document::Aim;
use super::gather;
use super::layers::Layers;
use super::problem::Place;

/// A setting as it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Its path: `mqtt.receive_max`. A list such as `stream` counts as one.
    pub setting: String,
    /// Its value; what is secret in it is not shown.
    pub value: Json,
    /// Who said so: a file with the line, a variable, a flag; `None` is the default.
    pub origin: Option<String>,
}

/// The settings of a configuration that these layers made.
pub(super) fn explain(config: &Json, layers: &Layers, known: &[String]) -> Vec<Explained> {
    let merged = layers.merged();
    let one = |setting: &String| {
        let path: Vec<String> = setting.split('.').map(str::to_owned).collect();
        let mut value = config.pointer(&format!("/{}", path.join("/"))).cloned()?;
        conceal(&mut value);
        let origin = origin(&path, &merged, layers);
        Some(Explained { setting: setting.clone(), value, origin })
    };
    known.iter().filter_map(one).collect()
}

fn origin(path: &[String], merged: &Value, layers: &Layers) -> Option<String> {
    let tag = gather::find(merged, path)?.tag();
    match layers.place(tag, path, Aim::Key) {
        Place::Spot(spot) => Some(format!("{}:{}", spot.path.display(), spot.line)),
        Place::File(path) => Some(path.display().to_string()),
        Place::Variable(name) => Some(format!("variable {name}")),
        Place::Flag(name) => Some(format!("flag {name}")),
        Place::Program => Some("the program".into()),
        Place::Default => None,
    }
}

/// Passwords may stand in addresses; everything else that is secret stands in files of its own.
fn conceal(value: &mut Json) {
    match value {
        Json::String(text) => {
            if let Some((scheme, rest)) = text.split_once("://") {
                let place = rest.split('/').next().unwrap_or_default();
                if let Some((_, host)) = place.rsplit_once('@') {
                    let behind = rest.get(place.len()..).unwrap_or_default();
                    *text = format!("{scheme}://…@{host}{behind}");
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(conceal),
        Json::Object(fields) => fields.values_mut().for_each(conceal),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{Json, conceal};

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        for (text, shown) in [
            ("https://me:secret@a/b@c", "https://…@a/b@c"),
            ("https://a/b", "https://a/b"),
            ("plant/#", "plant/#"),
        ] {
            let mut value = Json::Array(vec![text.into()]);
            conceal(&mut value);
            assert_eq!(value[0], shown);
        }
    }
}
