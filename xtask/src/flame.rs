//! `cargo xtask flame`: where the broker's time goes under a load, as a picture. The load is
//! `tidewire bench`'s, the samples are `perf`'s.

mod draw;
mod fold;

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::compare::{Running, chosen};
use crate::output::{announce, note, run};
use crate::places::Places;
use crate::processor::CLIENT;
use crate::release;

use fold::Stacks;

/// What is looked at, unless something else is named.
const USUAL: &str = "fan-in-1";
/// Seconds that are measured, after one that is not.
const SECONDS: &str = "20";
/// No multiple of a timer's rate: what goes by a timer would be seen always or never.
const SAMPLES_A_SECOND: &str = "997";
/// Frame pointers are not in a release: each sample has a piece of the stack.
const CALLS: &str = "dwarf,8192";

/// Reads `[WORKLOAD]`, and writes `docs/flame-WORKLOAD.svg`.
pub(crate) fn all(places: &Places, words: &[&str]) -> Result<(), String> {
    let name = match words {
        [] => USUAL,
        [name] => name,
        _ => return Err("flame takes the name of one workload".to_owned()),
    };
    let load = chosen(&[name])?.swap_remove(0);
    release::build(places)?;
    announce(&format!("samples of {name}"));
    let broker = Running::start_ours(places)?;
    let data = places.tools().join("flame.data");
    let mut bench = Command::new("taskset");
    bench.args(["-c", &CLIENT.to_string()]).arg(places.released_broker());
    bench.arg("bench").args(load.words);
    bench.args(["--to", &broker.address().to_string(), "--seconds", SECONDS, "--warm-up", "1"]);
    let mut bench = bench.spawn().map_err(|error| format!("taskset: {error}"))?;
    let sampled = sample(&broker, &data.display().to_string());
    let ended = bench.wait().map_err(|error| error.to_string());
    broker.stop()?;
    sampled?;
    if !ended?.success() {
        return Err("the load failed".to_owned());
    }
    let stacks = read(&data.display().to_string())?;
    fs::remove_file(&data).map_err(|error| error.to_string())?;
    let file = places.root().join(format!("docs/flame-{name}.svg"));
    let title = format!("tidewire under {name}: processor time, {} samples", stacks.samples());
    fs::write(&file, draw::svg(&title, &stacks))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    note(&format!("written: {}", file.display()));
    print!("{}", stacks.heaviest(25));
    Ok(())
}

fn sample(broker: &Running, data: &str) -> Result<(), String> {
    let mut perf = Command::new("perf");
    perf.args(["record", "-q", "-F", SAMPLES_A_SECOND, "--call-graph", CALLS]);
    perf.args(["-e", "cpu-clock", "-o", data, "-p", &broker.id().to_string()]);
    perf.args(["--", "sleep", SECONDS]);
    run(&mut perf).map_err(|e| format!("{e}. Install it:  sudo apt-get install linux-perf"))
}

fn read(data: &str) -> Result<Stacks, String> {
    let mut perf = Command::new("perf");
    perf.args(["script", "--no-inline", "-F", "comm,ip,sym", "-i", data]);
    let child: Child = perf
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("perf: {error}"))?;
    let output = child.wait_with_output().map_err(|error| format!("perf: {error}"))?;
    let stacks = Stacks::read(&String::from_utf8_lossy(&output.stdout));
    match stacks.samples() {
        0 => Err("perf saw nothing".to_owned()),
        _ => Ok(stacks),
    }
}
