//! A model with all that belongs to it, from its files.

use std::{path::Path, sync::Arc};

use candle_core::Device;
use serde_json::Value;
use weft_kernels::{ROUNDING, instructions};
use weft_protocol::{
    formats::{Gguf, Reading, gguf},
    infer::{Description, Prompt, Refusal},
};

use crate::{
    Options,
    decoder::{self, Decoder, config},
    encoder::{self, Encoder},
    pooling::Pooling,
    refusal::{OrRefuse, broken, invalid, unsupported},
    template::Template,
    tokenizer::Tokenizer,
    weights::{self, Found, Target, Weights},
};

/// A loaded model.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) network: Network,
    pub(crate) texts: Arc<Texts>,
    pub(crate) description: Description,
}

/// What computes.
#[derive(Debug)]
pub(crate) enum Network {
    Decoder {
        decoder: Box<Decoder>,
        /// How a vector is made of what it thinks of a text.
        pooling: Pooling,
    },
    Encoder(Box<Encoder>),
}

/// What turns requests into tokens and tokens into text.
#[derive(Debug)]
pub(crate) struct Texts {
    pub(crate) tokenizer: Tokenizer,
    template: Option<Template>,
    vocabulary: usize,
}

impl Texts {
    /// Token ids of a prompt.
    pub(crate) fn prompt(&self, prompt: &Prompt) -> Result<Vec<u32>, Refusal> {
        let ids = match prompt {
            Prompt::Tokens { ids } => ids.clone(),
            Prompt::Text { text, raw } => self.tokenizer.encode(text, !raw)?,
            Prompt::Chat {
                messages,
                tools,
                proceed,
            } => {
                let template = self.template.as_ref().ok_or_else(|| {
                    unsupported("this model has no chat template: it continues text and holds no conversations")
                })?;
                let names = self.tokenizer.names();
                let text = template.render(messages, tools.as_deref(), *proceed, names)?;
                self.tokenizer.encode(&text, false)?
            }
        };
        if ids.is_empty() {
            return Err(invalid("the prompt is empty"));
        }
        self.check(&ids)?;
        Ok(ids)
    }

    /// Refuses ids that the model does not have.
    pub(crate) fn check(&self, ids: &[u32]) -> Result<(), Refusal> {
        match ids.iter().find(|id| **id as usize >= self.vocabulary) {
            None => Ok(()),
            Some(id) => Err(invalid(format!(
                "there is no token {id}, only {} of them",
                self.vocabulary
            ))),
        }
    }
}

/// Loads the model at a path.
pub(crate) fn load(options: &Options) -> Result<Model, Refusal> {
    let target = target(options)?;
    match weights::open(&options.model)? {
        Found::Gguf(files) => {
            let first = files.first().ok_or_else(|| broken("there is no file"))?;
            let (header, size) = header(first.bytes())?;
            let weights = Weights::of_gguf(files, target)?;
            let gguf = parse(&header, size)?;
            let config = config::of_gguf(&gguf, &weights)?;
            let tokenizer = Tokenizer::of_gguf(&gguf)?;
            let template = gguf
                .get("tokenizer.chat_template")
                .and_then(gguf::Value::as_str)
                .map(str::to_owned);
            let pooling = Pooling::USUAL;
            finish(
                options, &weights, config, tokenizer, template, pooling, "gguf",
            )
        }
        Found::Folder(folder) => {
            let described = weights::json(&folder, "config.json")?
                .ok_or_else(|| unsupported("the folder has no `config.json`"))?;
            if encoder::is_encoder(&described) {
                return load_encoder(options, &folder, &described, target);
            }
            let config = config::of_folder(&described)?;
            let weights = weights::decoder_weights(&folder, &config.architecture, target)?;
            let tokenizer = Tokenizer::of_folder(&folder)?;
            let template = template_of(&folder)?;
            let pooling = Pooling::of_folder(&folder)?;
            finish(
                options,
                &weights,
                config,
                tokenizer,
                template,
                pooling,
                "safetensors",
            )
        }
    }
}

fn target(options: &Options) -> Result<Target, Refusal> {
    if cfg!(feature = "cuda") {
        let device = Device::cuda_if_available(0).or_failed("the GPU")?;
        if !device.is_cpu() {
            return Ok(Target::Candle(device));
        }
    }
    Ok(if options.candle {
        Target::Candle(Device::Cpu)
    } else {
        Target::Here
    })
}

/// The header of a GGUF file, copied, and the file's size: the file itself becomes part of the weights.
fn header(file: &[u8]) -> Result<(Vec<u8>, u64), Refusal> {
    let size = file.len() as u64;
    let start = parse(file, size)?.data_start;
    let len = usize::try_from(start).or_broken(|| "the header".to_owned())?;
    Ok((file[..len.min(file.len())].to_vec(), size))
}

fn parse(prefix: &[u8], size: u64) -> Result<Gguf<'_>, Refusal> {
    match gguf::read(prefix, size) {
        Ok(Reading::Done(gguf)) => Ok(gguf),
        Ok(Reading::More { .. }) => Err(broken("the header does not end")),
        Err(error) => Err(broken(error.to_string())),
    }
}

/// The chat template of a folder, from wherever it stands.
fn template_of(folder: &Path) -> Result<Option<String>, Refusal> {
    if let Some(bytes) = weights::bytes(folder, "chat_template.jinja")? {
        return String::from_utf8(bytes)
            .or_broken(|| "`chat_template.jinja`".to_owned())
            .map(Some);
    }
    for file in ["chat_template.json", "tokenizer_config.json"] {
        let Some(described) = weights::json(folder, file)? else {
            continue;
        };
        let template = &described["chat_template"];
        if let Some(template) = template.as_str() {
            return Ok(Some(template.to_owned()));
        }
        let named = template.as_array().into_iter().flatten();
        let mut named = named.filter(|named| named["name"] == "default");
        if let Some(template) = named.next().and_then(|named| named["template"].as_str()) {
            return Ok(Some(template.to_owned()));
        }
    }
    Ok(None)
}

fn finish(
    options: &Options,
    weights: &Weights,
    config: decoder::Config,
    mut tokenizer: Tokenizer,
    template: Option<String>,
    pooling: Pooling,
    format: &str,
) -> Result<Model, Refusal> {
    // A broken template takes conversations away, not the model.
    let template = template.and_then(|source| Template::new(&source).ok());
    if let Some(template) = &template
        && let Some(end) = end_of_turn(template, &tokenizer)
    {
        tokenizer.add_end(end);
    }
    let context_max = config.context_max;
    let context = options
        .context
        .unwrap_or(config.context_default)
        .clamp(1, context_max);
    let vocabulary = config.vocabulary;
    let decoder = Decoder::load(config, weights)?;
    let config = decoder.config();
    let (parameters, weights_bytes) = weights.count();
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let memory = decoder.shape().token_bytes() * context * options.parallel.min(2);
    let description = Description {
        architecture: config.architecture.clone(),
        quantization: weights.quantization().to_owned(),
        format: format.to_owned(),
        parameters,
        context_len: number(context),
        context_len_max: number(context_max),
        embedding_len: number(config.hidden),
        vocabulary_len: number(vocabulary),
        kernel_class: kernel_class(weights.target(), weights.is_by_candle()),
        generates: true,
        embeds: true,
        chats: template.is_some(),
        template: template
            .as_ref()
            .map(|template| template.source().to_owned()),
        memory_bytes: memory as u64 + weights_bytes,
        weights_bytes,
    };
    Ok(Model {
        network: Network::Decoder {
            decoder: Box::new(decoder),
            pooling,
        },
        texts: Arc::new(Texts {
            tokenizer,
            template,
            vocabulary,
        }),
        description,
    })
}

fn load_encoder(
    options: &Options,
    folder: &Path,
    described: &Value,
    target: Target,
) -> Result<Model, Refusal> {
    let config = encoder::Config::of_folder(described, folder)?;
    let weights = encoder::weights(folder, target)?;
    let encoder = Encoder::load(&config, &weights, Pooling::of_folder(folder)?)?;
    let (parameters, weights_bytes) = weights.count();
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let context = options.context.unwrap_or(config.context);
    let description = Description {
        architecture: config.kind,
        quantization: weights.quantization().to_owned(),
        format: "safetensors".to_owned(),
        parameters,
        context_len: number(context.clamp(1, config.context)),
        context_len_max: number(config.context),
        embedding_len: number(config.hidden),
        vocabulary_len: number(config.vocabulary),
        kernel_class: kernel_class(weights.target(), true),
        generates: false,
        embeds: true,
        chats: false,
        template: None,
        memory_bytes: weights_bytes,
        weights_bytes,
    };
    let texts = Texts {
        tokenizer: Tokenizer::of_folder(folder)?,
        template: None,
        vocabulary: config.vocabulary,
    };
    Ok(Model {
        network: Network::Encoder(Box::new(encoder)),
        texts: Arc::new(texts),
        description,
    })
}

/// The control token that the template puts behind what the model says.
fn end_of_turn(template: &Template, tokenizer: &Tokenizer) -> Option<u32> {
    const SAID: &str = "Xyzzy";
    let messages =
        format!(r#"[{{"role":"user","content":"a"}},{{"role":"assistant","content":"{SAID}"}}]"#);
    // Proceeding leaves the generation prompt away, and cuts behind what was said: the same twice tells the rest.
    let names = tokenizer.names();
    let open = template.render(&messages, None, true, names).ok()?;
    let closed = template.close(&messages, names).ok()?;
    let rest = closed.strip_prefix(open.as_str())?.trim_start();
    let first = *tokenizer.encode(rest, false).ok()?.first()?;
    tokenizer.is_control(first).then_some(first)
}

/// Which kernels compute. Ours compute the same bits everywhere. candle's round differently where the processor is
/// another, and as little of it as `some` of the steps is enough for that.
fn kernel_class(target: &Target, some: bool) -> String {
    const CANDLE: &str = "candle-0.11";
    match target {
        Target::Here if !some => ROUNDING.to_owned(),
        Target::Here => format!("{CANDLE}+{ROUNDING}/{}", instructions()),
        Target::Candle(device) if !device.is_cpu() => format!("{CANDLE}/cuda"),
        // candle asks the same of a processor as we do.
        Target::Candle(_) => format!("{CANDLE}/{}", instructions()),
    }
}
