//! How long a file, a function and a line may be. Counts; judges nothing else.

use super::complaint::Complaint;
use super::source::{Source, block, line_of};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 60;
const LINE_COLUMNS_MAX: usize = 100;

pub(super) fn check(source: &Source) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let lines = source.text().lines().count();
    if lines > FILE_LINES_MAX {
        let text = format!("{lines} lines; a file has at most {FILE_LINES_MAX}: split it");
        complaints.push(Complaint::new(source.path(), 0, text));
    }
    for (at, line) in source.text().lines().enumerate() {
        let columns = line.chars().count();
        if columns > LINE_COLUMNS_MAX {
            let text = format!("{columns} columns; a line has at most {LINE_COLUMNS_MAX}");
            complaints.push(Complaint::new(source.path(), at + 1, text));
        }
    }
    complaints.extend(long_functions(source));
    complaints
}

fn long_functions(source: &Source) -> Vec<Complaint> {
    let code = source.code();
    let mut complaints = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let Some(open) = body(code, at) else { continue };
        let range = block(code, open);
        // The lines between the braces, blank ones and comments too.
        let lines = line_of(code, range.end).saturating_sub(line_of(code, open) + 1);
        if lines > FUNCTION_LINES_MAX {
            let text = format!("{lines} lines; a function has at most {FUNCTION_LINES_MAX}");
            complaints.push(Complaint::new(source.path(), line_of(code, at), text));
        }
    }
    complaints
}

/// The brace that opens the body of the function at `at`; `None` for a declaration or for
/// another word that ends in `fn`.
fn body(code: &str, at: usize) -> Option<usize> {
    let before = code.get(..at)?.chars().next_back();
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b';' if depth == 0 => return None,
            b'{' if depth == 0 => return Some(at),
            _ => (),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::source::Source;

    #[track_caller]
    fn expect(text: &str, complaints: &[&str]) {
        let found = check(&Source::new("a.rs", text));
        assert_eq!(found.len(), complaints.len(), "{found:?}");
        for (found, part) in found.iter().zip(complaints) {
            assert!(found.to_string().contains(part), "{found} should say {part}");
        }
    }

    fn function(lines: usize) -> String {
        format!("fn a(b: [u8; 2]) -> u8 {{\n{}}}\n", "    b(\"}\");\n".repeat(lines))
    }

    #[test]
    fn a_long_file_is_found() {
        expect(&"a;\n".repeat(600), &[]);
        expect(&"a;\n".repeat(601), &["a.rs:0: 601 lines"]);
    }

    #[test]
    fn a_long_line_is_found() {
        expect(&"é".repeat(100), &[]);
        expect(&format!("\n{}", "é".repeat(101)), &["a.rs:2: 101 columns"]);
    }

    #[test]
    fn a_long_function_is_found() {
        expect(&function(60), &[]);
        expect(&format!("\n{}", function(61)), &["a.rs:2: 61 lines"]);
    }

    #[test]
    fn a_declaration_or_a_pointer_has_no_body() {
        expect("trait A { fn a(); fn b(); }", &[]);
        expect(&format!("struct A {{ b: fn (u8) }}\n{}", "a;\n".repeat(80)), &[]);
    }
}
