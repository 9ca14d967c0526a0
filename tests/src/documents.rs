//! The pages that people read: what they tell to type, and where their links lead. Types nothing,
//! follows no link out of the source tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Text between two lines of three backticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What stands behind the first three: `sh test`.
    pub kind: String,
    /// Its lines, each with its end.
    pub text: String,
    /// Where it begins.
    pub line: usize,
}

/// Kinds of blocks with commands that are typed, or done in another way.
pub const TYPED: [&str; 5] = ["sh test", "sh stays", "sh member", "sh kill", "sh broker"];
/// With what a line that is to be typed begins.
const PROGRAMS: [&str; 19] = [
    "apt",
    "cargo",
    "curl",
    "docker",
    "echo",
    "export",
    "git",
    "kcat",
    "kill",
    "mosquitto",
    "mosquitto_pub",
    "mosquitto_sub",
    "node",
    "openssl",
    "promtool",
    "python3",
    "sudo",
    "systemctl",
    "tidewire",
];

/// Lines that a page tells to type, and no test does: indented ones, and those in other blocks.
#[must_use]
pub fn untyped(page: &str) -> Vec<String> {
    let is_command = |line: &&str| {
        let word = line.trim_start().trim_start_matches("$ ").split(' ').next();
        word.is_some_and(|word| PROGRAMS.contains(&word))
    };
    let indented = prose(page).filter(|line| line.starts_with("    ")).filter(is_command);
    let mut found: Vec<String> = indented.map(|line| line.trim().to_owned()).collect();
    // What was said may begin so too, and is looked at.
    let other = |block: &Block| !TYPED.contains(&&*block.kind) && block.kind != "text said";
    for block in blocks(page).into_iter().filter(other) {
        found.extend(block.text.lines().filter(is_command).map(|line| line.trim().to_owned()));
    }
    found
}

/// Parts of the Rust code of a page, between empty lines, that are in none of these programs.
#[must_use]
pub fn unknown_code(page: &str, programs: &[String]) -> Vec<String> {
    // How far lines are indented is nobody's concern.
    let plain = |text: &str| {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        format!("\n{}\n", lines.join("\n"))
    };
    let programs: Vec<String> = programs.iter().map(|program| plain(program)).collect();
    let code = blocks(page).into_iter().filter(|block| block.kind == "rust");
    let parts =
        code.flat_map(|block| block.text.split("\n\n").map(str::to_owned).collect::<Vec<String>>());
    parts.filter(|part| !programs.iter().any(|it| it.contains(&plain(part.trim_end())))).collect()
}

/// All blocks of a page, in their order.
#[must_use]
pub fn blocks(page: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut is_open = false;
    for (number, line) in (1..).zip(page.lines()) {
        match (line.trim_start().strip_prefix("```"), is_open) {
            (Some(kind), false) => {
                let kind = kind.trim().to_owned();
                found.push(Block { kind, text: String::new(), line: number });
                is_open = true;
            }
            (Some(_), true) => is_open = false,
            (None, true) => {
                let open = found.last_mut().expect("one was opened");
                open.text.push_str(line);
                open.text.push('\n');
            }
            (None, false) => (),
        }
    }
    found
}

/// Every page of the tree, relative to its root.
///
/// # Panics
/// When the tree cannot be read; so do all others here.
#[must_use]
pub fn pages(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").map_while(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_ours = !name.starts_with('.') && name != "target" && name != "node_modules";
            let path = entry.path();
            if is_ours && path.is_dir() {
                folders.push(path);
            } else if is_ours && name.ends_with(".md") {
                found.push(path.strip_prefix(root).expect("below it").to_path_buf());
            }
        }
    }
    found.sort();
    found
}

/// Links of a page that lead nowhere: no such file, or no such heading in it.
///
/// # Panics
/// When the page cannot be read.
#[must_use]
pub fn broken_links(root: &Path, page: &Path) -> Vec<String> {
    let text = fs::read_to_string(root.join(page)).expect("a page");
    let leads = |link: &String| {
        let (file, heading) = link.split_once('#').unwrap_or((link, ""));
        let here = root.join(page);
        let there = match file {
            "" => here,
            file => here.parent().expect("in a folder").join(file),
        };
        let is_there = there.exists();
        if heading.is_empty() || !file.is_empty() && !file.ends_with(".md") {
            return is_there;
        }
        is_there && headings(&fs::read_to_string(&there).expect("a page")).contains(heading)
    };
    let links = links(&text).into_iter().filter(|link| !link.contains("://"));
    let broken = links.filter(|link| !leads(link));
    broken.map(|link| format!("{}: {link}", page.display())).collect()
}

/// The pages to which a page links, relative to the root.
///
/// # Panics
/// When the page cannot be read.
#[must_use]
pub fn linked_pages(root: &Path, page: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(root.join(page)).expect("a page");
    let folder = root.join(page.parent().expect("in a folder"));
    let root = root.canonicalize().expect("it is there");
    let links = links(&text).into_iter().filter_map(|link| {
        let file = link.split('#').next().filter(|file| file.ends_with(".md"))?;
        let there = folder.join(file).canonicalize().ok()?;
        Some(there.strip_prefix(&root).ok()?.to_path_buf())
    });
    links.collect()
}

/// Where the links of a page lead, but for those in blocks and between backticks.
fn links(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(page) {
        // What is between backticks is every second part.
        let outside: Vec<&str> = line.split('`').step_by(2).collect();
        for part in outside.join("x").split("](").skip(1) {
            let end = part.find([')', ' ']).unwrap_or(part.len());
            found.push(part[..end].to_owned());
        }
    }
    found
}

/// How its headings are called in links.
fn headings(page: &str) -> BTreeSet<String> {
    let marked = prose(page).filter(|line| line.starts_with('#'));
    let mut found = BTreeSet::new();
    for heading in marked.map(|line| line.trim_start_matches('#').trim()) {
        // Of a link in a heading its text counts.
        let mut text = String::new();
        for (number, part) in heading.split("](").enumerate() {
            let behind = part.split_once(')').map_or(part, |(_, behind)| behind);
            text.push_str(if number == 0 { part } else { behind });
        }
        let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let kept = text.to_lowercase().chars().filter(is_kept).collect::<String>();
        let name = kept.replace(' ', "-");
        let again = (1..).map(|n| format!("{name}-{n}")).find(|it| !found.contains(it));
        found.insert(if found.contains(&name) { again.expect("some is free") } else { name });
    }
    found
}

/// The lines that are in no block.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut is_open = false;
    page.lines().filter(move |line| {
        let is_mark = line.trim_start().starts_with("```");
        is_open ^= is_mark;
        !is_mark && !is_open
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{
        Block, blocks, broken_links, headings, linked_pages, links, unknown_code, untyped,
    };

    #[test]
    fn blocks_have_a_kind_and_a_place() {
        let page = "# A\n```sh test\na\n  b\n```\ntext\n```\nc\n```\n";
        let block =
            |kind: &str, text: &str, line| Block { kind: kind.into(), text: text.into(), line };
        assert_eq!(blocks(page), [block("sh test", "a\n  b\n", 2), block("", "c\n", 7)]);
    }

    #[test]
    fn commands_that_no_test_types_are_found() {
        let page = "    tidewire a\n    text\n```sh\n$ kcat -L\n```\n\
                    ```sh test\ntidewire b\n```\n```text said\ntidewire c\n```\n\
                    tidewire d\n```sh tset\ntidewire e\n```\n";
        assert_eq!(untyped(page), ["tidewire a", "$ kcat -L", "tidewire e"]);
    }

    #[test]
    fn code_that_no_program_has_is_found() {
        let program = "fn main() {\n    one();\n    two(\n        2);\n\n    three();\n}\n";
        let page = "```rust\none();\ntwo(\n    2);\n\nthree();\n```\n```toml\nfour\n```\n";
        let programs = [program.to_owned()];
        assert_eq!(unknown_code(page, &programs), [""; 0]);
        let page = "```rust\nthree();\n\none();\nthree();\n\ne();\n```\n";
        assert_eq!(unknown_code(page, &programs), ["one();\nthree();", "e();\n"]);
    }

    #[test]
    fn links_are_found_where_they_are_links() {
        let page = "[a](b.md) and [c](d.md#e), `[f](g)` [`h`](i)\n```\n[j](k)\n```\n";
        assert_eq!(links(page), ["b.md", "d.md#e", "i"]);
    }

    #[test]
    fn headings_are_called_as_in_links() {
        let found = headings("# One `two`: 3\n## A [link](x.md)\n## A link\n```\n# no\n```\n");
        let expected = ["a-link", "a-link-1", "one-two-3"];
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_named() {
        let root = tempfile::tempdir().expect("a folder");
        let page = "[a](b.md#there) [c](b.md#not-there) [d](gone.md) [e](#here) [f](https://g)\n";
        fs::write(root.path().join("a.md"), format!("# Here\n{page}")).expect("written");
        fs::write(root.path().join("b.md"), "# There\n").expect("written");
        let broken = broken_links(root.path(), Path::new("a.md"));
        assert_eq!(broken, ["a.md: b.md#not-there", "a.md: gone.md"]);
        let pages = linked_pages(root.path(), Path::new("a.md"));
        assert_eq!(pages, [Path::new("b.md"), Path::new("b.md")]);
    }
}
