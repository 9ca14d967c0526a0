//! Counts instructions by valgrind: of so many rounds and of twice as many, so that whatever is
//! done once drops out. Judges nothing.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

/// What a path takes for one message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Counted {
    pub(super) name: String,
    pub(super) each: f64,
}

/// A path as the program lists it.
#[derive(Clone, Debug, PartialEq)]
struct Work {
    name: String,
    rounds: u64,
    messages: u64,
}

/// All paths with `part` in their names, in the order of the list.
pub(super) fn count_all(program: &Path, part: &str) -> Result<Vec<Counted>, String> {
    let mut list = Command::new(program);
    let output = list.arg("list").output().map_err(|e| format!("{}: {e}", program.display()))?;
    let works = listed(&String::from_utf8_lossy(&output.stdout), part)?;
    let found: Mutex<Vec<Option<Result<Counted, String>>>> = Mutex::new(vec![None; works.len()]);
    let next = Mutex::new(works.iter().enumerate());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((at, work)) = next.lock().ok().and_then(|mut next| next.next()) {
                    let counted = count(program, work);
                    if let Ok(mut found) = found.lock() {
                        found[at] = Some(counted);
                    }
                }
            });
        }
    });
    let found = found.into_inner().map_err(|error| error.to_string())?;
    found.into_iter().map(|one| one.unwrap_or(Err("a count was lost".to_owned()))).collect()
}

fn listed(text: &str, part: &str) -> Result<Vec<Work>, String> {
    let read = |line: &str| {
        let mut words = line.split(' ');
        let name = words.next()?.to_owned();
        let rounds = words.next()?.parse().ok()?;
        let messages = words.next()?.parse().ok().filter(|messages| *messages > 0)?;
        Some(Work { name, rounds, messages })
    };
    let works: Option<Vec<Work>> = text.lines().map(read).collect();
    let mut works = works.ok_or_else(|| format!("not a list of paths: {text:?}"))?;
    works.retain(|work| work.name.contains(part));
    match works.is_empty() {
        true => Err(format!("no path has {part:?} in its name")),
        false => Ok(works),
    }
}

fn count(program: &Path, work: &Work) -> Result<Counted, String> {
    let once = instructions(program, &work.name, work.rounds)?;
    let twice = instructions(program, &work.name, 2 * work.rounds)?;
    let each = twice.saturating_sub(once) as f64 / (work.rounds * work.messages) as f64;
    Ok(Counted { name: work.name.clone(), each })
}

fn instructions(program: &Path, name: &str, rounds: u64) -> Result<u64, String> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    command.arg(program).args([name, &rounds.to_string()]);
    let output = command.output().map_err(|error| {
        format!("valgrind: {error}. Install it:  sudo apt-get install valgrind")
    })?;
    let told = String::from_utf8_lossy(&output.stderr);
    match read_instructions(&told).filter(|_| output.status.success()) {
        Some(count) => Ok(count),
        None => Err(format!("{name}: {}: {}", output.status, told.trim())),
    }
}

/// `==7== I   refs:      1,234,567`, or `I refs:` in later versions.
fn read_instructions(told: &str) -> Option<u64> {
    let mut counts = told.lines().filter_map(|line| {
        let (label, number) = line.split_once("refs:")?;
        label.trim_end().ends_with('I').then_some(number)
    });
    counts.next()?.trim().replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{listed, read_instructions};

    #[test]
    fn what_valgrind_says_is_read_in_the_form_of_every_version() {
        assert_eq!(read_instructions("==7== \n==7== I   refs:      1,234,567\n"), Some(1_234_567));
        assert_eq!(read_instructions("==7== I refs:        98\n"), Some(98));
        assert_eq!(read_instructions("==7== D   refs:      1,234\n"), None);
    }

    #[test]
    fn the_list_of_paths_is_read_and_one_may_be_chosen() {
        let text = "decode 50 1000\nfan-out 500 200\n";
        assert_eq!(listed(text, "").map(|works| works.len()), Ok(2));
        let one = listed(text, "fan").expect("one");
        assert_eq!((one[0].rounds, one[0].messages), (500, 200));
        assert!(listed(text, "nothing").is_err() && listed("panicked at", "").is_err());
    }
}
