//! `tidewire health`: whether a running broker may be given work, for people and for what looks
//! after containers. Changes nothing.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::remote::{Probe, Trouble};
use crate::cli::span;
use crate::config::Sources;

const EXIT_CODES: &str = "\
Exit codes: 0 ready (with --live: alive), 1 not, or no answer, or no such port.
In a container: HEALTHCHECK CMD [\"tidewire\", \"health\"]";

#[derive(Clone, Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(in crate::cli) struct Health {
    /// Ask only whether it runs, as /healthz says it, not whether it may be given work.
    #[arg(long)]
    live: bool,
    /// The broker's HTTP port; without it, the one of the configuration.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The authorities to believe, for https://; without it and --url, any certificate will do.
    #[arg(long, value_name = "FILE")]
    cafile: Option<PathBuf>,
    /// Our certificate, for https:// where clients show one.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// So long each answer may take.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = span::parse)]
    timeout: Duration,
    /// One JSON document instead of words.
    #[arg(long)]
    json: bool,
}

/// What there is to say, and whether all is well. There is nothing that is wrong usage: what looks
/// after containers knows 0 and 1 alone.
pub(super) fn run(health: &Health, sources: &Sources) -> Result<(String, bool), Trouble> {
    health.look(sources).map_err(|trouble| Trouble::broker(trouble.words))
}

impl Health {
    fn look(&self, sources: &Sources) -> Result<(String, bool), Trouble> {
        let shown = self.cert.as_deref().zip(self.key.as_deref());
        let files = (self.cafile.as_deref(), shown);
        let probe = Probe::open(self.url.as_deref(), files, self.timeout, sources)?;
        let (alive, said) = probe.ask("/healthz")?;
        let is_alive = alive == 200 && said["status"] == "alive";
        if self.live || !is_alive {
            let words = if is_alive { "alive" } else { "what answers is no broker" };
            return Ok((self.shown(&said, words.into()), is_alive));
        }
        let (ready, report) = probe.ask("/readyz")?;
        let is_ready = ready == 200;
        Ok((self.shown(&report, words(&report)), is_ready))
    }

    fn shown(&self, said: &Value, words: String) -> String {
        if self.json { json!(said).to_string() } else { words }
    }
}

/// `ready`, or a line for each reason.
fn words(report: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    let mut words = text(&report["status"]);
    for reason in report["reasons"].as_array().into_iter().flatten() {
        let _ = write!(words, "\n  {}: {}", text(&reason["code"]), text(&reason["detail"]));
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::words;

    #[test]
    fn each_reason_is_a_line() {
        assert_eq!(words(&json!({ "status": "ready", "reasons": [] })), "ready");
        let reasons = json!([{ "code": "disk_full", "detail": "no room", "blocks": true }]);
        let report = json!({ "status": "unready", "reasons": reasons });
        assert_eq!(words(&report), "unready\n  disk_full: no room");
    }
}
