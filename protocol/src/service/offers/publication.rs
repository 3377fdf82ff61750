//! What a local publisher hands in beside a head: checked, and written with the head.

use super::{Change, Offer, put_identity};
use crate::{
    accept::AcceptedHead,
    codec,
    freshness::Freshness,
    id::RevisionId,
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
        let mut ops = Vec::new();
        let named = match (head.head.refs, &publication.refs) {
            (None, _) => Refs::default(),
            (Some(id), Some(preimage)) => {
                let refs = codec::decode_preimage::<Refs>(id, preimage)
                    .map_err(|error| CommandError::Verification(format!("references: {error}")))?;
                ops.push(Op::PutObject {
                    id,
                    preimage: preimage.clone(),
                });
                refs
            }
            (Some(_), None) => {
                let reason = "the head names references that were not given".to_owned();
                return Err(CommandError::Verification(reason));
            }
        };
        let mut manifests = vec![decode(
            publication,
            head.head.manifest,
            &publication.manifest,
        )?];
        for other in &publication.others {
            let revision = codec::preimage_id(other);
            if !named.names.iter().any(|(_, named)| *named == revision) {
                let reason = "a manifest was given that no reference names".to_owned();
                return Err(CommandError::Verification(reason));
            }
            manifests.push(decode(publication, revision, other)?);
        }
        // Nothing is refused any more from here on: what is staged is going to be written.
        for (revision, preimage, manifest) in manifests {
            ops.push(Op::PutObject {
                id: revision,
                preimage: preimage.to_vec(),
            });
            let held = self.revisions.get(&revision);
            let record = RevisionRecord {
                repository: publication.repository.clone(),
                revision,
                state: RevisionState::Complete,
                pin: Pin::User,
                seed: true,
                bytes_total: manifest.bytes_total(),
                used: self.now.unix,
                host: held.and_then(|held| held.latest.host.clone()),
            };
            ops.push(self.revisions.stage(record, || download_order(&manifest)));
        }
        self.revisions.tell(&mut self.out);
        Ok(ops)
    }
}

/// One revision whose files are all here.
fn decode<'a>(
    publication: &Publication,
    revision: RevisionId,
    preimage: &'a [u8],
) -> Result<(RevisionId, &'a [u8], Manifest), CommandError> {
    let manifest = codec::decode_preimage::<Manifest>(revision, preimage)
        .map_err(|error| CommandError::Verification(format!("manifest: {error}")))?;
    if manifest.repository != publication.repository {
        let reason = "the manifest names another repository".to_owned();
        return Err(CommandError::Verification(reason));
    }
    Ok((revision, preimage, manifest))
}
