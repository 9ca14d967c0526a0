//! File, then environment, then flags: who said what. Never judges what was said.

use std::path::PathBuf;

use figment::value::{Dict, Map, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::document::{Aim, Document};
use super::problem::{Place, Problem, VARIABLE_PREFIX};

/// Everything that settings are read from, handed in: the broker's edge reads the real ones.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file named by `--config`.
    pub file: Option<PathBuf>,
    /// The environment, whole; only `TIDEWIRE_SECTION__KEY` is looked at.
    pub variables: Vec<(String, String)>,
    /// Flags that set something.
    pub flags: Vec<Flag>,
}

/// A flag of the command line that stands for a setting.
#[derive(Clone, Debug)]
pub struct Flag {
    /// As the user writes it: `--mqtt`.
    pub name: &'static str,
    /// Path of the setting: `listener.mqtt.bind`.
    pub setting: &'static str,
    /// What the user gave.
    pub value: String,
}

/// What a layer is called that comes from a program.
const PROGRAM: &str = "program";

/// The layers in one stack. Each variable and each flag is a layer of its own, so that the
/// stack itself knows the culprit.
pub(super) struct Layers {
    figment: Figment,
    document: Option<Document>,
}

impl Layers {
    pub(super) fn stack(sources: &Sources, known: &[String]) -> Result<Self, Vec<Problem>> {
        let document = match &sources.file {
            Some(path) => Some(Document::read(path)?),
            None => None,
        };
        let mut figment = Figment::new();
        if let Some(document) = &document {
            let origin = Metadata::named("file");
            figment = figment.merge(Layer { origin, settings: dict(&document.table()?) });
        }
        for (name, value) in variables(sources, known) {
            figment = figment.merge(Layer::of_variable(name, value));
        }
        for flag in &sources.flags {
            figment = figment.merge(Layer::of_flag(flag));
        }
        Ok(Self { figment, document })
    }

    /// Settings that a program made.
    pub(super) fn of_program(settings: &Value) -> Self {
        let settings = settings.clone().into_dict().unwrap_or_default();
        let figment = Figment::new().merge(Layer { origin: Metadata::named(PROGRAM), settings });
        Self { figment, document: None }
    }

    /// What the layers say together, each value still knowing its layer.
    pub(super) fn merged(&self) -> Value {
        // The empty path is the whole tree; no layer of ours can fail to give its part.
        self.figment.find_value("").unwrap_or_else(|_| Value::from(Dict::new()))
    }

    /// Where a setting was made, from the tag that its value carries.
    pub(super) fn place(&self, tag: Tag, setting: &[String], aim: Aim) -> Place {
        let Some(origin) = self.figment.get_metadata(tag) else { return Place::Default };
        let name = origin.name.as_ref();
        match &self.document {
            _ if name.starts_with(VARIABLE_PREFIX) => Place::Variable(name.into()),
            _ if name == PROGRAM => Place::Program,
            _ if name.starts_with("--") => Place::Flag(name.into()),
            Some(document) => document.place(setting, aim),
            None => Place::Default,
        }
    }
}

/// The variables that are meant for us, in the order of their names.
///
/// Without `__` in its name a variable may belong to someone else: Kubernetes sets
/// `TIDEWIRE_PORT` for a service of our name. It counts only if it is a setting but for the
/// underscores, and then it is a mistake that deserves to be told.
fn variables<'s>(
    sources: &'s Sources,
    known: &[String],
) -> impl Iterator<Item = (&'s str, &'s str)> {
    let is_ours = |rest: &str| {
        let flat = rest.to_lowercase();
        rest.contains("__") || known.iter().any(|setting| setting.replace('.', "_") == flat)
    };
    let mut ours: Vec<_> = sources
        .variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| name.strip_prefix(VARIABLE_PREFIX).is_some_and(is_ours))
        .collect();
    ours.sort_unstable();
    ours.into_iter()
}

struct Layer {
    origin: Metadata,
    settings: Dict,
}

impl Layer {
    fn of_variable(name: &str, value: &str) -> Self {
        let rest = name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name);
        let setting = rest.to_lowercase().replace("__", ".");
        Self::of_one(name.to_owned(), &setting, variable_value(value))
    }

    fn of_flag(flag: &Flag) -> Self {
        Self::of_one(flag.name.to_owned(), flag.setting, flag.value.as_str().into())
    }

    fn of_one(origin: String, setting: &str, value: Value) -> Self {
        let settings = figment::util::nest(setting, value).into_dict().unwrap_or_default();
        Self { origin: Metadata::named(origin), settings }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.origin.clone()
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.settings.clone()))
    }
}

/// Text stays text: each setting knows how to read it. Only lists and tables are TOML
/// (and `[::1]:1883` is neither).
fn variable_value(text: &str) -> Value {
    if !text.starts_with(['[', '{']) {
        return text.into();
    }
    let parsed: Option<toml::Table> = toml::from_str(&format!("value = {text}")).ok();
    match parsed {
        Some(table) => dict(&table).remove("value").unwrap_or_else(|| text.into()),
        None => text.into(),
    }
}

fn dict(table: &toml::Table) -> Dict {
    Value::serialize(table).ok().and_then(Value::into_dict).unwrap_or_default()
}
