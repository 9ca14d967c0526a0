//! A Rust file with comments and texts blanked out, so that rules see code only. Knows
//! nothing of any rule. Not a parser: it understands just enough not to be fooled.

use std::ops::Range;

/// One file, as it is and as code only.
#[derive(Debug)]
pub(super) struct Source {
    path: String,
    text: String,
    code: String,
    production: String,
}

impl Source {
    /// `path` is relative to the root, with `/` between its parts.
    pub(super) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let code = blank_comments_and_texts(&text);
        let production = blank_tests(&code);
        Self { path, text, code, production }
    }

    /// Relative to the root.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// As it is.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The same length and lines, with comments and the insides of texts blank.
    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// The code without what is compiled for tests only.
    pub(super) fn production(&self) -> &str {
        &self.production
    }

    /// A file that is all test: of the harness or of an integration test.
    pub(super) fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests/")
    }
}

/// The line, from 1, of a byte.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count()
}

/// From an opening brace at `open` to behind the one that closes it, or to the end.
pub(super) fn block(code: &str, open: usize) -> Range<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return open..at + 1;
        }
    }
    open..code.len()
}

/// From `start` to behind the `;` or the block that ends the item there.
pub(super) fn item(code: &str, start: usize) -> Range<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b';' if depth == 0 => return start..at + 1,
            b'{' if depth == 0 => {
                let end = block(code, at).end;
                // `use a::{b};` goes on behind its braces.
                let tail = code.get(end..).unwrap_or_default();
                return start..end + usize::from(tail.starts_with(';'));
            }
            _ => (),
        }
    }
    start..code.len()
}

fn blank_tests(code: &str) -> String {
    let mut bytes = code.as_bytes().to_vec();
    for mark in ["#[cfg(test)]", "#[cfg(all(test", "#[test]"] {
        for (at, _) in code.match_indices(mark) {
            // Past the attribute's own brackets to the item that it stands on.
            let end =
                item(code, at + code.get(at..).and_then(|c| c.find(']')).unwrap_or(0) + 1).end;
            blank(&mut bytes, at..end);
        }
    }
    String::from_utf8(bytes).expect("whole items of valid text were blanked")
}

fn blank_comments_and_texts(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match token_end(text.as_bytes(), at) {
            Token::Code => at + 1,
            Token::Blank(end) => {
                blank(&mut bytes, at..end);
                end
            }
        };
        at = end;
    }
    String::from_utf8(bytes).expect("whole tokens of valid text were blanked")
}

/// Lines stay where they are.
fn blank(bytes: &mut [u8], range: Range<usize>) {
    for byte in bytes.get_mut(range).into_iter().flatten() {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

enum Token {
    Code,
    /// A comment or a text up to here.
    Blank(usize),
}

fn token_end(bytes: &[u8], at: usize) -> Token {
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.starts_with(b"//") {
        let length = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
        return Token::Blank(at + length);
    }
    if rest.starts_with(b"/*") {
        return Token::Blank(at + comment_length(rest));
    }
    match rest.first() {
        Some(b'"') => Token::Blank(at + text_length(rest)),
        Some(b'\'') => character_length(rest).map_or(Token::Code, |n| Token::Blank(at + n)),
        Some(b'r' | b'b' | b'c') if !goes_on(bytes, at) => {
            raw_length(rest).map_or(Token::Code, |n| Token::Blank(at + n))
        }
        _ => Token::Code,
    }
}

/// The byte belongs to a longer word: `for"` is not the start of a raw text.
fn goes_on(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|index| bytes.get(index));
    before.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

fn comment_length(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(pair) = rest.get(at..at + 2) {
        match pair {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn text_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `None` for a lifetime or a loop label.
fn character_length(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        let close = rest.iter().skip(3).position(|&b| b == b'\'')?;
        return Some(3 + close + 1);
    }
    // One character has at most four bytes.
    let close = rest.iter().skip(2).take(4).position(|&b| b == b'\'')?;
    let inner = std::str::from_utf8(rest.get(1..2 + close)?).ok()?;
    (inner.chars().count() == 1).then_some(2 + close + 1)
}

/// `r"…"`, `r#"…"#`, `br"…"`, `cr"…"`; `None` when it is just a word.
fn raw_length(rest: &[u8]) -> Option<usize> {
    let prefix = if rest.first() == Some(&b'r') { 1 } else { 2 };
    if rest.get(prefix - 1) != Some(&b'r') {
        return None;
    }
    let hashes = rest.iter().skip(prefix).take_while(|&&b| b == b'#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let inner = rest.get(open + 1..)?;
    let found = inner.windows(close.len()).position(|window| window == close);
    Some(found.map_or(rest.len(), |at| open + 1 + at + close.len()))
}

#[cfg(test)]
mod tests {
    use super::{Source, block, item, line_of};

    #[track_caller]
    fn check(text: &str, code: &str) {
        let source = Source::new("a.rs", text);
        assert_eq!(source.code().len(), text.len(), "places must stay");
        let squeezed: Vec<&str> = source.code().split_whitespace().collect();
        assert_eq!(squeezed.join(" "), code, "{text}");
    }

    #[test]
    fn comments_and_texts_are_not_code() {
        check("a // b\nc", "a c");
        check("a /* b /* c */ d */ e", "a e");
        check(r#"a("b \" { c", d)"#, "a( , d)");
        check("a(r\"b\\\", c)", "a( , c)");
        check("a(r#\"b \"c\" d\"#, e)", "a( , e)");
        check("a(br##\"b \"# c\"##, e)", "a( , e)");
        check("a(b\"{\", c\"}\")", "a(b , c )");
        check("f(\"é { ü\") g", "f( ) g");
    }

    #[test]
    fn characters_are_told_from_lifetimes() {
        check("a('{', '\\'', '\\u{7b}', 'é') b", "a( , , , ) b");
        check("fn a<'x>(b: &'x str, c: &'static u8) {}", "fn a<'x>(b: &'x str, c: &'static u8) {}");
        check("'outer: loop { break 'outer; }", "'outer: loop { break 'outer; }");
    }

    #[test]
    fn test_code_is_not_production() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { {} } }\n\
                    #[cfg(test)]\nuse x::{y};\n#[cfg(test)]\nmod z;\nfn c() {}";
        let source = Source::new("a.rs", text);
        let left: Vec<&str> = source.production().split_whitespace().collect();
        assert_eq!(left.join(" "), "fn a() {} fn c() {}");
    }

    #[test]
    fn items_and_blocks_end_where_they_end() {
        assert_eq!(block("a { b { } } c", 2), 2..11);
        assert_eq!(item("use a::{b, c}; d", 0), 0..14);
        assert_eq!(item("fn a(x: [u8; 3]) { b; } c", 0), 0..23);
        assert_eq!(line_of("a\nb\nc", 4), 3);
    }

    #[test]
    fn tests_are_known_by_their_place() {
        for (path, is_test) in [
            ("tests/src/broker.rs", true),
            ("broker/tests/one.rs", true),
            ("broker/src/tests_of_time.rs", false),
        ] {
            assert_eq!(Source::new(path, "").is_test(), is_test, "{path}");
        }
    }
}
