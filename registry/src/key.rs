//! How keys are written, so that the order of bytes is the order of what they name.
//!
//! | key | bytes |
//! |---|---|
//! | publisher, node, object, blob | its 32 bytes |
//! | repository | publisher ‖ folded name ‖ `00` |
//! | repository and index | repository ‖ index as 8 big-endian bytes |
//! | repository and revision | repository ‖ 32 bytes |
//! | mirror scope | `00` ‖ publisher, or `01` ‖ repository |
//! | DHT key | the key with each `00` written `00 ff`, then `00 00` |
//! | DHT key and provider | DHT key ‖ peer id |
//!
//! The terminators keep one repository's (or DHT key's) entries from running into those of another whose
//! name merely begins the same way.

use weft_protocol::{
    id::{RepositoryId, RevisionId},
    op::MirrorScope,
};

/// Key of a repository, and prefix of everything stored per repository.
pub fn repository(repository: &RepositoryId) -> Vec<u8> {
    let mut key = repository.publisher.as_bytes().to_vec();
    key.extend_from_slice(repository.name.folded().as_bytes());
    key.push(0);
    key
}

/// Key of a head or leaf.
pub fn indexed(repository: &RepositoryId, index: u64) -> Vec<u8> {
    let mut key = self::repository(repository);
    key.extend_from_slice(&index.to_be_bytes());
    key
}

/// Key of what a node does with a revision.
pub fn revision(repository: &RepositoryId, revision: &RevisionId) -> Vec<u8> {
    let mut key = self::repository(repository);
    key.extend_from_slice(revision.as_bytes());
    key
}

/// Key of a mirror order.
pub fn scope(scope: &MirrorScope) -> Vec<u8> {
    match scope {
        MirrorScope::Publisher(publisher) => [&[0], &publisher.as_bytes()[..]].concat(),
        MirrorScope::Repository(repository) => [vec![1], self::repository(repository)].concat(),
    }
}

/// Key of a DHT record, and prefix of the providers stored under it.
pub fn dht(key: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(key.len() + 2);
    for &byte in key {
        escaped.push(byte);
        if byte == 0 {
            escaped.push(0xff);
        }
    }
    escaped.extend_from_slice(&[0, 0]);
    escaped
}

/// Key of one provider of a DHT key.
pub fn dht_provider(key: &[u8], provider: &[u8]) -> Vec<u8> {
    let mut bytes = dht(key);
    bytes.extend_from_slice(provider);
    bytes
}

#[cfg(test)]
mod tests {
    use weft_protocol::id::{ObjectId, PublisherId};

    use super::*;

    #[test]
    fn repositories_sort_as_their_ids() {
        let mut ids = Vec::new();
        for publisher in [0, 1, 255] {
            for name in ["0", "a", "a-b", "a.b", "a0", "aa", "B", "b", "z_z"] {
                ids.push(named(publisher, name));
            }
        }
        check_order(&ids, repository);
    }

    #[test]
    fn indexes_sort_as_numbers_within_their_repository() {
        let ids: Vec<_> = ["a", "a-b", "b"]
            .iter()
            .flat_map(|name| {
                [0, 1, 255, 256, 65_536, u64::MAX].map(|index| (named(7, name), index))
            })
            .collect();
        check_order(&ids, |(id, index)| indexed(id, *index));
    }

    #[test]
    fn revisions_sort_within_their_repository() {
        let ids: Vec<_> = ["a", "ab"]
            .iter()
            .flat_map(|name| [0, 1, 255].map(|byte| (named(7, name), ObjectId::new([byte; 32]))))
            .collect();
        check_order(&ids, |(id, object)| revision(id, object));
    }

    #[test]
    fn scopes_sort_as_declared() {
        let scopes: Vec<_> = [0, 1, 255]
            .map(|byte| MirrorScope::Publisher(PublisherId::new([byte; 32])))
            .into_iter()
            .chain(["a", "a-b"].map(|name| MirrorScope::Repository(named(0, name))))
            .collect();
        check_order(&scopes, scope);
    }

    #[test]
    fn dht_keys_sort_as_bytes_whatever_they_hold() {
        let keys: Vec<Vec<u8>> = [
            &[][..],
            &[0],
            &[0, 0],
            &[0, 1],
            &[0, 255],
            &[1],
            &[1, 0],
            &[1, 0, 0],
            &[1, 1],
            &[255],
            &[255, 255],
        ]
        .map(<[u8]>::to_vec)
        .to_vec();
        check_order(&keys, |key| dht(key));
    }

    #[test]
    fn a_prefix_holds_only_its_own_entries() {
        let short = named(7, "a");
        let long = named(7, "ab");
        assert!(!indexed(&long, 0).starts_with(&repository(&short)));
        assert!(indexed(&short, 0).starts_with(&repository(&short)));
        assert!(!dht_provider(&[1, 0], b"peer").starts_with(&dht(&[1])));
        assert!(!dht_provider(&[1, 0, 0], b"peer").starts_with(&dht(&[1])));
        assert!(dht_provider(&[1], b"peer").starts_with(&dht(&[1])));
    }

    #[test]
    fn names_that_fold_alike_share_a_key() {
        assert_eq!(repository(&named(7, "Tiny")), repository(&named(7, "tiny")));
    }

    fn check_order<T: Ord>(items: &[T], key: impl Fn(&T) -> Vec<u8>) {
        for a in items {
            for b in items {
                assert_eq!(key(a).cmp(&key(b)), a.cmp(b));
            }
        }
    }

    fn named(publisher: u8, name: &str) -> RepositoryId {
        RepositoryId {
            publisher: PublisherId::new([publisher; 32]),
            name: name.parse().unwrap(),
        }
    }
}
