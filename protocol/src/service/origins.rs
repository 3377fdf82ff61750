//! HTTP origins: sources of bytes that are no peers.
//!
//! To the scheduler an origin is one more source, slow or fast, right or wrong by the same measures. To everything
//! else it does not exist: nobody asks it a question, dials it, or is told of it. Its id is made up by the driver.

use std::collections::BTreeSet;

use super::Service;
use crate::{
    id::{NodeId, RevisionId},
    limits,
};

/// The ids of all origins of this run.
///
/// Those that are closed stay: a download remembers its sources, and peer exchange must not name them.
#[derive(Debug, Default)]
pub(crate) struct Origins(BTreeSet<NodeId>);

impl Origins {
    /// Whether an id is an origin's.
    pub(crate) fn contains(&self, id: &NodeId) -> bool {
        self.0.contains(id)
    }
}

impl Service {
    /// An origin can be asked for the files of a revision from now on.
    pub(super) fn origin_opened(&mut self, origin: NodeId, revision: RevisionId) {
        let known = self.peers.is_connected(&origin) || origin == self.params.node;
        if known || self.origins.0.len() >= limits::ORIGINS_MAX {
            return;
        }
        self.origins.0.insert(origin);
        self.swarm(|swarm, ctx| {
            swarm.connected(origin, ctx);
            swarm.hint(&revision, [origin], false, ctx);
        });
    }

    /// An origin is not to be asked any more.
    pub(super) fn origin_closed(&mut self, origin: &NodeId) {
        if self.origins.contains(origin) {
            self.swarm(|swarm, ctx| swarm.disconnected(origin, ctx));
        }
    }
}
