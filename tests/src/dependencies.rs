//! What `deny.toml` says of dependencies, and what Cargo says that they are. Knows nothing of
//! advisories: those are `cargo deny`'s.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// The part of `deny.toml` that is looked at here; the rest is for `cargo deny`.
#[derive(Debug, Deserialize)]
pub struct Deny {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Debug, Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
}

/// One package that is not ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    name: String,
    version: String,
    /// Where it comes from, if that is not crates.io.
    source: Option<String>,
    /// Empty: it names none.
    license: String,
}

impl Deny {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| format!("deny.toml: {error}"))
    }

    /// What is wrong with a package.
    #[must_use]
    pub fn complaint(&self, package: &Package) -> Option<String> {
        let Package { name, version, license, source } = package;
        let told = |what: &str| Some(format!("{name} {version}: {what}"));
        if self.bans.deny.iter().any(|banned| banned.name == *name) {
            return told("it is banned in deny.toml");
        }
        if let Some(source) = source {
            return told(&format!("it comes from {source}"));
        }
        match (license.as_str(), self.allows(license)) {
            (_, true) => None,
            ("", _) => told("it names no licence"),
            _ => told(&format!("`{license}` is not allowed in deny.toml")),
        }
    }

    /// Whether a way to choose among these licences is allowed.
    fn allows(&self, expression: &str) -> bool {
        let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut rest = words.as_slice();
        self.any(&mut rest) && rest.is_empty()
    }

    fn any(&self, rest: &mut &[&str]) -> bool {
        let mut is_allowed = self.all(rest);
        while let ["OR", behind @ ..] = rest {
            *rest = behind;
            is_allowed |= self.all(rest);
        }
        is_allowed
    }

    fn all(&self, rest: &mut &[&str]) -> bool {
        let mut is_allowed = self.one(rest);
        while let ["AND", behind @ ..] = rest {
            *rest = behind;
            is_allowed &= self.one(rest);
        }
        is_allowed
    }

    fn one(&self, rest: &mut &[&str]) -> bool {
        let has = |name: &str| self.licenses.allow.iter().any(|allowed| allowed == name);
        match *rest {
            ["(", behind @ ..] => {
                *rest = behind;
                let is_allowed = self.any(rest);
                let [")", behind @ ..] = *rest else { return false };
                *rest = behind;
                is_allowed
            }
            [name, "WITH", exception, behind @ ..] => {
                *rest = behind;
                has(&format!("{name} WITH {exception}"))
            }
            [name, behind @ ..] => {
                *rest = behind;
                has(name)
            }
            [] => false,
        }
    }
}

/// All packages that are built here and are not ours, as the lock file has them.
///
/// # Errors
/// What Cargo says is wrong.
pub fn packages(root: &Path) -> Result<BTreeSet<Package>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["tree", "--workspace", "--locked", "--prefix", "none", "--format", "{p}\t{l}"]);
    let output = command.current_dir(root).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let ours = format!("({}", root.display());
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(told.lines().filter(|line| !line.contains(&ours)).filter_map(package).collect())
}

/// `name v1.2.3 (proc-macro)`, or where it comes from in the brackets; a tab; the licence, and a
/// mark where it was told of before.
fn package(line: &str) -> Option<Package> {
    let (package, license) = line.split_once('\t')?;
    let mut words = package.split(' ');
    let (name, version) = (words.next()?.to_owned(), words.next()?.to_owned());
    let brackets = words.filter_map(|word| word.strip_prefix('(')?.strip_suffix(')'));
    let source = brackets.filter(|inside| inside.contains('/')).map(str::to_owned).next();
    let license = license.trim_end_matches("(*)").trim().to_owned();
    Some(Package { name, version, source, license })
}

#[cfg(test)]
mod tests {
    use super::{Deny, package};

    const DENY: &str = "[licenses]\nallow = [\"MIT\", \"ISC\", \"Apache-2.0 WITH X\"]\n\
        [bans]\ndeny = [{ crate = \"bad\", reason = \"it is\" }]\n";

    #[test]
    fn an_expression_is_allowed_if_one_way_to_choose_is() {
        let deny = Deny::read(DENY).expect("well written");
        for (expression, is_allowed) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0/MIT", true),
            ("MIT AND GPL-3.0", false),
            ("GPL-3.0 AND MIT OR ISC", true),
            ("GPL-3.0 AND (MIT OR ISC)", false),
            ("(MIT OR GPL-3.0) AND ISC", true),
            ("Apache-2.0 WITH X", true),
            ("Apache-2.0 WITH Y", false),
            ("Apache-2.0", false),
            ("MIT WITH X", false),
            ("(MIT", false),
            ("MIT ISC", false),
            ("", false),
        ] {
            assert_eq!(deny.allows(expression), is_allowed, "{expression}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_package_is_told() {
        let deny = Deny::read(DENY).expect("well written");
        for (line, told) in [
            ("good v1.0.0\tMIT", None),
            ("good v1.0.0 (proc-macro)\tMIT OR GPL-3.0 (*)", None),
            ("bad v1.0.0\tMIT", Some("banned")),
            ("odd v1.0.0 (https://a.example/b?rev=1#2)\tMIT", Some("it comes from https://a")),
            ("odd v1.0.0 (proc-macro) (/elsewhere/odd)\tMIT", Some("it comes from /elsewhere")),
            ("silent v1.0.0\t", Some("no licence")),
            ("viral v1.0.0\tGPL-3.0 (*)", Some("`GPL-3.0` is not allowed")),
        ] {
            let package = package(line).expect("well written");
            let complaint = deny.complaint(&package);
            match (&complaint, told) {
                (None, None) => (),
                (Some(complaint), Some(told)) => assert!(complaint.contains(told), "{complaint}"),
                _ => panic!("{line}: {complaint:?}"),
            }
        }
    }
}
