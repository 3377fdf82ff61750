//! Where things are found in the DHT.
use crate::{id::{PublisherId, RepositoryId, RevisionId}, service::DhtKey};
/// Key of a repository's record.
pub fn repository_key(_repository: &RepositoryId) -> DhtKey { todo!() }
/// Key under which holders of anything of a publisher are providers.
pub fn publisher_key(_publisher: &PublisherId) -> DhtKey { todo!() }
/// Key under which holders of a revision are providers.
pub fn revision_key(_revision: &RevisionId) -> DhtKey { todo!() }
