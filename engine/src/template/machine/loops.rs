//! Loops, and what they tell of themselves.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use super::{
    super::{
        given::Given,
        meter::{Fault, Meter, fail},
        syntax::For,
        value::{List, Value},
    },
    CALLS_MAX, Flow, Frame, Machine,
};

/// What `loop` is.
#[derive(Debug)]
pub(in super::super) struct Loop {
    items: Rc<List>,
    index: Cell<usize>,
    depth: usize,
    again: Option<Arc<For>>,
    seen: RefCell<Option<Vec<Value>>>,
}

impl Machine<'_> {
    /// `loop(…)` within a recursive loop.
    pub(super) fn again(&mut self, state: &Loop, given: Given) -> Result<Value, Fault> {
        let Some(again) = &state.again else {
            return fail("this loop is not recursive");
        };
        let [over] = given.bind("loop", ["over"])?;
        let items = over.unwrap_or(Value::Undefined).items(self.meter)?;
        let depth = state.depth + 1;
        if depth > CALLS_MAX {
            return Err(Fault::Depth);
        }
        self.captured(|machine| machine.repeat(again, items, depth))
    }

    pub(super) fn repeat(
        &mut self,
        declared: &Arc<For>,
        items: Rc<List>,
        depth: usize,
    ) -> Result<Flow, Fault> {
        let items = match &declared.filter {
            None => items,
            Some(filter) => {
                let mut kept = self.meter.items();
                for item in &items.items {
                    let keep = self.framed(Frame::new(), |machine| {
                        machine.assign(&declared.target, item.clone())?;
                        machine.value(filter)
                    })?;
                    if keep.is_true() {
                        kept.push(item.clone())?;
                    }
                }
                kept.finish()?.items(self.meter)?
            }
        };
        if items.items.is_empty() {
            return self.framed(Frame::new(), |machine| machine.run(&declared.otherwise));
        }
        let state = Rc::new(Loop {
            items,
            index: Cell::new(0),
            depth,
            again: declared.recursive.then(|| Arc::clone(declared)),
            seen: RefCell::default(),
        });
        for (index, item) in state.items.items.iter().enumerate() {
            self.meter.step(1)?;
            state.index.set(index);
            let mut frame = Frame::new();
            frame.insert("loop".into(), Value::Loop(Rc::clone(&state)));
            let flow = self.framed(frame, |machine| {
                machine.assign(&declared.target, item.clone())?;
                machine.run(&declared.body)
            })?;
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }
}

impl Loop {
    pub(super) fn attribute(&self, name: &str) -> Value {
        let (at, len) = (self.index.get(), self.items.items.len());
        let count = |count: usize| Value::Int(count as i128);
        let item = |at: Option<usize>| {
            let item = at.and_then(|at| self.items.items.get(at));
            item.cloned().unwrap_or(Value::Undefined)
        };
        match name {
            "index" => count(at + 1),
            "index0" => count(at),
            "revindex" => count(len - at),
            "revindex0" => count(len - at - 1),
            "first" => Value::Bool(at == 0),
            "last" => Value::Bool(at + 1 == len),
            "length" => count(len),
            "depth" => count(self.depth + 1),
            "depth0" => count(self.depth),
            "previtem" => item(at.checked_sub(1)),
            "nextitem" => item(Some(at + 1)),
            _ => Value::Undefined,
        }
    }

    pub(super) fn method(
        self: &Rc<Self>,
        meter: &Meter,
        name: &str,
        given: Given,
    ) -> Result<Value, Fault> {
        let values = given.positional;
        match name {
            "cycle" if !values.is_empty() => Ok(values[self.index.get() % values.len()].clone()),
            "changed" => {
                if values.iter().any(|value| value.depth().is_none()) {
                    return fail("only data can have changed");
                }
                let mut seen = self.seen.borrow_mut();
                let mut same = seen.as_ref().is_some_and(|seen| seen.len() == values.len());
                for (new, old) in values.iter().zip(seen.iter().flatten()) {
                    same = same && new.equals(old, meter)?;
                }
                *seen = Some(values);
                Ok(Value::Bool(!same))
            }
            _ => fail(format!("loops have no `{name}`")),
        }
    }
}
