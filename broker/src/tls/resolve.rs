//! Which certificate a client is shown: the one for the name that it asks for, else the first.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// A certificate and the names that it is for.
#[derive(Debug)]
pub(super) struct Shown {
    /// In lower case; `*` stands for one whole label, the first.
    pub(super) names: Vec<String>,
    pub(super) key: Arc<CertifiedKey>,
}

/// All certificates of a listener; the first is for those who name none of them.
#[derive(Debug)]
pub(super) struct Chest(pub(super) Vec<Shown>);

impl ResolvesServerCert for Chest {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name().map(str::to_ascii_lowercase);
        let shown = asked.and_then(|name| find(&self.0, &name)).or_else(|| self.0.first())?;
        Some(Arc::clone(&shown.key))
    }
}

/// A name in full goes before a wildcard.
fn find<'s>(all: &'s [Shown], name: &str) -> Option<&'s Shown> {
    let has = |shown: &&Shown, name: &str| shown.names.iter().any(|own| own == name);
    all.iter().find(|shown| has(shown, name)).or_else(|| {
        let (_, parent) = name.split_once('.')?;
        let wildcard = format!("*.{parent}");
        all.iter().find(|shown| has(shown, &wildcard))
    })
}
