//! Freshness: a short-lived statement that a head is still the newest, so that freeze attacks show.

use minicbor::{Decode, Encode};

use crate::{
    codec::Object,
    id::{ObjectId, PublisherId, RepositoryName, folded_name},
    limits,
    time::Timestamp,
};

/// Signed by the publisher's freshness key, as key index 0. See [`crate::accept`] for which
/// identity event's key counts.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Freshness {
    /// Whose.
    #[n(0)]
    pub publisher: PublisherId,
    /// Which repository; written folded.
    #[cbor(n(1), with = "folded_name")]
    pub name: RepositoryName,
    /// The newest head.
    #[n(2)]
    pub head: ObjectId,
    /// Its index.
    #[n(3)]
    pub index: u64,
    /// When it was signed.
    #[n(4)]
    pub issued: Timestamp,
    /// At most 48 h later.
    #[n(5)]
    pub expires: Timestamp,
}

impl Freshness {
    /// Whether it was issued later than any clock could say now.
    pub fn is_early(&self, now: Timestamp) -> bool {
        self.issued > now.plus(limits::CLOCK_SKEW_MAX)
    }
}

impl Object for Freshness {
    const TYPE: &'static str = "fresh";
    const LEN_MAX: usize = 256;

    fn validate(&self) -> Result<(), String> {
        let lifetime = self.expires.0.checked_sub(self.issued.0);
        if lifetime.is_none_or(|s| s == 0 || s > limits::FRESHNESS_LIFETIME_MAX.as_secs()) {
            return Err("it expires before it was issued, or too long after".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{DecodeError, decode_object, encode};

    fn freshness(expires: u64) -> Freshness {
        Freshness {
            publisher: PublisherId::new([1; 32]),
            name: "n".repeat(64).parse().expect("a valid name"),
            head: ObjectId::new([2; 32]),
            index: u64::MAX,
            issued: Timestamp(1_000),
            expires: Timestamp(expires),
        }
    }

    #[test]
    fn freshness_round_trips_within_48_hours() {
        let max = 1_000 + limits::FRESHNESS_LIFETIME_MAX.as_secs();
        let longest = freshness(max);
        assert_eq!(decode_object(&encode(&longest)), Ok(longest));
        for expires in [max + 1, 1_000, 0] {
            let result = decode_object::<Freshness>(&encode(&freshness(expires)));
            assert!(matches!(result, Err(DecodeError::Invalid(_))), "{expires}");
        }
    }
}
