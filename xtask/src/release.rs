//! `cargo xtask release`: the broker as it is released. It is built twice: the first counts how
//! often each piece of code runs under the loads of `training`, the second is made for those counts
//! ([why](../../docs/decisions/0025-released-for-its-loads.md)).

mod training;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::output::{announce, note, run};
use crate::places::Places;

const PROFDATA: &str = "llvm-profdata";
const NM: &str = "llvm-nm";
const HOTTEST: &str = "--topn=200";
/// Between the flags in cargo's variable for them; paths may have spaces.
const NEXT_FLAG: &str = "\u{1f}";

/// Makes it, and says where it is.
pub(crate) fn all(places: &Places, words: &[&str]) -> Result<(), String> {
    if !words.is_empty() {
        return Err("release takes no words".to_owned());
    }
    build(places)?;
    note(&format!("the broker: {}", places.released_broker().display()));
    Ok(())
}

/// What is up to date is not made again. Both builds have the same profile: names of functions, by
/// which counts are found, come of it.
pub(crate) fn build(places: &Places) -> Result<(), String> {
    let compiler = Compiler::find()?;
    let folder = places.release_folder();
    let (counts, profile) = (folder.join("counts"), folder.join("tidewire.profdata"));
    announce("build the broker that counts");
    let flag = flag("-Cprofile-generate=", &counts);
    let counting = compiler.build(places, &folder.join("counting"), &flag)?;
    let (stamp, of) = (folder.join("counted"), counted(&counting)?);
    if !fs::read_to_string(&stamp).is_ok_and(|before| before == of) {
        announce("count under loads of all kinds");
        let _ = fs::remove_dir_all(&counts);
        training::run(&counting, &folder.join("training"))?;
        compiler.merge(&counts, &profile)?;
        fs::write(&stamp, &of).map_err(|error| told("write", &stamp, &error))?;
    }
    announce("build the broker as it is released");
    let built = compiler.build(places, &folder.join("tuned"), &flag_of(&profile))?;
    compiler.check(&profile, &built)?;
    let (released, unfinished) = (places.released_broker(), folder.join("tidewire.new"));
    fs::copy(&built, &unfinished).map_err(|error| told("copy", &built, &error))?;
    fs::rename(&unfinished, &released).map_err(|error| told("rename", &unfinished, &error))
}

/// What the counts are of: that program, and these loads.
fn counted(program: &Path) -> Result<String, String> {
    let about = fs::metadata(program).map_err(|error| told("look at", program, &error))?;
    let changed = about.modified().map_err(|error| told("look at", program, &error))?;
    Ok(format!("{} bytes, {changed:?}\n{}", about.len(), include_str!("release/training.rs")))
}

fn flag_of(profile: &Path) -> OsString {
    flag("-Cprofile-use=", profile)
}

fn flag(name: &str, path: &Path) -> OsString {
    let mut flag = OsString::from(name);
    flag.push(path);
    flag
}

fn told(verb: &str, path: &Path, error: &std::io::Error) -> String {
    format!("cannot {verb} {}: {error}", path.display())
}

/// The compiler that cargo calls, and its tools: each version writes counts its own way.
struct Compiler {
    machine: String,
    tools: PathBuf,
}

impl Compiler {
    fn find() -> Result<Self, String> {
        let about = answer(Command::new("rustc").arg("-vV"))?;
        let machine = host(&about).ok_or("`rustc -vV` names no host")?.to_owned();
        let root = answer(Command::new("rustc").args(["--print", "sysroot"]))?;
        let tools = Path::new(root.trim()).join("lib/rustlib").join(&machine).join("bin");
        if !tools.join(PROFDATA).is_file() {
            announce("setup: the compiler's tools");
            let mut add = Command::new("rustup");
            run(add.args(["component", "add", "llvm-tools"])).map_err(|problem| {
                format!("{problem}. A release needs {PROFDATA} in {}", tools.display())
            })?;
        }
        Ok(Self { machine, tools })
    }

    /// With a machine named, what runs while it is built (build scripts) is built without the flag.
    fn build(&self, places: &Places, folder: &Path, flag: &OsStr) -> Result<PathBuf, String> {
        let mut build = Command::new(places.cargo());
        build.args(["build", "--release", "--package", "tidewire", "--target", &self.machine]);
        build.arg("--target-dir").arg(folder).current_dir(places.root());
        build.env("CARGO_ENCODED_RUSTFLAGS", flags(flag));
        run(&mut build)?;
        Ok(folder.join(&self.machine).join("release/tidewire"))
    }

    fn merge(&self, counts: &Path, profile: &Path) -> Result<(), String> {
        let unfinished = profile.with_extension("new");
        let mut merge = Command::new(self.tools.join(PROFDATA));
        run(merge.arg("merge").arg("--output").arg(&unfinished).arg(counts))?;
        fs::rename(&unfinished, profile).map_err(|error| told("rename", &unfinished, &error))
    }

    /// A compiler says nothing of counts whose functions it does not find.
    fn check(&self, profile: &Path, program: &Path) -> Result<(), String> {
        let mut show = Command::new(self.tools.join(PROFDATA));
        let hottest = answer(show.args(["show", HOTTEST]).arg(profile))?;
        let names = answer(Command::new(self.tools.join(NM)).arg("-j").arg(program))?;
        let names: HashSet<&str> = names.lines().collect();
        let (all, found) = hottest_in(&hottest, &names);
        note(&format!("{found} of the {all} functions that ran most are in it by their names"));
        // Those that are part of others have no name.
        if found * 10 < all || found == 0 {
            return Err("the counts are not of this program".to_owned());
        }
        Ok(())
    }
}

/// How many are named, and how many of them are in the program.
fn hottest_in(shown: &str, names: &HashSet<&str>) -> (usize, usize) {
    let hottest = shown.lines().filter_map(|line| line.trim().split_once(", max count = "));
    // One that is not seen from outside has the name of its unit before it.
    let hottest = hottest.map(|(name, _)| name.rsplit_once(';').map_or(name, |(_, name)| name));
    let hottest: Vec<&str> = hottest.collect();
    (hottest.len(), hottest.iter().filter(|name| names.contains(**name)).count())
}

/// This one beside those that cargo's variables ask for.
fn flags(flag: &OsStr) -> OsString {
    let encoded = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let plain = env::var("RUSTFLAGS").unwrap_or_default();
    let mut asked: Vec<&str> = encoded.split(NEXT_FLAG).filter(|one| !one.is_empty()).collect();
    if asked.is_empty() {
        asked = plain.split_whitespace().collect();
    }
    let mut flags = flag.to_owned();
    for word in asked {
        flags.push(NEXT_FLAG);
        flags.push(word);
    }
    flags
}

fn answer(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("rustc: {error}"))?;
    if !output.status.success() {
        return Err(format!("rustc ended with {}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn host(about: &str) -> Option<&str> {
    about.lines().find_map(|line| line.strip_prefix("host: "))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{host, hottest_in};

    #[test]
    fn the_machine_is_what_the_compiler_says_of_its_host() {
        let about =
            "rustc 1.95.0\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\n";
        assert_eq!(host(about), Some("x86_64-unknown-linux-gnu"));
        assert_eq!(host("rustc 1.95.0\n"), None);
    }

    #[test]
    fn functions_that_ran_most_are_looked_for_by_their_names_alone() {
        let shown = "Instrumentation level: IR  entry_first = 0\n\
                     Top 3 functions with the largest internal block counts: \n  \
                     _Rone, max count = 30\n  unit.cgu.3;_Rtwo, max count = 20\n  \
                     _Rthree, max count = 10\n";
        let names = HashSet::from(["_Rone", "_Rtwo", "main"]);
        assert_eq!(hottest_in(shown, &names), (3, 2));
        assert_eq!(hottest_in("", &names), (0, 0));
    }
}
