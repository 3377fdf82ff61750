//! Tags.

use std::sync::Arc;

use super::{
    super::{
        lexer::Token,
        meter::{Fault, fail},
        syntax::{Block, For, Link, Macro, Name, Statement, Target},
    },
    Parser,
};

impl Parser {
    pub(super) fn statement(&mut self, word: &str) -> Result<Statement, Fault> {
        match word {
            "for" => self.a_for(),
            "if" => self.an_if(),
            "set" => self.set(),
            "with" => self.with(),
            "filter" => {
                let filters = self.filters()?;
                self.close()?;
                Ok(Statement::Filter(filters, self.body("endfilter")?))
            }
            "macro" => {
                let name = self.name()?;
                Ok(Statement::Macro(self.a_macro(name, "endmacro")?))
            }
            "call" => self.call(),
            "do" => {
                let value = self.expression()?;
                self.close()?;
                Ok(Statement::Do(value))
            }
            "break" | "continue" => {
                self.close()?;
                match (word, self.loops) {
                    (_, 0) => fail(format!("`{word}` belongs into a loop")),
                    ("break", _) => Ok(Statement::Break),
                    _ => Ok(Statement::Continue),
                }
            }
            _ => fail(format!("there is no tag `{word}`")),
        }
    }

    fn a_for(&mut self) -> Result<Statement, Fault> {
        let target = self.targets()?;
        if !self.skip_word("in") {
            return self.unexpected("`in`");
        }
        let over = self.iterated()?;
        let filter = if self.skip_word("if") {
            Some(self.expression()?)
        } else {
            None
        };
        let recursive = self.skip_word("recursive");
        self.close()?;
        self.loops += 1;
        let (body, end) = self.block(&["else", "endfor"])?;
        self.loops -= 1;
        self.close()?;
        let otherwise = match end {
            "else" => self.body("endfor")?,
            _ => Block::new(),
        };
        Ok(Statement::For(Arc::new(For {
            target,
            over,
            filter,
            recursive,
            body,
            otherwise,
        })))
    }

    fn an_if(&mut self) -> Result<Statement, Fault> {
        let mut branches = Vec::new();
        loop {
            let condition = self.tuple()?;
            self.close()?;
            let (block, end) = self.block(&["elif", "else", "endif"])?;
            branches.push((condition, block));
            if end == "elif" {
                continue;
            }
            self.close()?;
            let otherwise = match end {
                "else" => self.body("endif")?,
                _ => Block::new(),
            };
            return Ok(Statement::If(branches, otherwise));
        }
    }

    fn set(&mut self) -> Result<Statement, Fault> {
        let target = self.targets()?;
        if self.skip_sign("=") {
            let value = self.tuple()?;
            self.close()?;
            return Ok(Statement::Set(target, value));
        }
        let filters = if self.skip_sign("|") {
            self.filters()?
        } else {
            Vec::new()
        };
        self.close()?;
        Ok(Statement::Capture(target, filters, self.body("endset")?))
    }

    fn with(&mut self) -> Result<Statement, Fault> {
        let mut assignments = Vec::new();
        while self.peek() != Some(&Token::Close) {
            if !assignments.is_empty() {
                self.sign(",")?;
            }
            let target = self.target()?;
            self.sign("=")?;
            assignments.push((target, self.expression()?));
        }
        self.close()?;
        Ok(Statement::With(assignments, self.body("endwith")?))
    }

    fn call(&mut self) -> Result<Statement, Fault> {
        let parameters = if self.is_sign("(") {
            self.parameters()?
        } else {
            Vec::new()
        };
        let call = self.expression()?;
        self.close()?;
        let caller = Macro {
            name: "caller".into(),
            parameters,
            body: self.macro_body("endcall")?,
        };
        Ok(Statement::Call(call, Arc::new(caller)))
    }

    fn a_macro(&mut self, name: Name, end: &'static str) -> Result<Arc<Macro>, Fault> {
        let parameters = self.parameters()?;
        self.close()?;
        Ok(Arc::new(Macro {
            name,
            parameters,
            body: self.macro_body(end)?,
        }))
    }

    /// A body that no `break` leaves.
    fn macro_body(&mut self, end: &'static str) -> Result<Block, Fault> {
        let loops = std::mem::take(&mut self.loops);
        let body = self.body(end)?;
        self.loops = loops;
        Ok(body)
    }

    /// Filters, the first of them without a sign before it.
    fn filters(&mut self) -> Result<Vec<Link>, Fault> {
        let mut filters = vec![self.filter()?];
        while self.skip_sign("|") {
            filters.push(self.filter()?);
        }
        Ok(filters)
    }

    /// One target, or several with commas.
    fn targets(&mut self) -> Result<Target, Fault> {
        let first = self.target()?;
        if !self.is_sign(",") {
            return Ok(first);
        }
        let mut targets = vec![first];
        while self.skip_sign(",") {
            if !matches!(self.peek(), Some(Token::Name(_) | Token::Sign("("))) || self.is_word("in")
            {
                break;
            }
            targets.push(self.target()?);
        }
        Ok(Target::Many(targets))
    }

    fn target(&mut self) -> Result<Target, Fault> {
        if self.skip_sign("(") {
            let inside = self.within(Self::targets)?;
            self.sign(")")?;
            return Ok(inside);
        }
        let name = self.name()?;
        if self.skip_sign(".") {
            return Ok(Target::Attribute(name, self.name()?));
        }
        Ok(Target::Name(name))
    }
}
