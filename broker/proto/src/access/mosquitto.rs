//! Access files of Mosquitto: `user`, `topic` and `pattern` lines. Never reads a file.

use super::action::Actions;
use super::filter::RuleFilter;
use super::rule::{AccessError, Condition, Effect, Parsed, Rule};

/// Reads a file's text. What stands before the first `user` is for clients without a user.
///
/// # Errors
/// The first line that is wrong.
pub fn parse_mosquitto(text: &str) -> Result<Parsed, AccessError> {
    let mut parsed = Parsed::default();
    let mut user = Condition::Anonymous;
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let wrong = |words: &str| AccessError { line, words: words.into() };
        let (key, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        let who = match key {
            "user" if rest.is_empty() => return Err(wrong("`user` without a name")),
            "user" => {
                user = Condition::User(rest.into());
                continue;
            }
            "topic" => vec![user.clone()],
            "pattern" => Vec::new(),
            _ => return Err(wrong("a line begins with user, topic or pattern")),
        };
        let (effect, actions, filter) = split_access(rest).map_err(|words| wrong(&words))?;
        let filter = RuleFilter::read(filter, key == "pattern").map_err(|words| wrong(&words))?;
        let text = text.into();
        parsed.rules.push(Rule { file: 0, line, text, effect, who, actions, filter });
    }
    Ok(parsed)
}

/// The word before a topic, if there is one: without it, reading and writing is allowed.
/// A topic with blanks needs the word: what is none may be one that was meant to deny.
fn split_access(text: &str) -> Result<(Effect, Actions, &str), String> {
    let Some((word, filter)) = text.split_once(char::is_whitespace) else {
        return Ok((Effect::Allow, Actions::TOPICS, text));
    };
    let (effect, actions) = match word {
        "read" => (Effect::Allow, Actions::READ),
        "write" => (Effect::Allow, Actions::WRITE),
        "readwrite" => (Effect::Allow, Actions::TOPICS),
        "deny" => (Effect::Deny, Actions::TOPICS),
        other => return Err(format!("{other:?} is none of read, write, readwrite, deny")),
    };
    Ok((effect, actions, filter.trim_start()))
}
