//! A line cut into words; what stands in quotes is one. Knows no rule.

/// The first word of a line, and what follows. `None`: there is none, or a quote does not end.
pub(super) fn first_word(line: &str) -> Option<(String, &str)> {
    let line = line.trim_start();
    let (mut word, mut is_quoted) = (String::new(), false);
    for (at, c) in line.char_indices() {
        match c {
            '"' => is_quoted = !is_quoted,
            c if c.is_whitespace() && !is_quoted => return Some((word, &line[at..])),
            c => word.push(c),
        }
    }
    (!line.is_empty() && !is_quoted).then_some((word, ""))
}

#[cfg(test)]
mod tests {
    use super::first_word;

    #[test]
    fn words_end_at_blanks_that_are_not_quoted() {
        for (line, word, rest) in [
            ("allow x y", "allow", " x y"),
            ("  user=\"ann lee\" x", "user=ann lee", " x"),
            ("last", "last", ""),
            ("\"\" x", "", " x"),
        ] {
            assert_eq!(first_word(line), Some((word.into(), rest)), "{line}");
        }
        assert_eq!(first_word("   "), None);
        assert_eq!(first_word("user=\"ann"), None);
    }
}
