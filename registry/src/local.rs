//! Facts of this node alone: what its DHT store holds and what its user calls things.

use std::{fmt, str::FromStr};

use weft_protocol::{
    id::{ParseIdError, PublisherId, RepositoryId},
    time::Timestamp,
};

/// A record that this node keeps for the DHT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhtRecord {
    /// The DHT key.
    pub key: Vec<u8>,
    /// The value, already validated by the network layer.
    pub value: Vec<u8>,
    /// libp2p peer id of whoever says it published the record; not authenticated.
    pub publisher: Option<Vec<u8>>,
    /// When to forget it.
    pub expires: Timestamp,
}

/// A peer that said it provides a DHT key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhtProvider {
    /// The DHT key.
    pub key: Vec<u8>,
    /// Its libp2p peer id.
    pub provider: Vec<u8>,
    /// Its multiaddresses in binary form.
    pub addresses: Vec<Vec<u8>>,
    /// When to forget it.
    pub expires: Timestamp,
}

/// A local name and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Petname {
    /// The name, as the user wrote it.
    pub name: String,
    /// What it stands for.
    pub target: PetnameTarget,
}

/// What a local name can stand for. Its text form is the id's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PetnameTarget {
    /// A publisher: `name/repository` then works.
    Publisher(PublisherId),
    /// One repository.
    Repository(RepositoryId),
}

impl fmt::Display for PetnameTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publisher(publisher) => publisher.fmt(f),
            Self::Repository(repository) => repository.fmt(f),
        }
    }
}

impl FromStr for PetnameTarget {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if text.contains('/') {
            text.parse().map(Self::Repository)
        } else {
            text.parse().map(Self::Publisher)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn petname_targets_read_back_what_they_print() {
        let publisher = PublisherId::new([9; 32]);
        let repository = RepositoryId {
            publisher,
            name: "Tiny".parse().unwrap(),
        };
        for target in [
            PetnameTarget::Publisher(publisher),
            PetnameTarget::Repository(repository),
        ] {
            assert_eq!(target.to_string().parse(), Ok(target));
        }
    }

    #[test]
    fn petname_target_that_is_no_id_is_refused() {
        assert!("alice".parse::<PetnameTarget>().is_err());
        assert!("alice/tiny".parse::<PetnameTarget>().is_err());
    }
}
