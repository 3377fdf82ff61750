//! Where things are found in the DHT.
//!
//! Every key is BLAKE3 of `"weft/dht/<kind>/v1\0"` and the thing's name, so that keys of different
//! kinds never meet and nobody can aim a name at a chosen key.

use crate::{
    id::{PublisherId, RepositoryId, RevisionId},
    service::DhtKey,
};

/// Key of a repository's record: its publisher and folded name.
pub fn repository_key(repository: &RepositoryId) -> DhtKey {
    let name = repository.name.folded();
    key(
        "repository",
        &[repository.publisher.as_bytes(), name.as_bytes()],
    )
}

/// Key under which holders of anything of a publisher are providers.
pub fn publisher_key(publisher: &PublisherId) -> DhtKey {
    key("publisher", &[publisher.as_bytes()])
}

/// Key under which holders of a revision are providers.
pub fn revision_key(revision: &RevisionId) -> DhtKey {
    key("revision", &[revision.as_bytes()])
}

/// Key under which nodes that answer questions about a model are providers.
pub fn host_key(revision: &RevisionId) -> DhtKey {
    key("host", &[revision.as_bytes()])
}

fn key(kind: &str, parts: &[&[u8]]) -> DhtKey {
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("weft/dht/{kind}/v1\0").as_bytes());
    for part in parts {
        hasher.update(part);
    }
    DhtKey(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_ignore_case_and_differ_by_kind() {
        let publisher = PublisherId::new([7; 32]);
        let key = |name: &str| {
            let name = name.parse().expect("a valid name");
            repository_key(&RepositoryId { publisher, name })
        };
        assert_eq!(key("Tiny"), key("tiny"));
        assert_ne!(key("tiny"), key("tiny2"));
        let revision = RevisionId::new([7; 32]);
        assert_ne!(publisher_key(&publisher), revision_key(&revision));
        assert_ne!(host_key(&revision), revision_key(&revision));
    }
}
