//! A repository's newest head: finding the one that is there, and signing the one that follows it.

use tokio::time;
use weft_protocol::{
    codec,
    freshness::Freshness,
    head::Head,
    id::{ObjectId, RepositoryId},
    identity::IdentityLog,
    log,
    op::{RevisionRecord, RevisionState},
    refs::Refs,
    service::{Command, Outcome, Publication},
    sign::Envelope,
};

use super::encode_manifest;
use crate::{
    api::{ErrorBody, ErrorCode},
    defaults,
    operations::{Operations, identities, shutting_down},
    service::unix,
};

/// What a new head says beyond its place in the log.
pub(in crate::operations) struct Content {
    pub(in crate::operations) manifest: Vec<u8>,
    pub(in crate::operations) refs: Refs,
    /// Manifests that only the references name and that are new.
    pub(in crate::operations) others: Vec<Vec<u8>>,
}

/// The tip that a new head follows, with the ids of all heads before and including it.
pub(in crate::operations) struct Tip {
    pub(in crate::operations) head: Head,
    id: ObjectId,
    leaves: Vec<ObjectId>,
}

impl Operations {
    /// Signs the tip's content again under the newest identity event, if it is here: whoever signs a revision says
    /// that it can be had from here.
    pub(in crate::operations) async fn sign_tip_again(
        &self,
        repository: &RepositoryId,
    ) -> Result<(), ErrorBody> {
        let Some(tip) = self.tip(repository).await? else {
            return Ok(());
        };
        let held = self.held(repository).await?;
        let is_here = |record: &RevisionRecord| {
            record.revision == tip.head.manifest && record.state == RevisionState::Complete
        };
        if !held.iter().any(is_here) {
            tracing::warn!(%repository, "not signed again: its files are not here");
            return Ok(());
        }
        let manifest = self.stored_manifest(tip.head.manifest).await?;
        let refs = match tip.head.refs {
            Some(id) => self.refs(id).await?.unwrap_or_default(),
            None => Refs::default(),
        };
        let content = Content {
            manifest: encode_manifest(&manifest)?,
            refs,
            others: Vec::new(),
        };
        let identity = self.identity_log(repository.publisher).await?;
        let identity = identity.ok_or_else(identities::no_identity)?;
        self.sign_and_commit(repository, &identity, Some(tip), content)
            .await
            .map(drop)
    }

    /// The tip to build on. A publisher's own node holds all ids of its log; one that took the identity over asks its
    /// peers for them. Without them it must not sign.
    pub(in crate::operations) async fn tip(
        &self,
        repository: &RepositoryId,
    ) -> Result<Option<Tip>, ErrorBody> {
        let asked = time::Instant::now();
        let mut ticks = time::interval(defaults::PROGRESS_INTERVAL);
        let mut looks = 0_u32;
        while let Some((head, id, leaves)) = self.held_tip(repository).await? {
            if let Some(leaves) = leaves {
                return Ok(Some(Tip { head, id, leaves }));
            }
            if asked.elapsed() >= defaults::HISTORY_TIMEOUT {
                let message = format!("the history of `{repository}` is not complete on this node");
                return Err(ErrorBody::new(ErrorCode::Refused, message)
                    .with_hint("name a node that has it with `--bootstrap`, then publish again"));
            }
            ticks.tick().await;
            // Now and then is enough: an answer may be on its way.
            if looks.is_multiple_of(5)
                && let Some(identity) = self.identity_log(repository.publisher).await?
            {
                let command = Command::UpdateIdentity {
                    publisher: repository.publisher,
                    events: identity.envelopes().to_vec(),
                };
                self.service.command(command).await.answer().await?;
            }
            looks += 1;
        }
        Ok(None)
    }

    async fn held_tip(
        &self,
        repository: &RepositoryId,
    ) -> Result<Option<(Head, ObjectId, Option<Vec<ObjectId>>)>, ErrorBody> {
        let wanted = repository.clone();
        self.service
            .view(move |service| {
                service
                    .tip(&wanted)
                    .map(|(tip, leaves)| (tip.head.clone(), tip.id, leaves.map(<[_]>::to_vec)))
            })
            .await
            .ok_or_else(shutting_down)
    }

    pub(in crate::operations) async fn sign_and_commit(
        &self,
        repository: &RepositoryId,
        identity: &IdentityLog,
        tip: Option<Tip>,
        content: Content,
    ) -> Result<(u64, ObjectId), ErrorBody> {
        let publisher = repository.publisher;
        let keys = self
            .keys
            .keys(identity)?
            .ok_or_else(identities::no_identity)?;
        let refs = (content.refs != Refs::default()).then(|| codec::preimage(&content.refs));
        let now = unix();
        let leaves = tip.as_ref().map_or(&[][..], |tip| &tip.leaves);
        let head = Head {
            publisher,
            name: repository.name.clone(),
            index: leaves.len() as u64,
            manifest: id_of(&content.manifest),
            refs: refs.as_deref().map(id_of),
            previous: tip.as_ref().map(|tip| tip.id),
            log_root: log::root(leaves),
            identity: identity.tip_id(),
            identity_index: identity.tip().index,
            issued: now,
            expires: now.plus(defaults::HEAD_LIFETIME),
            ttl: defaults::HEAD_TTL_SECS,
        };
        let signer = position(&identity.tip().release_keys, &keys.release.public());
        let Some(signer) = signer else {
            return Err(ErrorBody::new(
                ErrorCode::Refused,
                format!(
                    "the release key on this node no longer counts for publisher `{publisher}`"
                ),
            )
            .with_hint("the identity was rotated elsewhere; `weft id recover` brings it here"));
        };
        let envelope = Envelope::sign(&head, self.network_id, &[(signer, &keys.release)]);
        let freshness = Freshness {
            publisher,
            name: repository.name.clone(),
            head: envelope.id::<Head>(),
            index: head.index,
            issued: now,
            expires: now.plus(defaults::FRESHNESS_LIFETIME),
        };
        let freshness = Envelope::sign(&freshness, self.network_id, &[(0, &keys.freshness)]);
        let publication = Publication {
            repository: repository.clone(),
            identity: identity.envelopes().to_vec(),
            manifest: content.manifest,
            others: content.others,
            refs,
            head: envelope,
            freshness: Some(freshness),
        };
        let command = Command::Publish(Box::new(publication));
        match self.service.command(command).await.answer().await? {
            Outcome::Published { index, revision } => Ok((index, revision)),
            other => Err(ErrorBody::new(
                ErrorCode::Failure,
                format!("the node gave an unexpected answer: {other:?}"),
            )),
        }
    }
}

fn id_of(preimage: &[u8]) -> ObjectId {
    ObjectId::new(*blake3::hash(preimage).as_bytes())
}

fn position<T: PartialEq>(keys: &[T], key: &T) -> Option<u16> {
    let index = keys.iter().position(|other| other == key)?;
    u16::try_from(index).ok()
}
