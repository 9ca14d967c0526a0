//! A table of words and numbers, as wide as what is in it. Knows no noun.

/// What a column is called, and how it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    name: &'static str,
    is_number: bool,
}

/// A column of words.
pub(super) const fn words(name: &'static str) -> Column {
    Column { name, is_number: false }
}

/// A column of numbers: they stand one below the other.
pub(super) const fn number(name: &'static str) -> Column {
    Column { name, is_number: true }
}

/// Rows below the names of columns.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) const fn new(columns: [Column; N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, row: [String; N]) {
        self.rows.push(row.map(|cell| plain(&cell)));
    }

    /// All of it, without a line end behind the last row. The names stay when there is no row, for
    /// who reads columns by them.
    pub(super) fn text(&self) -> String {
        let mut widths = self.columns.map(|column| column.name.len());
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let names = self.columns.map(|column| column.name.to_owned());
        let rows = std::iter::once(&names).chain(&self.rows);
        let lines: Vec<String> = rows.map(|row| self.line(row, &widths)).collect();
        lines.join("\n")
    }

    fn line(&self, row: &[String; N], widths: &[usize; N]) -> String {
        let cells = row.iter().zip(widths).zip(&self.columns);
        let cells = cells.map(|((cell, width), column)| match column.is_number {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        let cells: Vec<String> = cells.collect();
        cells.join("  ").trim_end().to_owned()
    }
}

/// Names come from devices: none of them moves the terminal.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_control() || is_hidden(letter) {
            true => shown.extend(letter.escape_unicode()),
            false => shown.push(letter),
        }
    }
    if shown.is_empty() { "-".into() } else { shown }
}

/// Has what follows read from the other side, or shows nothing.
const fn is_hidden(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::{Table, number, plain, words};

    #[test]
    fn words_stand_left_and_numbers_right() {
        let mut table = Table::new([words("CLIENT"), number("LAG"), words("STATE")]);
        assert_eq!(table.text(), "CLIENT  LAG  STATE");
        table.push(["grün".into(), "7".into(), "here".into()]);
        table.push(["a-long-name".into(), "12345".into(), String::new()]);
        let expected = "CLIENT         LAG  STATE\ngrün             7  here\n\
                        a-long-name  12345  -";
        assert_eq!(table.text(), expected);
    }

    #[test]
    fn no_name_moves_the_terminal() {
        for (name, shown) in [
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\nb", "a\\u{a}b"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("", "-"),
            ("grün", "grün"),
        ] {
            assert_eq!(plain(name), shown);
        }
    }
}
