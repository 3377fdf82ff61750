//! What stands behind a value: attributes, items, calls, filters and tests.

use super::{
    super::{
        lexer::Token,
        meter::{Fault, fail},
        syntax::{Arguments, Expression, Link, Name},
    },
    Parser,
};

/// Words that cannot be what a test compares with.
const WORDS: [&str; 8] = ["else", "or", "and", "is", "if", "in", "not", "recursive"];

impl Parser {
    pub(super) fn attribute(&mut self) -> Result<Link, Fault> {
        if let Some(Token::Int(index)) = self.peek() {
            let index = *index;
            self.next();
            return Ok(Link::Item(Expression::Int(index)));
        }
        let name = self.name()?;
        if self.is_sign("(") {
            return Ok(Link::Method(name, self.arguments()?));
        }
        Ok(Link::Attribute(name))
    }

    pub(super) fn subscript(&mut self) -> Result<Link, Fault> {
        let mut parts = [None, None, None];
        let mut at = 0;
        while !self.skip_sign("]") {
            if self.skip_sign(":") {
                at += 1;
                if at > 2 {
                    return self.unexpected("`]`");
                }
            } else if parts[at].is_some() {
                return self.unexpected("`]`");
            } else {
                parts[at] = Some(self.expression()?);
            }
        }
        match (at, parts) {
            (0, [Some(item), _, _]) => Ok(Link::Item(item)),
            (0, _) => fail("an item without an index"),
            (_, parts) => Ok(Link::Slice(Box::new(parts))),
        }
    }

    pub(super) fn filter(&mut self) -> Result<Link, Fault> {
        let name = self.name()?;
        let arguments = if self.is_sign("(") {
            self.arguments()?
        } else {
            Arguments::default()
        };
        Ok(Link::Filter(name, arguments))
    }

    pub(super) fn test(&mut self) -> Result<Link, Fault> {
        let negated = self.skip_word("not");
        let name = self.name()?;
        let arguments = match self.peek() {
            Some(Token::Sign("(")) => self.arguments()?,
            Some(Token::Name(word)) if WORDS.contains(&word.as_str()) => Arguments::default(),
            Some(
                Token::Name(_)
                | Token::Text(_)
                | Token::Int(_)
                | Token::Float(_)
                | Token::Sign("[" | "{"),
            ) => {
                let value = self.within(|parser| parser.unary(false))?;
                Arguments {
                    positional: vec![(false, value)],
                    named: Vec::new(),
                }
            }
            _ => Arguments::default(),
        };
        Ok(Link::Test(name, negated, arguments))
    }

    pub(super) fn arguments(&mut self) -> Result<Arguments, Fault> {
        self.sign("(")?;
        let mut arguments = Arguments::default();
        self.until(")", |parser| {
            if parser.skip_sign("**") {
                let values = parser.expression()?;
                arguments.named.push((None, values));
            } else if parser.skip_sign("*") {
                let values = parser.expression()?;
                arguments.positional.push((true, values));
            } else {
                match parser.expression()? {
                    Expression::Name(name) if parser.skip_sign("=") => {
                        let value = parser.expression()?;
                        arguments.named.push((Some(name), value));
                    }
                    value => arguments.positional.push((false, value)),
                }
            }
            Ok(())
        })?;
        Ok(arguments)
    }

    /// What a macro takes.
    pub(super) fn parameters(&mut self) -> Result<Vec<(Name, Option<Expression>)>, Fault> {
        self.sign("(")?;
        self.until(")", |parser| {
            let name = parser.name()?;
            let usual = if parser.skip_sign("=") {
                Some(parser.expression()?)
            } else {
                None
            };
            Ok((name, usual))
        })
    }
}
