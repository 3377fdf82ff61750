//! What a node signs about an answer it gave, and what another one signs about a receipt that does not hold.
//!
//! A receipt holds neither the prompt nor the answer, only their hashes: whoever has both can check it anywhere
//! ([`super::audit`]). It says which weights and which kernels computed the answer, because logits of one model differ
//! between kernels by more than rounding.

use minicbor::{Decode, Encode};

use super::{Fingerprint, Finish, ModelId, Real, Sampling};
use crate::{
    codec::{self, DecodeError, Object, bounded, bounded_text, fixed},
    id::{NodeId, ObjectId, RevisionId},
    limits,
    path::RepoPath,
    sign::{Envelope, EnvelopeError, NetworkId, PublicKey, SecretKey},
    time::Timestamp,
    wire::Message,
};

/// Says which answer a node gave, and by what.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Receipt {
    /// Who computed it, and whose key signs.
    #[n(0)]
    pub node: NodeId,
    /// Who asked.
    #[n(1)]
    pub asker: NodeId,
    /// The model's revision.
    #[n(2)]
    pub revision: RevisionId,
    /// Its GGUF file; its safetensors files if absent.
    #[n(3)]
    pub file: Option<RepoPath>,
    /// Software name and version.
    #[cbor(n(4), decode_with = "bounded_text::<{ limits::AGENT_LEN_MAX }, _>")]
    pub engine: String,
    /// How it was computed.
    #[n(5)]
    pub numerics: Numerics,
    /// BLAKE3 of the prompt's token ids, each as 4 bytes, little-endian.
    #[cbor(n(6), with = "fixed")]
    pub prompt_hash: [u8; 32],
    /// Tokens of the prompt.
    #[n(7)]
    pub prompt_tokens: u32,
    /// [`answer_hash`].
    #[cbor(n(8), with = "fixed")]
    pub answer_hash: [u8; 32],
    /// Tokens of the answer.
    #[n(9)]
    pub answer_tokens: u32,
    /// How many of them, the first ones, were given by the asker.
    #[n(10)]
    pub resumed_tokens: u32,
    /// How they were drawn.
    #[n(11)]
    pub sampling: Sampling,
    /// Whether the answer had to be JSON, so that other tokens were ruled out: 0 or 1.
    #[n(12)]
    pub constrained: u8,
    /// Why it ended.
    #[n(13)]
    pub finish: Finish,
    /// At the first token drawn and at each [`Fingerprint::EVERY`]-th token of the answer.
    #[cbor(n(14), decode_with = "bounded::<{ limits::FINGERPRINTS_MAX }, _, _>")]
    pub fingerprints: Vec<Fingerprint>,
    /// Milliseconds until the first token.
    #[n(15)]
    pub prompt_millis: u64,
    /// Milliseconds from then on.
    #[n(16)]
    pub answer_millis: u64,
    /// When it was signed.
    #[n(17)]
    pub issued: Timestamp,
}

/// What decides how nearly two computations of one thing agree.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Numerics {
    /// `F32`, `BF16`, `Q4_K_M` and so on: the type that most weights have.
    #[cbor(n(0), decode_with = "bounded_text::<{ limits::NUMERICS_LEN_MAX }, _>")]
    pub weights: String,
    /// Which kernels.
    #[cbor(n(1), decode_with = "bounded_text::<{ limits::NUMERICS_LEN_MAX }, _>")]
    pub kernel_class: String,
}

/// BLAKE3 of an answer's token ids, each as 4 bytes, little-endian.
pub fn answer_hash(tokens: &[u32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for token in tokens {
        hasher.update(&token.to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// Where an answer of which `resumed` tokens were given has fingerprints.
pub fn fingerprint_positions(resumed: u32, answer: u32) -> impl Iterator<Item = u32> {
    let every = Fingerprint::EVERY;
    let next = resumed.saturating_add(1).next_multiple_of(every);
    let later = (next..answer).step_by(usize::try_from(every).unwrap_or(1));
    (resumed < answer)
        .then_some(resumed)
        .into_iter()
        .chain(later)
}

impl Object for Receipt {
    const TYPE: &'static str = "receipt";
    const LEN_MAX: usize = limits::RECEIPT_LEN_MAX;

    fn validate(&self) -> Result<(), String> {
        if self.constrained > 1 {
            return Err("a constraint of no known kind".to_owned());
        }
        if self.resumed_tokens > self.answer_tokens {
            return Err("more tokens were given than the answer has".to_owned());
        }
        if self.sampling.logit_bias.len() > limits::LOGIT_BIAS_MAX {
            return Err("too many logits are changed".to_owned());
        }
        let wanted = fingerprint_positions(self.resumed_tokens, self.answer_tokens);
        if !wanted.eq(self.fingerprints.iter().map(|print| print.position)) {
            return Err("the fingerprints are not where they should be".to_owned());
        }
        if self.fingerprints.iter().all(Fingerprint::is_well_formed) {
            Ok(())
        } else {
            Err("a fingerprint is not well formed".to_owned())
        }
    }
}

impl Fingerprint {
    /// Whether it has one to eight different tokens, the likeliest first.
    pub fn is_well_formed(&self) -> bool {
        let falling = self.top.is_sorted_by(|(_, a), (_, b)| a.get() >= b.get());
        let mut ids: Vec<u32> = self.top.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        (1..=Self::TOP).contains(&self.top.len()) && ids.len() == self.top.len() && falling
    }
}

/// Why a receipt or a complaint is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// The body is not what it should be.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// Somebody else signed it, or nobody did.
    #[error(transparent)]
    Signature(#[from] EnvelopeError),
}

impl Receipt {
    /// Signs it by its node's key.
    pub fn sign(&self, network: NetworkId, key: &SecretKey) -> Envelope {
        Envelope::sign(self, network, &[(0, key)])
    }

    /// Reads a receipt that the node it names has signed, and nobody else.
    ///
    /// # Errors
    /// If it is malformed, or the signature is not that node's.
    pub fn open(network: NetworkId, envelope: &Envelope) -> Result<Self, Unsigned> {
        let receipt: Self = envelope.decode_body()?;
        envelope.verify::<Self>(network, &[PublicKey(*receipt.node.as_bytes())], 1)?;
        Ok(receipt)
    }

    /// Which weights it is about.
    pub fn model(&self) -> ModelId {
        ModelId {
            revision: self.revision,
            file: self.file.clone(),
        }
    }

    /// Its id.
    pub fn id(&self) -> ObjectId {
        codec::object_id::<Self>(&codec::encode(self))
    }
}

/// What does not hold about a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Fault {
    /// The prompt that was computed is not the one that was asked.
    #[n(0)]
    Prompt,
    /// The answer that was told is not the one that was computed.
    #[n(1)]
    Answer,
    /// Another model, other weights, or another context led to these logits.
    #[n(2)]
    Logits,
    /// These logits do not lead to this token.
    #[n(3)]
    Token,
}

/// Says that an audit found a receipt wrong. It proves nothing: who reads it may check the receipt, or trust the
/// complainant, or not.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Complaint {
    /// Who complains, and whose key signs.
    #[n(0)]
    pub complainant: NodeId,
    /// About whom.
    #[n(1)]
    pub node: NodeId,
    /// Id of the receipt.
    #[n(2)]
    pub receipt: ObjectId,
    /// The model's revision.
    #[n(3)]
    pub revision: RevisionId,
    /// What is wrong.
    #[n(4)]
    pub fault: Fault,
    /// At which token of the answer.
    #[n(5)]
    pub position: u32,
    /// By how much.
    #[n(6)]
    pub difference: Real,
    /// How much is let pass.
    #[n(7)]
    pub tolerance: Real,
    /// Who computed it again.
    #[n(8)]
    pub auditor: NodeId,
    /// How.
    #[n(9)]
    pub numerics: Numerics,
    /// When it was signed.
    #[n(10)]
    pub issued: Timestamp,
}

impl Object for Complaint {
    const TYPE: &'static str = "complaint";
    const LEN_MAX: usize = 1_024;

    fn validate(&self) -> Result<(), String> {
        if self.complainant == self.node || self.auditor == self.node {
            return Err("nobody is a witness against itself".to_owned());
        }
        Ok(())
    }
}

impl Complaint {
    /// Signs it by the complainant's key.
    pub fn sign(&self, network: NetworkId, key: &SecretKey) -> Envelope {
        Envelope::sign(self, network, &[(0, key)])
    }

    /// Reads a complaint that the node it names has signed, and nobody else.
    ///
    /// # Errors
    /// If it is malformed, or the signature is not that node's.
    pub fn open(network: NetworkId, envelope: &Envelope) -> Result<Self, Unsigned> {
        let complaint: Self = envelope.decode_body()?;
        let key = PublicKey(*complaint.complainant.as_bytes());
        envelope.verify::<Self>(network, &[key], 1)?;
        Ok(complaint)
    }
}

/// A receipt with what is needed to check it. It is as private as the prompt.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Kept {
    /// The signed receipt.
    #[n(0)]
    pub receipt: Envelope,
    /// What was asked.
    #[n(1)]
    pub prompt: super::Prompt,
    /// The answer's tokens.
    #[n(2)]
    pub answer: Vec<u32>,
}

impl Message for Kept {
    const LEN_MAX: usize = limits::RECEIPT_LEN_MAX + 8 * 1024 * 1024;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn receipt(resumed: u32, answer: u32) -> Receipt {
        let fingerprints = fingerprint_positions(resumed, answer).map(|position| Fingerprint {
            position,
            top: (0..8)
                .map(|id| {
                    (
                        id + position,
                        Real::new(-(f32::from(u8::try_from(id).unwrap()))),
                    )
                })
                .collect(),
        });
        Receipt {
            node: node(1),
            asker: node(2),
            revision: ObjectId::new([3; 32]),
            file: None,
            engine: "weft 1".to_owned(),
            numerics: Numerics {
                weights: "BF16".to_owned(),
                kernel_class: "plain".to_owned(),
            },
            prompt_hash: [4; 32],
            prompt_tokens: 9,
            answer_hash: [5; 32],
            answer_tokens: answer,
            resumed_tokens: resumed,
            sampling: Sampling::greedy(),
            constrained: 0,
            finish: Finish::Stop,
            fingerprints: fingerprints.collect(),
            prompt_millis: 6,
            answer_millis: 7,
            issued: Timestamp(8),
        }
    }

    fn key(n: u8) -> SecretKey {
        SecretKey::from_seed(&[n; 32])
    }
    fn node(n: u8) -> NodeId {
        NodeId::new(key(n).public().0)
    }

    const NET: NetworkId = NetworkId(7);

    #[test]
    fn only_the_node_that_answered_can_sign_for_it() {
        let receipt = receipt(0, 70);
        let envelope = receipt.sign(NET, &key(1));
        assert_eq!(Receipt::open(NET, &envelope), Ok(receipt.clone()));
        assert_eq!(receipt.id(), envelope.id::<Receipt>());
        for wrong in [
            Receipt::open(NetworkId::MAIN, &envelope),
            Receipt::open(NET, &receipt.sign(NET, &key(2))),
        ] {
            let error = Unsigned::Signature(EnvelopeError::WrongSignature(0));
            assert_eq!(wrong, Err(error));
        }
    }

    #[test]
    fn fingerprints_stand_at_the_first_token_and_each_32nd() {
        let at = |resumed, answer| fingerprint_positions(resumed, answer).collect::<Vec<_>>();
        assert_eq!(at(0, 0), [0; 0]);
        assert_eq!(at(0, 1), [0]);
        assert_eq!(at(0, 65), [0, 32, 64]);
        assert_eq!(at(31, 33), [31, 32]);
        assert_eq!(at(32, 65), [32, 64]);
        assert_eq!(at(40, 40), [0; 0]);
    }

    #[test]
    fn a_receipt_that_leaves_something_out_is_none() {
        let refused = |change: fn(&mut Receipt)| {
            let mut receipt = receipt(5, 100);
            assert_eq!(receipt.validate(), Ok(()));
            change(&mut receipt);
            assert!(codec::decode_object::<Receipt>(&codec::encode(&receipt)).is_err());
        };
        refused(|r| {
            r.fingerprints.remove(1);
        });
        refused(|r| r.fingerprints.clear());
        refused(|r| r.fingerprints.swap(0, 1));
        refused(|r| r.fingerprints[2].top.clear());
        refused(|r| r.fingerprints[2].top.swap(0, 7));
        refused(|r| r.fingerprints[2].top[1] = r.fingerprints[2].top[0]);
        refused(|r| r.resumed_tokens = 101);
        refused(|r| r.constrained = 2);
        refused(|r| r.engine = "w\u{1b}".to_owned());
        refused(|r| r.numerics.weights = "x".repeat(limits::NUMERICS_LEN_MAX + 1));
        refused(|r| {
            r.sampling.logit_bias = vec![(1, Real::ZERO); limits::LOGIT_BIAS_MAX + 1];
        });
    }

    #[test]
    fn nobody_complains_about_itself() {
        let complaint = Complaint {
            complainant: node(2),
            node: node(1),
            receipt: receipt(0, 1).id(),
            revision: ObjectId::new([3; 32]),
            fault: Fault::Logits,
            position: 32,
            difference: Real::new(1.5),
            tolerance: Real::new(0.1),
            auditor: node(3),
            numerics: receipt(0, 1).numerics,
            issued: Timestamp(9),
        };
        let envelope = complaint.sign(NET, &key(2));
        assert_eq!(Complaint::open(NET, &envelope), Ok(complaint.clone()));
        assert!(Complaint::open(NET, &complaint.sign(NET, &key(3))).is_err());
        let itself = Complaint {
            auditor: node(1),
            ..complaint
        };
        assert!(Complaint::open(NET, &itself.sign(NET, &key(2))).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn receipts_round_trip_and_no_changed_one_verifies(
            resumed in 0_u32..200, more in 0_u32..200, at: proptest::sample::Index, mask in 1_u8..
        ) {
            let receipt = receipt(resumed, resumed + more);
            let envelope = receipt.sign(NET, &key(1));
            let mut bytes = codec::encode(&envelope);
            let back = codec::decode::<Envelope>(&bytes, bytes.len()).expect("it was just written");
            prop_assert_eq!(Receipt::open(NET, &back), Ok(receipt));
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
            let changed = codec::decode::<Envelope>(&bytes, bytes.len());
            prop_assert!(changed.is_err() || Receipt::open(NET, &changed.unwrap()).is_err());
        }

        #[test]
        fn the_longest_receipt_fits(bias in 0_usize..=limits::LOGIT_BIAS_MAX) {
            let answer = u32::try_from(limits::FINGERPRINTS_MAX).unwrap() * Fingerprint::EVERY;
            let mut longest = receipt(0, answer);
            longest.sampling.logit_bias = vec![(u32::MAX, Real::new(-1.0)); bias];
            for print in &mut longest.fingerprints {
                for (at, (id, logit)) in print.top.iter_mut().enumerate() {
                    *id = u32::MAX - u32::try_from(at).unwrap();
                    *logit = Real::new(-1.0);
                }
            }
            let body = codec::encode(&longest);
            prop_assert_eq!(codec::decode_object(&body), Ok(longest));
        }
    }
}
