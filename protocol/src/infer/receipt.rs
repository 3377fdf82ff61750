//! What a node signs about an answer it gave, and what another one signs about a receipt that does not hold.
//!
//! A receipt holds neither the prompt nor the answer, only their hashes: whoever has both can check it anywhere
//! ([`super::audit`]). It says which weights and which kernels computed the answer, because logits of one model differ
//! between kernels by more than rounding.

#[cfg(test)]
mod tests;

use minicbor::{Decode, Encode};

use super::{Fingerprint, Finish, ModelId, Real, Sampling, Terms};
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
    /// [`Terms::hash`] of what ended the answer, and of what it had to be.
    #[cbor(n(12), with = "fixed")]
    pub terms_hash: [u8; 32],
    /// Why it ended.
    #[n(13)]
    pub finish: Finish,
    /// At the first and at each [`Fingerprint::EVERY`]-th token of the answer.
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
    /// BLAKE3 of the text that the node told: of all tokens but those that were given, in UTF-8.
    #[cbor(n(18), with = "fixed")]
    pub text_hash: [u8; 32],
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

/// Where an answer of so many tokens has fingerprints.
pub fn fingerprint_positions(answer: u32) -> impl Iterator<Item = u32> {
    (0..answer).step_by(usize::try_from(Fingerprint::EVERY).unwrap_or(1))
}

impl Object for Receipt {
    const TYPE: &'static str = "receipt";
    const LEN_MAX: usize = limits::RECEIPT_LEN_MAX;

    fn validate(&self) -> Result<(), String> {
        if self.resumed_tokens > self.answer_tokens {
            return Err("more tokens were given than the answer has".to_owned());
        }
        if self.sampling.logit_bias.len() > limits::LOGIT_BIAS_MAX {
            return Err("too many logits are changed".to_owned());
        }
        let wanted = fingerprint_positions(self.answer_tokens);
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
    /// The text that was told is not that of the tokens.
    #[n(4)]
    Text,
    /// It did not end there, or not for that reason.
    #[n(5)]
    Finish,
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
    /// What was to end the answer.
    #[n(2)]
    pub terms: Terms,
    /// The answer's tokens.
    #[n(3)]
    pub answer: Vec<u32>,
    /// What the last audit found, if there was one that could say.
    #[n(4)]
    pub checked: Option<Checked>,
    /// The complaint that followed.
    #[n(5)]
    pub complaint: Option<Envelope>,
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Checked {
    /// Whether the receipt holds.
    #[n(0)]
    pub agrees: bool,
    /// Who computed it again.
    #[n(1)]
    pub auditor: NodeId,
    /// When.
    #[n(2)]
    pub at: Timestamp,
    /// Largest difference of a logit, or what was wrong by how much.
    #[n(3)]
    pub difference: Real,
}

impl Message for Kept {
    const LEN_MAX: usize = limits::RECEIPT_LEN_MAX + 8 * 1024 * 1024;
}
