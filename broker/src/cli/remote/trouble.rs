//! Why a command got nowhere: what it says, and whose fault it is. Plain data.

/// Why a command got nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// What is wrong, and what to try.
    pub(crate) words: String,
    /// The command or the configuration is wrong: no broker was asked.
    pub(crate) is_usage: bool,
    /// What the broker calls it, if it said no.
    pub(crate) code: Option<String>,
}

impl Trouble {
    pub(crate) fn usage(words: impl Into<String>) -> Self {
        Self { words: words.into(), is_usage: true, code: None }
    }

    pub(crate) fn broker(words: impl Into<String>) -> Self {
        Self { words: words.into(), is_usage: false, code: None }
    }
}
