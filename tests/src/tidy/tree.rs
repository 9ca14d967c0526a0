//! Finds the files that the rules look at. Reads; judges nothing.

use std::fs;
use std::path::{Path, PathBuf};

use super::manifests::Manifest;
use super::source::Source;

/// Built, installed or run things: not ours to keep tidy.
const SKIPPED: &[&str] = &["target", "node_modules", "tidewire-data"];

/// All Rust files below the root, in the order of their paths.
pub(super) fn rust_sources(root: &Path) -> Vec<Source> {
    let files = files_below(root).into_iter().filter(|path| path.ends_with(".rs"));
    files.map(|path| Source::new(path.as_str(), read(root, &path))).collect()
}

/// All Cargo manifests below the root.
pub(super) fn manifests(root: &Path) -> Vec<Manifest> {
    let is_manifest = |path: &String| path == "Cargo.toml" || path.ends_with("/Cargo.toml");
    let files = files_below(root).into_iter().filter(is_manifest);
    files.map(|path| Manifest::new(&path, &read(root, &path))).collect()
}

fn read(root: &Path, path: &str) -> String {
    let text = fs::read_to_string(root.join(path));
    text.unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// Relative to the root.
fn files_below(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from(root)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).expect("a folder of the source tree");
        for entry in entries.map_while(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || SKIPPED.contains(&name.as_str()) {
                continue;
            }
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if let Ok(relative) = path.strip_prefix(root) {
                files.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::rust_sources;
    use std::fs;

    #[test]
    fn the_walk_finds_sources_at_any_depth_and_no_built_ones() {
        let root = tempfile::tempdir().expect("a folder");
        for path in ["a.rs", "b/c/d.rs", "b/readme.md", "target/e.rs", ".git/f.rs"] {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().expect("below the root")).expect("a folder");
            fs::write(file, "//! A.\n").expect("a file");
        }
        let found = rust_sources(root.path());
        let paths: Vec<&str> = found.iter().map(|source| source.path()).collect();
        assert_eq!(paths, ["a.rs", "b/c/d.rs"]);
    }
}
