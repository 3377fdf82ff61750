//! A queue in front of an actor's bounded channel, so that the machine's task never waits for an actor.

use std::collections::VecDeque;

use futures::future::BoxFuture;

/// Commands that wait for a place in an actor's channel. Bounded by what the machine keeps in flight.
pub(super) struct Outbox<C> {
    queue: VecDeque<C>,
    sending: Option<BoxFuture<'static, ()>>,
    carry: Box<dyn Fn(C) -> BoxFuture<'static, ()> + Send>,
}

impl<C> Outbox<C> {
    /// `carry` hands one command over; it may wait for room.
    pub(super) fn new(carry: impl Fn(C) -> BoxFuture<'static, ()> + Send + 'static) -> Self {
        Self {
            queue: VecDeque::new(),
            sending: None,
            carry: Box::new(carry),
        }
    }

    /// Queues a command.
    pub(super) fn push(&mut self, command: C) {
        self.queue.push_back(command);
    }

    /// Hands one queued command over; waits for ever if none is queued. Cancel safe: a hand-over that was begun is
    /// gone on with at the next call.
    pub(super) async fn send(&mut self) {
        if self.sending.is_none() {
            let Some(command) = self.queue.pop_front() else {
                return std::future::pending().await;
            };
            self.sending = Some((self.carry)(command));
        }
        if let Some(sending) = &mut self.sending {
            sending.await;
        }
        self.sending = None;
    }
}

impl<C> std::fmt::Debug for Outbox<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox")
            .field("queued", &self.queue.len())
            .finish_non_exhaustive()
    }
}
