//! The recovery phrase: shown once, asked for rarely, never taken from the command line, where other users of
//! the machine could read it.

use std::{
    env, fs,
    io::{self, IsTerminal, Read},
    path::Path,
};

use anyhow::Context as _;
use weft_node::api::{ErrorCode, IdentityPhrase};

use crate::{failure::fail, render::Screen};

/// Holds the phrase if neither a file nor a person does.
const VARIABLE: &str = "WEFT_RECOVERY_PHRASE";
/// Words of a phrase.
const WORDS: usize = 24;
/// Words on one line, so that they are easy to copy onto paper.
const WORDS_PER_LINE: usize = 6;
/// 24 words of at most eight letters are far below this; a wrong file is found out early.
const INPUT_LEN_MAX: u64 = 4096;

/// Shows a phrase that was made just now, on stderr, also to those who want silence: it is the only time.
pub(crate) fn show(phrase: &IdentityPhrase, screen: &Screen) {
    let words: Vec<&str> = phrase.expose().split_whitespace().collect();
    let lines: Vec<String> = words
        .chunks(WORDS_PER_LINE)
        .map(|line| format!("    {}", line.join(" ")))
        .collect();
    let style = screen.talk_style();
    screen.complain(&format!(
        "\nThis is your new identity's recovery phrase. Write these {} words down now and keep them off this \
         computer: they are shown only once, and whoever has them is you.\n\n{}\n",
        words.len(),
        style.bold(&lines.join("\n"))
    ));
}

/// Gets a phrase: from a file, from `WEFT_RECOVERY_PHRASE`, or from whoever is at the keyboard or pipe.
pub(crate) fn ask(file: Option<&Path>, screen: &Screen) -> anyhow::Result<IdentityPhrase> {
    let text = match (file, env::var(VARIABLE)) {
        (Some(file), _) => fs::read_to_string(file)
            .with_context(|| format!("could not read `{}`", file.display()))?,
        (None, Ok(text)) => text,
        (None, Err(_)) => {
            if io::stdin().is_terminal() {
                screen.complain(&format!(
                    "Type the {WORDS} words of the recovery phrase, then Enter and Ctrl-D:"
                ));
            }
            let mut text = String::new();
            io::stdin()
                .lock()
                .take(INPUT_LEN_MAX)
                .read_to_string(&mut text)
                .context("could not read the recovery phrase from standard input")?;
            text
        }
    };
    parse(&text)
}

fn parse(text: &str) -> anyhow::Result<IdentityPhrase> {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    if words.len() != WORDS {
        return Err(fail(
            ErrorCode::Usage,
            format!(
                "a recovery phrase has {WORDS} words, this one has {}",
                words.len()
            ),
            format!("give it on standard input, with `--phrase-file FILE`, or in {VARIABLE}"),
        ));
    }
    Ok(IdentityPhrase::new(words.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copied_block_is_understood() {
        let block = "    Abandon ability able about above absent\n".repeat(4);
        let phrase = parse(&block).unwrap();
        assert_eq!(phrase.expose().split(' ').count(), WORDS);
        assert!(phrase.expose().starts_with("abandon ability"));
    }

    #[test]
    fn wrong_number_of_words_is_told_without_the_words() {
        let error = parse("abandon ability").unwrap_err().to_string();
        assert!(
            error.contains("has 2") && !error.contains("ability"),
            "{error}"
        );
    }
}
