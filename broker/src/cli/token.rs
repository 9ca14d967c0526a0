//! `tidewire token`: the file of tokens of the HTTP port, edited. A token is shown once, and kept
//! nowhere.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::edit_file::{edit_file, read_file};
use crate::config::Config;
use crate::http::{Role, check_token_name, load, make_token, token_line, without_token};

/// What is done to the file that listener.http.token_file names.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and show it, once; makes the file if need be.
    Create {
        /// What who brings it may do.
        #[arg(long)]
        role: Role,
        /// Whose it is, for lists and logs.
        #[arg(long, default_value = "token")]
        name: String,
        /// The file; else the one that listener.http.token_file names.
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Remove all tokens of a name.
    Delete {
        /// Whose.
        name: String,
        /// The file; else the one that listener.http.token_file names.
        #[arg(long)]
        file: Option<PathBuf>,
        /// Say what would be removed, and remove nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Names and roles, no tokens.
    List {
        /// The file; else the one that listener.http.token_file names.
        #[arg(long)]
        file: Option<PathBuf>,
        /// One JSON document instead of words.
        #[arg(long)]
        json: bool,
    },
}

/// What there is to say, and whether all is well.
pub(super) fn run(command: &TokenCommand, config: &Config) -> Result<(String, bool), String> {
    let said = match command {
        TokenCommand::Create { file, .. }
        | TokenCommand::Delete { file, .. }
        | TokenCommand::List { file, .. } => file.as_ref(),
    };
    let file = said.or(config.listener.http.token_file.as_ref());
    let file = file.ok_or("name the file: --file FILE, or listener.http.token_file")?;
    match command {
        TokenCommand::Create { role, name, .. } => create(file, *role, name),
        TokenCommand::Delete { name, dry_run, .. } => delete(file, name, *dry_run),
        TokenCommand::List { json, .. } => list(file, *json),
    }
}

fn create(file: &Path, role: Role, name: &str) -> Result<(String, bool), String> {
    check_token_name(name)?;
    let token = make_token().ok_or("the system gives no random bytes")?;
    let line = token_line(role, name, &token);
    edit_file(file, |text| {
        let text = text.unwrap_or_default();
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        Ok(format!("{text}{gap}{line}\n"))
    })?;
    Ok((token, true))
}

fn delete(file: &Path, name: &str, dry_run: bool) -> Result<(String, bool), String> {
    let shown = file.display();
    let without = |text: Option<&str>| {
        let text = text.ok_or_else(|| format!("{shown} is not there"))?;
        without_token(text, name).ok_or_else(|| format!("no token {name:?} is in {shown}"))
    };
    if dry_run {
        without(read_file(file)?.as_deref())?;
        return Ok((format!("would remove the tokens {name:?} from {shown}"), true));
    }
    edit_file(file, without)?;
    Ok((format!("the tokens {name:?} are removed from {shown}"), true))
}

fn list(file: &Path, as_json: bool) -> Result<(String, bool), String> {
    let known = load(file).map_err(|error| error.to_string())?;
    if as_json {
        let mut items: Vec<_> = known.values().map(|one| (&*one.name, one.role.word())).collect();
        items.sort_unstable();
        let item = |(name, role)| json!({ "name": name, "role": role });
        let items: Vec<Value> = items.into_iter().map(item).collect();
        return Ok((json!({ "items": items }).to_string(), true));
    }
    let mut rows: Vec<_> = known.values().map(ToString::to_string).collect();
    rows.sort_unstable();
    Ok((rows.join("\n"), true))
}
