//! Long runs of the fuzzer: builds what it needs and says how long. Knows nothing of what it does.

use crate::check::cargo;
use crate::output::{announce, run};
use crate::places::Places;

const USAGE: &str = "cargo xtask fuzz [codec|session|kafka] [--minutes N] [--seed S]";

/// Until the time is over or something breaks; what was found goes into the corpus.
pub(crate) fn all(places: &Places, words: &[&str]) -> Result<(), String> {
    let Choice { test, seconds, seed } = choice(words)?;
    announce("fuzz: build");
    let build = "build --workspace --bins --tests --profile test";
    run(&mut cargo(places, build))?;
    announce("fuzz: random bytes, guided by what they lead to");
    let words = format!("test --quiet -p tidewire-tests --test fuzz {test} -- --nocapture");
    let mut fuzz = cargo(places, words.trim());
    fuzz.env("TIDEWIRE_FUZZ_SECONDS", seconds.to_string()).env("TIDEWIRE_FUZZ_SEED", seed);
    run(fuzz.env("TIDEWIRE_FUZZ_KEEP", "1"))
}

struct Choice {
    test: &'static str,
    seconds: u64,
    seed: String,
}

fn choice(words: &[&str]) -> Result<Choice, String> {
    let mut choice = Choice { test: "no_bytes", seconds: 60, seed: "1".to_owned() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "codec" => choice.test = "no_bytes_break_the_codec",
            "kafka" => choice.test = "no_bytes_break_the_kafka_port",
            "session" => choice.test = "no_bytes_break_the_broker",
            "--minutes" => choice.seconds = 60 * number(words.next())?,
            "--seed" => choice.seed = number(words.next())?.to_string(),
            other => return Err(format!("what is {other}? {USAGE}")),
        }
    }
    Ok(choice)
}

fn number(word: Option<&&str>) -> Result<u64, String> {
    word.and_then(|word| word.parse().ok()).ok_or(format!("a number is missing: {USAGE}"))
}

#[cfg(test)]
mod tests {
    use super::choice;

    #[test]
    fn words_choose_target_time_and_seed() {
        let all = choice(&[]).expect("nothing is a choice");
        assert_eq!((all.test, all.seconds), ("no_bytes", 60));
        let one = choice(&["codec", "--minutes", "10", "--seed", "7"]).expect("all of it");
        assert_eq!(one.test, "no_bytes_break_the_codec");
        assert_eq!((one.seconds, one.seed.as_str()), (600, "7"));
        assert!(choice(&["amqp"]).is_err() && choice(&["--minutes"]).is_err());
    }
}
