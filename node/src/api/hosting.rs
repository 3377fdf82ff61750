//! Models hosted for others, questions to those who host, and receipts.

use serde::{Deserialize, Serialize};

use super::ChatMessage;

/// Answers others' questions about a model that is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostRequest {
    /// Which.
    pub reference: String,
    /// Whose questions: `everyone`, `follows`, or ids of nodes. Everyone's if empty.
    #[serde(default)]
    pub to: Vec<String>,
}

/// Takes that back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnhostRequest {
    /// Which; all revisions if it names none.
    pub reference: String,
}

/// A model that is hosted here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostedView {
    /// `<publisher>/<name>`.
    pub repository: String,
    /// The revision, 64 hex.
    pub revision: String,
    /// `everyone`, `follows`, or ids of nodes.
    pub to: Vec<String>,
}

/// The answer to `GET hosted`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostedResponse {
    /// All of them.
    pub hosted: Vec<HostedView>,
    /// Questions of others that were taken in since the node started.
    pub answered: u64,
    /// Questions that were sent to others since then.
    pub questions_sent: u64,
    /// Bytes of those: every byte of a prompt that left this machine is among them.
    pub question_bytes_sent: u64,
}

/// Asks peers that host a model. They can read the prompt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AskPeersRequest {
    /// Which model.
    pub reference: String,
    /// What is asked.
    pub prompt: String,
    /// The conversation so far, if the question goes on with one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<ChatMessage>,
    /// What the model is told before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Continue the prompt as it is instead of answering it.
    pub raw: bool,
    /// The longest answer in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_max: Option<u32>,
    /// 0 takes the likeliest token always.
    pub temperature: f32,
    /// Where randomness comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Texts at which the answer ends.
    pub stop: Vec<String>,
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskPeersLine {
    /// Something that the user should know before; told until an answer was heard to its end.
    Notice(String),
    /// This node answers from here on.
    Host(String),
    /// The answer goes on.
    Text(String),
    /// The id of the receipt that is kept.
    Receipt(String),
    /// There is no receipt, so the answer cannot be checked: why.
    NoReceipt(String),
    /// The answer is over.
    Done(AskPeersDone),
    /// There is none, or no more of it.
    Error(super::ErrorBody),
}

/// The end of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskPeersDone {
    /// `stop`, `length` or `cancelled`.
    pub finish: String,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub answer_tokens: u32,
}

/// The answer to `GET receipts`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReceiptsResponse {
    /// The newest first.
    pub receipts: Vec<ReceiptView>,
}

/// What a peer signed about an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReceiptView {
    /// Its id, 64 hex.
    pub id: String,
    /// Who answered.
    pub node: String,
    /// The model's revision.
    pub revision: String,
    /// Its GGUF file, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The type of its weights.
    pub weights: String,
    /// What computed the answer.
    pub kernel_class: String,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub answer_tokens: u32,
    /// When it was signed, Unix seconds.
    pub issued: u64,
    /// Whether it was found to hold; absent if nobody has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agrees: Option<bool>,
    /// The receipt, the prompt and the answer, to be checked elsewhere: base64. Only when one receipt was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// Checks a receipt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditRequest {
    /// The id of a receipt that is kept here, or the start of one.
    pub receipt: String,
    /// A receipt from elsewhere instead: [`ReceiptView::content`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Another peer computes it again, and can read prompt and answer; else this node does.
    pub peer: bool,
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditResult {
    /// The receipt's id, 64 hex.
    pub receipt: String,
    /// Who answered.
    pub node: String,
    /// Who computed it again.
    pub auditor: String,
    /// `agrees`, `differs` or `unchecked`.
    pub verdict: String,
    /// The same in words.
    pub message: String,
    /// Largest difference of a logit, or what is wrong by how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<f32>,
    /// How much is let pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f32>,
    /// At which token of the answer something is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// Tokens that were held against what the logits allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
    /// What computed it again.
    pub kernel_class: String,
    /// Whether a complaint was signed.
    pub complaint: bool,
}
