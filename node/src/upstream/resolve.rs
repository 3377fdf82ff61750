//! From a name to a pinned revision: what is held, what the hub says, and what nodes near here say when it says nothing.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time;
use url::Url;
use weft_protocol::wire::near::{Answer, Question};

use super::{
    Key, Kind, Upstream,
    client::{Client, Page, Token, Trouble},
    lock,
    snapshot::{Snapshot, is_commit},
};

/// How long what a name means is taken to be still true.
const NAME_FRESH: Duration = Duration::from_secs(60);
/// For a question to the hub: clients give up on an answer after ten seconds.
const BUDGET: Duration = Duration::from_secs(7);
/// The same where an older answer is held.
const BUDGET_HELD: Duration = Duration::from_secs(3);
/// For what nodes near here know.
const BUDGET_NEAR: Duration = Duration::from_secs(2);
/// A hub that did not answer is not waited for again for this long.
const SILENCE: Duration = Duration::from_secs(15);
/// Before the first repetition; doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// Names whose last look at the hub is remembered.
const LOOKED_MAX: usize = 4_096;
/// Pages of one list of files.
const PAGES_MAX: usize = 200;

impl Upstream {
    /// The revision that is meant.
    ///
    /// # Errors
    /// What the hub said, if it said no; what went wrong, if nobody could say.
    pub(crate) async fn resolve(
        &self,
        kind: Kind,
        id: &str,
        revision: &str,
        token: Option<&Token>,
    ) -> Result<Arc<Snapshot>, Trouble> {
        let name = self.key(kind, id, revision);
        if let Some(held) = self.fresh(&name, kind, id, revision) {
            return Ok(held);
        }
        let turn = {
            let mut asking = lock(&self.asking);
            asking.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(asking.entry(name).or_default())
        };
        let _turn = turn.lock().await;
        // Somebody else may have asked meanwhile.
        if let Some(held) = self.fresh(&name, kind, id, revision) {
            return Ok(held);
        }
        let held = self.held_by_name(&name, kind, id, revision);
        let silent = lock(&self.silent_until).is_some_and(|until| Instant::now() < until);
        let budget = if silent || held.is_some() {
            BUDGET_HELD
        } else {
            BUDGET
        };
        let asked = self.ask(kind, id, revision, token, budget).await;
        let trouble = match asked {
            Ok(snapshot) => {
                *lock(&self.silent_until) = None;
                self.keep_name(&name, &snapshot);
                self.looked_now(name);
                return Ok(snapshot);
            }
            Err(trouble) => trouble,
        };
        if trouble.may_pass() {
            *lock(&self.silent_until) = Some(Instant::now() + SILENCE);
        }
        // What a hub takes away from everybody is still here; what it shows to some only is for it to say.
        let usable = |held: &Arc<Snapshot>| trouble.may_pass() || held.public;
        if let Some(held) = held.filter(usable) {
            tracing::debug!(%trouble, id, revision, "an older answer is used");
            self.looked_now(name);
            return Ok(held);
        }
        if !trouble.may_pass() {
            return Err(trouble);
        }
        let near = time::timeout(BUDGET_NEAR, self.ask_near(&name, kind, id, revision));
        if let Ok(Some(snapshot)) = near.await {
            self.keep_name(&name, &snapshot);
            return Ok(self.keep(snapshot));
        }
        Err(trouble)
    }

    fn looked_now(&self, name: Key) {
        let mut looked = lock(&self.looked);
        if looked.len() >= LOOKED_MAX {
            looked.retain(|_, at| at.elapsed() < NAME_FRESH);
        }
        looked.insert(name, Instant::now());
    }

    /// What is held and needs no question.
    fn fresh(&self, name: &Key, kind: Kind, id: &str, revision: &str) -> Option<Arc<Snapshot>> {
        let held = self.held_by_name(name, kind, id, revision)?;
        let looked = lock(&self.looked).get(name).copied();
        let lately = looked.is_some_and(|at| at.elapsed() < NAME_FRESH);
        let pinned = is_commit(revision) && held.first_hand;
        (lately || pinned).then_some(held)
    }

    fn held_by_name(
        &self,
        name: &Key,
        kind: Kind,
        id: &str,
        revision: &str,
    ) -> Option<Arc<Snapshot>> {
        let held = self.named(name)?;
        let fits = (held.kind, held.id.as_str()) == (kind, id);
        (fits && (!is_commit(revision) || held.commit == revision)).then_some(held)
    }

    /// Asks the hub, each thing again and again within the budget while it may still answer.
    async fn ask(
        &self,
        kind: Kind,
        id: &str,
        revision: &str,
        token: Option<&Token>,
        budget: Duration,
    ) -> Result<Arc<Snapshot>, Trouble> {
        let until = time::Instant::now() + budget;
        let asked = self.ask_until(kind, id, revision, token, until);
        time::timeout_at(until, asked).await.unwrap_or_else(|_| {
            Err(Trouble::Unreachable {
                hub: self.name(),
                reason: "it does not answer in time".to_owned(),
            })
        })
    }

    async fn json(
        &self,
        url: &Url,
        token: Option<&Token>,
        until: time::Instant,
    ) -> Result<Page, Trouble> {
        let mut pause = PAUSE;
        loop {
            let trouble = match self.client.json(url.clone(), token).await {
                Err(trouble) if trouble.may_pass() => trouble,
                other => return other,
            };
            let wait = trouble.pause().unwrap_or_default().max(pause);
            if time::Instant::now() + wait >= until {
                return Err(trouble);
            }
            time::sleep(wait).await;
            pause *= 2;
        }
    }

    async fn ask_until(
        &self,
        kind: Kind,
        id: &str,
        revision: &str,
        token: Option<&Token>,
        until: time::Instant,
    ) -> Result<Arc<Snapshot>, Trouble> {
        let unasked = || self.client.nonsense("cannot be asked for this name");
        let rest = format!("/revision/{}", Client::segment(revision));
        let url = self.client.api(kind, id, &rest).ok_or_else(unasked)?;
        let info = self.json(&url, token, until).await?.value;
        let commit = info["sha"].as_str().unwrap_or_default().to_owned();
        let is_wrong = is_commit(revision) && commit != revision;
        if !is_commit(&commit) || is_wrong {
            let what = "does not say which commit a revision is";
            return Err(self.client.nonsense(what));
        }
        let held = self.held(&self.key(kind, id, &commit));
        if let Some(held) = held.filter(|held| held.first_hand) {
            return Ok(held);
        }
        let rest = format!("/tree/{commit}?recursive=true&expand=false");
        let mut next = self.client.api(kind, id, &rest);
        let mut tree = Vec::new();
        for _ in 0..PAGES_MAX {
            let Some(url) = next.take() else { break };
            let page = self.json(&url, token, until).await?;
            let Value::Array(entries) = page.value else {
                return Err(self.client.nonsense("sends a list of files that is none"));
            };
            tree.extend(entries);
            next = page.next;
        }
        if next.is_some() {
            return Err(self.client.nonsense("sends a list of files without end"));
        }
        let snapshot = Snapshot::new(self, (kind, id), &commit, info, &tree)?;
        Ok(self.keep(snapshot))
    }

    /// What nodes of this site were told by the hub, as far as they agree.
    async fn ask_near(&self, name: &Key, kind: Kind, id: &str, revision: &str) -> Option<Snapshot> {
        let question = Question::Snapshot { key: name.0 };
        let answers = self.ask_all(&question).await;
        let mut found: BTreeMap<[u8; 32], (usize, Snapshot)> = BTreeMap::new();
        for (_, answer) in answers {
            let Answer::Snapshot { json } = answer else {
                continue;
            };
            let Ok(mut snapshot) = serde_json::from_slice::<Snapshot>(&json) else {
                continue;
            };
            let asked = snapshot.hub == self.client.url()
                && (snapshot.kind, snapshot.id.as_str()) == (kind, id)
                && (!is_commit(revision) || snapshot.commit == revision);
            if asked && snapshot.public && snapshot.check().is_ok() {
                snapshot.first_hand = false;
                let digest = *snapshot.digest().as_bytes();
                found.entry(digest).or_insert((0, snapshot)).0 += 1;
            }
        }
        let commits: Vec<_> = found.values().map(|(_, s)| s.commit.clone()).collect();
        // Two stories of one commit: one of them is a lie, and there is no telling which.
        found.retain(|_, (_, s)| commits.iter().filter(|c| **c == s.commit).count() == 1);
        let newest =
            |snapshot: &Snapshot| snapshot.info["lastModified"].as_str().map(str::to_owned);
        let best = found
            .into_values()
            .max_by_key(|(told, snapshot)| (*told, newest(snapshot)));
        best.map(|(_, snapshot)| snapshot)
    }

    /// Branches and tags, as the hub tells them; what is known here if it does not.
    pub(crate) async fn refs(&self, snapshot: &Snapshot, token: Option<&Token>) -> Value {
        let asked = async {
            let url = self.client.api(snapshot.kind, &snapshot.id, "/refs")?;
            self.client.json(url, token).await.ok()
        };
        let silent = lock(&self.silent_until).is_some_and(|until| Instant::now() < until);
        let asked = async { if silent { None } else { asked.await } };
        match time::timeout(BUDGET, asked).await {
            Ok(Some(page)) if page.value["branches"].is_array() => page.value,
            _ => json!({
                "branches": [{
                    "name": "main",
                    "ref": "refs/heads/main",
                    "targetCommit": snapshot.commit,
                }],
                "tags": [],
                "converts": [],
            }),
        }
    }
}
