//! `tidewire reload`: has a running broker take over other settings. Reads none of them itself.

use clap::Args;
use serde_json::Value;

use super::told::text;
use crate::cli::remote::{Remote, Trouble};
use crate::config::Sources;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Reload {
    /// Say what it would do, and change nothing. Whether addresses are free is not tried.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

/// What there is to say, and whether all is well.
pub(super) fn run(asked: &Reload, sources: &Sources) -> Result<(String, bool), Trouble> {
    let path = if asked.dry_run { "/api/v1/reload?dry_run=true" } else { "/api/v1/reload" };
    let done = asked.remote.open(sources)?.order(path)?;
    Ok((if asked.remote.json { done.to_string() } else { words(&done, asked.dry_run) }, true))
}

/// A line for each setting that is not what it was.
fn words(done: &Value, is_tried: bool) -> String {
    let mut lines = Vec::new();
    let at_once = if is_tried { "would be in force" } else { "in force now" };
    for (field, head) in [("applied", at_once), ("needs_restart", "after a restart")] {
        for change in done[field].as_array().into_iter().flatten() {
            let [setting, old, new] = ["setting", "old", "new"].map(|name| text(change, name));
            lines.push(format!("{head}: {setting}: {old} -> {new}"));
        }
    }
    if lines.is_empty() { "no setting is another than before".into() } else { lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::words;

    #[test]
    fn each_setting_that_changed_is_a_line() {
        let none = json!([]);
        let nothing = json!({ "applied": none, "needs_restart": none });
        assert_eq!(words(&nothing, false), "no setting is another than before");
        let applied = json!([{ "setting": "mqtt.receive_max", "old": "1000", "new": "7" }]);
        let later = json!([{ "setting": "threads.cores", "old": "0", "new": null }]);
        let done = json!({ "applied": applied, "needs_restart": later });
        let expected = "in force now: mqtt.receive_max: 1000 -> 7\n\
                        after a restart: threads.cores: 0 -> -";
        assert_eq!(words(&done, false), expected);
        let tried = words(&done, true);
        assert!(tried.starts_with("would be in force: mqtt.receive_max: 1000 -> 7\n"), "{tried}");
    }
}
