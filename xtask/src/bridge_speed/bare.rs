//! The bare producer: a test of the bridges' own crate, which writes what lies in its memory.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::kafka_speed::figures::Reading;
use crate::places::Places;
use crate::processor::SERVER;
use crate::servers::Server;

const TEST: &str = "exports::tests::bare::a_bare_producer_writes_what_lies_in_memory";

/// Has it write about so many messages into a topic.
pub(super) fn produce(
    places: &Places,
    to: &Server,
    topic: &str,
    messages: usize,
) -> Result<Reading, String> {
    let mut command = Command::new("taskset");
    command.args(["-c", &SERVER.to_string()]).arg(places.cargo());
    command.args(["test", "--release", "--quiet", "--package", "tidewire-bridge", "--lib", "--"]);
    command.args(["--exact", TEST, "--nocapture"]).current_dir(places.root());
    command.env("TIDEWIRE_BARE_TARGET", to.kafka.to_string());
    command.env("TIDEWIRE_BARE_TOPIC", topic);
    command.env("TIDEWIRE_BARE_MESSAGES", messages.to_string());
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().find_map(figures).ok_or_else(|| format!("the bare producer: {said}"))
}

/// `bare MESSAGES MICROSECONDS MICROSECONDS`
fn figures(line: &str) -> Option<Reading> {
    let mut numbers = line.strip_prefix("bare ")?.split(' ').map(str::parse::<u64>);
    let mut number = || numbers.next()?.ok();
    Some(Reading {
        messages: number()?,
        took: Duration::from_micros(number()?),
        processor_time: Duration::from_micros(number()?),
        bytes: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::figures;

    #[test]
    fn its_figures_are_found_in_what_it_says() {
        let reading = figures("bare 1000 2000000 500").expect("figures");
        assert_eq!((reading.messages, reading.took.as_secs()), (1000, 2));
        assert!(figures("running 1 test").is_none() && figures("bare 1 2").is_none());
    }
}
