//! `[bridge]`: what is copied from and to others. Settings and their rules.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::exports::{ExportConfig, ImportConfig, check_export, check_import};
use super::quantity::{millis, millis_out};
use super::rules::Breach;

/// `[bridge]`: bridges, and how they are tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BridgeConfig {
    /// The shortest wait before a bridge that failed is tried again, in milliseconds.
    #[serde(deserialize_with = "millis::<_, 1, 3_600_000>", serialize_with = "millis_out")]
    pub retry_ms_min: Duration,
    /// The longest, in milliseconds.
    #[serde(deserialize_with = "millis::<_, 1, 86_400_000>", serialize_with = "millis_out")]
    pub retry_ms_max: Duration,
    /// To other Kafka clusters.
    pub export: Vec<ExportConfig>,
    /// From other Kafka clusters.
    pub import: Vec<ImportConfig>,
}

impl Default for BridgeConfig {
    fn default() -> Self {
        Self {
            retry_ms_min: Duration::from_secs(1),
            retry_ms_max: Duration::from_secs(60),
            export: Vec::new(),
            import: Vec::new(),
        }
    }
}

/// Each bridge by itself, and that no two have one name.
pub(super) fn check_bridges(bridge: &BridgeConfig) -> Vec<Breach> {
    let mut breaches = Vec::new();
    if bridge.retry_ms_min > bridge.retry_ms_max {
        let settings = ["bridge.retry_ms_min", "bridge.retry_ms_max"];
        let message = "`bridge.retry_ms_min` is more than `bridge.retry_ms_max`".into();
        breaches.push(Breach::new(&settings, message));
    }
    let mut names = BTreeSet::new();
    for (number, export) in bridge.export.iter().enumerate() {
        let setting = format!("bridge.export.{number}.name");
        breaches.extend(check_name(&setting, &export.name, &mut names));
        breaches.extend(check_export(number, export));
    }
    for (number, import) in bridge.import.iter().enumerate() {
        let setting = format!("bridge.import.{number}.name");
        breaches.extend(check_name(&setting, &import.name, &mut names));
        breaches.extend(check_import(number, import));
    }
    breaches
}

/// A name that a bridge may have, and that no other has.
fn check_name<'a>(setting: &str, name: &'a str, names: &mut BTreeSet<&'a str>) -> Option<Breach> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let message = match name {
        _ if !(1..=64).contains(&name.len()) || !name.chars().all(fits) => {
            format!("{name:?} cannot be the name of a bridge")
        }
        _ if !names.insert(name) => format!("there are two bridges with the name {name:?}"),
        _ => return None,
    };
    let hint = "1 to 64 letters, digits, dots, dashes or underscores";
    Some(Breach::new(&[setting], message).hint(hint))
}
