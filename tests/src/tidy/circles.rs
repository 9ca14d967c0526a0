//! Import circles between the files of one package. Test code may look where it likes; what
//! Cargo holds between packages is not looked at here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use super::complaint::Complaint;
use super::paths::{NamedPath, named};
use super::source::{Source, block};

/// A module by the names from the root of its crate; the root has none.
type Module = Vec<String>;

/// Who names whom.
type Graph = BTreeMap<Module, BTreeSet<Module>>;

/// One complaint for each knot of modules that reach each other.
pub(super) fn check(package: &str, sources: &[Source]) -> Vec<Complaint> {
    let graph = graph(package, sources);
    let mut seen: BTreeSet<&Module> = BTreeSet::new();
    let mut complaints = Vec::new();
    for module in graph.keys() {
        if seen.contains(module) {
            continue;
        }
        if let Some(way) = way_back(&graph, module) {
            seen.extend(graph.keys().filter(|other| is_in_knot(&graph, module, other)));
            let names: Vec<String> = way.iter().map(shown).collect();
            let text = format!("import circle: {}", names.join(" -> "));
            complaints.push(Complaint::new(&format!("{package}/src"), 0, text));
        }
    }
    complaints
}

fn graph(package: &str, sources: &[Source]) -> Graph {
    let prefix = format!("{package}/src/");
    let has_library = sources.iter().any(|it| it.path() == format!("{prefix}lib.rs"));
    let mut files: Vec<(Module, &Source)> = Vec::new();
    for source in sources {
        let Some(path) = source.path().strip_prefix(&prefix) else { continue };
        // Programs beside a library are crates of their own, with no modules to tangle.
        let is_other_crate = path.starts_with("bin/") || (has_library && path == "main.rs");
        if !is_other_crate {
            files.push((module_of(path), source));
        }
    }
    let known: BTreeSet<Module> = files.iter().map(|(module, _)| module.clone()).collect();
    let edges = |module: &Module, source: &Source| {
        let inner = inline_modules(source.production());
        let paths = named(source.production());
        let targets = paths.iter().filter_map(|path| target(path, module, &inner, &known));
        targets.filter(|target| target != module).collect()
    };
    files.iter().map(|(module, source)| (module.clone(), edges(module, source))).collect()
}

fn module_of(path: &str) -> Module {
    match path.trim_end_matches(".rs") {
        "lib" | "main" => Vec::new(),
        path => path.split('/').map(str::to_owned).collect(),
    }
}

type InlineModule<'a> = (Range<usize>, &'a str);

/// `mod name { … }` and what it spans: `super` counts from there.
fn inline_modules(code: &str) -> Vec<InlineModule<'_>> {
    let found = code.match_indices("mod ").filter_map(|(at, word)| {
        let rest = code.get(at + word.len()..)?;
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
        let (name, behind) = rest.split_at(length);
        let open = behind.trim_start().starts_with('{').then(|| rest.find('{'))??;
        Some((block(code, at + word.len() + open), name))
    });
    found.collect()
}

/// The file that a path leads to; `None` when it leads out of the crate.
fn target(
    path: &NamedPath,
    module: &Module,
    inner: &[InlineModule<'_>],
    known: &BTreeSet<Module>,
) -> Option<Module> {
    let around = inner.iter().filter(|(range, _)| range.contains(&path.at));
    let mut base = module.clone();
    base.extend(around.map(|(_, name)| (*name).to_owned()));
    let mut parts = path.parts.as_slice();
    match parts.first()?.as_str() {
        "crate" => {
            base.clear();
            parts = parts.get(1..)?;
        }
        "self" => parts = parts.get(1..)?,
        "super" => {
            while parts.first().is_some_and(|part| part == "super") {
                base.pop();
                parts = parts.get(1..)?;
            }
        }
        first => {
            let mut child = base.clone();
            child.push(first.to_owned());
            known.get(&child)?;
        }
    }
    base.extend(parts.iter().cloned());
    while !known.contains(&base) {
        base.pop()?;
    }
    Some(base)
}

/// The shortest way from a module to itself, both ends named.
fn way_back(graph: &Graph, start: &Module) -> Option<Vec<Module>> {
    let mut came_from: BTreeMap<&Module, &Module> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(at) = open.pop_front() {
        for next in graph.get(at).into_iter().flatten() {
            if next == start {
                let mut way = vec![start.clone(), at.clone()];
                let mut step = at;
                while let Some(before) = came_from.get(step) {
                    way.push((*before).clone());
                    step = before;
                }
                way.reverse();
                way.push(start.clone());
                way.dedup();
                return Some(way);
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, at);
                open.push_back(next);
            }
        }
    }
    None
}

fn is_in_knot(graph: &Graph, one: &Module, other: &Module) -> bool {
    reaches(graph, one, other) && reaches(graph, other, one)
}

fn reaches(graph: &Graph, from: &Module, to: &Module) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        for next in graph.get(at).into_iter().flatten() {
            if next == to {
                return true;
            }
            if seen.insert(next) {
                open.push(next);
            }
        }
    }
    false
}

fn shown(module: &Module) -> String {
    if module.is_empty() { "(root)".to_owned() } else { module.join("::") }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::source::Source;

    /// Files as (path below src, text) of a package `p`.
    #[track_caller]
    fn expect(files: &[(&str, &str)], circles: &[&str]) {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| Source::new(format!("p/src/{path}"), *text)).collect();
        let found: Vec<String> = check("p", &sources).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), circles.len(), "{found:?}");
        for (found, circle) in found.iter().zip(circles) {
            assert!(found.ends_with(circle), "{found} should end with {circle}");
        }
    }

    #[test]
    fn two_files_that_name_each_other_are_a_circle() {
        let files = [("lib.rs", "mod a; mod b;"), ("a.rs", "use crate::b::B;")];
        let [root, a] = files;
        expect(&[root, a, ("b.rs", "use crate::a::A;")], &["circle: a -> b -> a"]);
        expect(&[root, a, ("b.rs", "fn f() { super::a::g() }")], &["a -> b -> a"]);
        expect(&[root, a, ("b.rs", "use std::a::A;")], &[]);
    }

    #[test]
    fn a_child_that_uses_its_head_is_a_circle() {
        let child = ("a/b.rs", "use super::Shared;");
        expect(&[("lib.rs", ""), ("a.rs", "mod b; use b::B;"), child], &["a -> a::b -> a"]);
        expect(&[("lib.rs", ""), ("a.rs", "mod b; fn f() { b::g() }"), child], &["a::b -> a"]);
        let sibling = ("a/b.rs", "use super::c::C;");
        let head = ("a.rs", "mod b; mod c; pub use b::B; pub use self::c::C;");
        expect(&[("lib.rs", ""), head, sibling, ("a/c.rs", "")], &[]);
    }

    #[test]
    fn a_circle_through_the_root_is_found() {
        expect(
            &[("lib.rs", "mod a; pub use a::A;"), ("a.rs", "use crate::Error;")],
            &["(root) -> a -> (root)"],
        );
        expect(&[("main.rs", "mod a; use a::A;"), ("a.rs", "use crate::B;")], &["-> (root)"]);
    }

    #[test]
    fn a_long_circle_is_one_complaint() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "use crate::{d::D, c::C};"),
            ("c.rs", "use crate::a::A;"),
            ("d.rs", ""),
        ];
        expect(&files, &["a -> b -> c -> a"]);
    }

    #[test]
    fn tests_comments_and_inner_modules_are_no_circle() {
        let a = ("a.rs", "use crate::b::B;");
        for text in [
            "#[cfg(test)]\nmod tests { use crate::a::A; }",
            "// use crate::a::A;",
            "f(\"crate::a::A\")",
            "mod inner { use super::C; use super::super::d::D; }",
        ] {
            expect(&[("lib.rs", ""), a, ("b.rs", text), ("d.rs", "")], &[]);
        }
    }
}
