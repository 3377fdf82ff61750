//! Between a node and the process that runs a model for it.
//!
//! The process is `weft engine`, one for each loaded model, so that whatever a model file does, the node lives on and
//! its memory comes back. Frames on its standard input and output: length in bytes as 4 bytes little-endian, then one
//! CBOR item. Its first frame is [`FromEngine::Ready`] or [`FromEngine::Unloadable`]. It ends when its input does.

use minicbor::{Decode, Encode};

use super::{Event, Job, Refusal};
use crate::wire::Message;

/// Whose first token comes before whose: while one job's prompt is read, those of later ranks stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Rank {
    /// Of a program on this machine.
    #[n(0)]
    Own,
    /// Of a node that the user named.
    #[n(1)]
    Known,
    /// Of another node, which asks little.
    #[n(2)]
    Brief,
    /// Of any other.
    #[n(3)]
    Stranger,
}

impl Rank {
    /// The longest prompt of a job that asks little, in tokens.
    pub const BRIEF_PROMPT_MAX: u64 = 1_024;

    /// The rank of a job once its prompt is tokens: whoever sorted it may only have known the length of a text.
    pub const fn of_prompt(self, tokens: u64) -> Self {
        match self {
            Self::Brief if tokens > Self::BRIEF_PROMPT_MAX => Self::Stranger,
            Self::Own | Self::Known | Self::Brief | Self::Stranger => self,
        }
    }
}

/// What a node tells the process.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ToEngine {
    /// Do this. Jobs run side by side, as many as the process was started for; the others wait in order.
    #[n(0)]
    Start {
        /// Names the job from now on; never used before.
        #[n(0)]
        job: u64,
        /// What to do.
        #[n(1)]
        what: Box<Job>,
        /// Before whom.
        #[n(2)]
        rank: Rank,
    },
    /// Nobody waits for this any more. It ends with `Done` and `Cancelled` unless it had ended.
    #[n(1)]
    Cancel {
        /// Which.
        #[n(0)]
        job: u64,
    },
    /// Others come first: it stands still until it is told to go on, and takes no place beside those that run.
    #[n(2)]
    Pause {
        /// Which.
        #[n(0)]
        job: u64,
    },
    /// It goes on.
    #[n(3)]
    Resume {
        /// Which.
        #[n(0)]
        job: u64,
        /// Before whom.
        #[n(1)]
        rank: Rank,
    },
}

/// What the process tells the node.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum FromEngine {
    /// The model is loaded.
    #[n(0)]
    Ready(#[n(0)] Description),
    /// It cannot be; the process ends.
    #[n(1)]
    Unloadable(#[n(0)] Refusal),
    /// A job went on.
    #[n(2)]
    Event {
        /// Which.
        #[n(0)]
        job: u64,
        /// How.
        #[n(1)]
        event: Event,
    },
}

impl Message for ToEngine {
    const LEN_MAX: usize = Job::LEN_MAX + 64;
}
impl Message for FromEngine {
    const LEN_MAX: usize = Event::LEN_MAX + 64;
}

/// A loaded model.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Description {
    /// `llama`, `qwen3`, `bert` and so on.
    #[n(0)]
    pub architecture: String,
    /// `F32`, `BF16`, `Q4_K_M` and so on: the type that most weights have.
    #[n(1)]
    pub quantization: String,
    /// `gguf` or `safetensors`.
    #[n(2)]
    pub format: String,
    /// Number of weights.
    #[n(3)]
    pub parameters: u64,
    /// Tokens of prompt and answer together, at most.
    #[n(4)]
    pub context_len: u32,
    /// Tokens that the model was trained for, at most.
    #[n(5)]
    pub context_len_max: u32,
    /// Dimensions of its vectors.
    #[n(6)]
    pub embedding_len: u32,
    /// Number of token ids.
    #[n(7)]
    pub vocabulary_len: u32,
    /// Which kernels compute it: those of one name that begins with `weft-` agree to the last bit, others more or less.
    #[n(8)]
    pub kernel_class: String,
    /// Whether it continues text.
    #[n(9)]
    pub generates: bool,
    /// Whether it makes vectors.
    #[n(10)]
    pub embeds: bool,
    /// Whether it has a chat template, and thus holds conversations.
    #[n(11)]
    pub chats: bool,
    /// The chat template.
    #[n(12)]
    pub template: Option<String>,
    /// Bytes of memory it takes besides its files' pages, roughly.
    #[n(13)]
    pub memory_bytes: u64,
    /// Bytes of its weights.
    #[n(14)]
    pub weights_bytes: u64,
}
