//! Does the broker deliver what a model of MQTT delivers? Random histories of clients that come,
//! go, subscribe and publish; after each step everybody has exactly what the model says.

mod history;
mod rules;

use std::env;
use std::time::{Duration, Instant};

use history::History;
use tidewire_tests::configured::Configured;

/// The first history that fails names its seed; `TIDEWIRE_MODEL_SEED` begins there.
#[test]
fn random_histories_deliver_what_the_model_delivers() {
    let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("TIDEWIRE_MODEL_SEED").unwrap_or(1);
    let time = Duration::from_secs(number("TIDEWIRE_MODEL_SECONDS").unwrap_or(8));
    // With one core what was published before a SUBSCRIBE is handed out before it.
    let broker = Configured::new("[threads]\ncores = 1\n").start();
    let since = Instant::now();
    let (mut seed, mut steps) = (first, 0);
    while since.elapsed() < time {
        let mut history = History::new(broker.address(), seed);
        steps += history.play();
        history.clear();
        seed += 1;
    }
    println!("model: {} histories from seed {first}, {steps} steps", seed - first);
    assert!(steps > 100, "a history without steps proves nothing");
}
