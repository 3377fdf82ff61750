//! Manifests and references: out of the registry, or from peers.

use super::{ResolveId, Stage, Wanted};
use crate::{
    codec,
    id::{NodeId, ObjectId, RevisionId},
    manifest::Manifest,
    refs::{MAIN, RefName, Refs},
    service::{
        CommandError, Output, RequestId, Service,
        pending::{Ask, Purpose, Sought},
        revisions::download_order,
    },
    wire,
};

/// Peers asked for one object at the same time: one may be slow.
const OBJECT_REQUESTS_MAX: usize = 2;

impl Service {
    /// Looks for an object, at first in the registry.
    pub(super) fn want_object(&mut self, id: ResolveId, object: ObjectId, wanted: Wanted) {
        let local = true;
        let stage = Stage::Object {
            id: object,
            wanted,
            local,
        };
        self.enter(id, stage);
        let purpose = Purpose::LocalObject {
            resolve: id,
            id: object,
        };
        let request = self.pending.insert(&mut self.out, purpose);
        self.out.push(Output::ReadObject {
            request,
            id: object,
        });
    }

    /// The registry answered.
    pub(in crate::service) fn local_object(
        &mut self,
        id: ResolveId,
        object: ObjectId,
        preimage: Option<Vec<u8>>,
    ) {
        let Some(resolve) = self.resolves.running.get(&id) else {
            return;
        };
        let Stage::Object {
            id: expected,
            wanted,
            local: true,
        } = resolve.stage.clone()
        else {
            return;
        };
        if expected != object {
            return;
        }
        let vouched = resolve.vouched;
        match (preimage, &wanted) {
            (Some(preimage), _) => {
                // A removal may be on its way, or have overtaken the answer: it is written once more.
                if wanted == Wanted::Manifest
                    && !self.revisions.stays(&object)
                    && let Some(resolve) = self.resolves.running.get_mut(&id)
                    && resolve.goal.keep.is_some()
                {
                    resolve.objects.push((object, preimage.clone()));
                }
                self.object_found(id, &wanted, object, &preimage);
            }
            (None, Wanted::Manifest) if !vouched => self.begin_proof(id, object),
            (None, _) => self.seek_object(id, object, wanted),
        }
    }

    /// Looks for an object at peers.
    pub(super) fn seek_object(&mut self, id: ResolveId, object: ObjectId, wanted: Wanted) {
        if wanted == Wanted::Manifest {
            self.search(Sought::Revision(object));
        }
        let local = false;
        let stage = Stage::Object {
            id: object,
            wanted,
            local,
        };
        self.enter(id, stage);
        self.advance_object(id);
    }

    pub(super) fn advance_object(&mut self, id: ResolveId) {
        let Some(resolve) = self.resolves.running.get(&id) else {
            return;
        };
        let Stage::Object { id: object, .. } = resolve.stage else {
            return;
        };
        let known = resolve.sources.iter().copied();
        let candidates: Vec<NodeId> = known
            .filter(|peer| self.peers.is_connected(peer))
            .chain(self.peers.ids())
            .filter(|peer| !resolve.asked.contains(peer))
            .collect();
        for peer in candidates {
            let Some(resolve) = self.resolves.running.get_mut(&id) else {
                return;
            };
            if resolve.open.len() >= OBJECT_REQUESTS_MAX {
                return;
            }
            if !resolve.asked.insert(peer) {
                continue;
            }
            let ask = Ask::Object {
                resolve: id,
                id: object,
            };
            let request = self.ask(peer, wire::Request::Object { id: object }, ask);
            if let Some(request) = request {
                self.note_asked(id, request);
            }
        }
        let Some(resolve) = self.resolves.running.get(&id) else {
            return;
        };
        let what = || format!("manifest `{object}`");
        if let Some(error) = self.gave_up(resolve, what) {
            self.fail(id, error);
        }
    }

    /// A peer answered with an object.
    pub(in crate::service) fn object_received(
        &mut self,
        id: ResolveId,
        request: RequestId,
        peer: NodeId,
        object: ObjectId,
        preimage: &[u8],
    ) {
        let Some(resolve) = self.resolves.running.get_mut(&id) else {
            return;
        };
        resolve.open.remove(&request);
        let Stage::Object {
            id: expected,
            wanted,
            ..
        } = resolve.stage.clone()
        else {
            return;
        };
        if expected != object {
            return;
        }
        let valid = match wanted {
            Wanted::Manifest => codec::decode_preimage::<Manifest>(object, preimage).map(|_| ()),
            Wanted::Refs(_) => codec::decode_preimage::<Refs>(object, preimage).map(|_| ()),
        };
        if let Err(error) = valid {
            self.note_rejection(id, &format!("object `{object}`: {error}"));
            return self.advance_object(id);
        }
        resolve.sources.insert(peer);
        resolve.objects.push((object, preimage.to_vec()));
        self.object_found(id, &wanted, object, preimage);
    }

    fn object_found(&mut self, id: ResolveId, wanted: &Wanted, object: ObjectId, bytes: &[u8]) {
        match wanted {
            Wanted::Refs(name) => match codec::decode_preimage::<Refs>(object, bytes) {
                Ok(refs) => match self.named(id, &refs, name) {
                    Some(revision) => self.want_object(id, revision, Wanted::Manifest),
                    None => self.not_found(id, format!("reference `{name}`")),
                },
                Err(error) => self.fail(id, CommandError::Verification(error.to_string())),
            },
            Wanted::Manifest => match codec::decode_preimage::<Manifest>(object, bytes) {
                Ok(manifest) => self.manifest_found(id, object, &manifest),
                Err(error) => self.fail(id, CommandError::Verification(error.to_string())),
            },
        }
    }

    /// What a name means; `main` is the head's own revision, whatever else the references say.
    fn named(&self, id: ResolveId, refs: &Refs, name: &RefName) -> Option<RevisionId> {
        if name.as_str() != MAIN {
            return refs.get(name);
        }
        let repository = &self.resolves.running.get(&id)?.repository;
        let held = self.facts.repositories.get(repository)?;
        Some(held.tip.head.manifest)
    }

    fn manifest_found(&mut self, id: ResolveId, revision: ObjectId, manifest: &Manifest) {
        let Some(resolve) = self.resolves.running.get_mut(&id) else {
            return;
        };
        if manifest.repository != resolve.repository {
            let reason = format!("revision `{revision}` belongs to another repository");
            return self.fail(id, CommandError::Verification(reason));
        }
        resolve.blobs = download_order(manifest);
        resolve.bytes_total = manifest.bytes_total();
        self.finish_resolve(id, revision);
    }
}
