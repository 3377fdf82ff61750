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
        Description, Event, Fingerprint, Finish, Generate, Job, ModelId, Numerics, Receipt,
        Refusal, Sampling, Usage,
        peer::{Load, Question, Told},
        receipt::{answer_hash, fingerprint_positions},
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
        let mut paper = match &mut job {
            Job::Generate(generate) => {
                generate.fingerprint_every = Fingerprint::EVERY;
                Some(Paper::new(generate))
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
        let mut ended = false;
        while let Some(event) = events.next().await {
            if waits.take().is_some() {
                runs = Some(Counted::new(&self.running));
            }
            let failed = matches!(event, Event::Failed(_));
            if let Some(paper) = &mut paper {
                paper.note(&event);
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
        let Ok(description) = self.answerer.describe(model.clone(), caller).await else {
            return;
        };
        let numerics = Numerics {
            weights: description.quantization,
            kernel_class: description.kernel_class,
        };
        let last = match paper {
            None => Some(Told::Computed(numerics)),
            Some(paper) => {
                let receipt = self.receipt(asker, model.id, numerics, paper);
                #[cfg(feature = "faults")]
                let receipt = receipt.and_then(super::faults::signed);
                receipt.map(|receipt| Told::Receipt(receipt.sign(self.network, &self.key)))
            }
        };
        if let Some(last) = last {
            let _ = told.send(last).await;
        }
    }

    fn receipt(
        &self,
        asker: NodeId,
        model: ModelId,
        numerics: Numerics,
        paper: Paper,
    ) -> Option<Receipt> {
        let (finish, usage, fingerprints) = paper.done?;
        let answer_tokens = u32::try_from(paper.answer.len()).ok()?;
        let mut fingerprints = fingerprints;
        fingerprints.retain(|print| print.position < answer_tokens);
        let found = fingerprints.iter().map(|print| print.position);
        if !found.eq(fingerprint_positions(answer_tokens)) {
            tracing::warn!("the engine left out fingerprints: an answer has no receipt");
            return None;
        }
        Some(Receipt {
            node: self.node,
            asker,
            revision: model.revision,
            file: model.file,
            engine: ENGINE.to_owned(),
            numerics,
            prompt_hash: paper.prompt_hash?,
            prompt_tokens: usage.prompt_tokens,
            answer_hash: answer_hash(&paper.answer),
            answer_tokens,
            resumed_tokens: paper.resumed,
            sampling: paper.sampling,
            constrained: u8::from(paper.constrained),
            finish,
            fingerprints,
            prompt_millis: usage.prompt_nanos / 1_000_000,
            answer_millis: usage.answer_nanos / 1_000_000,
            issued: service::unix(),
        })
    }
}

/// What a receipt will say, as it becomes known.
struct Paper {
    sampling: Sampling,
    constrained: bool,
    resumed: u32,
    answer: Vec<u32>,
    prompt_hash: Option<[u8; 32]>,
    done: Option<(Finish, Usage, Vec<Fingerprint>)>,
}

impl Paper {
    fn new(generate: &Generate) -> Self {
        Self {
            sampling: generate.sampling.clone(),
            constrained: generate.constraint.is_some(),
            resumed: u32::try_from(generate.resume.len()).unwrap_or(u32::MAX),
            answer: generate.resume.clone(),
            prompt_hash: None,
            done: None,
        }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Started { prompt_hash, .. } => self.prompt_hash = Some(*prompt_hash),
            Event::Tokens { tokens, .. } => {
                self.answer.extend(tokens.iter().map(|token| token.id));
            }
            Event::Done {
                finish,
                usage,
                fingerprints,
            } => self.done = Some((*finish, *usage, fingerprints.clone())),
            Event::Embedded { .. } | Event::Scored { .. } | Event::Failed(_) => {}
        }
    }
}
