//! The file of tokens: names, roles and hashes, read anew when it changes. A token is 256 random
//! bits, so that one hash is enough to keep it secret. Never holds a token.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::role::Role;
use crate::file_watch::{FileWatch, Reading};

/// By what a token is known for one, by people and by programs that look for secrets.
const PREFIX: &str = "tw_";
const NAME_BYTES_MAX: usize = 64;

/// Why a file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// A line of it is wrong.
    #[error("{}:{line}: {words}", .file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        words: &'static str,
    },
}

/// Who a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) name: String,
    pub(crate) role: Role,
}

impl fmt::Display for Holder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:<9} {}", self.role.word(), self.name)
    }
}

type Hash = [u8; 32];
type Known = HashMap<Hash, Holder>;

/// Tokens that are good now.
pub(super) struct Tokens {
    file: PathBuf,
    watch: FileWatch,
    known: Mutex<Known>,
}

impl Tokens {
    /// Reads the file for the first time.
    pub(super) fn open(file: &Path) -> Result<Self, TokenFileError> {
        let watch = FileWatch::new(vec![file.into()]);
        let known = Mutex::new(load(file)?);
        Ok(Self { file: file.into(), watch, known })
    }

    /// Whose this token is.
    pub(super) fn holder(&self, token: &str) -> Option<Holder> {
        self.look();
        // A hash that is compared byte by byte tells nothing of a token that gives another.
        self.known.lock().get(&hash(token)).cloned()
    }

    /// Whoever asks, the file as it is now is what counts: a token that was taken away opens
    /// nothing once more.
    fn look(&self) {
        self.watch.look_at_once(|is_told| self.read(is_told));
    }

    fn read(&self, is_told: bool) -> Reading {
        let error = match load(&self.file) {
            Ok(known) => {
                tracing::info!(tokens = known.len(), "the tokens of the HTTP port are read anew");
                *self.known.lock() = known;
                return Reading::Taken;
            }
            Err(error) => error,
        };
        let reading = match &error {
            TokenFileError::Read(_, error) if error.kind() == io::ErrorKind::NotFound => {
                // Whoever deletes it means all that were in it.
                let file = self.file.display();
                tracing::warn!("{file} is gone: no token opens the HTTP port until it is there");
                self.known.lock().clear();
                return Reading::Taken;
            }
            TokenFileError::Read(_, error) => Reading::of_error(error),
            TokenFileError::Line { .. } => Reading::Wrong,
        };
        if is_told {
            let (cause, next) = (std::error::Error::source(&error), reading.what_next());
            let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            tracing::error!("changed tokens are not taken: {error}{cause}{next}");
        }
        reading
    }
}

/// Reads a file of tokens.
pub(crate) fn load(file: &Path) -> Result<Known, TokenFileError> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| TokenFileError::Read(file.into(), error))?;
    let mut known = Known::new();
    for (at, line) in text.lines().enumerate() {
        let wrong = |words| TokenFileError::Line { file: file.into(), line: at + 1, words };
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (hash, holder) = parse(line).map_err(wrong)?;
        known.insert(hash, holder);
    }
    Ok(known)
}

/// `role:name:hash`
fn parse(line: &str) -> Result<(Hash, Holder), &'static str> {
    let mut fields = line.trim_end().splitn(3, ':');
    let (role, name, said) = (fields.next(), fields.next(), fields.next());
    let role = Role::ALL.into_iter().find(|known| Some(known.word()) == role);
    let role = role.ok_or("a line is `role:name:hash`, its role viewer, operator or admin")?;
    let name = name.unwrap_or_default();
    check_token_name(name)?;
    let hash = said.and_then(|said| URL_SAFE_NO_PAD.decode(said).ok());
    let hash = hash.and_then(|bytes| Hash::try_from(bytes).ok());
    let hash = hash.ok_or("the hash of a token is what `tidewire token create` writes")?;
    Ok((hash, Holder { name: name.into(), role }))
}

/// A name that fits into a line.
pub(crate) fn check_token_name(name: &str) -> Result<(), &'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
    match !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(is_plain) {
        true => Ok(()),
        false => Err("the name of a token is 1 to 64 letters, digits or any of . _ - @"),
    }
}

/// A token that nobody can guess; `None`: the system gives no random bytes.
pub(crate) fn make_token() -> Option<String> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).ok()?;
    Some(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret)))
}

/// The line by which a token is known.
pub(crate) fn token_line(role: Role, name: &str, token: &str) -> String {
    format!("{}:{name}:{}", role.word(), URL_SAFE_NO_PAD.encode(hash(token)))
}

/// The text of a file without the tokens of this name; `None`: there are none.
pub(crate) fn without_token(text: &str, name: &str) -> Option<String> {
    let is_its = |line: &&str| line.split(':').nth(1) == Some(name) && !line.starts_with('#');
    let has = text.lines().any(|line| is_its(&line));
    let rest = text.lines().filter(|line| !is_its(line));
    has.then(|| rest.fold(String::new(), |text, line| text + line + "\n"))
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::{Reading, Role, Tokens, load, make_token, token_line, without_token};

    #[test]
    fn a_token_is_known_by_its_line_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tokens");
        let [one, two] = [(); 2].map(|()| make_token().expect("random bytes"));
        let text = format!("# mine\n\n{}\n", token_line(Role::Operator, "laptop", &one));
        assert!(!text.contains(&one));
        std::fs::write(&file, &text).expect("written");
        let tokens = Tokens::open(&file).expect("right");
        let holder = tokens.holder(&one).expect("known");
        assert_eq!((&*holder.name, holder.role), ("laptop", Role::Operator));
        assert_eq!((tokens.holder(&two), tokens.holder("")), (None, None));
        assert_eq!(without_token(&text, "laptop").as_deref(), Some("# mine\n\n"));
        assert_eq!(without_token(&text, "mine"), None);
    }

    #[test]
    fn what_the_file_says_now_is_what_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tokens");
        let [old, new] = [(); 2].map(|()| make_token().expect("random bytes"));
        let write = |text: &str| {
            // As the command does: the file is another one.
            let next = folder.path().join("next");
            std::fs::write(&next, text).expect("written");
            std::fs::rename(&next, &file).expect("renamed");
        };
        write(&token_line(Role::Admin, "old", &old));
        let tokens = Tokens::open(&file).expect("right");
        assert!(tokens.holder(&old).is_some());
        write(&token_line(Role::Admin, "new", &new));
        assert!(tokens.holder(&old).is_none(), "nobody asked since it was taken away");
        assert!(tokens.holder(&new).is_some());
        write("no line");
        assert!(tokens.holder(&new).is_some(), "a file that is wrong is not taken");
        std::fs::remove_file(&file).expect("it is there");
        assert!(tokens.holder(&new).is_none(), "nothing opens without a file");
        write(&token_line(Role::Admin, "new", &new));
        assert!(tokens.holder(&new).is_some(), "it is there again");
        std::fs::remove_file(&file).expect("it is there");
        std::fs::create_dir(&file).expect("a folder in its place");
        assert!(tokens.holder(&new).is_some(), "what cannot be read says nothing");
        let again = tokens.watch.look_at_once(|is_told| tokens.read(is_told));
        assert_eq!(again, Some(Reading::Unread), "and is read again");
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tokens");
        for line in ["root:a:x", "admin::x", "admin:a b:x", "admin:a:x", "admin:a", "admin"] {
            std::fs::write(&file, format!("#\n{line}\n")).expect("written");
            let error = load(&file).expect_err(line).to_string();
            assert!(error.contains("tokens:2: "), "{line}: {error}");
        }
    }
}
