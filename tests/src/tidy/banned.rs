//! What may not be written, and what to write instead. Looks at code; comments and texts may
//! name anything but unfinished work.

use super::complaint::Complaint;
use super::source::{Source, line_of};

/// Refused wherever it stands.
const EVERYWHERE: &[(&str, &str)] = &[
    ("dbg!(", "take it out before you commit"),
    ("todo!(", "write it, or leave it out"),
    ("unimplemented!(", "write it, or leave it out"),
    ("#[ignore", "a test runs or does not exist"),
];

/// Refused in the two floors that are handed their time.
const PURE_FLOORS: &[&str] = &["broker/proto/src/", "broker/store/src/"];
const CLOCKS: &[&str] = &["Instant::now", "SystemTime::now"];

/// Marks of unfinished work, in comments.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

pub(super) fn check(source: &Source) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut find = |text: &str, word: &str, instead: &str| {
        for (at, _) in text.match_indices(word) {
            let complaint = format!("`{word}`: {instead}");
            complaints.push(Complaint::new(source.path(), line_of(text, at), complaint));
        }
    };
    for (word, instead) in EVERYWHERE {
        find(source.code(), word, instead);
    }
    for word in UNFINISHED {
        find(source.text(), word, "finish it or open an issue");
    }
    if is_pure(source.path()) {
        for word in CLOCKS {
            find(source.production(), word, "take the `now` that you were handed");
        }
    }
    for at in sleeps_in_tests(source) {
        let text = "`thread::sleep` in a test: await the event, or move the clock by hand";
        complaints.push(Complaint::new(source.path(), line_of(source.code(), at), text));
    }
    for at in glob_imports(source.code()) {
        let text = "`::*`: import names, one by one";
        complaints.push(Complaint::new(source.path(), line_of(source.code(), at), text));
    }
    complaints
}

/// The clock module is the one place that may ask the system.
fn is_pure(path: &str) -> bool {
    let in_floor = PURE_FLOORS.iter().any(|floor| path.starts_with(floor));
    in_floor && !path.ends_with("/clock.rs") && !path.contains("/clock/")
}

fn sleeps_in_tests(source: &Source) -> Vec<usize> {
    let places = source.code().match_indices("thread::sleep").map(|(at, _)| at);
    let is_production = |at: &usize| {
        let there = source.production().get(*at..);
        !source.is_test() && there.is_some_and(|code| code.starts_with("thread::sleep"))
    };
    places.filter(|at| !is_production(at)).collect()
}

/// `$(…)::*` in a macro is a repetition, not an import.
fn glob_imports(code: &str) -> Vec<usize> {
    let is_import = |at: &usize| !code.get(..*at).is_some_and(|before| before.ends_with(')'));
    let single = code.match_indices("::*").map(|(at, _)| at);
    let in_list = code.match_indices("{*").chain(code.match_indices(", *}")).map(|(at, _)| at);
    let in_use = |at: &usize| {
        let line = code.get(..*at).and_then(|before| before.rsplit('\n').next());
        line.is_some_and(|line| line.trim_start().trim_start_matches("pub ").starts_with("use "))
    };
    single.filter(is_import).chain(in_list.filter(in_use)).collect()
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::source::Source;

    fn lines(path: &str, text: &str) -> Vec<String> {
        check(&Source::new(path, text)).iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn refused(path: &str, text: &str) {
        let found = lines(path, text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
    }

    #[track_caller]
    fn allowed(path: &str, text: &str) {
        assert_eq!(lines(path, text), [""; 0], "{text}");
    }

    #[test]
    fn left_overs_are_found() {
        let left_overs =
            ["dbg!(a)", "todo!()", "unimplemented!()", "#[ignore]", "#[ignore = \"slow\"]"];
        for text in left_overs {
            refused("broker/src/a.rs", text);
            allowed("broker/src/a.rs", &format!("// {text}\nf(r#\"{text}\"#)"));
        }
        refused("broker/src/a.rs", concat!("// TO", "DO: later"));
    }

    #[test]
    fn the_line_is_named() {
        assert!(lines("a.rs", "a\nb\ndbg!(c)")[0].starts_with("a.rs:3: "));
    }

    #[test]
    fn glob_imports_are_found() {
        for text in ["use super::*;", "pub use a::b::*;", "use a::{b, c::*};", "use a::{*};"] {
            refused("a.rs", text);
        }
        allowed("a.rs", "let a = b::C * 2; use a::{b, c}; m! { $($x)::* } let d = {*e};");
    }

    #[test]
    fn a_clock_in_a_pure_floor_is_found() {
        refused("broker/proto/src/session.rs", "let now = Instant::now();");
        refused("broker/store/src/wal.rs", "let now = std::time::SystemTime::now();");
        allowed("broker/store/src/clock.rs", "let now = Instant::now();");
        allowed("broker/src/main.rs", "let now = Instant::now();");
        let test = "#[cfg(test)]\nmod tests { fn a() { Instant::now(); } }";
        allowed("broker/store/src/wal.rs", test);
    }

    #[test]
    fn a_sleep_in_a_test_is_found() {
        let sleep = "thread::sleep(a);";
        refused("tests/tests/a.rs", sleep);
        refused("broker/src/a.rs", &format!("#[cfg(test)]\nmod tests {{ fn a() {{ {sleep} }} }}"));
        allowed("broker/src/a.rs", &format!("fn a() {{ {sleep} }}"));
    }
}
