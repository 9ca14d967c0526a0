//! `tidewire passwd`: the file of users and their hashes, edited; and a line for the file of SCRAM.
//! Prints no password.

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use tidewire_proto::scram::{ITERATIONS_MAX, ITERATIONS_MIN};

use super::edit_file::{edit_file, read_file};
use crate::passwords::{self, PasswordHash, check_name, with_line, without_user};
use crate::users::{self, ITERATIONS};

#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub(super) struct Passwd {
    #[command(subcommand)]
    order: Option<Order>,
    /// Make lines of SCRAM-SHA-256 and SCRAM-SHA-512 for this user, for the file that
    /// auth.scram_file names.
    #[arg(long, value_name = "USER")]
    scram: Option<String>,
    /// How often the password is hashed: more makes guessing dearer, and signing in as well.
    #[arg(long, value_name = "N", default_value_t = ITERATIONS)]
    #[arg(value_parser = clap::value_parser!(u32)
        .range(i64::from(ITERATIONS_MIN)..=i64::from(ITERATIONS_MAX)))]
    iterations: u32,
}

/// What is done to the file that auth.password_file names.
#[derive(Clone, Debug, Subcommand)]
enum Order {
    /// Set the password of a user, read from the standard input; makes the file if need be.
    Add {
        /// The file that auth.password_file names.
        file: PathBuf,
        /// Whose password; not with --batch.
        #[arg(required_unless_present = "batch", conflicts_with = "batch")]
        user: Option<String>,
        /// Read `user:password` lines instead.
        #[arg(long)]
        batch: bool,
    },
    /// Remove a user.
    Delete {
        /// The file that auth.password_file names.
        file: PathBuf,
        /// Who is removed.
        user: String,
        /// Say what would be removed, and remove nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Say whether the file is right, and with a user whether the password that is read from the
    /// standard input is that user's: exit code 1 if it is not.
    Check {
        /// The file that auth.password_file names.
        file: PathBuf,
        /// Whose password is compared.
        user: Option<String>,
        /// One JSON document instead of words.
        #[arg(long)]
        json: bool,
    },
}

/// What there is to say, and whether all is well.
pub(super) fn run(passwd: &Passwd) -> Result<(String, bool), String> {
    match (&passwd.order, &passwd.scram) {
        (Some(order), _) => carry_out(order),
        (None, Some(user)) => {
            let lines = users::lines(user, &read_password()?, passwd.iterations);
            lines.map(|lines| (lines, true)).map_err(|error| error.to_string())
        }
        (None, None) => Err("say add, delete, check or --scram USER".into()),
    }
}

fn carry_out(order: &Order) -> Result<(String, bool), String> {
    match order {
        Order::Add { file, user: Some(user), .. } => add(file, &[(user.clone(), read_password()?)]),
        Order::Add { file, user: None, .. } => add(file, &read_batch()?),
        Order::Delete { file, user, dry_run } => delete(file, user, *dry_run),
        Order::Check { file, user, json } => check(file, user.as_deref(), *json),
    }
}

fn delete(file: &Path, user: &str, dry_run: bool) -> Result<(String, bool), String> {
    let shown = file.display();
    let without = |text: Option<&str>| {
        let text = text.ok_or_else(|| format!("{shown} is not there"))?;
        without_user(text, user).ok_or_else(|| format!("{user:?} is not in {shown}"))
    };
    if dry_run {
        without(read_file(file)?.as_deref())?;
        return Ok((format!("would remove {user:?} from {shown}"), true));
    }
    edit_file(file, without)?;
    Ok((format!("{user:?} is removed from {shown}"), true))
}

fn add(file: &Path, new: &[(String, String)]) -> Result<(String, bool), String> {
    let mut hashes = Vec::new();
    for (user, password) in new {
        check_name(user).map_err(|words| format!("{user:?}: {words}"))?;
        if password.is_empty() {
            return Err(format!("the password of {user:?} is empty"));
        }
        let hash = PasswordHash::make(password.as_bytes());
        let hash = hash.ok_or("the system gives no random bytes, or no memory")?;
        hashes.push((user, hash.to_string()));
    }
    edit_file(file, |text| {
        let text = text.unwrap_or_default().to_owned();
        Ok(hashes.iter().fold(text, |text, (user, hash)| with_line(&text, user, hash)))
    })?;
    let count = new.len();
    let users = if count == 1 { "user is" } else { "users are" };
    Ok((format!("{count} {users} set in {}", file.display()), true))
}

fn check(file: &Path, user: Option<&str>, as_json: bool) -> Result<(String, bool), String> {
    let book = passwords::load(file, 0).map_err(|error| {
        let cause = std::error::Error::source(&error);
        format!("{error}{}", cause.map(|cause| format!(": {cause}")).unwrap_or_default())
    })?;
    let Some(user) = user else {
        let (count, old) = (book.len(), book.outdated());
        if as_json {
            let document = json!({ "ok": true, "users": count, "users_with_an_old_hash": old });
            return Ok((document.to_string(), true));
        }
        let file = file.display();
        return Ok((format!("ok: {file} has {count} users, {old} with an old hash"), true));
    };
    let is_its = book.check(user, read_password()?.as_bytes());
    let is_its = is_its.ok_or("there is no memory for hashing")?;
    let words = match is_its {
        _ if as_json => json!({ "ok": is_its, "user": user }).to_string(),
        true => format!("ok: this is the password of {user:?}"),
        false => format!("no: {user:?} is unknown or has another password"),
    };
    Ok((words, is_its))
}

/// The first line of the standard input.
pub(super) fn read_password() -> Result<String, String> {
    let mut password = String::new();
    let read = io::stdin().lock().read_line(&mut password);
    read.map_err(|error| format!("the password cannot be read from the standard input: {error}"))?;
    Ok(password.trim_end_matches(['\r', '\n']).to_owned())
}

fn read_batch() -> Result<Vec<(String, String)>, String> {
    let mut all = Vec::new();
    for (number, line) in (1..).zip(io::stdin().lock().lines()) {
        let line = line.map_err(|error| format!("the standard input cannot be read: {error}"))?;
        let line = line.trim_end_matches('\r');
        if line.is_empty() {
            continue;
        }
        let (user, password) =
            line.split_once(':').ok_or(format!("line {number}: not of the form user:password"))?;
        all.push((user.to_owned(), password.to_owned()));
    }
    Ok(all)
}
