//! A table of statements as it lies in its file. Checks the form, not the sense.

use serde::Deserialize;

/// A numbered statement, in our own words.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statement {
    pub(super) id: String,
    pub(super) binds: Binds,
    pub(super) status: Status,
    /// What we do.
    pub(super) text: String,
    /// Why it is not tested.
    pub(super) why: Option<String>,
    #[serde(default)]
    pub(super) tests: Vec<String>,
}

/// Who has to keep to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Binds {
    Server,
    Client,
    Both,
}

/// How sure we are that we do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Status {
    #[serde(rename = "tested")]
    Tested,
    #[serde(rename = "by construction")]
    ByConstruction,
    #[serde(rename = "not ours")]
    NotOurs,
    #[serde(rename = "unmet")]
    Unmet,
}

impl Binds {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Both => "both",
        }
    }
}

impl Status {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tested => "tested",
            Self::ByConstruction => "by construction",
            Self::NotOurs => "not ours",
            Self::Unmet => "unmet",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    statement: Vec<Statement>,
}

/// In the order of the file.
pub(super) fn read(text: &str) -> Result<Vec<Statement>, String> {
    let table: Table = toml::from_str(text).map_err(|error| error.to_string())?;
    Ok(table.statement)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn an_unknown_status_or_field_is_refused() {
        let good =
            "[[statement]]\nid = \"a\"\nbinds = \"both\"\nstatus = \"unmet\"\ntext = \"t\"\n";
        assert_eq!(read(good).map(|all| all.len()), Ok(1));
        assert!(read(&good.replace("unmet", "hoped")).is_err());
        assert!(read(&good.replace("text", "test")).is_err());
        assert!(read(&good.replace("both", "nobody")).is_err());
    }
}
