//! The reference file, `config/tidewire.toml`, taken apart: sections, settings, defaults, what is
//! said of them. Judges no value.

/// The file, as it is in the source tree.
pub(crate) const TEXT: &str = include_str!("../../../../config/tidewire.toml");

/// A section, such as `[listener.mqtt]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section {
    /// `listener.mqtt`.
    pub(crate) name: String,
    /// There may be several: `[[stream]]`.
    pub(crate) is_list: bool,
    pub(crate) entries: Vec<Entry>,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// As TOML.
    pub(crate) default: String,
    /// What is said of it, in one line.
    pub(crate) comment: String,
}

/// All sections, in the order of the file.
pub(crate) fn sections() -> Vec<Section> {
    parse(TEXT)
}

fn parse(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(said) = line.strip_prefix('#') {
            comment.push(said.trim());
        } else if let Some(name) = line.strip_prefix("[[").and_then(|it| it.strip_suffix("]]")) {
            sections.push(Section { name: name.into(), is_list: true, entries: Vec::new() });
            comment.clear();
        } else if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            sections.push(Section { name: name.into(), is_list: false, entries: Vec::new() });
            comment.clear();
        } else if let (Some((key, default)), Some(section)) =
            (line.split_once(" = "), sections.last_mut())
        {
            let (key, default, said) = (key.into(), default.into(), comment.join(" "));
            section.entries.push(Entry { key, default, comment: said });
            comment.clear();
        } else {
            comment.clear();
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::{Entry, parse, sections};

    #[test]
    fn each_setting_has_what_is_said_above_it() {
        let text = "# head\n\n[a]\n# one\n# two\nb = 1\n\n[[c.d]]\n# three\ne = \"#\"\n";
        let sections = parse(text);
        let names = sections.iter().map(|section| (section.name.as_str(), section.is_list));
        assert_eq!(names.collect::<Vec<_>>(), [("a", false), ("c.d", true)]);
        let entry = |key: &str, default: &str, comment: &str| Entry {
            key: key.into(),
            default: default.into(),
            comment: comment.into(),
        };
        assert_eq!(sections[0].entries, [entry("b", "1", "one two")]);
        assert_eq!(sections[1].entries, [entry("e", "\"#\"", "three")]);
    }

    #[test]
    fn the_reference_has_all_settings_each_on_one_line() {
        let count: usize = sections().iter().map(|section| section.entries.len()).sum();
        let lines = super::TEXT.lines();
        let settings = lines.filter(|line| line.contains(" = ") && !line.starts_with('#'));
        assert_eq!(count, settings.count());
        for entry in sections().iter().flat_map(|section| &section.entries) {
            let document = format!("{} = {}", entry.key, entry.default);
            assert!(toml::from_str::<toml::Table>(&document).is_ok(), "{document}");
        }
    }
}
