//! `/api/version`, `/api/tags`, `/api/ps` and `/api/show`.

use std::{collections::BTreeMap, time::Duration};

use axum::{body::Body, http::HeaderMap, response::Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use weft_protocol::{
    infer::{Description, ModelId, model},
    manifest::Manifest,
};

use super::reply::{Answer, date, date_in, ok};
use crate::{
    api::{ErrorBody, ErrorCode},
    gateway::ask::{self, Fault},
    infer::pool::{Loaded, Stage},
    operations::{HeldWeights, Operations},
};

/// When a model goes that stays for as long as there is room.
const ALWAYS: Duration = Duration::from_secs(100 * 365 * 86_400);

pub(super) fn version() -> Response {
    ok(json!({ "version": env!("CARGO_PKG_VERSION") }))
}

pub(super) async fn tags(operations: &Operations) -> Answer {
    let loaded = operations.pool.overview().loaded;
    let held = operations.held_models().await?;
    let mut entries = Vec::new();
    for model in &held {
        for weights in &model.weights {
            let description = description(&loaded, &weights.id);
            let details = details(operations, &model.manifest, weights, description).await;
            for base in model.bases() {
                let name = name(base, weights);
                entries.push(json!({
                    "name": name,
                    "model": name,
                    "modified_at": date(model.manifest.created),
                    "size": weights.bytes,
                    "digest": weights.digest,
                    "details": details,
                }));
            }
        }
    }
    Ok(ok(json!({ "models": entries })))
}

pub(super) async fn running(operations: &Operations) -> Answer {
    let loaded = operations.pool.overview().loaded;
    let held = operations.held_models().await?;
    let mut entries = Vec::new();
    for loaded in loaded.iter().filter(|loaded| loaded.stage == Stage::Ready) {
        let found = held.iter().find_map(|model| {
            let mut all = model.weights.iter();
            Some((model, all.find(|weights| weights.id == loaded.id)?))
        });
        let description = loaded.description.as_ref();
        let (name, digest, details) = match found {
            Some((model, weights)) => (
                name(&model.base, weights),
                weights.digest.clone(),
                details(operations, &model.manifest, weights, description).await,
            ),
            None => (
                loaded.name.clone(),
                loaded.id.revision.to_string(),
                json!({}),
            ),
        };
        entries.push(json!({
            "name": name,
            "model": name,
            "size": loaded.bytes,
            "size_vram": 0,
            "digest": digest,
            "details": details,
            "expires_at": date_in(loaded.stays.unwrap_or(ALWAYS)),
            "context_length": description.map(|description| description.context_len),
        }));
    }
    Ok(ok(json!({ "models": entries })))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ShowRequest {
    model: Option<String>,
    name: Option<String>,
}

pub(super) async fn show(operations: &Operations, headers: &HeaderMap, body: Body) -> Answer {
    let request: ShowRequest = ask::read(body).await?;
    let named = request
        .model
        .filter(|model| !model.is_empty())
        .or(request.name);
    let asked = named.ok_or_else(|| Fault::invalid("`model` is missing").at("model"))?;
    // Only what is here: clients ask this to find out whether to pull.
    let held = operations.held_model(&asked).await;
    let held = held.map_err(|error| Fault::of_model(&asked, &error))?;
    let Some((model, weights)) = held else {
        let error = ErrorBody::new(ErrorCode::NotFound, "it is not here; pull it first");
        return Err(Fault::of_model(&asked, &error));
    };
    let named = operations.model_of(&weights.id).await?;
    let description = ask::describe(operations, &named, ask::caller(headers)).await?;
    let manifest = &model.manifest;
    let template = description.template.clone().unwrap_or_default();
    let mut capabilities = Vec::new();
    for (name, has) in [
        ("completion", description.generates),
        ("embedding", description.embeds && !description.generates),
        ("tools", template.contains("tools")),
    ] {
        if has {
            capabilities.push(name);
        }
    }
    Ok(ok(json!({
        "modelfile": format!("FROM {}\n", named.name),
        "parameters": "",
        "template": template,
        "license": manifest.card.license,
        "details": details(operations, manifest, &weights, Some(&description)).await,
        "model_info": model_info(&description),
        "capabilities": capabilities,
        "modified_at": date(manifest.created),
    })))
}

fn model_info(description: &Description) -> Value {
    let architecture = &description.architecture;
    let mut info = Map::new();
    info.insert(
        "general.architecture".to_owned(),
        architecture.as_str().into(),
    );
    info.insert(
        "general.parameter_count".to_owned(),
        description.parameters.into(),
    );
    for (key, value) in [
        ("context_length", description.context_len_max),
        ("embedding_length", description.embedding_len),
        ("vocab_size", description.vocabulary_len),
    ] {
        info.insert(format!("{architecture}.{key}"), value.into());
    }
    Value::Object(info)
}

/// As Ollama shows it: always with a tag.
fn name(base: &str, weights: &HeldWeights) -> String {
    let tag = if weights.is_usual {
        model::LATEST
    } else {
        &weights.tag
    };
    format!("{base}:{tag}")
}

fn description<'a>(loaded: &'a [Loaded], id: &ModelId) -> Option<&'a Description> {
    let found = loaded.iter().find(|loaded| loaded.id == *id);
    found.and_then(|loaded| loaded.description.as_ref())
}

/// What is known of weights: by their engine if they are loaded, else by their first bytes and the list of their tensors.
async fn details(
    operations: &Operations,
    manifest: &Manifest,
    weights: &HeldWeights,
    description: Option<&Description>,
) -> Value {
    let is_gguf = weights.id.file.is_some();
    let format = if is_gguf { "gguf" } else { model::SAFETENSORS };
    let (family, parameters, quantization) = match description {
        Some(description) => (
            description.architecture.clone(),
            description.parameters,
            description.quantization.clone(),
        ),
        None => {
            let (parameters, dtype) = tensors(manifest, &weights.id);
            let quantization = if is_gguf { weights.tag.clone() } else { dtype };
            let family = operations.family(manifest, &weights.id).await;
            (family.unwrap_or_default(), parameters, quantization)
        }
    };
    let families: Vec<&str> = Some(family.as_str())
        .into_iter()
        .filter(|f| !f.is_empty())
        .collect();
    json!({
        "parent_model": "",
        "format": format,
        "family": family,
        "families": families,
        "parameter_size": size(parameters),
        "quantization_level": quantization,
    })
}

/// Number of weights, and the type that most of them have.
fn tensors(manifest: &Manifest, id: &ModelId) -> (u64, String) {
    let needed = model::needed(&manifest.files, id.file.as_ref());
    let mut by_type: BTreeMap<&str, u64> = BTreeMap::new();
    for tensor in &manifest.tensors {
        let index = usize::try_from(tensor.file).ok();
        let file = index.and_then(|index| manifest.files.get(index));
        if file.is_some_and(|file| needed.iter().any(|other| other.path == file.path)) {
            let count = tensor.shape.iter().fold(1_u64, |a, b| a.saturating_mul(*b));
            let sum = by_type.entry(tensor.dtype.as_str()).or_default();
            *sum = sum.saturating_add(count);
        }
    }
    let total = by_type.values().fold(0_u64, |a, b| a.saturating_add(*b));
    let most = by_type.into_iter().max_by_key(|(_, count)| *count);
    (
        total,
        most.map_or_else(String::new, |(dtype, _)| dtype.to_owned()),
    )
}

/// `3.4M`, `7.0B`.
fn size(parameters: u64) -> String {
    let tenths = |unit: u64| {
        let tenths = parameters.saturating_mul(10) / unit;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match parameters {
        0 => String::new(),
        1..1_000_000 => format!("{}K", tenths(1_000)),
        1_000_000..1_000_000_000 => format!("{}M", tenths(1_000_000)),
        _ => format!("{}B", tenths(1_000_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(3_412_224), "3.4M");
        assert_eq!(size(7_000_000_000), "7.0B");
        assert_eq!(size(260_000), "260.0K");
        assert_eq!(size(0), "");
    }
}
