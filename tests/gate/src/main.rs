//! Runs one hot path so many rounds, for a tool that counts instructions: `cargo xtask gate`.
//! Counts and judges nothing itself.

mod paths;
mod round;
mod samples;

use std::env;
use std::process::ExitCode;

use paths::PATHS;

const USAGE: &str = "usage: tidewire-gate list | tidewire-gate NAME ROUNDS";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => {
            for path in PATHS {
                println!("{} {} {}", path.name, path.rounds, path.messages);
            }
            ExitCode::SUCCESS
        }
        [name, rounds] => match run(name, rounds) {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => told(&problem),
        },
        _ => told(USAGE),
    }
}

fn told(problem: &str) -> ExitCode {
    eprintln!("tidewire-gate: {problem}");
    ExitCode::from(2)
}

fn run(name: &str, rounds: &str) -> Result<(), String> {
    let path = PATHS.iter().find(|path| path.name == name);
    let path = path.ok_or_else(|| format!("{name}: no such path; `list` names them"))?;
    let rounds: u64 = rounds.parse().map_err(|_| format!("{rounds:?} is no number; {USAGE}"))?;
    let mut round = (path.prepare)();
    // The first round fills what is kept from then on; it is there in every run, so it drops out.
    round();
    for _ in 0..rounds {
        round();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{PATHS, run};

    #[test]
    fn every_path_does_what_it_says_round_after_round() {
        for path in PATHS {
            run(path.name, "2").expect("it runs");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let told = run("decodes", "1").expect_err("no such path");
        assert!(told.contains("decodes"), "{told}");
        assert!(run("decode", "many").is_err());
    }
}
