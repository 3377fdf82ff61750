//! Answering other nodes' questions about models that are hosted here, with a signed receipt for each answer.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use futures::{FutureExt, StreamExt, future::BoxFuture};
use tokio::sync::{Semaphore, mpsc};
use weft_protocol::{
    id::{NodeId, RevisionId},
    infer::{
        Account, Description, Event, Fingerprint, Job, ModelId, Numerics, Refusal,
        account::Parties,
        peer::{Load, Question, Told},
    },
    service::Admission,
    sign::{NetworkId, SecretKey},
};

use super::{Answerer, Caller, Model, Question as Asking, joined::joined};
use crate::{service, transfer};

/// What answers are signed with and by.
pub(super) const ENGINE: &str = concat!("weft/", env!("CARGO_PKG_VERSION"));
/// Strangers that are told what a model is at once: it is loaded for that, without waiting in the queue.
const STRANGERS_TOLD_MAX: usize = 2;
/// Who was told no comes again after this.
const TOLD_LATER: u32 = 1_000;
/// Tokens of prompt and answer together that a stranger gets.
const STRANGER_TOKENS_MAX: u32 = 4_096;

/// Answers other nodes.
#[derive(Debug)]
pub(crate) struct Hosting {
    node: NodeId,
    network: NetworkId,
    key: SecretKey,
    service: service::Handle,
    answerer: Arc<dyn Answerer>,
    running: AtomicU32,
    waiting: AtomicU32,
    strangers_told: Semaphore,
}

/// Counts something while it lives.
struct Counted<'a>(&'a AtomicU32);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicU32) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl transfer::Host for Hosting {
    fn answer(
        self: Arc<Self>,
        asker: NodeId,
        question: Question,
        told: mpsc::Sender<Told>,
    ) -> BoxFuture<'static, ()> {
        async move {
            match question {
                Question::Load { revision } => {
                    let said = match self.admit(revision, asker).await {
                        Ok(caller) => Told::Load(self.load(caller)),
                        Err(refusal) => Told::Event(Event::Failed(refusal)),
                    };
                    // Whoever asked may be gone.
                    let _ = told.send(said).await;
                }
                Question::Describe { model } => {
                    let said = match self.admit(model.revision, asker).await {
                        Ok(caller) => self.describe(model, caller).await,
                        Err(refusal) => Err(refusal),
                    };
                    let said = match said {
                        Ok(description) => Told::Described(Box::new(description)),
                        Err(refusal) => Told::Event(Event::Failed(refusal)),
                    };
                    let _ = told.send(said).await;
                }
                Question::Ask { model, job } => match self.admit(model.revision, asker).await {
                    Ok(caller) => self.compute(asker, caller, model, *job, &told).await,
                    Err(refusal) => {
                        let _ = told.send(Told::Event(Event::Failed(refusal))).await;
                    }
                },
            }
        }
        .boxed()
    }
}

impl Hosting {
    pub(crate) fn new(
        (node, network, key): (NodeId, NetworkId, SecretKey),
        service: service::Handle,
        answerer: Arc<dyn Answerer>,
    ) -> Self {
        Self {
            node,
            network,
            key,
            service,
            answerer,
            running: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            strangers_told: Semaphore::new(STRANGERS_TOLD_MAX),
        }
    }

    async fn admit(&self, revision: RevisionId, asker: NodeId) -> Result<Caller, Refusal> {
        let look =
            move |machine: &weft_protocol::service::Service| machine.admission(&revision, &asker);
        match self.service.view(look).await {
            Some(Admission::Named) => Ok(Caller::Known(asker)),
            Some(Admission::Stranger) => Ok(Caller::Peer(asker)),
            Some(Admission::NotForThem) => Err(Refusal::Forbidden(
                "the host does not answer this node".to_owned(),
            )),
            Some(Admission::NotHosted) => {
                Err(Refusal::NotFound("the model is not hosted here".to_owned()))
            }
            None => Err(Refusal::Failed("the host is shutting down".to_owned())),
        }
    }

    /// What a model is. Strangers get the model loaded for that only a few at a time.
    async fn describe(&self, id: ModelId, caller: Caller) -> Result<Description, Refusal> {
        let told = match caller {
            Caller::Peer(_) => {
                Some(
                    self.strangers_told
                        .try_acquire()
                        .map_err(|_| Refusal::Busy {
                            retry_millis: TOLD_LATER,
                        })?,
                )
            }
            Caller::Known(_) | Caller::Local(_) => None,
        };
        let name = id.revision.fmt_short();
        let described = self.answerer.describe(Model { id, name }, caller).await;
        drop(told);
        described
    }

    fn load(&self, caller: Caller) -> Load {
        Load {
            running: self.running.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            tokens_max: match caller {
                Caller::Peer(_) => STRANGER_TOKENS_MAX,
                Caller::Known(_) | Caller::Local(_) => u32::MAX,
            },
        }
    }

    async fn compute(
        &self,
        asker: NodeId,
        caller: Caller,
        id: ModelId,
        mut job: Job,
        told: &mpsc::Sender<Told>,
    ) {
        let mut account = match &mut job {
            Job::Generate(generate) => {
                generate.fingerprint_every = Fingerprint::EVERY;
                Some(Account::new(generate))
            }
            Job::Embed(_) | Job::Score(_) => None,
        };
        let model = Model {
            name: id.revision.fmt_short(),
            id,
        };
        let mut waits = Some(Counted::new(&self.waiting));
        let mut runs = None;
        let mut events = joined(self.answerer.ask(Asking {
            model: model.clone(),
            job,
            caller,
            deadline: None,
            keep: None,
        }));
        let (mut ended, mut described) = (false, None);
        while let Some(event) = events.next().await {
            if waits.take().is_some() {
                runs = Some(Counted::new(&self.running));
            }
            let failed = matches!(event, Event::Failed(_));
            // While the model is there: after the answer it may be gone.
            if described.is_none() && !failed {
                described = self.answerer.describe(model.clone(), caller).await.ok();
            }
            if let Some(account) = &mut account {
                account.note(&event);
            }
            #[cfg(feature = "faults")]
            if super::faults::hides(&event) {
                continue;
            }
            if told.send(Told::Event(event)).await.is_err() || failed {
                return;
            }
            ended = true;
        }
        drop((events, runs));
        if !ended {
            return;
        }
        let Some(description) = described else {
            return;
        };
        let numerics = Numerics {
            weights: description.quantization,
            kernel_class: description.kernel_class,
        };
        let last = match account {
            None => Told::Computed(numerics),
            Some(account) => {
                let parties = Parties {
                    node: self.node,
                    asker,
                    model: model.id,
                    now: service::unix(),
                };
                let Some(receipt) = account.receipt(parties, ENGINE, numerics) else {
                    tracing::warn!("the engine left out fingerprints: an answer has no receipt");
                    return;
                };
                #[cfg(feature = "faults")]
                let Some(receipt) = super::faults::signed(receipt) else {
                    return;
                };
                Told::Receipt(receipt.sign(self.network, &self.key))
            }
        };
        // Whoever asked may be gone.
        let _ = told.send(last).await;
    }
}
