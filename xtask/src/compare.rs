//! `cargo xtask compare`: the same load on this broker and on others, by turns, and the ratios.
//! The load and its figures are `tidewire bench`'s.

mod bare_sync;
mod brokers;
mod contenders;
mod figures;
mod peers;
mod workloads;

use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::output::{announce, note};
use crate::places::Places;
use crate::processor::CLIENT;
use crate::release;

use contenders::{Certificates, Contender};
use figures::{Figures, Table};
use workloads::Load;

pub(crate) use brokers::Running;
pub(crate) use workloads::chosen;

/// Medians are of so many rounds, unless the command line says otherwise.
const ROUNDS: usize = 5;
/// Between what warms a broker and what counts, so that nothing is left of the one to be done.
const REST: Duration = Duration::from_secs(2);

/// Reads `[WORKLOAD…] [--rounds N]`, installs peers, and prints a table for each workload.
pub(crate) fn all(places: &Places, words: &[&str]) -> Result<(), String> {
    let (names, rounds) = asked(words)?;
    let loads = chosen(&names)?;
    release::build(places)?;
    announce("peers");
    let peers = peers::install(places)?;
    let certificates = Certificates::make(places)?;
    for load in loads {
        announce(&format!("{} ({rounds} rounds)", load.name));
        let contenders = contenders::of(load, &peers, &certificates);
        let table = rounds_of(places, &contenders, load, rounds)?;
        note(&table.to_string());
    }
    Ok(())
}

fn asked<'a>(words: &[&'a str]) -> Result<(Vec<&'a str>, usize), String> {
    let (mut names, mut rounds, mut words) = (Vec::new(), ROUNDS, words.iter());
    while let Some(word) = words.next() {
        match *word {
            "--rounds" => {
                let number = words.next().ok_or("--rounds needs a number")?;
                let number = number.parse().ok().filter(|number| *number > 0);
                rounds = number.ok_or("--rounds needs a number above 0")?;
            }
            name => names.push(name),
        }
    }
    Ok((names, rounds))
}

/// Every broker once a round, each with an empty folder; before them how long a bare sync takes.
fn rounds_of(
    places: &Places,
    contenders: &[Contender<'_>],
    load: &Load,
    rounds: usize,
) -> Result<Table, String> {
    let names = contenders.iter().map(|contender| contender.name.as_str());
    let mut table = Table::new(names);
    for _ in 0..rounds {
        table.add_sync(bare_sync::median(places, Duration::ZERO)?);
        if let Some(every) = load.single_syncs_every() {
            table.add_paced_sync(bare_sync::median(places, every)?);
        }
        for (column, contender) in contenders.iter().enumerate() {
            let broker = Running::start_contender(places, contender)?;
            if load.is_warmed {
                let _not_counted = measure(places, &broker, contender, workloads::WARM_UP)?;
                thread::sleep(REST);
            }
            let figures = measure(places, &broker, contender, contender.words)?;
            broker.stop()?;
            table.add(column, figures);
        }
    }
    Ok(table)
}

fn measure(
    places: &Places,
    broker: &Running,
    contender: &Contender<'_>,
    load: &[&str],
) -> Result<Figures, String> {
    let mut bench = Command::new("taskset");
    bench.args(["-c", &CLIENT.to_string()]).arg(places.released_broker()).arg("bench");
    bench.args(load).args(["--json", "--pid", &broker.id().to_string()]);
    match contender.certificates {
        Some(certificates) => {
            bench.args(["--to", &format!("mqtts://{}", broker.address())]);
            bench.arg("--cafile").arg(certificates.authority());
        }
        None => {
            bench.args(["--to", &broker.address().to_string()]);
        }
    }
    let output = bench.output().map_err(|error| format!("taskset: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Figures::read(&text).map_err(|problem| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("{}: {problem}: {}", contender.name, errors.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::{ROUNDS, asked};

    #[test]
    fn workloads_and_rounds_are_read_in_any_order() {
        assert_eq!(asked(&[]), Ok((vec![], ROUNDS)));
        assert_eq!(
            asked(&["sync", "--rounds", "3", "shared-1"]),
            Ok((vec!["sync", "shared-1"], 3))
        );
        assert!(asked(&["--rounds"]).is_err() && asked(&["--rounds", "0"]).is_err());
    }
}
