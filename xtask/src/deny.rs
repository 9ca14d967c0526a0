//! `cargo deny`, where it is installed: licences, bans and sources always, advisories where their
//! data can be had. Never installs or configures it; `deny.toml` says what is let in.

use std::process::{Command, Stdio};

use crate::output::note;
use crate::places::Places;

const OFFLINE: &str = "deny --all-features --offline check bans licenses sources";
const ALL: &str = "deny --all-features check";

/// What to run, in the words of cargo; `None` where it is not installed.
pub(crate) fn words(places: &Places) -> Option<&'static str> {
    let chosen = choose(|words| {
        let mut command = Command::new(places.cargo());
        command.args(words.split(' ')).current_dir(places.root()).stdin(Stdio::null());
        let ended = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        ended.is_ok_and(|status| status.success())
    });
    match chosen {
        None => {
            note("not installed: a test looks at licences, bans and sources, nobody at advisories")
        }
        Some(OFFLINE) => note("the advisories cannot be had: they are not looked at"),
        Some(_) => (),
    }
    chosen
}

fn choose(succeeds: impl Fn(&str) -> bool) -> Option<&'static str> {
    if !succeeds("deny --version") {
        return None;
    }
    Some(if succeeds("deny fetch db") { ALL } else { OFFLINE })
}

#[cfg(test)]
mod tests {
    use super::{ALL, OFFLINE, choose};

    #[test]
    fn advisories_are_asked_for_where_they_can_be_had() {
        assert_eq!(choose(|_| false), None);
        assert_eq!(choose(|words| words != "deny fetch db"), Some(OFFLINE));
        assert_eq!(choose(|_| true), Some(ALL));
    }
}
