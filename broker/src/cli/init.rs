//! `tidewire init`: a folder with all that a broker needs that is open to a network and to nobody
//! without a password: configuration, a user, a token, rules, certificates. Overwrites nothing.

mod files;
mod texts;

use std::path::{Path, PathBuf};

use clap::Args;

use super::certs;
use super::passwd::read_password;
use crate::http::{Role, check_token_name, make_token, token_line};
use crate::passwords::{PasswordHash, with_line};

use files::Files;
use texts::{Facts, Secret};

/// How long the server's certificate is good for.
const DAYS: u16 = 365;
/// Letters of a password that was made: none that is easily taken for another.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// A hundred bits.
const PASSWORD_LETTERS: usize = 20;
/// What others are told of is read by others; what is secret is its owner's.
const MODE: u32 = 0o644;
const SECRET_MODE: u32 = 0o600;

#[derive(Clone, Debug, Args)]
pub(super) struct Init {
    /// The folder; made if it is missing, and refused if anything is in it.
    #[arg(default_value = "tidewire")]
    dir: PathBuf,
    /// A host name or address that clients will connect to; may be given several times.
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// The name of the user who may do everything.
    #[arg(long, value_name = "NAME", default_value = "admin", value_parser = plain_name)]
    user: String,
    /// Read the user's password from the standard input, instead of making one.
    #[arg(long)]
    password_stdin: bool,
    /// One JSON document instead of words; the password and the token are in it.
    #[arg(long)]
    json: bool,
}

/// Does it; the answer is what to print.
pub(super) fn run(init: &Init) -> Result<(String, bool), String> {
    let secret = match init.password_stdin {
        true => Secret::Known(known_password(&init.user)?),
        false => Secret::Made(make_password()?),
    };
    let dir = std::path::absolute(&init.dir);
    let dir = dir.map_err(|error| format!("{}: {error}", init.dir.display()))?;
    // A path that is no text could stand in no configuration file.
    let text = dir.to_str().ok_or_else(|| format!("{} is not UTF-8", dir.display()))?;
    let mut files = Files::begin(&dir)?;
    let made = make(&mut files, init, (&dir, text), secret);
    if made.is_err() {
        files.undo();
    }
    made.map(|report| (report, true))
}

fn make(
    files: &mut Files,
    init: &Init,
    (dir, text): (&Path, &str),
    secret: Secret,
) -> Result<String, String> {
    let hash = PasswordHash::make(secret.password().as_bytes());
    let hash = hash.ok_or("the system gives no random bytes, or no memory")?.to_string();
    files.write("passwords", &with_line("", &init.user, &hash), SECRET_MODE)?;
    let token = make_token().ok_or("the system gives no random bytes")?;
    let line = token_line(Role::Admin, &init.user, &token);
    files.write("tokens", &format!("{line}\n"), SECRET_MODE)?;
    files.write("rules", &texts::rules(&init.user), MODE)?;
    files.folder("certs")?;
    let pair = certs::make_server(&dir.join("certs"), &names(&init.names), DAYS)?;
    let facts = Facts {
        program: std::env::args().next().unwrap_or_else(|| "tidewire".into()),
        dir: text.into(),
        cert: pair.0.display().to_string(),
        key: pair.1.display().to_string(),
        user: init.user.clone(),
        secret,
        token,
    };
    files.write("tidewire.toml", &texts::config(&facts), MODE)?;
    Ok(if init.json { texts::document(&facts) } else { texts::report(&facts) })
}

fn known_password(user: &str) -> Result<String, String> {
    let password = read_password()?;
    match password.is_empty() {
        true => Err(format!("the password of {user:?} is empty")),
        false => Ok(password),
    }
}

fn make_password() -> Result<String, String> {
    let mut bytes = [0; PASSWORD_LETTERS];
    getrandom::fill(&mut bytes).map_err(|_| "the system gives no random bytes")?;
    let letter = |byte: &u8| char::from(LETTERS[usize::from(byte % 32)]);
    Ok(bytes.iter().map(letter).collect())
}

/// What the certificate is good for: what was asked for, this machine's name, this machine.
fn names(asked: &[String]) -> Vec<String> {
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let own = own.trim();
    let mut names = asked.to_vec();
    for name in [own, "localhost", "127.0.0.1", "::1"] {
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-".contains(&b));
        if !name.is_empty() && is_name && !names.iter().any(|known| known == name) {
            names.push(name.into());
        }
    }
    names
}

/// A name that needs no quotes, in a shell or in a file of rules or tokens.
fn plain_name(name: &str) -> Result<String, String> {
    match check_token_name(name).is_ok() && !name.starts_with('-') {
        true => Ok(name.into()),
        false => Err("1 to 64 letters, digits, and . _ @ - within".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{PASSWORD_LETTERS, make_password, names, plain_name};

    #[test]
    fn no_two_passwords_are_alike_and_none_needs_quotes() {
        let [one, other] = [make_password(), make_password()].map(|it| it.expect("random bytes"));
        assert_ne!(one, other);
        assert!(one.len() == PASSWORD_LETTERS && one.bytes().all(|b| b.is_ascii_alphanumeric()));
    }

    #[test]
    fn the_certificate_is_good_for_this_machine_whatever_else_was_asked() {
        let names = names(&["broker.example".into(), "localhost".into()]);
        assert_eq!(names.first().map(String::as_str), Some("broker.example"));
        for name in ["localhost", "127.0.0.1", "::1"] {
            assert_eq!(names.iter().filter(|known| *known == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn a_user_has_a_plain_name() {
        for name in ["admin", "a.b@c-d_1"] {
            assert!(plain_name(name).is_ok(), "{name}");
        }
        let long = "a".repeat(65);
        for name in ["", "a b", "a:b", "-a", "a\"", "ä", "a'", &long] {
            assert!(plain_name(name).is_err(), "{name}");
        }
    }
}
