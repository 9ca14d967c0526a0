//! The secret that the program knows us by: from a file or the environment, and never shown.

use std::fmt;
use std::path::PathBuf;

use crate::config::AuthHttpConfig;
use crate::http_client::HttpClientError;

/// Why the program cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Its certificate could not be looked at.
    #[error("auth.http.ca_file")]
    Client(#[source] HttpClientError),
    /// The file with the secret cannot be read.
    #[error("auth.http.secret_file: cannot read {}", .0.display())]
    Secret(PathBuf, #[source] std::io::Error),
    /// There is no such variable.
    #[error("auth.http.secret_variable: there is no variable {0} in the environment")]
    Variable(String),
    /// It is nothing that a header may hold.
    #[error("the secret of auth.http is empty, or holds what no header may hold")]
    Value,
    /// No key can be drawn.
    #[error("the system gives no random bytes")]
    Random,
}

/// A header with a secret in it.
pub(super) struct Secret {
    pub(super) name: String,
    pub(super) value: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The secret, if there is to be one.
pub(super) fn secret(config: &AuthHttpConfig) -> Result<Option<Secret>, HookError> {
    let Some(name) = config.secret_header.clone() else { return Ok(None) };
    let value = match (&config.secret_file, &config.secret_variable) {
        (Some(path), _) => {
            std::fs::read_to_string(path).map_err(|error| HookError::Secret(path.clone(), error))?
        }
        (None, Some(variable)) => {
            std::env::var(variable).map_err(|_| HookError::Variable(variable.clone()))?
        }
        (None, None) => String::new(),
    };
    let value = value.trim().to_owned();
    let is_sayable = |c: char| c.is_ascii_graphic() || c == ' ';
    if value.is_empty() || !value.chars().all(is_sayable) {
        return Err(HookError::Value);
    }
    Ok(Some(Secret { name, value }))
}

#[cfg(test)]
mod tests {
    use super::{AuthHttpConfig, HookError, secret};

    #[test]
    fn a_secret_is_read_without_the_line_break_behind_it_and_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        let mut config = AuthHttpConfig {
            secret_header: Some("Authorization".into()),
            secret_file: Some(path.clone()),
            ..AuthHttpConfig::default()
        };
        assert!(matches!(secret(&config), Err(HookError::Secret(..))));
        std::fs::write(&path, "Bearer hunter2\n").expect("written");
        let found = secret(&config).expect("a secret").expect("a secret");
        assert_eq!(found.value, "Bearer hunter2");
        assert!(!format!("{found:?}").contains("hunter2"));
        for wrong in ["", "\n", "a\nb: c", "caf\u{e9}"] {
            std::fs::write(&path, wrong).expect("written");
            assert!(matches!(secret(&config), Err(HookError::Value)), "{wrong:?}");
        }
        config.secret_file = None;
        config.secret_variable = Some("TIDEWIRE_TEST_THERE_IS_NONE".into());
        assert!(matches!(secret(&config), Err(HookError::Variable(_))));
        config.secret_header = None;
        assert!(secret(&config).expect("none").is_none());
    }
}
