//! What the machine wants done, in order, until the driver takes it.

use std::collections::VecDeque;

use super::{Event, Output, RequestId};

/// The queue of outputs and the source of request ids.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    outputs: VecDeque<Output>,
    issued: u64,
}

impl Outbox {
    /// A request id that was never used in this run.
    pub(crate) fn request_id(&mut self) -> RequestId {
        self.issued += 1;
        RequestId(self.issued)
    }

    /// Appends one output.
    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Appends one event.
    pub(crate) fn event(&mut self, event: Event) {
        self.push(Output::Event(event));
    }

    /// Takes the oldest output.
    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}
