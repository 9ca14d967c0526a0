//! What Cargo must hold: the direction of the floors, versions in one place, lints inherited;
//! and which documents must be there. Never looks at Rust code.

use toml::{Table, Value};

use super::complaint::Complaint;

/// From the floor that knows nobody to the one that may know all.
const FLOORS: [&str; 4] = ["tidewire-proto", "tidewire-store", "tidewire-bridge", "tidewire"];

/// What a floor without I/O cannot need.
const IMPURE: [&str; 4] = ["tokio", "socket2", "rustix", "redb"];

const DOCUMENTS: [&str; 9] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "docs/decisions",
    "certs/README.md",
    "config/tidewire.toml",
    ".ci/run",
];

/// One Cargo.toml.
#[derive(Debug)]
pub(super) struct Manifest {
    path: String,
    table: Table,
}

impl Manifest {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let table = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), table }
    }

    /// The folder of a package, relative to the root; `None` for the workspace.
    pub(super) fn folder(&self) -> Option<&str> {
        self.path.strip_suffix("/Cargo.toml")
    }

    fn name(&self) -> &str {
        let package = self.table.get("package").and_then(Value::as_table);
        package.and_then(|it| it.get("name")).and_then(Value::as_str).unwrap_or_default()
    }

    /// Name and value of each dependency, of whatever kind and target.
    fn dependencies(&self) -> Vec<(&str, &str, &Value)> {
        let targets = self.table.get("target").and_then(Value::as_table);
        let of_targets = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
        let tables = std::iter::once(&self.table).chain(of_targets);
        let sections = tables.flat_map(Table::iter);
        sections
            .filter(|(section, _)| section.ends_with("dependencies"))
            .filter_map(|(section, value)| Some((section, value.as_table()?)))
            .flat_map(|(section, table)| {
                table.iter().map(move |(name, value)| (section.as_str(), name.as_str(), value))
            })
            .collect()
    }
}

pub(super) fn check(manifest: &Manifest) -> Vec<Complaint> {
    // One below the root that is a workspace by itself builds a client that is not ours.
    if manifest.folder().is_none() || manifest.table.contains_key("workspace") {
        return Vec::new();
    }
    let mut complaints: Vec<Complaint> = manifest
        .dependencies()
        .into_iter()
        .filter_map(|(section, name, value)| wrong(manifest.name(), section, name, value))
        .map(|text| Complaint::new(&manifest.path, 0, text))
        .collect();
    let lints = manifest.table.get("lints").and_then(Value::as_table);
    if !lints.is_some_and(|lints| is_true(lints.get("workspace"))) {
        let text = "take over the lints: [lints] workspace = true";
        complaints.push(Complaint::new(&manifest.path, 0, text));
    }
    complaints
}

/// Documents that people and tools look for by name.
pub(super) fn missing_documents(exists: impl Fn(&str) -> bool) -> Vec<Complaint> {
    let missing = DOCUMENTS.iter().filter(|path| !exists(path));
    missing.map(|path| Complaint::new(path, 0, "is missing")).collect()
}

fn wrong(package: &str, section: &str, name: &str, value: &Value) -> Option<String> {
    let from_workspace = value.as_table().is_some_and(|it| is_true(it.get("workspace")));
    if !from_workspace {
        return Some(format!("`{name}`: its version belongs in the root Cargo.toml"));
    }
    let floor = FLOORS.iter().position(|floor| *floor == package)?;
    if name.starts_with("tidewire") {
        let below = FLOORS.iter().position(|other| *other == name);
        return (below.is_none_or(|below| below >= floor))
            .then(|| format!("`{package}` must not know `{name}`: dependencies point left"));
    }
    let is_impure = floor == 0 && section == "dependencies" && IMPURE.contains(&name);
    is_impure.then(|| format!("`{package}` is pure: it cannot need `{name}`"))
}

fn is_true(value: Option<&Value>) -> bool {
    value.and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::{DOCUMENTS, Manifest, check, missing_documents};

    #[track_caller]
    fn expect(package: &str, dependencies: &str, complaint: Option<&str>) {
        let text = format!("[package]\nname = \"{package}\"\n[lints]\nworkspace = true\n");
        let manifest = Manifest::new("a/Cargo.toml", &format!("{text}{dependencies}"));
        let found: Vec<String> = check(&manifest).iter().map(ToString::to_string).collect();
        match complaint {
            None => assert_eq!(found, [""; 0], "{dependencies}"),
            Some(part) => assert!(found.len() == 1 && found[0].contains(part), "{found:?}"),
        }
    }

    #[test]
    fn a_dependency_that_points_right_is_found() {
        let left = "[dependencies]\ntidewire-proto.workspace = true";
        expect("tidewire-store", left, None);
        expect("tidewire", left, None);
        let right = "[dependencies]\ntidewire-bridge.workspace = true";
        expect("tidewire-store", right, Some("point left"));
        let in_tests = "[dev-dependencies]\ntidewire = { workspace = true }";
        expect("tidewire-bridge", in_tests, Some("point left"));
        expect("tidewire-store", "[dependencies]\ntidewire-tests.workspace = true", Some("left"));
        expect("tidewire-tests", "[dependencies]\ntidewire.workspace = true", None);
    }

    #[test]
    fn a_version_outside_the_root_is_found() {
        for line in ["bytes = \"1\"", "bytes = { version = \"1\" }", "bytes = { path = \"b\" }"] {
            for section in ["dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"]
            {
                expect("tidewire", &format!("[{section}]\n{line}"), Some("root Cargo.toml"));
            }
        }
        let featured = "[dependencies]\nbytes = { workspace = true, features = [\"a\"] }";
        expect("tidewire", featured, None);
    }

    #[test]
    fn io_in_the_pure_floor_is_found() {
        expect("tidewire-proto", "[dependencies]\ntokio.workspace = true", Some("pure"));
        expect("tidewire-proto", "[dev-dependencies]\ntokio.workspace = true", None);
        expect("tidewire-store", "[dependencies]\nredb.workspace = true", None);
    }

    #[test]
    fn a_package_without_the_lints_is_found() {
        let manifest = Manifest::new("a/Cargo.toml", "[package]\nname = \"a\"\n");
        assert_eq!(check(&manifest).len(), 1);
    }

    #[test]
    fn a_missing_document_is_found() {
        assert_eq!(missing_documents(|_| true).len(), 0);
        assert_eq!(missing_documents(|path| path != "LICENSE").len(), 1);
        assert_eq!(missing_documents(|_| false).len(), DOCUMENTS.len());
    }
}
