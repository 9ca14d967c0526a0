//! The module paths that a piece of code names: `use` trees unfolded, and paths in the middle
//! of an expression. Resolves none of them.

/// A path of at least two parts, and where it begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NamedPath {
    pub(super) at: usize,
    pub(super) parts: Vec<String>,
}

/// All paths in code that has no comments and texts in it.
pub(super) fn named(code: &str) -> Vec<NamedPath> {
    let tokens = tokens(code);
    let mut reader = Reader { tokens: &tokens, next: 0, found: Vec::new() };
    while let Some((_, token)) = reader.peek() {
        match token {
            "use" => {
                reader.next += 1;
                reader.tree(&[]);
            }
            // `pub(in crate::a)` says who may look, not what is looked at.
            "in" if reader.before() == Some("(") => {
                reader.next += 1;
                reader.straight();
            }
            word if is_word(word) => {
                let path = reader.straight();
                reader.keep(path);
            }
            _ => reader.next += 1,
        }
    }
    reader.found
}

type Token<'a> = (usize, &'a str);

struct Reader<'a> {
    tokens: &'a [Token<'a>],
    next: usize,
    found: Vec<NamedPath>,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.next).copied()
    }

    fn before(&self) -> Option<&'a str> {
        self.tokens.get(self.next.checked_sub(1)?).map(|&(_, token)| token)
    }

    fn takes(&mut self, wanted: &str) -> bool {
        let there = self.peek().is_some_and(|(_, token)| token == wanted);
        self.next += usize::from(there);
        there
    }

    /// `a::b::c`, up to whatever else comes.
    fn straight(&mut self) -> Vec<Token<'a>> {
        let mut path = Vec::new();
        while let Some((at, word)) = self.peek().filter(|(_, token)| is_word(token)) {
            self.next += 1;
            path.push((at, word));
            let goes_on = self.tokens.get(self.next + 1).is_some_and(|(_, next)| is_word(next));
            if !goes_on || !self.takes("::") {
                break;
            }
        }
        path
    }

    /// One branch of a `use`: a path, and perhaps braces with more branches behind it.
    fn tree(&mut self, stem: &[Token<'a>]) {
        self.takes("::");
        let mut path = stem.to_vec();
        path.extend(self.straight());
        if self.takes("::") && self.takes("*") {
            return self.keep(path);
        }
        if self.takes("{") {
            while self.peek().is_some() && !self.takes("}") {
                if !self.takes(",") {
                    let before = self.next;
                    self.tree(&path);
                    self.next = self.next.max(before + 1);
                }
            }
            return;
        }
        if self.takes("as") {
            self.next += 1;
        }
        self.keep(path);
    }

    fn keep(&mut self, path: Vec<Token<'a>>) {
        if let [(at, _), _, ..] = path.as_slice() {
            let parts = path.iter().map(|(_, word)| (*word).to_owned()).collect();
            self.found.push(NamedPath { at: *at, parts });
        }
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_') && token != "as"
}

/// Words, `::`, and single signs.
fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = code.get(at..).filter(|rest| !rest.is_empty()) {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let sign = rest.chars().next().map_or(1, char::len_utf8);
        let length = match word {
            0 if rest.starts_with("::") => 2,
            0 => sign,
            _ => word,
        };
        let token = rest.get(..length).unwrap_or_default();
        if !token.trim().is_empty() {
            tokens.push((at, token));
        }
        at += length;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::named;

    #[track_caller]
    fn check(code: &str, expected: &[&str]) {
        let found: Vec<String> = named(code).iter().map(|path| path.parts.join("::")).collect();
        assert_eq!(found, expected, "{code}");
    }

    #[test]
    fn use_trees_are_unfolded() {
        check("use a::b;", &["a::b"]);
        check(
            "pub use crate::a::{b, c::{d, e as f}, self};",
            &["crate::a::b", "crate::a::c::d", "crate::a::c::e", "crate::a::self"],
        );
        check("use ::a::b as c; use a;", &["a::b"]);
        check("use {a::b, c};\nuse d::*;", &["a::b"]);
        check("use a::b::*; x", &["a::b"]);
    }

    #[test]
    fn paths_inside_code_are_found() {
        check(
            "fn a(b: crate::c::D) -> super::E { f::<u8>(); g::h(1) }",
            &["crate::c::D", "super::E", "g::h"],
        );
        check("let a = <B as crate::C>::d();", &["crate::C"]);
        check("pub(in crate::a) fn b() {} pub(crate) fn c() {}", &[]);
        check("for a in crate::b() { }", &["crate::b"]);
    }
}
