//! Expressions, with the ranks that Jinja gives to operators.

use super::{
    super::{
        lexer::Token,
        meter::{Fault, fail},
        syntax::{Comparison, Expression, Link, Operator},
    },
    Parser,
};

/// Operators by rank, those that bind least first.
const RANKS: [&[(&str, Operator)]; 4] = [
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("~", Operator::Concatenate)],
    &[
        ("*", Operator::Multiply),
        ("/", Operator::Divide),
        ("//", Operator::DivideDown),
        ("%", Operator::Remainder),
    ],
    &[("**", Operator::Power)],
];

impl Parser {
    /// An expression, or several with commas, which are a list.
    pub(super) fn tuple(&mut self) -> Result<Expression, Fault> {
        let first = self.expression()?;
        if !self.is_sign(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_sign(",") {
            if matches!(self.peek(), None | Some(Token::Close | Token::Sign(")"))) {
                break;
            }
            items.push(self.expression()?);
        }
        Ok(Expression::List(items))
    }

    pub(super) fn expression(&mut self) -> Result<Expression, Fault> {
        self.within(|parser| {
            let value = parser.or()?;
            if !parser.skip_word("if") {
                return Ok(value);
            }
            let condition = parser.or()?;
            let otherwise = if parser.skip_word("else") {
                Some(parser.expression()?)
            } else {
                None
            };
            Ok(Expression::If(Box::new((condition, value, otherwise))))
        })
    }

    /// What a loop goes over: an `if` behind it belongs to the loop.
    pub(super) fn iterated(&mut self) -> Result<Expression, Fault> {
        let first = self.or()?;
        if !self.is_sign(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_sign(",") {
            items.push(self.or()?);
        }
        Ok(Expression::List(items))
    }

    fn or(&mut self) -> Result<Expression, Fault> {
        let mut all = vec![self.and()?];
        while self.skip_word("or") {
            all.push(self.and()?);
        }
        Ok(one_or(all, Expression::Or))
    }

    fn and(&mut self) -> Result<Expression, Fault> {
        let mut all = vec![self.not()?];
        while self.skip_word("and") {
            all.push(self.not()?);
        }
        Ok(one_or(all, Expression::And))
    }

    fn not(&mut self) -> Result<Expression, Fault> {
        if self.skip_word("not") {
            return Ok(Expression::Not(Box::new(self.within(Self::not)?)));
        }
        let first = self.chain(0)?;
        let mut others = Vec::new();
        while let Some(comparison) = self.comparison()? {
            others.push((comparison, self.chain(0)?));
        }
        if others.is_empty() {
            return Ok(first);
        }
        Ok(Expression::Compare(Box::new(first), others))
    }

    fn comparison(&mut self) -> Result<Option<Comparison>, Fault> {
        let found = match self.peek() {
            Some(Token::Sign("==")) => Comparison::Equal,
            Some(Token::Sign("!=")) => Comparison::Unequal,
            Some(Token::Sign("<")) => Comparison::Less,
            Some(Token::Sign("<=")) => Comparison::LessOrEqual,
            Some(Token::Sign(">")) => Comparison::Greater,
            Some(Token::Sign(">=")) => Comparison::GreaterOrEqual,
            Some(Token::Name(word)) if word == "in" => Comparison::In,
            Some(Token::Name(word)) if word == "not" => {
                self.next();
                if !self.is_word("in") {
                    return self.unexpected("`in`");
                }
                Comparison::NotIn
            }
            _ => return Ok(None),
        };
        self.next();
        Ok(Some(found))
    }

    fn chain(&mut self, rank: usize) -> Result<Expression, Fault> {
        let Some(operators) = RANKS.get(rank) else {
            return self.unary(true);
        };
        let first = self.chain(rank + 1)?;
        let mut others = Vec::new();
        loop {
            let found = operators.iter().find(|(sign, _)| self.is_sign(sign));
            let Some((_, operator)) = found else { break };
            self.next();
            others.push((*operator, self.chain(rank + 1)?));
        }
        if others.is_empty() {
            return Ok(first);
        }
        Ok(Expression::Chain(Box::new(first), others))
    }

    pub(super) fn unary(&mut self, filters: bool) -> Result<Expression, Fault> {
        let negative = self.is_sign("-");
        let value = if negative || self.is_sign("+") {
            self.next();
            let value = self.within(|parser| parser.unary(false))?;
            if negative {
                Expression::Negative(Box::new(value))
            } else {
                value
            }
        } else {
            self.primary()?
        };
        let mut links = Vec::new();
        loop {
            if self.skip_sign(".") {
                links.push(self.attribute()?);
            } else if self.skip_sign("[") {
                links.push(self.within(Self::subscript)?);
            } else if self.is_sign("(") {
                links.push(Link::Call(self.arguments()?));
            } else if filters && self.skip_sign("|") {
                links.push(self.filter()?);
            } else if filters && self.skip_word("is") {
                links.push(self.test()?);
            } else {
                break;
            }
        }
        if links.is_empty() {
            return Ok(value);
        }
        Ok(Expression::Path(Box::new(value), links))
    }

    fn primary(&mut self) -> Result<Expression, Fault> {
        if !matches!(
            self.peek(),
            Some(Token::Name(_) | Token::Text(_) | Token::Int(_) | Token::Float(_))
        ) {
            return self.within(Self::bracketed);
        }
        Ok(match self.next() {
            Some(Token::Int(number)) => Expression::Int(number),
            Some(Token::Float(number)) => Expression::Float(number),
            Some(Token::Text(mut text)) => {
                while let Some(Token::Text(more)) = self.peek() {
                    text.push_str(more);
                    self.next();
                }
                Expression::Text(text.into())
            }
            Some(Token::Name(name)) => match name.as_str() {
                "true" | "True" => Expression::Bool(true),
                "false" | "False" => Expression::Bool(false),
                "none" | "None" => Expression::None,
                _ => Expression::Name(name.into()),
            },
            _ => return fail("there is no value"),
        })
    }

    fn bracketed(&mut self) -> Result<Expression, Fault> {
        if self.skip_sign("(") {
            if self.skip_sign(")") {
                return Ok(Expression::List(Vec::new()));
            }
            let value = self.tuple()?;
            self.sign(")")?;
            return Ok(value);
        }
        if self.skip_sign("[") {
            let items = self.until("]", Self::expression)?;
            return Ok(Expression::List(items));
        }
        if !self.skip_sign("{") {
            return self.unexpected("a value");
        }
        let entries = self.until("}", |parser| {
            let key = parser.expression()?;
            parser.sign(":")?;
            Ok((key, parser.expression()?))
        })?;
        Ok(Expression::Map(entries))
    }

    /// Things with commas between them, up to a bracket.
    pub(super) fn until<T>(
        &mut self,
        end: &str,
        mut one: impl FnMut(&mut Self) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut all = Vec::new();
        while !self.skip_sign(end) {
            if !all.is_empty() {
                self.sign(",")?;
                if self.skip_sign(end) {
                    break;
                }
            }
            all.push(one(self)?);
        }
        Ok(all)
    }
}

/// The only one, or all of them together.
fn one_or(mut all: Vec<Expression>, together: fn(Vec<Expression>) -> Expression) -> Expression {
    match all.pop() {
        Some(one) if all.is_empty() => one,
        last => {
            all.extend(last);
            together(all)
        }
    }
}
