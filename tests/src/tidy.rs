//! The house rules as checks over the source tree. Reports all breaches; repairs none.

mod banned;
mod circles;
mod complaint;
mod lengths;
mod manifests;
mod naming;
mod paths;
mod source;
mod tree;

use std::path::Path;

pub use complaint::Complaint;

/// All breaches in the Rust sources of the tree: lengths, banned words, names, headers.
#[must_use]
pub fn check_sources(root: &Path) -> Vec<Complaint> {
    let sources = tree::rust_sources(root);
    assert!(sources.len() > 10, "a walk that finds nothing proves nothing: {}", root.display());
    let mut complaints = Vec::new();
    for source in &sources {
        complaints.extend(lengths::check(source));
        complaints.extend(banned::check(source));
        complaints.extend(naming::check(source));
    }
    complaints
}

/// Import circles between the modules of each package.
#[must_use]
pub fn check_circles(root: &Path) -> Vec<Complaint> {
    let manifests = tree::manifests(root);
    let sources = tree::rust_sources(root);
    let packages = manifests.iter().filter_map(|manifest| manifest.folder());
    packages.flat_map(|package| circles::check(package, &sources)).collect()
}

/// Dependency direction, versions in one place, lints inherited, documents present.
#[must_use]
pub fn check_manifests(root: &Path) -> Vec<Complaint> {
    let manifests = tree::manifests(root);
    assert!(manifests.len() > 5, "the workspace has more packages: {}", root.display());
    let mut complaints: Vec<Complaint> = manifests.iter().flat_map(manifests::check).collect();
    complaints.extend(manifests::missing_documents(|path| root.join(path).exists()));
    complaints
}
