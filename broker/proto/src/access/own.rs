//! Our own form of rules, one to a line:
//!
//! ```text
//! group operators = ann bob
//! group plant
//! allow user=ann listener=mqtts publish,subscribe plant/#
//! deny  everyone publish secrets/#
//! ```
//!
//! Never reads a file.

use super::action::Actions;
use super::filter::RuleFilter;
use super::network::Network;
use super::rule::{AccessError, Condition, Effect, Name, Parsed, Rule};
use super::words::first_word;

/// Listeners that a rule may name.
pub const LISTENERS: [&str; 7] = ["mqtt", "mqtts", "websocket", "wss", "unix", "kafka", "kafkas"];

/// Reads a file's text.
///
/// # Errors
/// The first line that is wrong: rules that are half understood would let through, or lock out.
pub fn parse_rules(text: &str) -> Result<Parsed, AccessError> {
    let mut parsed = Parsed::default();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        parse_line(line, text, &mut parsed).map_err(|words| AccessError { line, words })?;
    }
    let is_known = |group: &str| {
        let mut named = parsed.members.iter().map(|(known, _)| known).chain(&parsed.outside);
        named.any(|known| **known == *group)
    };
    for rule in &parsed.rules {
        for condition in &rule.who {
            if let Condition::Group(group) = condition
                && !is_known(group)
            {
                let words = format!("there is no `group {group} = …`, and no `group {group}`");
                return Err(AccessError { line: rule.line, words });
            }
        }
    }
    Ok(parsed)
}

fn parse_line(line: usize, text: &str, parsed: &mut Parsed) -> Result<(), String> {
    let (first, rest) = first_word(text).ok_or("a quote does not end")?;
    let effect = match first.as_str() {
        "allow" => Effect::Allow,
        "deny" => Effect::Deny,
        "group" => return parse_group(rest, parsed),
        other => return Err(format!("{other:?} is not one of allow, deny, group")),
    };
    let (mut who, mut rest, mut is_said) = (Vec::new(), rest, false);
    loop {
        let (word, after) = first_word(rest)
            .ok_or("the form is: allow|deny WHO ACTIONS FILTER, such as allow user=ann any a/#")?;
        rest = after;
        match word.split_once('=') {
            Some((key, value)) => who.push(condition(key, value)?),
            None if word == "everyone" => (),
            None if word == "anonymous" => who.push(Condition::Anonymous),
            None if !is_said => {
                return Err(format!(
                    "it does not say for whom: {word:?} is none of everyone, anonymous, user=, \
                     group=, client=, cert=, address=, listener="
                ));
            }
            None => {
                let (actions, filter) =
                    (parse_actions(&word, rest.trim())?, parse_filter(rest.trim())?);
                let text = text.into();
                parsed.rules.push(Rule { file: 0, line, text, effect, who, actions, filter });
                return Ok(());
            }
        }
        is_said = true;
    }
}

fn parse_group(text: &str, parsed: &mut Parsed) -> Result<(), String> {
    let form = "the form is: group NAME = USER USER…, or group NAME if others say who is in it";
    let (group, rest) = first_word(text).ok_or(form)?;
    if rest.trim().is_empty() && !group.is_empty() && !group.contains('=') {
        parsed.outside.push(group.as_str().into());
        return Ok(());
    }
    let rest = rest.trim_start().strip_prefix('=').ok_or(form)?;
    let (mut rest, mut count) = (rest, 0);
    while !rest.trim().is_empty() {
        let (user, after) = first_word(rest).ok_or("a quote does not end")?;
        parsed.members.push((group.as_str().into(), user.into()));
        (rest, count) = (after, count + 1);
    }
    if group.is_empty() || count == 0 { Err(form.into()) } else { Ok(()) }
}

fn condition(key: &str, value: &str) -> Result<Condition, String> {
    if value.is_empty() {
        return Err(format!("`{key}=` has no value"));
    }
    match key {
        "user" => Ok(Condition::User(value.into())),
        "group" => Ok(Condition::Group(value.into())),
        "client" => Ok(Condition::Client(Name::parse(value))),
        "cert" => Ok(Condition::Certificate(Name::parse(value))),
        "address" => Network::parse(value)
            .map(Condition::Address)
            .ok_or_else(|| format!("{value:?} is no address, and no range such as 10.0.0.0/8")),
        "listener" if LISTENERS.contains(&value) => Ok(Condition::Listener(value.into())),
        "listener" => Err(format!("{value:?} is none of {}", LISTENERS.join(", "))),
        other => Err(format!("{other:?} is none of user, group, client, cert, address, listener")),
    }
}

/// `any` is about topics: with names, too, it is for who may do anything, everywhere.
fn parse_actions(words: &str, filter: &str) -> Result<Actions, String> {
    words.split(',').try_fold(Actions::NONE, |all, word| {
        let actions = Actions::of_word(word).ok_or_else(|| {
            format!(
                "{word:?} is none of publish, retained, subscribe, shared, replay, kafka-read, \
                 kafka-write, kafka-group, kafka-transaction, kafka-admin, read, write, any"
            )
        })?;
        let is_narrow = word == "any" && filter != "#";
        Ok(all.and(if is_narrow { Actions::TOPICS } else { actions }))
    })
}

fn parse_filter(text: &str) -> Result<RuleFilter, String> {
    if text.is_empty() {
        return Err("there is no topic filter".into());
    }
    RuleFilter::read(text, true)
}

#[cfg(test)]
mod tests {
    use super::{Effect, parse_rules};

    #[test]
    fn a_line_that_is_wrong_is_named() {
        for (text, line, words) in [
            ("permit everyone any #", 1, "is not one of allow, deny, group"),
            ("# fine\n\nallow any #", 3, "does not say for whom"),
            ("allow user=ann", 1, "the form is"),
            ("allow user= any #", 1, "has no value"),
            ("allow users=ann any #", 1, "\"users\" is none of"),
            ("allow everyone sing #", 1, "\"sing\" is none of"),
            ("allow everyone any a/#/b", 1, "'#' must be"),
            ("allow everyone any", 1, "no topic filter"),
            ("allow everyone any $share/g/a", 1, "behind $share"),
            ("allow everyone any $share/g", 1, "behind $share"),
            ("deny everyone shared $queue/a", 1, "behind $queue/"),
            ("deny everyone any $exclusive/a", 1, "behind $exclusive/"),
            ("deny everyone replay $s/earliest/a", 1, "behind $s/TIME/"),
            ("deny everyone publish $delayed/#", 1, "behind $delayed/"),
            ("allow address=10.0.0.0/99 any #", 1, "is no address"),
            ("allow listener=tcp any #", 1, "is none of mqtt"),
            ("allow group=ops any #", 1, "there is no `group ops"),
            ("group ops =", 1, "the form is: group"),
            ("group", 1, "the form is: group"),
            ("group =", 1, "the form is: group"),
            ("group ops=ann", 1, "the form is: group"),
            ("group ops\nallow group=op any #", 2, "there is no `group op "),
            ("allow user=\"ann any #", 1, "the form is"),
        ] {
            let error = parse_rules(text).expect_err(text);
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(error.words.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn any_is_about_names_too_where_it_is_about_everything() {
        use crate::access::{Action, Rules, Subject, Wide};
        for (text, expected) in [
            ("allow everyone any #", true),
            ("allow everyone any reports/#", false),
            ("allow everyone any,kafka-group reports/#", true),
            ("allow everyone kafka-group reports", true),
            ("allow everyone kafka-group reports/+", false),
            ("allow everyone read,write #", false),
            ("allow everyone any #\ndeny everyone kafka-group reports", false),
            ("allow everyone any #\ndeny everyone any reports", true),
        ] {
            let rules = Rules::new(vec![parse_rules(text).expect("good rules")], Wide::Refuse);
            let rights = rules.rights(Subject::default());
            assert_eq!(rights.may(Action::KafkaGroup, "reports"), expected, "{text}");
        }
    }

    #[test]
    fn a_rule_is_read_with_all_that_it_says() {
        let text = "group ops = ann \"bob b\"\ndeny group=ops client=x* publish,replay a b/+\n";
        let parsed = parse_rules(text).expect("good rules");
        assert_eq!(parsed.members.len(), 2);
        let [rule] = &*parsed.rules else { panic!("one rule") };
        assert_eq!((rule.line, rule.effect, rule.who.len()), (2, Effect::Deny, 2));
        assert_eq!(&*rule.text, "deny group=ops client=x* publish,replay a b/+");
    }
}
