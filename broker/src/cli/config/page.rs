//! The page of all settings, docs/configuration.md, made of the reference file. Writes no file.

use std::fmt::Write;

use super::reference::sections;

const HEAD: &str = "\
# Configuration

Every setting with its default. Made of [config/tidewire.toml](../config/tidewire.toml) by \
`tidewire config page`; a test holds the
two equal.

Settings come from, later wins: the built-in defaults, the file that `--config` names, environment \
variables
(`TIDEWIRE_MQTT__RECEIVE_MAX=500` is `mqtt.receive_max = 500`), flags. Sizes \
also take a unit (`\"64 MiB\"`), and so do times (`\"10 s\"`).

A file says what is to be different, and nothing else:

```toml tidewire.toml
[mqtt]
receive_max = 500
```

```sh test
tidewire check tidewire.toml                    # every mistake at once, with line, column and \
what was meant
tidewire config show tidewire.toml              # what holds, in full; \
--changed leaves the defaults out
tidewire config show tidewire.toml --origin     # and who said so: file and line, variable, flag
tidewire config show --defaults                 # the reference file
tidewire config schema > tidewire.schema.json   # a JSON Schema, \
for editors: \"#:schema tidewire.schema.json\"
```

The broker takes it by `tidewire --config tidewire.toml`. A mosquitto.conf becomes such a file by \
[`tidewire config import-mosquitto`](migration-mosquitto.md).

";

/// The page.
pub(crate) fn page() -> String {
    let mut text = String::from(HEAD);
    for section in sections() {
        let name = match section.is_list {
            true => format!("[[{}]]", section.name),
            false => format!("[{}]", section.name),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "## `{name}`\n\n| setting | default | |\n|---|---|---|");
        for entry in &section.entries {
            let (key, default) = (&entry.key, cell(&entry.default));
            let _ = writeln!(text, "| `{key}` | `{default}` | {} |", cell(&entry.comment));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

/// Text in a table.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::page;

    /// When it fails: `cargo run -- config page > docs/configuration.md`.
    #[test]
    fn the_page_in_docs_is_what_the_reference_file_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let written = std::fs::read_to_string(path).unwrap();
        let first = written
            .lines()
            .zip(page().lines().map(str::to_owned).collect::<Vec<_>>())
            .find(|(written, made)| written != made)
            .map(|(written, made)| format!("{written}\nis to be\n{made}"));
        assert_eq!(first, None, "cargo run -- config page > docs/configuration.md");
        assert!(written == page(), "cargo run -- config page > docs/configuration.md");
    }
}
