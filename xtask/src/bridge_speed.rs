//! `cargo xtask bridge-speed`: how fast a backlog leaves by a link and by an export, beside a
//! subscriber that reads the same; and what an exported message costs beside a bare producer of
//! the same client. The other side allows a link as many messages on their way as it would have,
//! and has taken as many messages before: a broker whose folder is new makes its log files
//! meanwhile, which it uses again and again from then on. Never a part of the tests.

mod bare;
mod drain;
mod subscriber;

use std::fs;
use std::path::{Path, PathBuf};

use crate::kafka_speed::figures::{Reading, Rounds, line};
use crate::kafka_speed::load;
use crate::output::{announce, note};
use crate::places::Places;
use crate::processor::{CLIENT as SECOND, SERVER as FIRST};
use crate::release;
use crate::servers::Server;
use crate::setup::apache;

use drain::{Way, drain};

const ROUNDS: usize = 3;
const MESSAGES: usize = 1_000_000;
/// What a backlog is to leave at, of the rate of a subscriber.
const HALF: f64 = 0.5;
/// Of the other side: with as few as it allows as it comes, a link waits for its answers.
const THERE: &str = "[mqtt]\nreceive_max = 10000\n";

/// What is measured.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    rounds: usize,
    messages: usize,
    /// Exports also to Apache Kafka.
    has_apache: bool,
}

/// Reads `[--rounds N] [--messages N] [--apache]`, and prints what came of each.
pub(crate) fn all(places: &Places, words: &[&str]) -> Result<(), String> {
    let asked = asked(words)?;
    release::build(places)?;
    let folder = places.tools().join("bridge-speed");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let measured = measure(places, &folder, &asked);
    fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    measured
}

fn asked(words: &[&str]) -> Result<Asked, String> {
    let mut asked = Asked { rounds: ROUNDS, messages: MESSAGES, has_apache: false };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let number = words.next().and_then(|word| word.parse().ok());
            number.filter(|number| *number > 0).ok_or(format!("{word} needs a number above 0"))
        };
        match *word {
            "--rounds" => asked.rounds = number()?,
            "--messages" => asked.messages = number()?,
            "--apache" => asked.has_apache = true,
            unknown => {
                return Err(format!("{unknown}: there are --rounds, --messages, --apache"));
            }
        }
    }
    Ok(asked)
}

/// What one round found.
#[derive(Default)]
struct Round {
    subscriber: Reading,
    link: Reading,
    export: Reading,
    bare: Reading,
    /// The same two, to Apache Kafka.
    apache: Option<(Reading, Reading)>,
}

fn measure(places: &Places, folder: &Path, asked: &Asked) -> Result<(), String> {
    announce(&format!("publish {} messages over MQTT", asked.messages));
    let source = filled(places, &folder.join("source"), asked.messages)?;
    let jars = asked.has_apache.then(|| apache::install(places)).transpose()?;
    let mut rounds = Vec::new();
    for number in 0..asked.rounds {
        announce(&format!("round {} of {}", number + 1, asked.rounds));
        let mut round = Round::default();
        let server = Server::tidewire(&places.released_broker(), &source, "", FIRST)?;
        round.subscriber = subscriber::read(&server, asked.messages)?;
        server.stop()?;
        let run = (number, asked.messages);
        let there = || {
            let folder = filled(places, &folder.join("there"), asked.messages)?;
            Server::tidewire(&places.released_broker(), &folder, THERE, SECOND)
        };
        let leave = |way, to: &Server, topic| drain(places, &source, to, (way, topic), run);
        round.link = with(there()?, |to| leave(Way::Link, to, "mqtt"))?;
        round.export = with(there()?, |to| leave(Way::Export, to, "mqtt"))?;
        let bare = |to: &Server, topic| bare::produce(places, to, topic, asked.messages);
        round.bare = with(there()?, |to| bare(to, "mqtt"))?;
        if let Some(jars) = &jars {
            let to = Server::apache(jars, &fresh(&folder.join("there"))?, SECOND)?;
            round.apache = Some((leave(Way::ToApache, &to, "copy")?, bare(&to, "bare")?));
        }
        say(&round);
        rounds.push(round);
    }
    report(&rounds);
    Ok(())
}

/// An empty folder.
fn fresh(folder: &Path) -> Result<PathBuf, String> {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    Ok(folder.to_path_buf())
}

/// A broker's folder with so many messages.
fn filled(places: &Places, folder: &Path, messages: usize) -> Result<PathBuf, String> {
    let folder = fresh(folder)?;
    let server = Server::tidewire(&places.released_broker(), &folder, "", FIRST)?;
    load::fill(server.mqtt, messages)?;
    server.stop()?;
    Ok(folder)
}

fn with<T>(server: Server, work: impl FnOnce(&Server) -> Result<T, String>) -> Result<T, String> {
    let done = work(&server)?;
    server.stop()?;
    Ok(done)
}

fn say(round: &Round) {
    let speed = |reading: &Reading| reading.messages_per_second() / 1e3;
    note(&format!(
        "thousand messages/s: subscriber {:.0}, link {:.0}, export {:.0}, bare producer {:.0}",
        speed(&round.subscriber),
        speed(&round.link),
        speed(&round.export),
        speed(&round.bare),
    ));
}

/// A figure below what is aimed at is said, and is no failure of who measures it.
fn report(rounds: &[Round]) {
    let pairs = |of: &dyn Fn(&Round) -> Option<(Reading, Reading)>| -> Vec<_> {
        rounds.iter().filter_map(of).collect()
    };
    let speed = |reading: &Reading| reading.messages_per_second() / 1e3;
    let settings = THERE.replace('\n', " ");
    note(&format!("the other side has taken as many before, and has {}", settings.trim_end()));
    for (name, of) in [
        ("link, and a subscriber", (|round: &Round| round.link) as fn(&Round) -> Reading),
        ("export, and a subscriber", |round| round.export),
    ] {
        let pairs = pairs(&|round| Some((of(round), round.subscriber)));
        announce(name);
        note(&line("thousand messages/s", &pairs, speed));
        let ratio = Rounds::of(pairs.iter().map(|(ours, theirs)| speed(ours) / speed(theirs)));
        let word = if ratio.median() < HALF { "less than half" } else { "half or more" };
        note(&format!("{word} of the subscriber's rate: {:.2}", ratio.median()));
    }
    let ours = pairs(&|round| Some((round.export, round.bare)));
    let apache = pairs(&|round| round.apache);
    for (name, pairs) in [("another Tidewire", ours), ("Apache Kafka", apache)] {
        if pairs.is_empty() {
            continue;
        }
        announce(&format!("export to {name}, and a bare producer"));
        note(&line("thousand messages/s", &pairs, speed));
        note(&line("CPU, ns each message", &pairs, Reading::each_ns));
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, MESSAGES, ROUNDS, asked};

    #[test]
    fn numbers_are_read_in_any_order() {
        let as_it_comes = Asked { rounds: ROUNDS, messages: MESSAGES, has_apache: false };
        assert_eq!(asked(&[]), Ok(as_it_comes));
        let some = Asked { rounds: 5, messages: 10, has_apache: true };
        assert_eq!(asked(&["--messages", "10", "--apache", "--rounds", "5"]), Ok(some));
        assert!(asked(&["--rounds"]).is_err() && asked(&["speed"]).is_err());
    }
}
