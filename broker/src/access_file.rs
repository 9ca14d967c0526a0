//! The rules in force: read from their files at the start and when these change. Asks them nothing.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use tidewire_proto::access::{AccessError, Parsed, Rules, Wide, parse_mosquitto, parse_rules};

use crate::config::{AccessConfig, UnauthorizedPublish, WideFilters};
use crate::file_watch::FileWatch;

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

/// The rules in force.
pub(crate) struct AccessFile {
    config: AccessConfig,
    watch: FileWatch,
    rules: RwLock<Arc<Rules>>,
}

impl AccessFile {
    /// Reads the files for the first time; `None` when there are none.
    ///
    /// # Errors
    /// When one cannot be read, or a line is wrong.
    pub(crate) fn open(config: &AccessConfig) -> Result<Option<Self>, AccessFileError> {
        if !config.has_rules() {
            return Ok(None);
        }
        let paths = config.rules_file.iter().chain(&config.mosquitto_file).cloned();
        let watch = FileWatch::new(paths.collect());
        let rules = RwLock::new(Arc::new(load(config)?));
        Ok(Some(Self { config: config.clone(), watch, rules }))
    }

    /// The rules that hold now.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read())
    }

    /// Whether a message that may not be published is acknowledged where nobody can be told.
    pub(crate) fn drops_unauthorized(&self) -> bool {
        self.config.unauthorized_publish == UnauthorizedPublish::Drop
    }

    /// Reads the files anew when one has changed, and not since the last look: it is written by
    /// then. True when other rules hold from now on.
    #[must_use]
    pub(crate) fn look(&self) -> bool {
        self.watch.look(|| self.read()).unwrap_or(false)
    }

    /// Reads the files anew now. True when the rules were taken.
    #[must_use]
    pub(crate) fn reload(&self) -> bool {
        self.watch.reload(|| self.read())
    }

    /// Of rules that are wrong nothing is taken.
    fn read(&self) -> bool {
        match load(&self.config) {
            Ok(rules) => {
                let count = rules.len();
                *self.rules.write() = Arc::new(rules);
                tracing::info!(rules = count, "access rules are read anew");
                true
            }
            Err(error) => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                tracing::error!("access rules stay as they were: {error}{cause}");
                false
            }
        }
    }
}

/// Reads all rules.
///
/// # Errors
/// When a file cannot be read, or a line is wrong.
pub(crate) fn load(config: &AccessConfig) -> Result<Rules, AccessFileError> {
    let AccessConfig { rules_file, mosquitto_file, wide_filters, .. } = config;
    let own = rules_file.iter().map(|path| read(path, parse_rules));
    let mosquitto = mosquitto_file.iter().map(|path| read(path, parse_mosquitto));
    let files = own.chain(mosquitto).collect::<Result<_, _>>()?;
    let wide = match wide_filters {
        WideFilters::Auto if rules_file.is_none() => Wide::Sieve,
        WideFilters::Auto | WideFilters::Refuse => Wide::Refuse,
        WideFilters::Sieve => Wide::Sieve,
    };
    Ok(Rules::new(files, wide))
}

fn read(
    path: &Path,
    parse: impl Fn(&str) -> Result<Parsed, AccessError>,
) -> Result<Parsed, AccessFileError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| AccessFileError::Read(path.into(), error))?;
    parse(&text).map_err(|error| AccessFileError::Form(path.into(), error))
}
