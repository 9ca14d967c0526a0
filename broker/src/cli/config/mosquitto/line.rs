//! A line of a `mosquitto.conf`, and the words on it. Knows no setting.

/// What became of a line; of several fates the last one here is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// It stands in our configuration.
    Taken,
    /// It need not be said here.
    Always,
    /// It is not there, or not so.
    Missing,
    /// It guards something, and nothing here guards it so: nothing starts until a person has
    /// decided.
    Undecided,
}

impl Fate {
    /// How it is marked.
    pub(crate) fn mark(self) -> &'static str {
        match self {
            Self::Taken => "->",
            Self::Always => "ok",
            Self::Missing => "!!",
            Self::Undecided => "??",
        }
    }
}

/// One line: `key value`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    pub(crate) number: usize,
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
}

impl<'a> Line<'a> {
    /// A line of the file; `None`: nothing is said in it.
    pub(crate) fn of(number: usize, text: &'a str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            return None;
        }
        let (key, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        Some(Self { number, key, value: value.trim() })
    }

    /// As Mosquitto reads it; `None`: neither yes nor no, and Mosquitto would not start.
    pub(crate) fn flag(self) -> Option<bool> {
        match self.value {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    pub(crate) fn is_on(self) -> bool {
        self.flag() == Some(true)
    }

    /// The line, for a file that others read: what may be a secret does not go into it. Of a key
    /// that nobody knows anything may be one, also what follows it without a blank.
    pub(crate) fn shown(self, is_known: bool) -> String {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let name = self.key.split(|c| !is_name(c)).next().unwrap_or_default();
        let holds = |part: &&str| self.key.contains(*part);
        let may_be_secret = match self.key {
            "password_file" | "psk_file" => false,
            _ => ["pass", "psk", "_opt_", "secret", "token", "identity"].iter().any(holds),
        };
        let is_flag = self.flag().is_some();
        match self.value {
            "" if name == self.key => name.into(),
            value if is_known && (!may_be_secret || is_flag) => format!("{} {value}", self.key),
            _ => format!("{name} …"),
        }
    }
}

/// What is said of a line; `None`: it is not known.
pub(crate) type Said = Option<(Fate, String)>;

/// It stands in our configuration, by this name.
pub(crate) fn taken(words: impl Into<String>) -> Said {
    Some((Fate::Taken, words.into()))
}

/// It need not be said.
pub(crate) fn always(words: &str) -> Said {
    Some((Fate::Always, words.into()))
}

/// It is not there.
pub(crate) fn missing(words: &str) -> Said {
    Some((Fate::Missing, words.into()))
}

/// It is not there, and a person is to decide what guards instead.
pub(crate) fn undecided(words: &str) -> Said {
    Some((Fate::Undecided, words.into()))
}

/// Takes yes or no. Where both were said, or neither: no, and a person decides.
pub(crate) fn decide(slot: &mut Option<bool>, line: Line<'_>, name: &str) -> Said {
    let before = *slot;
    match (line.flag(), before) {
        (Some(now), None) => *slot = Some(now),
        (Some(now), Some(before)) if now == before => (),
        (Some(_), _) => {
            *slot = Some(false);
            return undecided("both true and false are said: false, meanwhile");
        }
        (None, _) => {
            *slot = Some(false);
            return undecided("neither true nor false: false, meanwhile");
        }
    }
    taken(name)
}

/// Text as TOML.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
