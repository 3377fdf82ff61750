//! A conversation on a terminal.

use std::io::{self, BufRead, Write};

use weft_node::api::ChatMessage;

use super::message;
use crate::{context::Context, failure};

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

/// Holds a conversation; `ask` prints what the model says to the last of the messages, and returns it.
pub(super) fn run(
    context: &Context,
    system: Option<&ChatMessage>,
    ask: impl FnMut(&[ChatMessage]) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let screen = &context.screen;
    screen.talk("/bye ends the conversation, /help tells more");
    let show = |prompt: &str| {
        let mut screen = io::stderr().lock();
        let _ = write!(screen, "{prompt}").and_then(|()| screen.flush());
    };
    let tell = |text: &str| screen.complain(text);
    converse(&mut io::stdin().lock().lines(), system, ask, show, tell)
}

fn converse(
    lines: &mut impl Iterator<Item = io::Result<String>>,
    system: Option<&ChatMessage>,
    mut ask: impl FnMut(&[ChatMessage]) -> anyhow::Result<String>,
    show: impl Fn(&str),
    tell: impl Fn(&str),
) -> anyhow::Result<()> {
    let mut messages: Vec<ChatMessage> = system.cloned().into_iter().collect();
    let mut has_answered = false;
    loop {
        match read(lines, &show)? {
            Entry::Empty => {}
            Entry::End => return Ok(()),
            Entry::Help => tell(HELP),
            Entry::Unknown(word) => {
                tell(&format!("there is no `{word}`; /help tells what there is"));
            }
            Entry::Clear => messages = system.cloned().into_iter().collect(),
            Entry::System(text) => messages = vec![message("system", text)],
            Entry::Say(text) => {
                messages.push(message("user", text));
                match ask(&messages) {
                    Ok(text) => {
                        has_answered = true;
                        messages.push(message("assistant", text));
                    }
                    Err(error) if is_lost(&error, has_answered) => return Err(error),
                    Err(error) => {
                        messages.pop();
                        tell(&failure::text(&error));
                        tell("the conversation goes on without that message");
                    }
                }
            }
        }
    }
}

/// Whether an error ends it all: this program cannot go on, or nothing was ever answered, so that nothing is lost and
/// the reason is probably not the message.
fn is_lost(error: &anyhow::Error, has_answered: bool) -> bool {
    !failure::is_of_node(error) || !has_answered && !failure::is_refused(error)
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
    use weft_node::api::{ErrorBody, ErrorCode};

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

    /// What the model is asked each time, and how the conversation ends.
    fn conversation(
        text: &str,
        mut answers: Vec<anyhow::Result<&str>>,
    ) -> (Vec<String>, Vec<String>, anyhow::Result<()>) {
        let mut lines = text.lines().map(|line| Ok(line.to_owned()));
        let (mut asked, told) = (Vec::new(), std::cell::RefCell::new(Vec::new()));
        let ask = |messages: &[ChatMessage]| {
            let all = messages.iter().map(|message| message.content.as_str());
            asked.push(all.collect::<Vec<_>>().join(" "));
            answers.remove(0).map(str::to_owned)
        };
        let system = message("system", "s".to_owned());
        let tell = |text: &str| told.borrow_mut().push(text.to_owned());
        let ended = converse(&mut lines, Some(&system), ask, |_| {}, tell);
        (asked, told.into_inner(), ended)
    }

    fn error(code: ErrorCode) -> anyhow::Error {
        anyhow::Error::from(ErrorBody::new(code, "no")).context("could not ask")
    }

    #[test]
    fn an_error_costs_one_message_and_not_the_conversation() {
        let answers = vec![
            Ok("A"),
            Err(error(ErrorCode::Usage)),
            Err(error(ErrorCode::Refused)),
            Ok("D"),
            Err(error(ErrorCode::Usage)),
            Ok("F"),
        ];
        let (asked, told, ended) = conversation("a\nb\nc\nd\n/clear\ne\nf", answers);
        let expected = ["s a", "s a A b", "s a A c", "s a A d", "s e", "s f"];
        assert_eq!(asked, expected);
        let errors = told.iter().filter(|line| line.starts_with("error: "));
        assert_eq!(errors.count(), 3);
        assert!(ended.is_ok());
    }

    #[test]
    fn what_no_message_can_mend_ends_it() {
        let (asked, _, ended) = conversation("a\nb", vec![Err(error(ErrorCode::NotFound))]);
        assert_eq!((asked.len(), ended.is_err()), (1, true));
        // Too many at once, though, is over soon.
        let answers = vec![Err(error(ErrorCode::Refused)), Ok("B")];
        let (asked, _, ended) = conversation("a\nb", answers);
        assert_eq!((asked.len(), ended.is_ok()), (2, true));
        let broken = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        let (asked, _, ended) = conversation("a\nb\nc", vec![Ok("A"), Err(broken)]);
        assert_eq!((asked.len(), ended.is_err()), (2, true));
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
