//! What a local publisher hands in beside a head: checked, and written with the head.

use super::{Change, Offer, put_identity};
use crate::{
    accept::AcceptedHead,
    codec,
    freshness::Freshness,
    identity::IdentityLog,
    manifest::Manifest,
    op::{Op, Pin, RevisionRecord, RevisionState},
    refs::Refs,
    service::{CommandError, Publication, Service, Verdict, revisions::download_order},
    sign::Envelope,
};

impl Service {
    /// The head that is held: its news are written, and what a publication brings that repeats an interrupted one.
    pub(super) fn same(
        &mut self,
        offer: Offer,
        freshness: Option<(Freshness, Envelope)>,
        identity: Option<IdentityLog>,
    ) {
        let mut ops = Vec::new();
        if let Some(log) = &identity {
            ops.push(put_identity(log));
        }
        if let Some((_, envelope)) = &freshness {
            ops.push(Op::PutFreshness {
                repository: offer.repository.clone(),
                freshness: envelope.clone(),
            });
        }
        let held = self.facts.repositories.get(&offer.repository);
        if let (Some((_, publication)), Some(held)) = (&offer.publication, held) {
            let tip = held.tip.clone();
            match self.publication_ops(publication, &tip) {
                Ok(more) => ops.extend(more),
                Err(error) => return self.settle(offer, false, Verdict::Ignore, Some(error)),
            }
        }
        if ops.is_empty() {
            return self.settle(offer, true, Verdict::Ignore, None);
        }
        let change = Change::Same {
            freshness,
            identity,
        };
        self.commit_offer(offer, change, ops);
    }

    /// Checks what a local publisher hands in beside the head, and writes it with the head.
    pub(super) fn publication_ops(
        &mut self,
        publication: &Publication,
        head: &AcceptedHead,
    ) -> Result<Vec<Op>, CommandError> {
        let revision = head.head.manifest;
        let manifest = codec::decode_preimage::<Manifest>(revision, &publication.manifest)
            .map_err(|error| CommandError::Verification(format!("manifest: {error}")))?;
        if manifest.repository != publication.repository {
            let reason = "the manifest names another repository".to_owned();
            return Err(CommandError::Verification(reason));
        }
        let mut ops = vec![Op::PutObject {
            id: revision,
            preimage: publication.manifest.clone(),
        }];
        match (head.head.refs, &publication.refs) {
            (None, _) => {}
            (Some(id), Some(preimage)) => {
                codec::decode_preimage::<Refs>(id, preimage)
                    .map_err(|error| CommandError::Verification(format!("references: {error}")))?;
                ops.push(Op::PutObject {
                    id,
                    preimage: preimage.clone(),
                });
            }
            (Some(_), None) => {
                let reason = "the head names references that were not given".to_owned();
                return Err(CommandError::Verification(reason));
            }
        }
        let record = RevisionRecord {
            repository: publication.repository.clone(),
            revision,
            state: RevisionState::Complete,
            pin: Pin::User,
            seed: true,
            bytes_total: manifest.bytes_total(),
            used: self.now.unix,
        };
        let blobs = || download_order(&manifest);
        ops.push(self.revisions.stage(record, blobs));
        self.revisions.tell(&mut self.out);
        Ok(ops)
    }
}
