//! Plain tables: aligned columns, two spaces between them, no lines, so that `awk` and eyes can both read them.

use super::Style;

/// One column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    /// Text, aligned left.
    Left(&'static str),
    /// Numbers, aligned right.
    Right(&'static str),
}

impl Column {
    const fn title(self) -> &'static str {
        match self {
            Self::Left(title) | Self::Right(title) => title,
        }
    }

    fn pad(self, text: &str, width: usize) -> String {
        match self {
            Self::Left(_) => format!("{text:<width$}"),
            Self::Right(_) => format!("{text:>width$}"),
        }
    }
}

/// A table that is being filled.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self {
            columns: columns.into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; it has as many cells as there are columns.
    pub(crate) fn row(&mut self, cells: impl Into<Vec<String>>) {
        let cells = cells.into();
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    /// The table as text, or `empty` if it has no row.
    pub(crate) fn render(&self, style: Style, empty: &str) -> String {
        if self.rows.is_empty() {
            return empty.to_owned();
        }
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(i, column)| {
                let cells = self.rows.iter().filter_map(|row| row.get(i));
                cells
                    .map(|cell| cell.chars().count())
                    .chain([column.title().chars().count()])
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let line = |cells: Vec<&str>| {
            let cells = cells.iter().zip(&self.columns).zip(&widths);
            let text: Vec<String> = cells
                .map(|((cell, column), width)| column.pad(cell, *width))
                .collect();
            text.join("  ").trim_end().to_owned()
        };
        let header = line(self.columns.iter().map(|column| column.title()).collect());
        let rows = self
            .rows
            .iter()
            .map(|row| line(row.iter().map(String::as_str).collect()));
        [style.dim(&header)]
            .into_iter()
            .chain(rows)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Facts about one thing: a name and a value on each line; further lines of a value are indented.
pub(crate) fn fields(fields: &[(&str, String)], style: Style) -> String {
    let shown = || fields.iter().filter(|(_, value)| !value.is_empty());
    let width = shown()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    shown()
        .map(|(name, value)| {
            let name = style.dim(&format!("{name:<width$}"));
            let indent = format!("\n{:width$}  ", "");
            format!("{name}  {}", value.replace('\n', &indent))
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new([
            Column::Left("NAME"),
            Column::Right("SIZE"),
            Column::Left("NOTE"),
        ]);
        table.row(["tiny".to_owned(), "1.0 kB".to_owned(), String::new()]);
        table.row(["löwe".to_owned(), "14.2 MB".to_owned(), "big".to_owned()]);
        assert_eq!(
            table.render(Style::plain(), "nothing"),
            "NAME     SIZE  NOTE\ntiny   1.0 kB\nlöwe  14.2 MB  big"
        );
    }

    #[test]
    fn empty_table_is_a_sentence() {
        let table = Table::new([Column::Left("NAME")]);
        assert_eq!(table.render(Style::plain(), "no peers"), "no peers");
    }

    #[test]
    fn fields_skip_what_is_unknown_and_indent_lists() {
        let text = fields(
            &[
                ("node", "ab".to_owned()),
                ("note", String::new()),
                ("listen", "a\nb".to_owned()),
            ],
            Style::plain(),
        );
        assert_eq!(text, "node    ab\nlisten  a\n        b");
    }
}
