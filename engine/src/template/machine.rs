//! Runs the statements of a template.

mod expressions;
mod loops;
mod macros;

use std::{collections::HashMap, sync::Arc};

pub(super) use loops::Loop;
pub(super) use macros::Procedure;

use super::{
    filters,
    meter::{Fault, Meter, fail},
    syntax::{Block, Link, Name, Statement, Target},
    value::Value,
};

/// Calls and statements within each other while a template runs.
const DEPTH_MAX: usize = 400;
/// Macros that call each other. Templates that do go three or four levels deep.
const CALLS_MAX: usize = 16;
/// Longest prompt in bytes.
pub(super) const PROMPT_LEN_MAX: usize = 8 * 1024 * 1024;

type Frame = HashMap<Name, Value>;

/// How a block ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// A template as it runs.
#[derive(Debug)]
pub(super) struct Machine<'m> {
    meter: &'m Meter,
    /// What is outermost comes first.
    frames: Vec<Frame>,
    /// The prompt, and texts that are captured.
    outputs: Vec<String>,
    depth: usize,
    calls: usize,
    /// The line of the latest statement.
    pub(super) line: u32,
}

impl<'m> Machine<'m> {
    pub(super) fn new(meter: &'m Meter, sees: Frame) -> Self {
        Self {
            meter,
            frames: vec![sees],
            outputs: vec![String::new()],
            depth: 0,
            calls: 0,
            line: 0,
        }
    }

    /// What the template writes.
    pub(super) fn render(&mut self, block: &Block) -> Result<String, Fault> {
        self.run(block)?;
        Ok(self.outputs.pop().unwrap_or_default())
    }

    /// Goes one level deeper.
    fn within<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth == DEPTH_MAX {
            return Err(Fault::Depth);
        }
        self.depth += 1;
        let outcome = run(self);
        self.depth -= 1;
        outcome
    }

    /// Runs with variables of its own.
    fn framed<T>(
        &mut self,
        frame: Frame,
        run: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.frames.push(frame);
        let outcome = run(self);
        self.frames.pop();
        outcome
    }

    /// What something writes.
    fn captured<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<Value, Fault> {
        self.outputs.push(String::new());
        let outcome = run(self);
        let text = self.outputs.pop().unwrap_or_default();
        outcome?;
        self.meter.text(&text)
    }

    fn write(&mut self, text: &str) -> Result<(), Fault> {
        let captured = self.outputs.len() > 1;
        let Some(output) = self.outputs.last_mut() else {
            return fail("there is no output");
        };
        if captured {
            self.meter.make(text.len())?;
        } else if output.len() + text.len() > PROMPT_LEN_MAX {
            return Err(Fault::Prompt);
        }
        output.push_str(text);
        Ok(())
    }

    fn run(&mut self, block: &Block) -> Result<Flow, Fault> {
        self.within(|machine| {
            for (line, statement) in block {
                machine.line = *line;
                machine.meter.step(1)?;
                match machine.statement(statement)? {
                    Flow::On => {}
                    flow => return Ok(flow),
                }
            }
            Ok(Flow::On)
        })
    }

    fn statement(&mut self, statement: &Statement) -> Result<Flow, Fault> {
        match statement {
            Statement::Data(text) => self.write(text)?,
            Statement::Output(value) => {
                let text = self.value(value)?.shown(self.meter)?;
                self.write(&text)?;
            }
            Statement::If(branches, otherwise) => {
                for (condition, block) in branches {
                    if self.value(condition)?.is_true() {
                        return self.run(block);
                    }
                }
                return self.run(otherwise);
            }
            Statement::For(declared) => {
                let items = self.value(&declared.over)?.items(self.meter)?;
                return self.repeat(declared, items, 0);
            }
            Statement::Set(target, value) => {
                let value = self.value(value)?;
                self.assign(target, value)?;
            }
            Statement::Capture(target, filters, block) => {
                let text =
                    self.captured(|machine| machine.framed(Frame::new(), |m| m.run(block)))?;
                let value = self.filtered(text, filters)?;
                self.assign(target, value)?;
            }
            Statement::Filter(filters, block) => {
                let text =
                    self.captured(|machine| machine.framed(Frame::new(), |m| m.run(block)))?;
                let text = self.filtered(text, filters)?.shown(self.meter)?;
                self.write(&text)?;
            }
            Statement::With(assignments, block) => {
                return self.framed(Frame::new(), |machine| {
                    for (target, value) in assignments {
                        let value = machine.value(value)?;
                        machine.assign(target, value)?;
                    }
                    machine.run(block)
                });
            }
            Statement::Macro(declared) => {
                let procedure = self.procedure(declared)?;
                self.define(&declared.name, procedure);
            }
            Statement::Call(call, caller) => {
                let caller = self.procedure(caller)?;
                let text = self.call_with(call, caller)?.shown(self.meter)?;
                self.write(&text)?;
            }
            Statement::Do(value) => {
                self.value(value)?;
            }
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn filtered(&mut self, mut value: Value, links: &[Link]) -> Result<Value, Fault> {
        for link in links {
            let Link::Filter(name, arguments) = link else {
                return fail("only filters belong here");
            };
            let given = self.arguments(arguments)?;
            value = filters::apply(self.meter, name, value, given)?;
        }
        Ok(value)
    }

    fn define(&mut self, name: &Name, value: Value) {
        if let Some(frame) = self.frames.last_mut() {
            frame.insert(Arc::clone(name), value);
        }
    }

    fn assign(&mut self, target: &Target, value: Value) -> Result<(), Fault> {
        match target {
            Target::Name(name) => self.define(name, value),
            Target::Attribute(name, attribute) => {
                let Value::Space(space) = self.named(name) else {
                    return fail(format!("`{name}` is no namespace"));
                };
                if value.depth().is_none() {
                    return fail("namespaces hold data only");
                }
                space.borrow_mut().insert(Arc::clone(attribute), value);
            }
            Target::Many(targets) => {
                let list = value.items(self.meter)?;
                if list.items.len() != targets.len() {
                    return fail(format!(
                        "{} values for {} variables",
                        list.items.len(),
                        targets.len()
                    ));
                }
                for (target, value) in targets.iter().zip(&list.items) {
                    self.assign(target, value.clone())?;
                }
            }
        }
        Ok(())
    }
}
