//! Does anything that bytes can do harm the codec or the broker? Short runs of what
//! `cargo xtask fuzz` does for as long as one likes.

use std::env;
use std::time::Duration;

use tidewire_tests::broker::Broker;
use tidewire_tests::fuzz::kafka::KafkaPeer;
use tidewire_tests::fuzz::session::Session;
use tidewire_tests::fuzz::{Corpus, Plan, Report, codec, kafka, resident_bytes, run};
use tidewire_tests::places::source_root;

const SHORT: Duration = Duration::from_secs(6);
/// What bytes of strangers may cost at most, whatever they say.
const MEMORY_BYTES_MAX: u64 = 512 * 1024 * 1024;

fn corpus(target: &str) -> Corpus {
    Corpus::read(&source_root().join("tests/fuzz/corpus").join(target).with_extension("hex"))
}

/// Tells how it went; keeps what was found where `cargo xtask fuzz` asks for it.
fn tell(target: &str, plan: Plan, report: Report, corpus: &Corpus) {
    let Report { inputs, outcomes, corpus: kept } = report;
    println!("fuzz {target}: {inputs} inputs in {:?}, seed {}", plan.time, plan.seed);
    println!("fuzz {target}: {outcomes} different outcomes, {kept} inputs kept");
    assert!(inputs > 100 && outcomes > 50, "a run that sees nothing proves nothing");
    if env::var_os("TIDEWIRE_FUZZ_KEEP").is_some() {
        corpus.save();
    }
}

#[test]
fn no_bytes_break_the_codec() {
    let plan = Plan::of_environment(SHORT);
    let mut corpus = corpus("codec");
    let report = run(plan, &mut corpus, codec::target);
    tell("codec", plan, report, &corpus);
    let memory = resident_bytes(std::process::id()).expect("this program runs");
    assert!(memory < MEMORY_BYTES_MAX, "{memory} bytes");
}

#[test]
fn no_bytes_break_the_broker() {
    let plan = Plan::of_environment(SHORT);
    let broker = Broker::start();
    let mut corpus = corpus("session");
    let mut session = Session::new(broker.address());
    let report = run(plan, &mut corpus, |input| session.target(input));
    tell("session", plan, report, &corpus);
    let memory = broker.memory_bytes();
    println!("fuzz session: the broker holds {} MiB", memory >> 20);
    assert!(memory < MEMORY_BYTES_MAX, "{memory} bytes");
}

#[test]
fn no_bytes_break_the_kafka_port() {
    let plan = Plan::of_environment(SHORT);
    let broker = Broker::start();
    let mut corpus = corpus("kafka").with(kafka::seeds());
    let mut peer = KafkaPeer::new(broker.kafka_address());
    let report = run(plan, &mut corpus, |input| peer.target(input));
    tell("kafka", plan, report, &corpus);
    let memory = broker.memory_bytes();
    println!("fuzz kafka: the broker holds {} MiB", memory >> 20);
    assert!(memory < MEMORY_BYTES_MAX, "{memory} bytes");
}
