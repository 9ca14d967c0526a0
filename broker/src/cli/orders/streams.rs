//! `tidewire streams`: the parts of the log, and what each holds. Changes nothing.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::table::{Table, number as numbers, words};
use super::told::{length, number, text};
use crate::cli::remote::{Api, Remote, Trouble, coded};
use crate::cli::wording::size;
use crate::config::Sources;

/// How long the bar of the largest partition is.
const CELLS: u64 = 20;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Streams {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Which there are, and what they hold (what `tidewire streams` alone does, too).
    Ls,
    /// One stream, partition by partition.
    Show {
        /// Its name.
        stream: String,
    },
}

/// What there is to say, and whether all is well.
pub(super) fn run(asked: &Streams, sources: &Sources) -> Result<(String, bool), Trouble> {
    let api = asked.remote.open(sources)?;
    let said = match &asked.verb {
        None | Some(Verb::Ls) => ls(&api, asked.remote.json)?,
        Some(Verb::Show { stream }) => show(&api, stream, asked.remote.json)?,
    };
    Ok((said, true))
}

fn ls(api: &Api, json: bool) -> Result<String, Trouble> {
    let found = api.get("/api/v1/streams")?;
    if json {
        return Ok(found.to_string());
    }
    let mut table = Table::new([
        words("STREAM"),
        numbers("PARTITIONS"),
        numbers("RECORDS"),
        numbers("BYTES"),
        words("KEEPS"),
        words("DURABILITY"),
        words("REFUSES"),
    ]);
    for one in found["items"].as_array().into_iter().flatten() {
        let refuses = partitions(one).iter().any(|it| it["refuses"] == true);
        table.push([
            text(one, "name"),
            partitions(one).len().to_string(),
            text(one, "records"),
            size(number(one, "bytes")),
            keeps(one),
            text(one, "durability"),
            if refuses { "yes" } else { "no" }.into(),
        ]);
    }
    Ok(table.text())
}

fn partitions(stream: &Value) -> &[Value] {
    stream["partitions"].as_array().map_or(&[], Vec::as_slice)
}

/// What retention leaves, in words.
fn keeps(stream: &Value) -> String {
    let age = stream["retention_ms"].as_u64().map(|ms| length(ms / 1000));
    let bytes = stream["retention_bytes"].as_u64().map(size);
    let newest = (stream["compact"] == true).then(|| "newest of each key".to_owned());
    let parts: Vec<String> = [age, bytes, newest].into_iter().flatten().collect();
    if parts.is_empty() { "everything".into() } else { parts.join(", ") }
}

fn show(api: &Api, stream: &str, json: bool) -> Result<String, Trouble> {
    let found = api.get(&format!("/api/v1/streams/{}", coded(stream)))?;
    if json {
        return Ok(found.to_string());
    }
    let hold = found["hold_bytes"].as_u64().map_or_else(|| "any number of bytes".into(), size);
    let head = format!(
        "{}: acknowledged on {}; keeps {}; holds {hold} for readers, then {}",
        text(&found, "name"),
        text(&found, "durability"),
        keeps(&found),
        text(&found, "at_hold_limit").replace('_', " "),
    );
    let mut table = Table::new([
        numbers("PARTITION"),
        numbers("FIRST-OFFSET"),
        numbers("LOG-END-OFFSET"),
        numbers("RECORDS"),
        numbers("BYTES"),
        words("SIZE"),
    ]);
    let most = partitions(&found).iter().map(|one| number(one, "bytes")).max().unwrap_or(0);
    for one in partitions(&found) {
        table.push([
            text(one, "partition"),
            text(one, "first_offset"),
            text(one, "end_offset"),
            text(one, "records"),
            size(number(one, "bytes")),
            bar(number(one, "bytes"), most),
        ]);
    }
    Ok(format!("{head}\n\n{}", table.text()))
}

/// As long as this is of the most.
fn bar(bytes: u64, most: u64) -> String {
    let cells = u128::from(bytes) * u128::from(CELLS) / u128::from(most.max(1));
    "█".repeat(usize::try_from(cells).unwrap_or(0).max(usize::from(bytes > 0)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{bar, keeps};

    #[test]
    fn a_bar_is_as_long_as_its_share_of_the_largest() {
        for (bytes, most, cells) in [(0, 0, 0), (1, 1000, 1), (500, 1000, 10), (9, 9, 20)] {
            assert_eq!(bar(bytes, most).chars().count(), cells, "{bytes} of {most}");
        }
    }

    #[test]
    fn what_is_kept_is_said_in_words() {
        let hour = json!({ "retention_ms": 3_600_000, "retention_bytes": 1024 });
        assert_eq!(keeps(&hour), "1h, 1.0 KiB");
        assert_eq!(keeps(&json!({ "retention_ms": null })), "everything");
        assert_eq!(keeps(&json!({ "compact": true })), "newest of each key");
    }
}
