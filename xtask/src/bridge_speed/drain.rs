//! A backlog that leaves: the broker is started with a bridge that begins with all that the log
//! holds, and the other side is watched until nothing comes any more.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::kafka_speed::figures::Reading;
use crate::kafka_speed::wire::Client;
use crate::places::Places;
use crate::processor::SERVER;
use crate::servers::Server;

/// How often the other side is asked.
const LOOK: Duration = Duration::from_millis(20);
/// Nothing has come for so long: all is there.
const QUIET: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(600);

/// How it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Link,
    Export,
    ToApache,
}

/// Has all of it go there. Each round's bridge has a name of its own, and so no position yet.
pub(super) fn drain(
    places: &Places,
    source: &Path,
    to: &Server,
    (way, topic): (Way, &str),
    (round, messages): (usize, usize),
) -> Result<Reading, String> {
    let name = format!("{way:?}-{round}");
    let settings = match way {
        Way::Link => format!(
            "[[bridge.link]]\nname = \"{name}\"\naddresses = [\"{}\"]\nstart = \"earliest\"\n\
             rules = [{{ direction = \"out\", filter = \"#\", qos = 1 }}]\n",
            to.mqtt
        ),
        Way::Export | Way::ToApache => format!(
            "[[bridge.export]]\nname = \"{name}\"\nstart = \"earliest\"\ntopic = \"{topic}\"\n\
             cluster = {{ addresses = [\"{}\"] }}\n",
            to.kafka
        ),
    };
    let mut client = Client::connect(to.kafka)?;
    client.partitions(topic)?;
    let mut there = || -> Result<usize, String> {
        let ends: i64 = client.positions(topic)?.iter().map(|it| it.end).sum();
        Ok(usize::try_from(ends).unwrap_or(0))
    };
    let before = there()?;
    let server = Server::tidewire(&places.released_broker(), source, &settings, SERVER)?;
    let (since, mut count) = (Instant::now(), 0);
    let (mut at, mut busy) = (since, Duration::ZERO);
    while count < messages || at.elapsed() < QUIET {
        thread::sleep(LOOK);
        let now = there()?.saturating_sub(before);
        if now != count {
            (count, at, busy) = (now, Instant::now(), server.processor_time()?);
        }
        if since.elapsed() > PATIENCE {
            return Err(format!("{count} of {messages} are there after {PATIENCE:?}"));
        }
    }
    server.stop()?;
    Ok(Reading { took: at - since, processor_time: busy, messages: messages as u64, bytes: 0 })
}
