//! Byte-pair encoding over a GGUF's vocabulary.

use tokenizers::{
    AddedToken, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer,
    models::bpe::{BPE, Vocab},
    normalizers::unicode::NFC,
    pre_tokenizers::{
        byte_level::ByteLevel,
        digits::Digits,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
};
use weft_protocol::infer::Refusal;

use crate::refusal::{OrRefuse, broken, unsupported};

/// How text is cut before pairs are merged.
struct Cut {
    pattern: Option<&'static str>,
    digits: bool,
    normalised: bool,
    /// Whole words that the vocabulary has need no merges.
    whole_words: bool,
}

const QWEN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

fn cut(pre: &str) -> Result<Cut, Refusal> {
    let plain = Cut {
        pattern: None,
        digits: false,
        normalised: false,
        whole_words: false,
    };
    Ok(match pre {
        "default" | "gpt-2" | "gpt2" | "phi-2" | "roberta-bpe" | "olmo" | "jina-es" | "jina-de" => {
            plain
        }
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" => Cut {
            digits: true,
            ..plain
        },
        "qwen2" | "deepseek-r1-qwen" | "hunyuan" | "megrez" => Cut {
            pattern: Some(QWEN),
            normalised: true,
            ..plain
        },
        "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "pixtral" | "lfm2" => Cut {
            pattern: Some(LLAMA),
            whole_words: true,
            ..plain
        },
        "smaug-bpe" | "dbrx" | "glm4" | "chatglm-bpe" => Cut {
            pattern: Some(LLAMA),
            ..plain
        },
        "tekken" => Cut {
            pattern: Some(TEKKEN),
            whole_words: true,
            ..plain
        },
        other => {
            return Err(unsupported(format!(
                "the vocabulary's way of cutting text `{other}` is not supported; supported are default, gpt-2, \
                 phi-2, smollm, starcoder, qwen2, llama-bpe, smaug-bpe, dbrx, glm4 and tekken"
            )));
        }
    })
}

/// Builds the tokenizer; `special` are tokens that stand in texts as they are.
pub(super) fn build(
    tokens: &[String],
    merges: &[String],
    pre: &str,
    special: &[(u32, &str, bool)],
) -> Result<Tokenizer, Refusal> {
    let cut = cut(pre)?;
    let wrong = || "the vocabulary".to_owned();
    let vocabulary: Vocab = tokens.iter().cloned().zip(0_u32..).collect();
    let merges = merges
        .iter()
        .map(|merge| {
            let (left, right) = merge.split_once(' ')?;
            Some((left.to_owned(), right.to_owned()))
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| broken("a merge of the vocabulary is no pair"))?;
    let model = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .ignore_merges(cut.whole_words)
        .build()
        .or_broken(wrong)?;
    let mut tokenizer = Tokenizer::new(model);
    if cut.normalised {
        tokenizer
            .with_normalizer(Some(NormalizerWrapper::from(NFC)))
            .or_broken(wrong)?;
    }
    let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
    if cut.digits {
        steps.push(Digits::new(true).into());
    }
    if let Some(pattern) = cut.pattern {
        let pattern = SplitPattern::Regex(pattern.to_owned());
        let split =
            Split::new(pattern, SplitDelimiterBehavior::Isolated, false).or_broken(wrong)?;
        steps.push(split.into());
    }
    steps.push(ByteLevel::new(false, false, cut.pattern.is_none()).into());
    tokenizer.with_pre_tokenizer(Some(PreTokenizerWrapper::from(Sequence::new(steps))));
    let added: Vec<AddedToken> = special
        .iter()
        .filter(|(_, text, _)| !text.is_empty())
        .map(|(_, text, control)| AddedToken::from((*text).to_owned(), *control).normalized(false))
        .collect();
    tokenizer.add_tokens(added).or_broken(wrong)?;
    Ok(tokenizer)
}
