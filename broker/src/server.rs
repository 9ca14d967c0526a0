//! Placeholder: starts nothing. The real server takes this file's place.

use crate::config::Config;

/// Why the broker could not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[error("the server did not start")]
pub enum StartError {}

/// Returns at once.
pub fn run(config: Config) -> Result<(), StartError> {
    tracing::debug!(?config, "Nothing to serve yet.");
    Ok(())
}
