//! Whether the store still writes. One word for all threads; once failed, for good.

use std::sync::Arc;
use std::sync::OnceLock;

/// Can the store write?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Yes.
    Writable,
    /// No, and it will not again before the next start.
    Failed(Arc<str>),
}

/// The first failure, seen by all.
#[derive(Debug, Default)]
pub(crate) struct HealthCell(OnceLock<Arc<str>>);

impl HealthCell {
    /// Stop believing in the disk. The first reason stands.
    pub(crate) fn fail(&self, reason: &str) -> Arc<str> {
        let stands = self.0.get_or_init(|| {
            tracing::error!(reason, "the store stops writing");
            reason.into()
        });
        Arc::clone(stands)
    }

    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        self.0.get().cloned()
    }

    pub(crate) fn health(&self) -> Health {
        self.failure().map_or(Health::Writable, Health::Failed)
    }
}
