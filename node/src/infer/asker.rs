//! Asking hosts: which, in which order, and going on elsewhere when one dies.
//!
//! Nothing is sent to anybody before the user, or a program that the user allowed it to, asked for a peer. Hosts are
//! found by the model's manifest and dialled where they introduced themselves; nobody else says where.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt, future};
use tokio::{sync::mpsc, time};
use tokio_util::sync::CancellationToken;
use weft_protocol::{
    id::{NodeId, ObjectId, RevisionId},
    infer::{
        Account, Event, Finish, Generate, Job, ModelId, Receipt, Refusal,
        account::Parties,
        hosts::{Hosts, is_hosts_fault},
        peer::{Question, Told},
        receipt::Kept,
    },
    service::{Command, Outcome},
    sign::{NetworkId, SecretKey},
};

use super::{
    Answerer, Caller, Describing, Events, Model, Question as Asking, keeper::Missing,
    receipts::Receipts,
};
use crate::{service, transfer};

/// A search in the DHT is waited for this long.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(15);
/// Hosts that are asked how busy they are before one is chosen.
const PROBED_MAX: usize = 4;
/// A host that takes longer to say how busy it is is no good choice.
const PROBE_TIMEOUT: Duration = Duration::from_secs(6);
/// Who answered first is taken when the others do not within this.
const PROBE_GRACE: Duration = Duration::from_millis(150);
/// Hosts that one answer may use up.
const ATTEMPTS_MAX: usize = 12;
/// Time between two looks for hosts while there is none; it doubles up to [`AGAIN_DOUBLINGS_MAX`] times.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
const AGAIN_DOUBLINGS_MAX: usize = 3;
/// Searches in a row that may find nobody new, for an answer that has not begun.
const SEARCHES_MAX: usize = 4;
/// And for one that broke off: somebody reads it, and a host that was started anew says so within this.
const SEARCHES_BEGUN_MAX: usize = 10;
/// Time in which a receipt follows an answer.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Events that wait for a slow reader; then the host waits.
const EVENTS_MAX: usize = 64;

/// Asks hosts. Clones share what is known of them.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) node: NodeId,
    pub(super) network: NetworkId,
    pub(super) key: SecretKey,
    pub(super) service: service::Handle,
    pub(super) transfer: transfer::Handle,
    pub(super) local: Arc<dyn Answerer>,
    pub(super) receipts: Receipts,
    pub(super) cancel: CancellationToken,
    hosts: Mutex<Hosts>,
    started: Instant,
    /// Of a thousand receipts so many are checked without being asked for.
    pub(super) audits_per_mille: u16,
}

/// What is heard while a host answers.
#[derive(Debug)]
pub(crate) enum Heard {
    /// This host answers from here on.
    Host(NodeId),
    /// The answer goes on.
    Event(Event),
    /// What the host signed, and under which id it is kept.
    Receipt(ObjectId),
    /// There is no receipt by which this answer could be checked.
    Unsigned(Missing),
}

/// Why one host did not finish.
enum Broken {
    /// It refuses, or died; another may do better.
    Host(Refusal),
    /// Nobody could answer that.
    Question(Refusal),
    /// Nobody waits any more.
    Unheard,
}

/// What a new asker needs.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) node: NodeId,
    pub(crate) network: NetworkId,
    pub(crate) key: SecretKey,
    pub(crate) service: service::Handle,
    pub(crate) transfer: transfer::Handle,
    pub(crate) local: Arc<dyn Answerer>,
    pub(crate) receipts: Receipts,
    pub(crate) audits_per_mille: u16,
    pub(crate) cancel: CancellationToken,
}

impl Asker {
    pub(crate) fn new(parts: Parts) -> Self {
        let mut hosts = Hosts::default();
        for (node, since) in parts.receipts.accused() {
            hosts.shun(node, since, weft_protocol::time::Instant(0));
        }
        Self {
            inner: Arc::new(Inner {
                node: parts.node,
                network: parts.network,
                key: parts.key,
                service: parts.service,
                transfer: parts.transfer,
                local: parts.local,
                receipts: parts.receipts,
                cancel: parts.cancel,
                hosts: Mutex::new(hosts),
                started: Instant::now(),
                audits_per_mille: parts.audits_per_mille,
            }),
        }
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Receipts of what peers answered.
    pub(crate) fn receipts(&self) -> &Receipts {
        &self.inner.receipts
    }

    /// Asks hosts; what is heard comes in order. Dropping the receiver tells the host that nobody waits.
    pub(crate) fn hear(&self, model: ModelId, job: Job) -> mpsc::Receiver<Heard> {
        let (heard, receiver) = mpsc::channel(EVENTS_MAX);
        let asker = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = heard.closed() => {}
                () = asker.inner.cancel.cancelled() => {}
                () = asker.run(model, job, &heard) => {}
            }
        });
        receiver
    }

    async fn run(&self, model: ModelId, job: Job, heard: &mpsc::Sender<Heard>) {
        if let Err(Broken::Host(refusal) | Broken::Question(refusal)) =
            self.answer(&model, job, heard).await
        {
            // Whoever asked may be gone.
            let _ = heard.send(Heard::Event(Event::Failed(refusal))).await;
        }
    }

    async fn answer(
        &self,
        model: &ModelId,
        mut job: Job,
        heard: &mpsc::Sender<Heard>,
    ) -> Result<(), Broken> {
        let inner = &self.inner;
        let mut used = BTreeSet::new();
        let mut begun = false;
        let mut last = Refusal::NotFound("no peer that hosts this model was found".to_owned());
        let mut empty = 0;
        let mut attempts = 0;
        while attempts < ATTEMPTS_MAX {
            let Some(host) = inner.choose(model.revision, &used).await else {
                empty += 1;
                let most = match begun {
                    true => SEARCHES_BEGUN_MAX,
                    false => SEARCHES_MAX,
                };
                if empty >= most {
                    break;
                }
                // One that failed may have been busy or cut off for a moment.
                used.clear();
                time::sleep(AGAIN_AFTER * (1 << (empty - 1).min(AGAIN_DOUBLINGS_MAX))).await;
                continue;
            };
            empty = 0;
            attempts += 1;
            if heard.send(Heard::Host(host)).await.is_err() {
                return Err(Broken::Unheard);
            }
            match self.ask_one(host, model, &mut job, &mut begun, heard).await {
                Ok(()) => return Ok(()),
                Err(Broken::Host(refusal)) => {
                    tracing::debug!(host = %host.fmt_short(), %refusal, "another host is asked");
                    inner.hosts(|hosts, now| hosts.failed(host, now));
                    used.insert(host);
                    last = refusal;
                }
                Err(broken) => return Err(broken),
            }
        }
        Err(Broken::Host(last))
    }

    /// Asks one host. `job` grows by what it answered, so that another can go on.
    async fn ask_one(
        &self,
        host: NodeId,
        model: &ModelId,
        job: &mut Job,
        begun: &mut bool,
        heard: &mpsc::Sender<Heard>,
    ) -> Result<(), Broken> {
        let inner = &self.inner;
        let question = Question::Ask {
            model: model.clone(),
            job: Box::new(job.clone()),
        };
        let lost = |error: transfer::NoAnswer| Broken::Host(Refusal::Failed(error.to_string()));
        let mut asked = inner
            .transfer
            .ask_host(host, &question)
            .await
            .map_err(lost)?;
        // What this host was asked and tells: the question grows while it answers.
        let mut account = match &*job {
            Job::Generate(generate) => Some(Account::new(generate)),
            Job::Embed(_) | Job::Score(_) => None,
        };
        loop {
            let told = asked
                .next()
                .await
                .inspect_err(|_| inner.transfer.forget_host(host));
            let event = match told.map_err(lost)? {
                Some(Told::Event(event)) => event,
                Some(Told::Alive) => continue,
                Some(Told::Load(_) | Told::Receipt(_) | Told::Computed(_) | Told::Described(_))
                | None => {
                    let what = "the host ended its answer in the middle".to_owned();
                    return Err(Broken::Host(Refusal::Failed(what)));
                }
            };
            if let Some(account) = &mut account {
                account.note(&event);
                // Before the tokens are taken, which another host shall go on from.
                if account.is_too_long() {
                    inner.transfer.forget_host(host);
                    let what = "the host told more than was asked for".to_owned();
                    return Err(Broken::Host(Refusal::Failed(what)));
                }
            }
            match &event {
                Event::Started { .. } => {
                    // It began before, elsewhere.
                    if std::mem::replace(begun, true) {
                        continue;
                    }
                }
                Event::Tokens { tokens, .. } => {
                    if let Job::Generate(generate) = job {
                        generate.resume.extend(tokens.iter().map(|token| token.id));
                    }
                }
                Event::Failed(refusal) if is_hosts_fault(refusal) => {
                    return Err(Broken::Host(refusal.clone()));
                }
                Event::Failed(refusal) => return Err(Broken::Question(refusal.clone())),
                Event::Done {
                    finish: Finish::Cancelled,
                    ..
                } => {
                    let what = "the host gave the answer up".to_owned();
                    return Err(Broken::Host(Refusal::Failed(what)));
                }
                Event::Done { .. } | Event::Embedded { .. } | Event::Scored { .. } => {
                    if let (Job::Generate(generate), Some(account)) = (&*job, &account) {
                        let signed = self
                            .signed(host, model, generate, account, &mut asked)
                            .await;
                        let signed = match signed {
                            Ok(id) => Heard::Receipt(id),
                            Err(missing) => Heard::Unsigned(missing),
                        };
                        // Whoever asked may be gone.
                        let _ = heard.send(signed).await;
                    } else {
                        inner.hosts(|hosts, now| hosts.delivered(host, now));
                    }
                    return heard
                        .send(Heard::Event(event))
                        .await
                        .map_err(|_| Broken::Unheard);
                }
            }
            if heard.send(Heard::Event(event)).await.is_err() {
                return Err(Broken::Unheard);
            }
        }
    }

    /// Hears what a host signs about its answer. One that signs nothing, or something else, has not delivered.
    async fn signed(
        &self,
        host: NodeId,
        model: &ModelId,
        generate: &Generate,
        account: &Account,
        asked: &mut transfer::Asked,
    ) -> Result<ObjectId, Missing> {
        let told = time::timeout(RECEIPT_TIMEOUT, asked.next()).await;
        let right = match told {
            Ok(Ok(Some(Told::Receipt(envelope)))) => self
                .check(host, model, generate, account, envelope)
                .ok_or(Missing::Wrong),
            _ => Err(Missing::Withheld),
        };
        let kept = right.inspect_err(|missing| {
            tracing::warn!(host = %host.fmt_short(), %missing, "an answer cannot be checked");
            self.inner.hosts(|hosts, now| match account.was_complete() {
                // There was nothing left to compute, and so nothing to sign.
                true => hosts.delivered(host, now),
                false => hosts.withheld(host, now),
            });
        })?;
        self.inner.hosts(|hosts, now| hosts.signed(host, now));
        self.keep(kept).await
    }

    /// Whether a receipt says what was asked of this host and heard from it.
    fn check(
        &self,
        host: NodeId,
        model: &ModelId,
        generate: &Generate,
        account: &Account,
        envelope: weft_protocol::sign::Envelope,
    ) -> Option<Kept> {
        let receipt = Receipt::open(self.inner.network, &envelope).ok()?;
        let parties = Parties {
            node: host,
            asker: self.inner.node,
            model: model.clone(),
            now: service::unix(),
        };
        if let Err(error) = account.check(&receipt, &parties) {
            tracing::warn!(host = %host.fmt_short(), %error, "a receipt contradicts the answer that it is of");
            return None;
        }
        Some(Kept {
            receipt: envelope,
            prompt: generate.prompt.clone(),
            terms: generate.terms(),
            answer: account.answer().to_vec(),
            checked: None,
            complaint: None,
        })
    }
}

impl Inner {
    pub(super) fn hosts<T>(
        &self,
        change: impl FnOnce(&mut Hosts, weft_protocol::time::Instant) -> T,
    ) -> T {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut hosts, weft_protocol::time::Instant(millis))
    }

    /// The best host that is not among these.
    pub(super) async fn choose(
        &self,
        revision: RevisionId,
        without: &BTreeSet<NodeId>,
    ) -> Option<NodeId> {
        let mut pending = self.service.command(Command::FindHosts { revision }).await;
        let answered = time::timeout(SEARCH_TIMEOUT, pending.answer()).await;
        let Ok(Ok(Outcome::Hosts(found))) = answered else {
            return None;
        };
        let today = service::unix();
        let candidates = found.into_iter().filter(|host| !without.contains(host));
        let order = self.hosts(|hosts, now| hosts.order(candidates, now, today));
        let owes = |host: &NodeId| self.hosts(|hosts, _| hosts.owes(host));
        // Being quick helps nobody who owes a receipt: it is asked when no other answers.
        let (owing, clear): (Vec<_>, Vec<_>) = order.into_iter().partition(owes);
        match self.quickest(&clear, revision).await {
            Some(host) => Some(host),
            None => self.quickest(&owing, revision).await,
        }
    }

    /// The best of the first few of these, by what they say now.
    async fn quickest(&self, order: &[NodeId], revision: RevisionId) -> Option<NodeId> {
        let mut probes: Vec<_> = order
            .iter()
            .take(PROBED_MAX)
            .map(|host| self.probe(*host, revision).boxed())
            .collect();
        if probes.is_empty() {
            return None;
        }
        let mut able = Vec::new();
        // The first that answers, and those who are as quick.
        while !probes.is_empty() {
            let (host, _, rest) = future::select_all(probes).await;
            probes = rest;
            if let Some(host) = host {
                able.push(host);
                break;
            }
        }
        if !probes.is_empty() {
            let rest = future::join_all(probes);
            if let Ok(others) = time::timeout(PROBE_GRACE, rest).await {
                able.extend(others.into_iter().flatten());
            }
        }
        let today = service::unix();
        let order = self.hosts(|hosts, now| hosts.order(able, now, today));
        order.first().copied()
    }

    /// Asks a host how busy it is.
    async fn probe(&self, host: NodeId, revision: RevisionId) -> Option<NodeId> {
        let ask = async {
            let question = Question::Load { revision };
            // A first question on a new connection pays for the handshake too: that is not what an answer waits for.
            let mut asked = self.transfer.ask_host(host, &question).await.ok()?;
            let at = Instant::now();
            match asked.next().await {
                Ok(Some(Told::Load(load))) => Some((load, at.elapsed())),
                _ => None,
            }
        };
        let told = time::timeout(PROBE_TIMEOUT, ask).await.ok().flatten();
        match told {
            Some((load, latency)) => {
                self.hosts(|hosts, now| hosts.answered(host, load, latency, now));
                Some(host)
            }
            None => {
                self.hosts(|hosts, now| hosts.failed(host, now));
                self.transfer.forget_host(host);
                None
            }
        }
    }
}

impl Answerer for Asker {
    fn ask(&self, question: Asking) -> Events {
        let receiver = self.hear(question.model.id, question.job);
        let events = futures::stream::unfold(receiver, |mut receiver| async {
            loop {
                match receiver.recv().await? {
                    Heard::Event(event) => return Some((event, receiver)),
                    Heard::Host(_) | Heard::Receipt(_) | Heard::Unsigned(_) => {}
                }
            }
        });
        events.boxed()
    }

    fn describe(&self, model: Model, _caller: Caller) -> Describing {
        let asker = self.clone();
        async move {
            let nobody = || Refusal::NotFound("no peer that hosts this model was found".to_owned());
            let inner = &asker.inner;
            let chosen = inner.choose(model.id.revision, &BTreeSet::new()).await;
            let host = chosen.ok_or_else(nobody)?;
            let question = Question::Describe { model: model.id };
            let lost = |error: transfer::NoAnswer| Refusal::Failed(error.to_string());
            let mut asked = inner
                .transfer
                .ask_host(host, &question)
                .await
                .map_err(lost)?;
            match asked.next().await.map_err(lost)? {
                Some(Told::Described(description)) => Ok(*description),
                Some(Told::Event(Event::Failed(refusal))) => Err(refusal),
                _ => Err(Refusal::Failed("the host makes no sense".to_owned())),
            }
        }
        .boxed()
    }
}
