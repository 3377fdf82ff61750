//! The task that owns the machine: every input goes in here, every output goes out here.
//!
//! The machine is never shared. Others hold a [`Handle`] and send messages; views are closures that run between two
//! inputs. After each mutation all outputs are drained; each goes to the one actor that can carry it out. Outgoing
//! queues never block this task, so that an actor waiting to report cannot wait for this task in turn.

mod dispatch;
mod outbox;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time,
};
use tokio_util::sync::CancellationToken;
use weft_protocol::{
    service::{Command, CommandError, CommandId, Event, Input, Outcome, Service},
    time::{Instant, Now, Timestamp},
};

pub(crate) use self::dispatch::Subsystems;
use crate::{defaults, identity::KeyStore};

type Reply = Result<Outcome, CommandError>;
type View = Box<dyn FnOnce(&Service) + Send>;

/// What others ask of this task.
enum Message {
    Command {
        id: CommandId,
        command: Box<Command>,
        reply: oneshot::Sender<Reply>,
    },
    View(View),
}

/// The way in. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    messages: mpsc::Sender<Message>,
    events: broadcast::Sender<Event>,
    ids: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Handle {
    /// Asks the machine something. The command is cancelled when the answer is dropped unread.
    pub(crate) async fn command(&self, command: Command) -> Pending {
        let id = CommandId(self.ids.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let (reply, answer) = oneshot::channel();
        // A closed channel drops `reply`, which the answer then reports as cancelled.
        let _ = self
            .messages
            .send(Message::Command {
                id,
                command: Box::new(command),
                reply,
            })
            .await;
        Pending {
            id,
            answer,
            answered: false,
            messages: self.messages.clone(),
            ids: self.ids.clone(),
        }
    }

    /// Looks at the machine between two inputs. `None` when the node is shutting down.
    pub(crate) async fn view<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Service) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let view: View = Box::new(move |service| {
            // The asker may be gone; then nobody misses the answer.
            let _ = reply.send(look(service));
        });
        self.messages.send(Message::View(view)).await.ok()?;
        answer.await.ok()
    }

    /// News from now on.
    pub(crate) fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

/// A command on its way. Dropping it cancels the command.
#[derive(Debug)]
pub(crate) struct Pending {
    id: CommandId,
    answer: oneshot::Receiver<Reply>,
    answered: bool,
    messages: mpsc::Sender<Message>,
    ids: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Pending {
    /// Which command, for finding its transfer among the views.
    pub(crate) fn id(&self) -> CommandId {
        self.id
    }

    /// Waits for the answer. Cancel safe.
    pub(crate) async fn answer(&mut self) -> Reply {
        let reply = (&mut self.answer)
            .await
            .unwrap_or(Err(CommandError::Cancelled));
        self.answered = true;
        reply
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.answered {
            let (reply, _) = oneshot::channel();
            let id = CommandId(self.ids.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            let cancel = Message::Command {
                id,
                command: Box::new(Command::Cancel(self.id)),
                reply,
            };
            // If the queue is full the command runs to its end, which is harmless.
            let _ = self.messages.try_send(cancel);
        }
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Command { id, .. } => write!(f, "Command({id:?})"),
            Self::View(_) => f.write_str("View"),
        }
    }
}

/// The actor.
pub(crate) struct Actor {
    service: Service,
    subsystems: Subsystems,
    keys: KeyStore,
    inputs: mpsc::Receiver<Input>,
    messages: mpsc::Receiver<Message>,
    events: broadcast::Sender<Event>,
    replies: BTreeMap<CommandId, oneshot::Sender<Reply>>,
    clock: Clock,
}

impl Actor {
    /// Wraps a machine. Nothing happens before [`Actor::run`].
    pub(crate) fn new(
        service: Service,
        clock: Clock,
        subsystems: Subsystems,
        keys: KeyStore,
        inputs: mpsc::Receiver<Input>,
    ) -> (Self, Handle) {
        let (sender, messages) = mpsc::channel(defaults::MESSAGES_MAX);
        let (events, _) = broadcast::channel(defaults::EVENTS_MAX);
        let handle = Handle {
            messages: sender,
            events: events.clone(),
            ids: std::sync::Arc::default(),
        };
        let actor = Self {
            service,
            subsystems,
            keys,
            inputs,
            messages,
            events,
            replies: BTreeMap::new(),
            clock,
        };
        (actor, handle)
    }

    /// Runs until cancelled; then answers what still waits and drops the subsystems.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        loop {
            self.drain();
            let deadline = self.clock.until(self.service.poll_timeout());
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                () = self.subsystems.send() => {}
                Some(message) = self.messages.recv() => self.on_message(message),
                Some(input) = self.inputs.recv() => self.on_input(input),
                () = time::sleep(deadline) => self.service.handle_timeout(self.clock.now()),
            }
        }
        for reply in std::mem::take(&mut self.replies).into_values() {
            let _ = reply.send(Err(CommandError::Cancelled));
        }
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Command { id, command, reply } => {
                self.replies.insert(id, reply);
                self.service
                    .handle(self.clock.now(), Input::Command(id, *command));
            }
            Message::View(look) => look(&self.service),
        }
    }

    fn on_input(&mut self, input: Input) {
        self.service.handle(self.clock.now(), input);
        // What is already here goes in together: one drain for many progress reports.
        for _ in 0..64 {
            self.drain();
            match self.inputs.try_recv() {
                Ok(input) => self.service.handle(self.clock.now(), input),
                Err(_) => break,
            }
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.service.poll_output() {
            self.dispatch(output);
        }
    }
}

/// Reads both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: std::time::Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            start: std::time::Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        let millis = self.start.elapsed().as_millis();
        Now {
            instant: Instant(u64::try_from(millis).unwrap_or(u64::MAX)),
            unix: unix(),
        }
    }

    fn until(&self, deadline: Option<Instant>) -> Duration {
        // Without a deadline the machine waits for an input; an hour is as good as never.
        deadline.map_or(Duration::from_secs(3_600), |deadline| {
            deadline.since(self.now().instant)
        })
    }
}

/// The wall clock.
pub(crate) fn unix() -> Timestamp {
    Timestamp(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    )
}
