//! The rules in force: read from their files at the start and when these change. Asks them nothing.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use tidewire_proto::access::{AccessError, Parsed, Rules, Wide, parse_mosquitto, parse_rules};

use crate::config::{AccessConfig, UnauthorizedPublish, WideFilters};
use crate::file_watch::{FileWatch, Reading};

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessFileError {
    /// A file cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// A line is wrong.
    #[error("{}:{}: {}", .0.display(), .1.line, .1.words)]
    Form(PathBuf, AccessError),
}

/// What `[access]` says that holds, with rules or without, and the rules in force.
pub(crate) struct AccessFile {
    config: AccessConfig,
    /// `None`: there are no files of rules, and everybody may do everything.
    ruled: Option<Ruled>,
}

struct Ruled {
    watch: FileWatch,
    rules: RwLock<Arc<Rules>>,
}

impl AccessFile {
    /// Without any rules.
    pub(crate) fn without_rules(config: &AccessConfig) -> Self {
        Self { config: config.clone(), ruled: None }
    }

    /// Reads the files for the first time, if there are any.
    ///
    /// # Errors
    /// When one cannot be read, or a line is wrong.
    pub(crate) fn open(config: &AccessConfig) -> Result<Self, AccessFileError> {
        if !config.has_rules() {
            return Ok(Self::without_rules(config));
        }
        let paths = config.rules_file.iter().chain(&config.mosquitto_file).cloned();
        let watch = FileWatch::new(paths.collect());
        let rules = RwLock::new(Arc::new(load(config)?));
        Ok(Self { config: config.clone(), ruled: Some(Ruled { watch, rules }) })
    }

    /// The rules that hold now; `None`: there are no files of them.
    pub(crate) fn rules(&self) -> Option<Arc<Rules>> {
        self.ruled.as_ref().map(|ruled| Arc::clone(&ruled.rules.read()))
    }

    /// What becomes of a SUBSCRIBE to more than the client may receive: also where it is not rules
    /// that say so, but who vouches for the client.
    pub(crate) fn wide(&self) -> Wide {
        wide(&self.config)
    }

    /// Whether a message that may not be published is acknowledged where nobody can be told.
    pub(crate) fn drops_unauthorized(&self) -> bool {
        self.config.unauthorized_publish == UnauthorizedPublish::Drop
    }

    /// Reads the files anew when one has changed, and not since the last look: it is written by
    /// then. True when other rules hold from now on.
    #[must_use]
    pub(crate) fn look(&self) -> bool {
        let Some(ruled) = &self.ruled else { return false };
        ruled.watch.look(|is_told| ruled.read(&self.config, is_told)) == Some(Reading::Taken)
    }

    /// Reads the files anew now. True when the rules were taken.
    #[must_use]
    pub(crate) fn reload(&self) -> bool {
        let Some(ruled) = &self.ruled else { return false };
        ruled.watch.reload(|is_told| ruled.read(&self.config, is_told)) == Reading::Taken
    }
}

impl Ruled {
    /// Of rules that are wrong nothing is taken.
    fn read(&self, config: &AccessConfig, is_told: bool) -> Reading {
        match load(config) {
            Ok(rules) => {
                let count = rules.len();
                *self.rules.write() = Arc::new(rules);
                tracing::info!(rules = count, "access rules are read anew");
                Reading::Taken
            }
            Err(error) => {
                let reading = match &error {
                    AccessFileError::Read(_, error) => Reading::of_error(error),
                    AccessFileError::Form(..) => Reading::Wrong,
                };
                if is_told {
                    let (cause, next) = (error.source(), reading.what_next());
                    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
                    tracing::error!("access rules stay as they were: {error}{cause}{next}");
                }
                reading
            }
        }
    }
}

/// Reads all rules.
///
/// # Errors
/// When a file cannot be read, or a line is wrong.
pub(crate) fn load(config: &AccessConfig) -> Result<Rules, AccessFileError> {
    let AccessConfig { rules_file, mosquitto_file, .. } = config;
    let own = rules_file.iter().map(|path| read(path, parse_rules));
    let mosquitto = mosquitto_file.iter().map(|path| read(path, parse_mosquitto));
    let files = own.chain(mosquitto).collect::<Result<_, _>>()?;
    Ok(Rules::new(files, wide(config)))
}

fn wide(config: &AccessConfig) -> Wide {
    let are_all_mosquittos = config.rules_file.is_none() && config.mosquitto_file.is_some();
    match config.wide_filters {
        WideFilters::Auto if are_all_mosquittos => Wide::Sieve,
        WideFilters::Auto | WideFilters::Refuse => Wide::Refuse,
        WideFilters::Sieve => Wide::Sieve,
    }
}

fn read(
    path: &Path,
    parse: impl Fn(&str) -> Result<Parsed, AccessError>,
) -> Result<Parsed, AccessFileError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| AccessFileError::Read(path.into(), error))?;
    parse(&text).map_err(|error| AccessFileError::Form(path.into(), error))
}

#[cfg(test)]
mod tests {
    use tidewire_proto::access::Wide;

    use super::AccessFile;
    use crate::config::{AccessConfig, UnauthorizedPublish, WideFilters};

    #[test]
    fn what_is_set_holds_without_rules_too() {
        for (wide_filters, expected) in [
            (WideFilters::Auto, Wide::Refuse),
            (WideFilters::Refuse, Wide::Refuse),
            (WideFilters::Sieve, Wide::Sieve),
        ] {
            let config = AccessConfig { wide_filters, ..AccessConfig::default() };
            let access = AccessFile::open(&config).expect("nothing to read");
            assert!(access.rules().is_none());
            assert_eq!(access.wide(), expected, "{wide_filters:?}");
        }
        for (unauthorized_publish, drops) in
            [(UnauthorizedPublish::Drop, true), (UnauthorizedPublish::Close, false)]
        {
            let config = AccessConfig { unauthorized_publish, ..AccessConfig::default() };
            let access = AccessFile::open(&config).expect("nothing to read");
            assert_eq!(access.drops_unauthorized(), drops);
        }
    }

    #[test]
    fn rules_that_cannot_be_read_are_read_again_and_those_that_are_wrong_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rules");
        let write = |text: &str| std::fs::write(&path, text).expect("written");
        write("allow everyone any #\n");
        let config = AccessConfig { rules_file: Some(path.clone()), ..AccessConfig::default() };
        let access = AccessFile::open(&config).expect("good rules");
        let ruled = access.ruled.as_ref().expect("there are rules");
        let look = || ruled.watch.look_at_once(|is_told| ruled.read(&config, is_told));
        write("nonsense\n");
        assert_eq!(look(), Some(super::Reading::Wrong));
        assert_eq!(look(), None);
        std::fs::remove_file(&path).expect("it is there");
        for _ in 0..3 {
            assert_eq!(look(), Some(super::Reading::Unread));
        }
        write("deny everyone any #\n");
        assert_eq!(look(), Some(super::Reading::Taken));
        assert_eq!(look(), None);
    }
}
