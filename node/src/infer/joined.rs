//! Tokens that come fast are told together: a message for each would cost more than to compute it.
//!
//! The first tokens after a pause are told at once, those after them no sooner than [`PAUSE`] later, joined. Nobody who
//! reads notices, and of a model that needs longer for a token every token is a message of its own.

use std::time::Duration;

use futures::{
    Stream, StreamExt,
    stream::{self, Fuse},
};
use tokio::time::{self, Instant};
use weft_protocol::infer::Event;

use super::Events;

/// Between two messages of one answer: a two-hundredth of a second.
const PAUSE: Duration = Duration::from_millis(5);
/// Events that are joined at most: their messages stay small.
const JOINED_MAX: usize = 256;

struct Joiner {
    events: Fuse<Events>,
    /// Tokens that wait, and of how many events they are.
    held: Option<(Event, usize)>,
    /// What came behind them.
    behind: Option<Event>,
    /// Who reads has seen text; before, a token that has none holds up nobody.
    has_text: bool,
    /// When the next tokens may be told.
    due: Instant,
}

/// The same events, fewer of them.
pub(super) fn joined(events: Events) -> impl Stream<Item = Event> + Send + Unpin {
    let joiner = Joiner {
        events: events.fuse(),
        held: None,
        behind: None,
        has_text: false,
        due: Instant::now(),
    };
    stream::unfold(joiner, |mut joiner| async {
        let event = joiner.next().await?;
        Some((event, joiner))
    })
    .boxed()
}

impl Joiner {
    async fn next(&mut self) -> Option<Event> {
        if let Some(behind) = self.behind.take() {
            return Some(behind);
        }
        loop {
            let event = tokio::select! {
                biased;
                event = self.events.next() => event,
                () = time::sleep_until(self.due), if self.held.is_some() => return self.tell(),
            };
            let is_token = matches!(event, Some(Event::Tokens { .. }));
            match (&mut self.held, event) {
                (None, Some(event)) if is_token => {
                    self.held = Some((event, 1));
                    if self.due <= Instant::now() {
                        return self.tell();
                    }
                }
                (None, event) => return event,
                (Some((held, count)), Some(event)) => match held.append(event) {
                    Ok(()) if *count + 1 < JOINED_MAX => *count += 1,
                    Ok(()) => return self.tell(),
                    Err(behind) => {
                        self.behind = Some(behind);
                        return self.tell();
                    }
                },
                (Some(_), None) => return self.tell(),
            }
        }
    }

    fn tell(&mut self) -> Option<Event> {
        let (event, _) = self.held.take()?;
        self.has_text |= matches!(&event, Event::Tokens { text, .. } if !text.is_empty());
        if self.has_text {
            self.due = Instant::now() + PAUSE;
        }
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc;

    use super::*;
    use crate::infer::samples::{done, text};

    #[tokio::test(start_paused = true)]
    async fn the_first_token_and_the_end_wait_for_nothing_and_the_others_come_together() {
        // More than is ever told before it is heard.
        let (mut sender, events) = mpsc::channel(16);
        let mut tell = |event| sender.try_send(event).expect("somebody listens");
        let mut told = joined(events.boxed());
        let start = Instant::now();
        for piece in ["", "a"] {
            tell(text(piece));
            assert_eq!(told.next().await, Some(text(piece)));
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for piece in ["b", "c"] {
            tell(text(piece));
        }
        assert_eq!(told.next().await, Some(text("bc")));
        let paused = start.elapsed();
        assert!((PAUSE..2 * PAUSE).contains(&paused), "{paused:?}");
        // One that comes later is alone, and late enough.
        time::sleep(2 * PAUSE).await;
        let late = Instant::now();
        tell(text("d"));
        assert_eq!(told.next().await, Some(text("d")));
        for event in [text("e"), text("f"), done()] {
            tell(event);
        }
        assert_eq!(told.next().await, Some(text("ef")));
        assert_eq!(told.next().await, Some(done()));
        assert_eq!(late.elapsed(), Duration::ZERO);
        tell(text("cut off"));
        drop(sender);
        assert_eq!(told.next().await, Some(text("cut off")));
        assert_eq!(told.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn messages_have_a_bound_however_fast_tokens_come() {
        let events = stream::iter((0..2_000).map(|_| text("x")));
        let told: Vec<Event> = joined(events.boxed()).collect().await;
        let len = |event: &Event| match event {
            Event::Tokens { text, .. } => text.len(),
            _ => 0,
        };
        assert!(told.iter().all(|event| len(event) <= JOINED_MAX));
        assert_eq!(told.iter().map(len).sum::<usize>(), 2_000);
    }
}
