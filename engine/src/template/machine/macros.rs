//! Macros: declared, called, given their parameters.

use std::{rc::Rc, sync::Arc};

use super::{
    super::{given::Given, meter::Fault, syntax, value::Value},
    CALLS_MAX, Frame, Machine,
};

/// A macro as a value: with what it saw around it where it was declared.
#[derive(Debug)]
pub(in super::super) struct Procedure {
    declared: Arc<syntax::Macro>,
    around: Vec<Frame>,
}

impl Machine<'_> {
    /// A macro with what it sees here, apart from what is outermost: that it sees as it is when it is called.
    pub(super) fn procedure(&self, declared: &Arc<syntax::Macro>) -> Result<Value, Fault> {
        let around = self.frames.get(1..).unwrap_or_default();
        for frame in around {
            self.meter.make(128 + frame.len() * 64)?;
        }
        Ok(Value::Macro(Rc::new(Procedure {
            declared: Arc::clone(declared),
            around: around.to_vec(),
        })))
    }

    pub(super) fn invoke(&mut self, procedure: &Procedure, given: Given) -> Result<Value, Fault> {
        if self.calls == CALLS_MAX {
            return Err(Fault::Depth);
        }
        self.calls += 1;
        let outer = self.frames.split_off(1);
        self.frames.extend(procedure.around.iter().cloned());
        let outcome = self.framed(Frame::new(), |machine| {
            machine.bind(&procedure.declared, given)?;
            machine.captured(|machine| machine.run(&procedure.declared.body))
        });
        self.frames.truncate(1);
        self.frames.extend(outer);
        self.calls -= 1;
        outcome
    }

    fn bind(&mut self, declared: &syntax::Macro, given: Given) -> Result<(), Fault> {
        let mut positional = given.positional.into_iter();
        let mut named = given.named;
        for (name, usual) in &declared.parameters {
            let by_name = named.iter().position(|(other, _)| other == name);
            let value = match (positional.next(), by_name, usual) {
                (Some(value), ..) => value,
                (None, Some(at), _) => named.swap_remove(at).1,
                (None, None, Some(usual)) => self.value(usual)?,
                (None, None, None) => Value::Undefined,
            };
            self.define(name, value);
        }
        if let Some(at) = named.iter().position(|(name, _)| &**name == "caller") {
            let (name, caller) = named.swap_remove(at);
            self.define(&name, caller);
        }
        let others = positional.as_slice();
        if !others.is_empty() {
            let others = self.meter.list(others.iter().cloned())?;
            self.define(&"varargs".into(), others);
        }
        if !named.is_empty() {
            let entries = named
                .into_iter()
                .map(|(name, value)| (Value::Text(name), value));
            let others = self.meter.map(entries)?;
            self.define(&"kwargs".into(), others);
        }
        Ok(())
    }
}
