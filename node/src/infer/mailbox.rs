//! Where the events of one answer wait for its reader.
//!
//! Writing never waits: a slow reader slows nobody else down. It is bounded all the same, by the length of the answer,
//! because pieces of text that wait are joined into one.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use weft_protocol::infer::Event;

/// Events that wait one by one; further text is joined to the last.
const WAITING_MAX: usize = 64;

/// Events of one answer.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    reader: Option<Waker>,
    /// The last event is in.
    is_over: bool,
}

/// Whether an event ends an answer.
pub(super) const fn is_last(event: &Event) -> bool {
    match event {
        Event::Started { .. } | Event::Tokens { .. } => false,
        Event::Done { .. } | Event::Embedded { .. } | Event::Scored { .. } | Event::Failed(_) => {
            true
        }
    }
}

impl Mailbox {
    /// Adds an event; nothing is added after the last one.
    pub(super) fn push(&self, event: Event) {
        let mut state = self.lock();
        if state.is_over {
            return;
        }
        state.is_over = is_last(&event);
        let is_full = state.events.len() >= WAITING_MAX;
        let unjoined = match state.events.back_mut() {
            Some(last) if is_full => last.append(event).err(),
            _ => Some(event),
        };
        state.events.extend(unjoined);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// The next event; `None` after the last one.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Option<Event>> {
        let mut state = self.lock();
        if let Some(event) = state.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if state.is_over {
            return Poll::Ready(None);
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::samples::{done, text};

    #[test]
    fn a_reader_who_sleeps_misses_nothing_and_costs_little() {
        let mailbox = Mailbox::default();
        for _ in 0..10_000 {
            mailbox.push(text("ab"));
        }
        mailbox.push(done());
        mailbox.push(text("too late"));
        let context = Context::from_waker(Waker::noop());
        let (mut events, mut len) = (0, 0);
        while let Poll::Ready(Some(event)) = mailbox.poll(&context) {
            events += 1;
            if let Event::Tokens { text, .. } = event {
                len += text.len();
            }
        }
        assert_eq!((events, len), (WAITING_MAX + 1, 20_000));
        assert_eq!(mailbox.poll(&context), Poll::Ready(None));
    }
}
