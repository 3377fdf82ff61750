//! Asking models, and what runs.

use serde::{Deserialize, Serialize};

use super::{ErrorBody, Progress};

/// Asks a model; it is fetched and loaded first if need be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AskRequest {
    /// Which: `PUBLISHER/NAME[@REVISION][:TAG]` or a petname.
    pub reference: String,
    /// The conversation so far. A model without a chat template gets the texts as they are, one after the other.
    pub messages: Vec<ChatMessage>,
    /// Where randomness comes from; drawn if absent.
    pub seed: Option<u64>,
    /// 0 takes the likeliest token always; 0.8 if absent.
    pub temperature: Option<f32>,
    /// The longest answer in tokens; as long as the context allows if absent.
    pub tokens_max: Option<u32>,
    /// How long the model stays in memory afterwards: `5m`, seconds, -1 for always.
    pub keep_alive: Option<String>,
}

/// One message of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Its text.
    pub content: String,
}

/// One line of an answer. The last two end it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskLine {
    /// How far fetching and loading are.
    Progress(Progress),
    /// The answer goes on.
    Text(String),
    /// It is over.
    Result(AskResult),
    /// It failed.
    Error(ErrorBody),
}

/// What an answer was and took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AskResult {
    /// The model as it is called here.
    pub model: String,
    /// The revision whose files answered, 64 hex.
    pub revision: String,
    /// The GGUF file that answered; absent for safetensors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// `stop` or `length`.
    pub finish: String,
    /// Where randomness came from.
    pub seed: u64,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// How many of them did not have to be computed again.
    pub cached_tokens: u32,
    /// Tokens of the answer.
    pub answer_tokens: u32,
    /// Seconds until the model was there.
    pub load_seconds: f64,
    /// Seconds waited for a turn.
    pub wait_seconds: f64,
    /// Seconds from then until the first token.
    pub prompt_seconds: f64,
    /// Seconds from then to the end.
    pub answer_seconds: f64,
}

/// Makes vectors of texts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmbedRequest {
    /// Which model.
    pub reference: String,
    /// The texts.
    pub texts: Vec<String>,
}

/// Vectors of texts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EmbedResult {
    /// The model as it is called here.
    pub model: String,
    /// The revision whose files answered, 64 hex.
    pub revision: String,
    /// One for each text.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all texts.
    pub prompt_tokens: u32,
}

/// The answer to `GET running`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningResponse {
    /// Models in memory, or on their way there or out.
    pub models: Vec<RunningModel>,
    /// Jobs taken in since the node's start.
    pub jobs_taken: u64,
    /// Jobs refused because too much waited.
    pub jobs_refused: u64,
    /// Jobs that ended by themselves.
    pub jobs_ended: u64,
    /// Jobs that nobody waited for any more.
    pub jobs_cancelled: u64,
    /// Jobs that an engine left unanswered.
    pub jobs_failed: u64,
    /// Models loaded.
    pub loads: u64,
    /// Engines that ended by themselves.
    pub engines_died: u64,
}

/// A model in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningModel {
    /// What it is called here.
    pub name: String,
    /// The revision, 64 hex.
    pub revision: String,
    /// `waiting`, `loading`, `ready` or `ending`.
    pub stage: String,
    /// Memory in bytes, as far as known.
    pub memory_bytes: u64,
    /// Process id of its engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Answers that are computed.
    pub running: u64,
    /// Questions that wait for their turn.
    pub waiting: u64,
    /// Seconds that it stays without being asked; absent for as long as there is room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stays_seconds: Option<u64>,
    /// `llama`, `qwen3` and so on, once loaded.
    #[serde(default)]
    pub architecture: String,
    /// `BF16`, `Q4_K_M` and so on, once loaded.
    #[serde(default)]
    pub quantization: String,
    /// Number of weights, once loaded.
    #[serde(default)]
    pub parameters: u64,
    /// Tokens of prompt and answer together at most, once loaded.
    #[serde(default)]
    pub context_len: u32,
}

/// Lets a model's memory go as soon as nobody waits for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnloadRequest {
    /// Which.
    pub reference: String,
}
