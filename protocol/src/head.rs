//! Heads: what a publisher says a repository's newest revision is.

use minicbor::{Decode, Encode};

use crate::{
    codec::Object,
    id::{ObjectId, PublisherId, RepositoryId, RepositoryName, RevisionId, folded_name},
    limits, log,
    time::Timestamp,
};

/// The signed tip of a repository. Its envelope is at most [`limits::HEAD_LEN_MAX`] bytes.
///
/// The name is written folded, so that one repository has one spelling in everything that is signed
/// about it; the case its publisher likes stands in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Head {
    /// Whose.
    #[n(0)]
    pub publisher: PublisherId,
    /// Which repository.
    #[cbor(n(1), with = "folded_name")]
    pub name: RepositoryName,
    /// Position in the repository's log, from 0.
    #[n(2)]
    pub index: u64,
    /// The revision of `main`.
    #[n(3)]
    pub manifest: RevisionId,
    /// The references object, when there are more branches or tags than `main`.
    #[n(4)]
    pub refs: Option<ObjectId>,
    /// Id of the head before; absent at index 0.
    #[n(5)]
    pub previous: Option<ObjectId>,
    /// RFC 6962-style Merkle root over the ids of heads `0..index` (so its size is `index`).
    #[n(6)]
    pub log_root: ObjectId,
    /// The identity event whose release keys sign.
    #[n(7)]
    pub identity: ObjectId,
    /// That event's index.
    #[n(8)]
    pub identity_index: u64,
    /// When it was signed.
    #[n(9)]
    pub issued: Timestamp,
    /// Until when it counts.
    #[n(10)]
    pub expires: Timestamp,
    /// How long, in seconds, others may serve it without asking again.
    #[n(11)]
    pub ttl: u32,
}

impl Head {
    /// The repository.
    pub fn repository(&self) -> RepositoryId {
        RepositoryId {
            publisher: self.publisher,
            name: self.name.clone(),
        }
    }
}

impl Object for Head {
    const TYPE: &'static str = "head";
    const LEN_MAX: usize = limits::HEAD_LEN_MAX;

    fn validate(&self) -> Result<(), String> {
        if self.index >= limits::HEADS_MAX {
            return Err(format!("index {} is beyond the longest log", self.index));
        }
        if (self.index == 0) != self.previous.is_none() {
            return Err("the first head, and only the first, has no head before it".to_owned());
        }
        if self.index == 0 && self.log_root != log::root(&[]) {
            return Err("the first head's log is not empty".to_owned());
        }
        let lifetime = self.expires.0.checked_sub(self.issued.0);
        if lifetime.is_none_or(|s| s == 0 || s > limits::HEAD_LIFETIME_MAX.as_secs()) {
            return Err("it expires before it was issued, or too long after".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{DecodeError, decode_object, encode};

    fn head(index: u64) -> Head {
        Head {
            publisher: PublisherId::new([1; 32]),
            name: "tiny".parse().expect("a valid name"),
            index,
            manifest: ObjectId::new([2; 32]),
            refs: None,
            previous: (index > 0).then(|| ObjectId::new([3; 32])),
            log_root: log::root(&[]),
            identity: ObjectId::new([1; 32]),
            identity_index: 0,
            issued: Timestamp(1_000),
            expires: Timestamp(2_000),
            ttl: 3_600,
        }
    }

    fn refused(head: &Head) -> bool {
        matches!(
            decode_object::<Head>(&encode(head)),
            Err(DecodeError::Invalid(_))
        )
    }

    #[test]
    fn head_round_trips_with_its_name_folded() {
        let shouted = Head {
            name: "TINY".parse().expect("a valid name"),
            ..head(1)
        };
        let bytes = encode(&shouted);
        assert_eq!(bytes, encode(&head(1)));
        let back: Head = decode_object(&bytes).expect("valid");
        assert_eq!(back.name.as_str(), "tiny");
        assert_eq!(back, shouted);
    }

    #[test]
    fn unfolded_name_is_not_canonical() {
        let mut bytes = encode(&head(1));
        let at = bytes
            .windows(4)
            .position(|w| w == b"tiny")
            .expect("it is there");
        bytes[at] = b'T';
        assert_eq!(
            decode_object::<Head>(&bytes),
            Err(DecodeError::NotCanonical)
        );
    }

    #[test]
    fn first_head_has_no_past_and_later_heads_have_one() {
        assert!(refused(&Head {
            previous: None,
            ..head(1)
        }));
        assert!(refused(&Head {
            previous: Some(ObjectId::new([3; 32])),
            ..head(0)
        }));
        assert!(refused(&Head {
            log_root: ObjectId::new([9; 32]),
            ..head(0)
        }));
        assert!(refused(&head(limits::HEADS_MAX)));
    }

    #[test]
    fn lifetime_is_bounded() {
        let max = limits::HEAD_LIFETIME_MAX.as_secs();
        assert!(!refused(&Head {
            expires: Timestamp(1_000 + max),
            ..head(0)
        }));
        assert!(refused(&Head {
            expires: Timestamp(1_001 + max),
            ..head(0)
        }));
        assert!(refused(&Head {
            expires: Timestamp(1_000),
            ..head(0)
        }));
        assert!(refused(&Head {
            expires: Timestamp(1),
            ..head(0)
        }));
    }

    #[test]
    fn longest_head_with_nine_signatures_fits_the_cap() {
        use crate::sign::{Envelope, Signature};
        let mut head = head(limits::HEADS_MAX - 1);
        head.name = "n".repeat(64).parse().expect("a valid name");
        head.refs = Some(ObjectId::new([4; 32]));
        head.identity_index = 1_023;
        head.issued = Timestamp(u64::from(u32::MAX) + 1);
        head.expires = Timestamp(u64::from(u32::MAX) + 2);
        head.ttl = u32::MAX;
        let signatures = (0..9).map(|i| (i, Signature([0; 64]))).collect();
        let envelope = Envelope {
            body: encode(&head),
            signatures,
        };
        assert!(
            encode(&envelope).len() <= limits::HEAD_LEN_MAX,
            "{}",
            encode(&envelope).len()
        );
    }
}
