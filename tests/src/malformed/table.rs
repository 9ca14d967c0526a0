//! Cases written by hand: one per line, `name | version | setup | bytes | expected`.

use super::case::{Answer, Case, Dialect, Setup};
use crate::hex;

/// Reads a table: blank lines and those that start with `#` say nothing.
///
/// # Errors
/// Names the line that is not understood.
pub fn read_table(text: &str) -> Result<Vec<Case>, String> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(at, line)| read(line).map_err(|e| format!("line {}: {e}", at + 1)))
        .collect()
}

fn read(line: &str) -> Result<Case, String> {
    let fields: Vec<&str> = line.split('|').map(str::trim).collect();
    let [name, version, setup, bytes, expected] = fields.as_slice() else {
        return Err(format!("five fields are needed: {line}"));
    };
    Ok(Case {
        name: (*name).to_owned(),
        dialect: match *version {
            "v3" => Dialect::V31,
            "v4" => Dialect::V311,
            "v5" => Dialect::V5,
            other => return Err(format!("no such version: {other}")),
        },
        setup: match *setup {
            "fresh" => Setup::Fresh,
            "connected" => Setup::Connected,
            other => return Err(format!("no such setup: {other}")),
        },
        bytes: hex::parse(bytes)?,
        expected: expected.split(" or ").map(read_answer).collect::<Result<_, _>>()?,
    })
}

fn read_answer(text: &str) -> Result<Answer, String> {
    let mut words = text.split_whitespace();
    let (word, code) = (words.next().unwrap_or_default(), words.next());
    let code = code.map(|hex| u8::from_str_radix(hex, 16)).transpose();
    match (word, code.map_err(|_| format!("not a hex code: {text}"))?) {
        ("closed", None) => Ok(Answer::Closed),
        ("alive", None) => Ok(Answer::Alive),
        ("connack", Some(code)) => Ok(Answer::Connack(code)),
        ("disconnect", Some(code)) => Ok(Answer::Disconnect(code)),
        _ => Err(format!("no such answer: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::{Answer, Case, Dialect, Setup};
    use super::read_table;

    #[test]
    fn a_line_is_a_case() {
        let table = "# a comment\n\nping | v5 | fresh | c0 00 | closed or connack 82\n";
        let case = Case {
            name: "ping".to_owned(),
            dialect: Dialect::V5,
            setup: Setup::Fresh,
            bytes: vec![0xc0, 0],
            expected: vec![Answer::Closed, Answer::Connack(0x82)],
        };
        assert_eq!(read_table(table), Ok(vec![case]));
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        for line in [
            "a | v5 | fresh | c0",
            "a | v6 | fresh | c0 00 | closed",
            "a | v5 | later | c0 00 | closed",
            "a | v5 | fresh | c | closed",
            "a | v5 | fresh | c0 00 | connack",
            "a | v5 | fresh | c0 00 | disconnect zz",
            "a | v5 | fresh | c0 00 | closed 81",
        ] {
            let problem = read_table(&format!("# one\n{line}")).expect_err(line);
            assert!(problem.starts_with("line 2: "), "{problem}");
        }
    }
}
