//! What nodes near each other say about files of another hub, so that a whole site fetches each of them once.
//!
//! Nothing of it is signed. Who asks holds every file against the hash that the hub itself gave, and believes what is
//! said about a hub only when the hub cannot be asked. None of it is said to nodes beyond the own site.

use minicbor::{Decode, Encode};

use super::Message;

/// The longest question in bytes.
pub const QUESTION_LEN_MAX: usize = 1_024;
/// The longest answer in bytes, without the content that follows it.
pub const ANSWER_LEN_MAX: usize = 16 * 1024 * 1024;

/// A file's content as another hub names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum ContentHash {
    /// SHA-256 of the bytes: what hubs say of large files.
    #[n(0)]
    Sha256(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]),
    /// Git's id of the bytes as a blob: what hubs say of small ones.
    #[n(1)]
    GitSha1(#[cbor(n(0), with = "minicbor::bytes")] [u8; 20]),
}

/// How far somebody is with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Stage {
    /// Neither has it nor wants it.
    #[n(0)]
    Nothing,
    /// Wants it, and is asking who else does.
    #[n(1)]
    Wants,
    /// Found itself to be the one to fetch it from the hub, and is asking again.
    #[n(2)]
    Chosen,
    /// Takes it from somebody near.
    #[n(3)]
    Follows,
    /// Fetches it from the hub.
    #[n(4)]
    Fetches,
    /// Has all of it, checked.
    #[n(5)]
    Has,
}

/// What one node asks another one near it. One question a stream.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Question {
    /// What is a repository's revision at a hub?
    #[n(0)]
    Snapshot {
        /// Hash of hub, kind, repository and the revision as it was asked for.
        #[cbor(n(0), with = "minicbor::bytes")]
        key: [u8; 32],
    },
    /// How far are you with this file?
    #[n(1)]
    Stage {
        /// Which.
        #[n(0)]
        content: ContentHash,
        /// Its size in bytes.
        #[n(1)]
        size: u64,
    },
    /// The bytes of a file from here on, also those that you will have soon.
    #[n(2)]
    Bytes {
        /// Which.
        #[n(0)]
        content: ContentHash,
        /// Its size in bytes.
        #[n(1)]
        size: u64,
        /// From where.
        #[n(2)]
        start: u64,
    },
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Answer {
    /// There is nothing to say: not known here, or not for others.
    #[n(0)]
    Nothing,
    /// Answers [`Question::Snapshot`].
    #[n(1)]
    Snapshot {
        /// What the hub said, as JSON.
        #[cbor(n(0), with = "minicbor::bytes")]
        json: Vec<u8>,
    },
    /// Answers [`Question::Stage`].
    #[n(2)]
    Stage {
        /// How far.
        #[n(0)]
        stage: Stage,
    },
    /// Answers [`Question::Bytes`]: they follow, to the end of the stream.
    #[n(3)]
    Bytes,
}

impl Message for Question {
    const LEN_MAX: usize = QUESTION_LEN_MAX;
}
impl Message for Answer {
    const LEN_MAX: usize = ANSWER_LEN_MAX;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{decode, encode};

    #[test]
    fn questions_and_answers_read_back_and_nothing_else_does() {
        let content = ContentHash::Sha256([7; 32]);
        for question in [
            Question::Snapshot { key: [1; 32] },
            Question::Stage { content, size: 5 },
            Question::Bytes {
                content: ContentHash::GitSha1([9; 20]),
                size: u64::MAX,
                start: 3,
            },
        ] {
            let bytes = encode(&question);
            assert_eq!(decode::<Question>(&bytes), Ok(question));
            for len in 0..bytes.len() {
                assert!(decode::<Question>(&bytes[..len]).is_err());
            }
        }
        for answer in [
            Answer::Nothing,
            Answer::Snapshot {
                json: b"{}".to_vec(),
            },
            Answer::Stage {
                stage: Stage::Fetches,
            },
            Answer::Bytes,
        ] {
            let bytes = encode(&answer);
            assert_eq!(decode::<Answer>(&bytes), Ok(answer));
        }
    }
}
