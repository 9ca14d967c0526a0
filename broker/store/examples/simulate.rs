//! Runs histories of the store on a lying disk: `cargo xtask simulate` calls it.

use std::env;
use std::io::{IsTerminal as _, Write as _, stderr};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use tidewire_store::Mutation;
use tidewire_store::simulate::{Cuts, Failure, Share, Steps, Tally, every_byte, history};

const USAGE: &str = "simulate [--histories N] [--seed S] [--mutation NAME] | --every-byte";
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

struct Choice {
    histories: u64,
    seed: u64,
    mutation: Option<(String, Mutation)>,
}

fn main() -> ExitCode {
    if env::args().skip(1).eq(["--every-byte"]) {
        return cut_everywhere();
    }
    let choice = match choice(env::args().skip(1)) {
        Ok(choice) => choice,
        Err(problem) => {
            eprintln!("simulate: {problem}\nusage: {USAGE}");
            return ExitCode::from(2);
        }
    };
    let (first, last) = (choice.seed, choice.seed + choice.histories.saturating_sub(1));
    println!("seeds {first} to {last}");
    let started = Instant::now();
    let mut tally = Tally::default();
    let failure = run(&choice, started, &mut tally);
    println!("{tally}\ntime                     {:>8.1} s", started.elapsed().as_secs_f64());
    let Some(Failure { seed, what }) = failure else {
        println!("0 lost, 0 by half, 0 out of order, 0 from nowhere");
        return ExitCode::SUCCESS;
    };
    println!("\nseed {seed} fails: {what}");
    let mutation = choice.mutation.map(|(name, _)| format!(" --mutation {name}"));
    let mutation = mutation.unwrap_or_default();
    println!("repeat it: cargo xtask simulate --histories 1 --seed {seed}{mutation}");
    ExitCode::FAILURE
}

/// One short history, and a power cut after every byte of it.
fn cut_everywhere() -> ExitCode {
    let started = Instant::now();
    match on_all_processors() {
        Ok(cuts) => {
            let time = started.elapsed().as_secs_f64();
            println!("{} places cut, {} opens compared, {time:.1} s", cuts.places, cuts.opens);
            ExitCode::SUCCESS
        }
        Err(problem) => {
            println!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn on_all_processors() -> Result<Cuts, String> {
    let of = thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let steps = Steps { own: 1, tables: 1 };
    let mut all = Cuts::default();
    thread::scope(|scope| {
        let cut = |part| scope.spawn(move || every_byte(steps, Share { part, of }));
        let cutting: Vec<_> = (0..of).map(cut).collect();
        for thread in cutting {
            all += thread.join().map_err(|_| "a panic".to_owned())??;
        }
        Ok(all)
    })
}

/// The first failure ends it.
fn run(choice: &Choice, started: Instant, tally: &mut Tally) -> Option<Failure> {
    let mutation = choice.mutation.as_ref().map(|(_, mutation)| *mutation);
    let mut shown = started;
    let shows_progress = stderr().is_terminal();
    for seed in choice.seed..choice.seed + choice.histories {
        match history(seed, mutation) {
            Ok(more) => *tally += more,
            Err(failure) => return Some(failure),
        }
        if shows_progress && shown.elapsed() >= PROGRESS_EVERY {
            shown = Instant::now();
            eprint!("\r{} of {} histories", tally.histories, choice.histories);
            let _ = stderr().flush();
        }
    }
    if shows_progress {
        eprintln!();
    }
    None
}

fn choice(mut words: impl Iterator<Item = String>) -> Result<Choice, String> {
    let mut choice = Choice { histories: 10_000, seed: 1, mutation: None };
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || value.parse().map_err(|_| format!("{word} {value}: not a number"));
        match word.as_str() {
            "--histories" => choice.histories = number()?,
            "--seed" => choice.seed = number()?,
            "--mutation" => choice.mutation = Some(mutation(value)?),
            _ => return Err(format!("{word} is not known")),
        }
    }
    choice.seed.checked_add(choice.histories).ok_or("the seed is too large")?;
    Ok(choice)
}

fn mutation(name: String) -> Result<(String, Mutation), String> {
    let found = Mutation::ALL.into_iter().find(|(known, _)| *known == name);
    let (_, mutation) = found.ok_or_else(|| {
        let known: Vec<_> = Mutation::ALL.iter().map(|(name, _)| *name).collect();
        format!("{name}: no such mutation; there are {}", known.join(", "))
    })?;
    Ok((name, mutation))
}
