//! What a reload did, in words for who asked for it. Does nothing itself.

use std::fmt;

use serde::Serialize;

use crate::config::{Change, Config, ConfigErrors};

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReloadReport {
    /// In force now. What a connection was granted when it came stays as it was granted.
    pub applied: Vec<Change>,
    /// In force after the next start; until then what was before.
    pub needs_restart: Vec<Change>,
}

impl ReloadReport {
    pub(super) fn of(old: &Config, new: &Config, wanted: &Config) -> Self {
        Self { applied: old.changes_to(new), needs_restart: new.changes_to(wanted) }
    }

    /// For who reads the log: a line for each setting.
    pub(super) fn tell(&self) {
        self.to_string().lines().for_each(|line| tracing::info!("reload: {line}"));
    }

    /// Whether nothing was different.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.needs_restart.is_empty()
    }
}

/// One line for each setting.
impl fmt::Display for ReloadReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return out.write_str("no setting is different");
        }
        let applied = self.applied.iter().map(|change| ("applied", change));
        let waiting = self.needs_restart.iter().map(|change| ("needs a restart", change));
        for (place, (word, change)) in applied.chain(waiting).enumerate() {
            let line_break = if place > 0 { "\n" } else { "" };
            write!(out, "{line_break}{word}: {change}")?;
        }
        Ok(())
    }
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// What they name cannot be used: an address that is taken, a file that is wrong. All of it.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
    /// It was started by a program, and has no file of settings.
    #[error("the program that this broker is a part of has its settings")]
    NoSources,
    /// The broker stopped before it answered.
    #[error("the broker stopped before it answered")]
    Stopped,
}

impl ReloadError {
    /// For who reads the log: a line for each mistake.
    pub(crate) fn tell(&self) {
        let mistakes = self.mistakes();
        for mistake in &mistakes {
            tracing::error!("reload: {mistake}");
        }
        tracing::error!(mistakes = mistakes.len(), "reload: all settings stay as they were");
    }

    /// Every mistake in a line of its own, with its place.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        match self {
            Self::Config(errors) => errors.lines(),
            Self::Refused(words) => words.clone(),
            Self::NoSources | Self::Stopped => vec![self.to_string()],
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, LinkConfig, StreamConfig};

    fn told(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let old = Config::default();
        let mut new = old.clone();
        change(&mut new);
        old.changes_to(&new).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_setting_that_differs_has_a_line() {
        assert_eq!(told(|_| ()), Vec::<String>::new());
        let lines = told(|config| {
            config.mqtt.receive_max = 7;
            config.listener.mqtt.bind = None;
            config.streams[0].retention_age_s = 1;
        });
        let expected = [
            "listener.mqtt.bind: \"127.0.0.1:1883\" -> \"off\"",
            "mqtt.receive_max: 1024 -> 7",
            "stream[mqtt].retention_age_s: 604800 -> 1",
        ];
        assert_eq!(lines.len(), expected.len(), "{lines:?}");
        for (line, expected) in lines.iter().zip(expected) {
            let setting = expected.split(' ').next().expect("a word");
            assert!(line.starts_with(setting), "{line}");
            assert!(line.contains(" -> "), "{line}");
        }
        assert_eq!(lines[0], expected[0]);
    }

    #[test]
    fn entries_of_a_list_go_by_their_names() {
        let named = |name: &str| StreamConfig { name: name.into(), ..StreamConfig::default() };
        let lines = told(|config| config.streams.insert(0, named("first")));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("stream[first]: new: { "), "{lines:?}");
        let lines = told(|config| config.streams.clear());
        assert_eq!(lines, ["stream[mqtt]: removed"]);
        let (mut old, mut new) = (Config::default(), Config::default());
        old.bridge.link = vec![link("a"), link("b")];
        new.bridge.link = vec![link("b"), link("a")];
        let lines: Vec<_> = old.changes_to(&new).iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["bridge.link (order): a, b -> b, a"]);
    }

    fn link(name: &str) -> LinkConfig {
        LinkConfig { name: name.into(), ..LinkConfig::default() }
    }
}
