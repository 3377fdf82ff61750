//! Colours, used only where they carry meaning that the text also carries.

/// Whether and how text may be coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    coloured: bool,
}

impl Style {
    pub(crate) const fn coloured() -> Self {
        Self { coloured: true }
    }

    pub(crate) const fn plain() -> Self {
        Self { coloured: false }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Colours the words at the start of lines that say what kind of line it is.
    pub(crate) fn message(self, text: &str) -> String {
        let line = |line: &str| {
            for (word, painted) in [
                ("error:", self.red("error:")),
                ("hint:", self.green("hint:")),
            ] {
                if let Some(rest) = line.strip_prefix(word) {
                    return format!("{painted}{rest}");
                }
            }
            line.to_owned()
        };
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.coloured && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_plain() {
        assert_eq!(Style::plain().red("x"), "x");
        assert_eq!(
            Style::plain().message("error: a\nhint: b"),
            "error: a\nhint: b"
        );
    }

    #[test]
    fn only_first_words_are_coloured() {
        let text = Style::coloured().message("error: no error: here");
        assert_eq!(text, "\u{1b}[31merror:\u{1b}[0m no error: here");
    }
}
