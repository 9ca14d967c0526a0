//! Access files of Mosquitto: `user`, `topic` and `pattern` lines. Never reads a file.

use crate::topic::check_filter;

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
        let (effect, actions, filter) = split_access(rest);
        check_filter(filter).map_err(|error| wrong(&format!("{filter:?}: {error}")))?;
        let filter = RuleFilter::parse(filter, key == "pattern");
        let text = text.into();
        parsed.rules.push(Rule { file: 0, line, text, effect, who, actions, filter });
    }
    Ok(parsed)
}

/// The word before a topic, if there is one: without it, reading and writing is allowed.
fn split_access(text: &str) -> (Effect, Actions, &str) {
    let both = (Effect::Allow, Actions::ANY, text);
    let Some((word, filter)) = text.split_once(char::is_whitespace) else { return both };
    let filter = filter.trim_start();
    match word {
        "read" => (Effect::Allow, Actions::READ, filter),
        "write" => (Effect::Allow, Actions::WRITE, filter),
        "readwrite" => (Effect::Allow, Actions::ANY, filter),
        "deny" => (Effect::Deny, Actions::ANY, filter),
        _ => both,
    }
}
