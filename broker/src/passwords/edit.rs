//! Lines of the file put in and taken out, all others left as they are. Writes no file.

/// Why a name cannot stand in the file, if it cannot.
pub(crate) fn check_name(user: &str) -> Result<(), &'static str> {
    let is_writable = !user.is_empty()
        && user.trim() == user
        && !user.starts_with('#')
        && !user.contains(|c: char| c == ':' || c.is_control());
    let words = "a user name has at least one character and no colon, line break or leading `#`";
    is_writable.then_some(()).ok_or(words)
}

/// The text with this line for the user, in the place of its old one.
pub(crate) fn with_line(text: &str, user: &str, hash: &str) -> String {
    let new = format!("{user}:{hash}\n");
    let mut is_in = false;
    let mut out = String::with_capacity(text.len() + new.len());
    for line in text.lines() {
        match is_of(line, user) {
            true if is_in => (),
            true => {
                out.push_str(&new);
                is_in = true;
            }
            false => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    if !is_in {
        out.push_str(&new);
    }
    out
}

/// The text without the user; `None` when it does not stand there.
pub(crate) fn without_user(text: &str, user: &str) -> Option<String> {
    let kept = text.lines().filter(|line| !is_of(line, user));
    let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
    text.lines().any(|line| is_of(line, user)).then_some(kept)
}

fn is_of(line: &str, user: &str) -> bool {
    !line.starts_with('#') && line.split_once(':').is_some_and(|(name, _)| name == user)
}

#[cfg(test)]
mod tests {
    use super::{check_name, with_line, without_user};

    #[test]
    fn a_line_changes_and_all_others_stay() {
        let text = "# ours\na:1\nb:2";
        assert_eq!(with_line(text, "a", "9"), "# ours\na:9\nb:2\n");
        assert_eq!(with_line(text, "c", "9"), "# ours\na:1\nb:2\nc:9\n");
        assert_eq!(without_user(text, "a").as_deref(), Some("# ours\nb:2\n"));
        assert_eq!(without_user(text, "c"), None);
        for wrong in ["", "a:b", "#a", " a", "a\nb"] {
            assert!(check_name(wrong).is_err(), "{wrong:?}");
        }
        assert!(check_name("ann lee@example").is_ok());
    }
}
