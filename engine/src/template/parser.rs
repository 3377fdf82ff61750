//! Signs into statements.

mod expressions;
mod links;
mod statements;

use super::{
    lexer::{Kind, Token, read},
    meter::{Fault, fail},
    syntax::{Block, Name, Statement},
};

/// Brackets and tags within each other. Templates in use have up to a dozen.
const NESTING_MAX: usize = 80;

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<(u32, Token)>>,
    line: u32,
    nesting: usize,
    /// How many loops and macros are open: what `break` belongs to.
    loops: usize,
}

/// The statements of a template, or the line in which it is none.
pub(super) fn parse(source: &str) -> Result<Block, (u32, Fault)> {
    let tokens = read(source)?;
    let mut parser = Parser {
        tokens: tokens.into_iter().peekable(),
        line: 1,
        nesting: 0,
        loops: 0,
    };
    match parser.block(&[]) {
        Ok((block, _)) => Ok(block),
        Err(fault) => Err((parser.line, fault)),
    }
}

impl Parser {
    fn next(&mut self) -> Option<Token> {
        let (line, token) = self.tokens.next()?;
        self.line = line;
        Some(token)
    }

    fn peek(&mut self) -> Option<&Token> {
        self.tokens.peek().map(|(_, token)| token)
    }

    fn is_sign(&mut self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(next)) if *next == sign)
    }

    fn is_word(&mut self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(next)) if next == word)
    }

    fn skip_sign(&mut self, sign: &str) -> bool {
        let there = self.is_sign(sign);
        if there {
            self.next();
        }
        there
    }

    fn skip_word(&mut self, word: &str) -> bool {
        let there = self.is_word(word);
        if there {
            self.next();
        }
        there
    }

    fn sign(&mut self, sign: &str) -> Result<(), Fault> {
        if self.skip_sign(sign) {
            return Ok(());
        }
        self.unexpected(&format!("`{sign}`"))
    }

    fn close(&mut self) -> Result<(), Fault> {
        if self.peek() == Some(&Token::Close) {
            self.next();
            return Ok(());
        }
        self.unexpected("the end of the tag")
    }

    fn name(&mut self) -> Result<Name, Fault> {
        if !matches!(self.peek(), Some(Token::Name(_))) {
            return self.unexpected("a name");
        }
        match self.next() {
            Some(Token::Name(name)) => Ok(name.into()),
            _ => fail("there is no name"),
        }
    }

    fn unexpected<T>(&mut self, wanted: &str) -> Result<T, Fault> {
        let found = match self.next() {
            None => "the end".to_owned(),
            Some(Token::Data(_)) => "text".to_owned(),
            Some(Token::Open(_)) => "a tag".to_owned(),
            Some(Token::Close) => "the end of the tag".to_owned(),
            Some(Token::Name(name)) => format!("`{name}`"),
            Some(Token::Text(_)) => "a text".to_owned(),
            Some(Token::Int(_) | Token::Float(_)) => "a number".to_owned(),
            Some(Token::Sign(sign)) => format!("`{sign}`"),
        };
        fail(format!("{found} where {wanted} belongs"))
    }

    /// Goes one level deeper.
    fn within<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.nesting == NESTING_MAX {
            return Err(Fault::Depth);
        }
        self.nesting += 1;
        let outcome = read(self);
        self.nesting -= 1;
        outcome
    }

    /// Statements up to one of these tags, whose name is taken but not its end.
    fn block(&mut self, ends: &[&'static str]) -> Result<(Block, &'static str), Fault> {
        let mut block = Block::new();
        loop {
            let Some(token) = self.next() else {
                return match ends.last() {
                    None => Ok((block, "")),
                    Some(end) => fail(format!("`{end}` is missing")),
                };
            };
            let line = self.line;
            match token {
                Token::Data(text) => block.push((line, Statement::Data(text.into()))),
                Token::Open(Kind::Output) => {
                    let value = self.tuple()?;
                    self.close()?;
                    block.push((line, Statement::Output(value)));
                }
                _ => {
                    let word = self.name()?;
                    if let Some(end) = ends.iter().find(|end| ***end == *word) {
                        return Ok((block, end));
                    }
                    if matches!(&*word, "generation") {
                        // What the model itself writes is marked, which matters in training only.
                        self.close()?;
                        let marked = self.within(|parser| parser.body("endgeneration"))?;
                        block.extend(marked);
                        continue;
                    }
                    let statement = self.within(|parser| parser.statement(&word))?;
                    block.push((line, statement));
                }
            }
        }
    }

    /// Statements up to a tag.
    fn body(&mut self, end: &'static str) -> Result<Block, Fault> {
        let (block, _) = self.block(&[end])?;
        // `{% endmacro name %}`
        if matches!(end, "endmacro") && matches!(self.peek(), Some(Token::Name(_))) {
            self.next();
        }
        self.close()?;
        Ok(block)
    }
}
