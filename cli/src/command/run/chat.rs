//! A conversation on a terminal.

use std::io::{self, BufRead, Write};

use weft_node::api::{AskResult, ChatMessage};

use super::{Arguments, ask, end_line, message, system, tell_timings};
use crate::{client::Client, context::Context};

/// Opens and closes a message of several lines.
const QUOTES: &str = "\"\"\"";

const HELP: &str = "\
/bye       ends the conversation (Ctrl-D too)
/clear     begins a new one
/system    TEXT: tells the model something before everything else, in a new conversation
\"\"\"        before and after a message of several lines; a \\ at the end of a line goes on, too";

/// What a line, or several, come down to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    /// Nothing to do.
    Empty,
    /// Something to ask.
    Say(String),
    End,
    Clear,
    System(String),
    Help,
    Unknown(String),
}

pub(super) fn run(arguments: &Arguments, context: &Context, client: &Client) -> anyhow::Result<()> {
    context
        .screen
        .talk("/bye ends the conversation, /help tells more");
    let mut messages: Vec<ChatMessage> = system(arguments).into_iter().collect();
    let mut lines = io::stdin().lock().lines();
    loop {
        let entry = read(&mut lines, |prompt| {
            let mut screen = io::stderr().lock();
            let _ = write!(screen, "{prompt}").and_then(|()| screen.flush());
        })?;
        match entry {
            Entry::Empty => {}
            Entry::End => return Ok(()),
            Entry::Help => context.screen.complain(HELP),
            Entry::Unknown(word) => {
                context
                    .screen
                    .complain(&format!("there is no `{word}`; /help tells what there is"));
            }
            Entry::Clear => messages = system(arguments).into_iter().collect(),
            Entry::System(text) => messages = vec![message("system", text)],
            Entry::Say(text) => {
                messages.push(message("user", text));
                let answered = ask(arguments, context, client, messages.clone());
                let (text, result): (String, AskResult) = answered?;
                end_line(&text)?;
                tell_timings(context, &result);
                messages.push(message("assistant", text));
            }
        }
    }
}

/// Reads one entry; `show` asks for each line of it.
fn read(
    lines: &mut impl Iterator<Item = io::Result<String>>,
    show: impl Fn(&str),
) -> io::Result<Entry> {
    show(">>> ");
    let Some(first) = lines.next().transpose()? else {
        return Ok(Entry::End);
    };
    let mut text = String::new();
    let mut line = first;
    if let Some(rest) = line.trim_start().strip_prefix(QUOTES) {
        let mut rest = rest.to_owned();
        loop {
            if let Some(end) = rest.trim_end().strip_suffix(QUOTES) {
                text.push_str(end);
                return Ok(say(&text));
            }
            text.push_str(&rest);
            text.push('\n');
            show("... ");
            match lines.next().transpose()? {
                Some(next) => rest = next,
                None => return Ok(say(&text)),
            }
        }
    }
    while let Some(before) = line.strip_suffix('\\') {
        text.push_str(before);
        text.push('\n');
        show("... ");
        match lines.next().transpose()? {
            Some(next) => line = next,
            None => return Ok(say(&text)),
        }
    }
    text.push_str(&line);
    Ok(command(&text).unwrap_or_else(|| say(&text)))
}

fn say(text: &str) -> Entry {
    match text.trim() {
        "" => Entry::Empty,
        text => Entry::Say(text.to_owned()),
    }
}

fn command(text: &str) -> Option<Entry> {
    let text = text.trim();
    // A path at the beginning of a question is none.
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let name = word.strip_prefix('/').filter(|name| !name.contains('/'))?;
    Some(match (name, rest.trim()) {
        ("bye" | "exit" | "quit", "") => Entry::End,
        ("clear", "") => Entry::Clear,
        ("help" | "?", "") => Entry::Help,
        ("system", rest) if !rest.is_empty() => Entry::System(rest.to_owned()),
        _ => Entry::Unknown(word.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        let mut lines = text.lines().map(|line| Ok(line.to_owned()));
        read(&mut lines, |_| {}).unwrap()
    }

    #[test]
    fn messages_of_several_lines_are_one() {
        let said = |text: &str| Entry::Say(text.to_owned());
        assert_eq!(entry("hello"), said("hello"));
        assert_eq!(entry("\"\"\"a\nb\"\"\"\nc"), said("a\nb"));
        assert_eq!(entry("\"\"\"a\"\"\""), said("a"));
        assert_eq!(entry("a\\\nb"), said("a\nb"));
        // What is cut off by the end of the input is said all the same.
        assert_eq!(entry("\"\"\"a\nb"), said("a\nb"));
        assert_eq!(entry("a\\"), said("a"));
        assert_eq!(entry("   "), Entry::Empty);
        assert_eq!(entry(""), Entry::End);
    }

    #[test]
    fn words_with_a_slash_are_commands_and_paths_are_not() {
        assert_eq!(entry("/bye"), Entry::End);
        assert_eq!(
            entry("/system be brief"),
            Entry::System("be brief".to_owned())
        );
        assert_eq!(entry("/dance"), Entry::Unknown("/dance".to_owned()));
        let path = "/etc/passwd is what?";
        assert_eq!(entry(path), Entry::Say(path.to_owned()));
    }
}
