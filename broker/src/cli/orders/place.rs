//! Where a reader is to read on: as it is said on the command line, and as the API takes it. Knows
//! no offset.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::beginning::{Beginning, parse};
use crate::cli::remote::Trouble;
use crate::wall_clock::wall_clock_ms;

/// Where to read on.
#[derive(Clone, Debug, Args)]
pub(super) struct Place {
    /// earliest, latest, how long ago (2h), or a time (2026-11-20T11:30, UTC).
    #[arg(long, value_name = "PLACE", conflicts_with_all = ["offset", "shift"])]
    to: Option<String>,
    /// At this offset; needs --stream and --partition.
    #[arg(long, requires = "stream", requires = "partition")]
    offset: Option<u64>,
    /// So many records on, or back if it is negative.
    #[arg(long, value_name = "RECORDS", allow_hyphen_values = true, conflicts_with = "offset")]
    shift: Option<i64>,
    /// Only this stream.
    #[arg(long)]
    stream: Option<String>,
    /// Only this partition of it.
    #[arg(long, requires = "stream")]
    partition: Option<u32>,
}

impl Place {
    /// As the API takes it.
    pub(super) fn order(&self) -> Result<Map<String, Value>, Trouble> {
        let mut order = Map::new();
        match (&self.to, self.offset, self.shift) {
            (Some(to), ..) => order = named(to)?,
            (None, Some(offset), _) => {
                order.insert("offset".into(), json!(offset));
            }
            (None, None, Some(shift)) => {
                order.insert("shift".into(), json!(shift));
            }
            (None, None, None) => {
                return Err(Trouble::usage(
                    "say where: --to PLACE, --shift RECORDS, or --offset OFFSET with --stream and \
                     --partition",
                ));
            }
        }
        if let Some(stream) = &self.stream {
            order.insert("stream".into(), json!(stream));
        }
        if let Some(partition) = self.partition {
            order.insert("partition".into(), json!(partition));
        }
        Ok(order)
    }
}

/// A place that has a name: `earliest`, `latest`, a time.
pub(super) fn place(to: &str) -> Result<Value, Trouble> {
    named(to).map(Value::Object)
}

fn named(to: &str) -> Result<Map<String, Value>, Trouble> {
    let found = parse(to, wall_clock_ms());
    let found = found.map_err(|wants| Trouble::usage(format!("--to {to}: say {wants}")))?;
    let (name, value) = match found {
        Beginning::Earliest => ("to", json!("earliest")),
        Beginning::Latest => ("to", json!("latest")),
        Beginning::At(at_ms) => ("time_ms", json!(at_ms)),
    };
    Ok(Map::from_iter([(name.into(), value)]))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::{Value, json};

    use super::Place;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        place: Place,
    }

    fn order(words: &[&str]) -> Option<Value> {
        let typed = Typed::try_parse_from([&["reset"], words].concat()).ok()?;
        typed.place.order().ok().map(Value::Object)
    }

    #[test]
    fn a_place_is_said_in_one_way() {
        for (words, expected) in [
            (&["--to", "earliest"][..], Some(json!({ "to": "earliest" }))),
            (&["--to", "1970-01-02"], Some(json!({ "time_ms": 86_400_000 }))),
            (&["--shift", "-3"], Some(json!({ "shift": -3 }))),
            (
                &["--offset", "7", "--stream", "mqtt", "--partition", "0"],
                Some(json!({ "offset": 7, "stream": "mqtt", "partition": 0 })),
            ),
            (&["--offset", "7"], None),
            (&["--offset", "7", "--stream", "mqtt"], None),
            (&["--to", "latest", "--shift", "1"], None),
            (&["--to", "yesterday"], None),
            (&["--stream", "mqtt"], None),
            (&[], None),
        ] {
            assert_eq!(order(words), expected, "{words:?}");
        }
    }
}
