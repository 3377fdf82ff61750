//! A new head for a repository of this node's own, made by whoever knows what shall be in it.

use weft_protocol::{
    codec,
    id::{RepositoryId, RevisionId},
    manifest::Manifest,
    refs::Refs,
};

use super::{
    Operations,
    publish::{Content, encode_manifest},
};
use crate::api::{ErrorBody, ErrorCode};

/// What a repository says now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Base {
    /// What `main` names; none before the first revision.
    pub(crate) main: Option<RevisionId>,
    pub(crate) refs: Refs,
}

/// What it shall say.
#[derive(Debug, Clone)]
pub(crate) struct Next {
    pub(crate) main: Manifest,
    pub(crate) refs: Refs,
    /// Revisions that only `refs` names and that are new.
    pub(crate) others: Vec<Manifest>,
}

impl Operations {
    /// Signs what `edit` makes of what there is. `hidden_to` is the index of the last head that does not count: the
    /// repository was deleted then. Nobody else publishes meanwhile.
    ///
    /// # Errors
    /// What `edit` says; `Refused` if the identity's keys are not here; failures of the node.
    pub(crate) async fn change<E: From<ErrorBody>>(
        &self,
        repository: &RepositoryId,
        hidden_to: Option<u64>,
        edit: impl AsyncFnOnce(Base) -> Result<Next, E>,
    ) -> Result<RevisionId, E> {
        let _one_at_a_time = self.publishing.lock().await;
        let identity = self.identity_log(repository.publisher).await?;
        let identity = identity.ok_or_else(super::identities::no_identity)?;
        let tip = self.tip(repository).await?;
        let counts = |index: u64| hidden_to.is_none_or(|hidden| index > hidden);
        let base = match tip.as_ref().filter(|tip| counts(tip.head.index)) {
            None => Base::default(),
            Some(tip) => Base {
                main: Some(tip.head.manifest),
                refs: match tip.head.refs {
                    Some(id) => self.refs(id).await?.ok_or_else(|| {
                        let message = "the references of the tip are not here";
                        ErrorBody::new(ErrorCode::Storage, message)
                    })?,
                    None => Refs::default(),
                },
            },
        };
        let mut next = edit(base).await?;
        next.refs.names.sort();
        codec::Object::validate(&next.refs)
            .map_err(|e| ErrorBody::new(ErrorCode::Usage, format!("the references: {e}")))?;
        let content = Content {
            manifest: encode_manifest(&next.main)?,
            refs: next.refs,
            others: next
                .others
                .iter()
                .map(encode_manifest)
                .collect::<Result<_, _>>()?,
        };
        let signed = self.sign_and_commit(repository, &identity, tip, content);
        Ok(signed.await?.1)
    }
}
