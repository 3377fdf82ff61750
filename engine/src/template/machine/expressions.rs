//! What expressions come to.

use std::sync::Arc;

use super::{
    super::{
        filters, functions,
        given::Given,
        meter::{Fault, fail},
        methods,
        operators::{contains, operate, slice},
        predicates,
        syntax::{Arguments, Comparison, Expression, Link, Operator},
        value::{Number, Value},
    },
    Machine,
};

impl<'m> Machine<'m> {
    pub(super) fn value(&mut self, expression: &Expression) -> Result<Value, Fault> {
        self.meter.step(1)?;
        match expression {
            Expression::None => Ok(Value::None),
            Expression::Bool(value) => Ok(Value::Bool(*value)),
            Expression::Int(number) => Ok(Value::Int(*number)),
            Expression::Float(number) => Ok(Value::Float(*number)),
            Expression::Text(text) => Ok(Value::Text(Arc::clone(text))),
            Expression::Name(name) => Ok(self.named(name)),
            other => self.within(|machine| machine.deeper(other)),
        }
    }

    fn deeper(&mut self, expression: &Expression) -> Result<Value, Fault> {
        match expression {
            Expression::List(items) => {
                let mut list = self.meter.items();
                for item in items {
                    list.push(self.value(item)?)?;
                }
                list.finish()
            }
            Expression::Map(entries) => {
                let mut all = Vec::new();
                for (key, value) in entries {
                    all.push((self.value(key)?, self.value(value)?));
                }
                self.meter.map(all)
            }
            Expression::Not(value) => Ok(Value::Bool(!self.value(value)?.is_true())),
            Expression::Negative(value) => match self.value(value)?.number() {
                Some(Number::Int(number)) => match number.checked_neg() {
                    Some(number) => Ok(Value::Int(number)),
                    None => fail("a number is too large"),
                },
                Some(Number::Float(number)) => Ok(Value::Float(-number)),
                None => fail("only numbers can be negative"),
            },
            Expression::And(all) | Expression::Or(all) => {
                let wanted = matches!(expression, Expression::Or(_));
                let mut value = Value::Undefined;
                for one in all {
                    value = self.value(one)?;
                    if value.is_true() == wanted {
                        break;
                    }
                }
                Ok(value)
            }
            Expression::Compare(first, others) => {
                let mut left = self.value(first)?;
                for (comparison, right) in others {
                    let right = self.value(right)?;
                    if !self.compare(*comparison, &left, &right)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Ok(Value::Bool(true))
            }
            Expression::Chain(first, others) => self.chain(first, others),
            Expression::If(parts) => {
                let (condition, value, otherwise) = &**parts;
                if self.value(condition)?.is_true() {
                    return self.value(value);
                }
                match otherwise {
                    Some(otherwise) => self.value(otherwise),
                    None => Ok(Value::Undefined),
                }
            }
            Expression::Path(first, links) => {
                let mut value = self.value(first)?;
                for link in links {
                    self.meter.step(1)?;
                    value = match (link, &**first) {
                        (Link::Call(_), Expression::Name(name))
                            if matches!(value, Value::Undefined) =>
                        {
                            return fail(format!("there is no function `{name}`"));
                        }
                        _ => self.link(value, link)?,
                    };
                }
                Ok(value)
            }
            _ => fail("there is no value"),
        }
    }

    /// Operators of one rank. Texts that are put together are copied once, not once for each sign.
    fn chain(
        &mut self,
        first: &Expression,
        others: &[(Operator, Expression)],
    ) -> Result<Value, Fault> {
        let mut value = self.value(first)?;
        let mut text = None;
        for (operator, right) in others {
            let right = self.value(right)?;
            let is_text = text.is_some() || value.text().is_some();
            let joined = match operator {
                Operator::Concatenate => true,
                Operator::Add => is_text && right.text().is_some(),
                _ => false,
            };
            if joined {
                let mut writer = match text.take() {
                    Some(writer) => writer,
                    None => {
                        let mut writer = self.meter.writer();
                        value.show(&mut writer)?;
                        writer
                    }
                };
                right.show(&mut writer)?;
                text = Some(writer);
                continue;
            }
            if let Some(writer) = text.take() {
                value = writer.finish()?;
            }
            value = operate(self.meter, *operator, &value, &right)?;
        }
        match text {
            Some(writer) => writer.finish(),
            None => Ok(value),
        }
    }

    fn compare(&self, comparison: Comparison, left: &Value, right: &Value) -> Result<bool, Fault> {
        let order = || left.compare(right, self.meter);
        match comparison {
            Comparison::Equal => left.equals(right, self.meter),
            Comparison::Unequal => Ok(!left.equals(right, self.meter)?),
            Comparison::Less => Ok(order()?.is_lt()),
            Comparison::LessOrEqual => Ok(order()?.is_le()),
            Comparison::Greater => Ok(order()?.is_gt()),
            Comparison::GreaterOrEqual => Ok(order()?.is_ge()),
            Comparison::In => contains(self.meter, right, left),
            Comparison::NotIn => Ok(!contains(self.meter, right, left)?),
        }
    }

    pub(super) fn named(&self, name: &Arc<str>) -> Value {
        let found = self.frames.iter().rev().find_map(|frame| frame.get(name));
        match found {
            Some(value) => value.clone(),
            None if functions::NAMES.contains(&&**name) => Value::Function(Arc::clone(name)),
            None => Value::Undefined,
        }
    }

    pub(super) fn arguments(&mut self, arguments: &Arguments) -> Result<Given, Fault> {
        let mut given = Given::default();
        for (several, value) in &arguments.positional {
            let value = self.value(value)?;
            if *several {
                let list = value.items(self.meter)?;
                self.meter.make(list.items.len() * 32)?;
                given.positional.extend(list.items.iter().cloned());
            } else {
                given.positional.push(value);
            }
        }
        for (name, value) in &arguments.named {
            let value = self.value(value)?;
            match (name, value) {
                (Some(name), value) => given.named.push((Arc::clone(name), value)),
                (None, Value::Map(map)) => {
                    self.meter.make(map.entries.len() * 48)?;
                    for (key, value) in &map.entries {
                        let Value::Text(key) = key else {
                            return fail("arguments have names");
                        };
                        given.named.push((Arc::clone(key), value.clone()));
                    }
                }
                (None, other) => return fail(format!("{} has no arguments", other.kind())),
            }
        }
        Ok(given)
    }

    fn link(&mut self, value: Value, link: &Link) -> Result<Value, Fault> {
        match link {
            Link::Attribute(name) => self.attribute(&value, name),
            Link::Item(item) => {
                let item = self.value(item)?;
                self.item(&value, &item)
            }
            Link::Slice(parts) => {
                let mut bounds = [None; 3];
                for (bound, part) in bounds.iter_mut().zip(parts.iter()) {
                    let part = part.as_ref().map(|part| self.value(part)).transpose()?;
                    *bound = match part {
                        None | Some(Value::None) => None,
                        Some(Value::Int(number)) => {
                            Some(number.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
                        }
                        Some(other) => return fail(format!("{} is no place", other.kind())),
                    };
                }
                slice(self.meter, &value, bounds)
            }
            Link::Call(arguments) => {
                let given = self.arguments(arguments)?;
                self.call(value, given)
            }
            Link::Method(name, arguments) => {
                let given = self.arguments(arguments)?;
                self.method(&value, name, given)
            }
            Link::Filter(name, arguments) => {
                let given = self.arguments(arguments)?;
                filters::apply(self.meter, name, value, given)
            }
            Link::Test(name, negated, arguments) => {
                let given = self.arguments(arguments)?;
                let holds = predicates::holds(self.meter, name, &value, given)?;
                Ok(Value::Bool(holds != *negated))
            }
        }
    }

    fn attribute(&self, value: &Value, name: &Arc<str>) -> Result<Value, Fault> {
        let key = Value::Text(Arc::clone(name));
        match value {
            Value::Loop(state) => Ok(state.attribute(name)),
            Value::Undefined => fail(format!("`{name}` of what is undefined")),
            Value::Map(_) | Value::Space(_) => self.item(value, &key),
            _ => Ok(Value::Undefined),
        }
    }

    fn item(&self, value: &Value, key: &Value) -> Result<Value, Fault> {
        match (value, key) {
            (Value::Undefined, _) => fail("an item of what is undefined"),
            (Value::Loop(_), Value::Text(name)) => self.attribute(value, name),
            (Value::Space(space), Value::Text(name)) => {
                self.meter.look(name.len())?;
                let found = space.borrow().get(name).cloned();
                Ok(found.unwrap_or(Value::Undefined))
            }
            _ => filters::item(self.meter, value, key),
        }
    }

    fn method(&mut self, value: &Value, name: &Arc<str>, given: Given) -> Result<Value, Fault> {
        match value {
            Value::Loop(state) => state.method(self.meter, name, given),
            Value::Undefined => fail(format!("`{name}` of what is undefined")),
            value => methods::call(self.meter, value, name, given),
        }
    }

    fn call(&mut self, value: Value, given: Given) -> Result<Value, Fault> {
        match value {
            Value::Macro(procedure) => self.within(|machine| machine.invoke(&procedure, given)),
            Value::Function(name) => functions::call(self.meter, &name, given),
            Value::Loop(state) => self.again(&state, given),
            other => fail(format!("{} is no function", other.kind())),
        }
    }

    /// A call that is given a block.
    pub(super) fn call_with(&mut self, call: &Expression, caller: Value) -> Result<Value, Fault> {
        let Expression::Path(first, links) = call else {
            return fail("`call` is for calls");
        };
        let Some((Link::Call(arguments), before)) = links.split_last() else {
            return fail("`call` is for calls");
        };
        let mut value = self.value(first)?;
        for link in before {
            value = self.link(value, link)?;
        }
        let mut given = self.arguments(arguments)?;
        given.named.push(("caller".into(), caller));
        self.call(value, given)
    }
}
