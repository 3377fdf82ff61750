//! GGUF files of a complete revision shown in Ollama's folder of models, so that Ollama and this node share one copy.
//!
//! The layout is theirs: `blobs/sha256-<hash>`, and under `manifests/<registry>/<namespace>/<name>/<tag>` a list of the
//! blobs that make a model. Blobs are second names of the store's own files where the file system allows. Removing the
//! folder takes nothing from the store, and forgetting the revision here takes nothing from the folder.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use weft_protocol::{
    manifest::{File, Manifest, Role},
    path::RepoPath,
    reference::Reference,
};

use super::{Operations, Reporter, blocking_io};
use crate::{
    api::{ErrorBody, ErrorCode, Phase, Progress},
    error,
};

/// What Ollama takes a name without a registry to be in.
const REGISTRY: &str = "registry.ollama.ai";
/// What `ollama run NAME` without a tag means.
const LATEST: &str = "latest";
/// What Ollama itself offers as that, where there are several.
const USUAL: &str = "Q4_K_M";
/// Characters of a tag at most.
const TAG_LEN_MAX: usize = 80;
/// A licence longer than this is none.
const LICENSE_LEN_MAX: u64 = 1024 * 1024;

impl Operations {
    /// Shows the GGUF files of a complete revision to Ollama, each under a tag; the manifest of the one that
    /// `ollama run` takes. `asked` is what the user wrote: the model gets that name.
    pub(super) async fn show_in_ollama(
        &self,
        manifest: &Manifest,
        asked: &str,
        models: &Path,
        reporter: &Reporter,
    ) -> Result<PathBuf, ErrorBody> {
        let chosen = tags(&manifest.files);
        if chosen.is_empty() {
            let message = "the revision has no GGUF file that Ollama could load".to_owned();
            return Err(ErrorBody::new(ErrorCode::Usage, message)
                .with_hint("`weft fetch REF --to DIR` shows the files in a folder"));
        }
        let companions: Vec<_> = manifest.files.iter().filter_map(companion).collect();
        let models_of = chosen.values().copied();
        let wanted: Vec<&File> = models_of
            .chain(companions.iter().map(|(f, _)| *f))
            .collect();
        let bytes_total = wanted.iter().map(|file| file.size).sum();
        let mut bytes_done = 0;
        for file in wanted {
            let name = format!("sha256-{}", HEXLOWER.encode(&file.sha256));
            let name: RepoPath = name.parse().map_err(|e| {
                ErrorBody::new(ErrorCode::Failure, format!("the blob name `{name}`: {e}"))
            })?;
            self.transfer
                .place(file.blake3, &models.join("blobs"), &name)
                .await
                .map_err(|e| error::place(&e))?;
            bytes_done += file.size;
            reporter.report(Progress {
                phase: Phase::Exporting,
                bytes_done,
                bytes_total,
                ..Progress::default()
            });
        }
        let folder = models
            .join("manifests")
            .join(REGISTRY)
            .join(name(manifest, asked));
        let usual = chosen
            .get_key_value(USUAL)
            .or_else(|| chosen.first_key_value());
        let usual = usual.map(|(tag, _)| tag.as_str());
        let latest = folder.join(LATEST);
        let mut written = Vec::new();
        for (tag, file) in &chosen {
            let config = config(tag, file).to_string().into_bytes();
            let layers = std::iter::once((*file, "model")).chain(companions.iter().copied());
            let config_name = format!("sha256-{}", HEXLOWER.encode(&Sha256::digest(&config)));
            let list = list(&config, layers).to_string().into_bytes();
            written.push((models.join("blobs").join(config_name), config));
            if usual == Some(tag) {
                written.push((latest.clone(), list.clone()));
            }
            written.push((folder.join(tag), list));
        }
        let parts = self.transfer.parts();
        blocking_io(move || {
            for (path, bytes) in &written {
                // Whole or not at all: Ollama may be looking.
                std::fs::create_dir_all(path.parent().unwrap_or(path))
                    .and_then(|()| parts.write(path, bytes))
                    .map_err(|e| error::io(format!("cannot write `{}`", path.display()), &e))?;
            }
            Ok(latest)
        })
        .await
    }
}

/// The files that are models by themselves, by tag.
fn tags(files: &[File]) -> BTreeMap<String, &File> {
    let mut tags = BTreeMap::new();
    for file in files {
        let name = file.path.as_str().rsplit('/').next().unwrap_or_default();
        let Some(stem) = name.strip_suffix(".gguf") else {
            continue;
        };
        if is_part(stem) || is_projector(name) {
            continue;
        }
        let last = stem.rsplit(['.', '-']).next().unwrap_or(stem);
        let short = if is_quantization(last) { last } else { stem };
        // Two files of one quantization are told apart by their names.
        let tag = match tags.contains_key(&tag(short)) {
            true => tag(stem),
            false => tag(short),
        };
        tags.entry(tag).or_insert(file);
    }
    tags
}

fn tag(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '_'
        }
    };
    let tag: String = text.chars().map(plain).take(TAG_LEN_MAX).collect();
    match tag.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        true => tag,
        false => format!("m{tag}"),
    }
}

/// `Q4_K_M`, `IQ2_XS`, `BF16` and the like.
fn is_quantization(text: &str) -> bool {
    let letters = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let kind: String = text.chars().take_while(char::is_ascii_alphabetic).collect();
    let kind = kind.to_ascii_uppercase();
    !letters.is_empty() && matches!(kind.as_str(), "Q" | "IQ" | "TQ" | "F" | "BF" | "MXFP")
}

/// One file of several that make a model: Ollama loads none of that kind.
fn is_part(stem: &str) -> bool {
    let part = stem.rsplit_once("-of-").and_then(|(rest, count)| {
        let (_, number) = rest.rsplit_once('-')?;
        Some((number, count))
    });
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    part.is_some_and(|(number, count)| digits(number) && digits(count))
}

fn is_projector(name: &str) -> bool {
    name.ends_with(".gguf") && name.contains("mmproj")
}

/// What goes with every model of the revision, and what Ollama calls it.
fn companion(file: &File) -> Option<(&File, &'static str)> {
    let name = file.path.as_str().rsplit('/').next()?;
    if is_projector(name) {
        return Some((file, "projector"));
    }
    let is_license = file.role == Role::License && file.size <= LICENSE_LEN_MAX;
    is_license.then_some((file, "license"))
}

/// `<namespace>/<name>`, as Ollama allows them.
fn name(manifest: &Manifest, asked: &str) -> PathBuf {
    let reference: Option<Reference> = asked.parse().ok();
    let publisher = manifest.repository.publisher.to_string();
    let (namespace, name) = match &reference {
        Some(reference) => (reference.publisher.as_str(), reference.name.to_string()),
        None => (publisher.as_str(), manifest.repository.name.to_string()),
    };
    let namespace = namespace.replace('.', "-").to_ascii_lowercase();
    Path::new(&namespace).join(name.to_ascii_lowercase())
}

fn digest(sha256: &[u8]) -> String {
    format!("sha256:{}", HEXLOWER.encode(sha256))
}

fn config(tag: &str, model: &File) -> Value {
    json!({
        "model_format": "gguf",
        "file_type": tag,
        "architecture": "amd64",
        "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [digest(&model.sha256)] },
    })
}

fn list<'a>(config: &[u8], layers: impl Iterator<Item = (&'a File, &'static str)>) -> Value {
    let layer = |(file, kind): (&File, &str)| {
        json!({
            "mediaType": format!("application/vnd.ollama.image.{kind}"),
            "digest": digest(&file.sha256),
            "size": file.size,
        })
    };
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "digest": digest(&Sha256::digest(config)),
            "size": config.len(),
        },
        "layers": layers.map(layer).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use weft_protocol::id::BlobHash;

    use super::*;

    fn files(paths: &[&str]) -> Vec<File> {
        let file = |path: &&str| File {
            path: path.parse().unwrap(),
            size: 1,
            blake3: BlobHash::new([1; 32]),
            sha256: [2; 32],
            git_sha1: None,
            role: Role::of_path(path),
            spans: None,
            chunks: None,
        };
        paths.iter().map(file).collect()
    }

    #[test]
    fn every_whole_model_gets_a_tag() {
        let files = files(&[
            "README.md",
            "a/wren-3m.Q8_0.gguf",
            "big-00001-of-00002.gguf",
            "mmproj-wren.gguf",
            "other-Q8_0.gguf",
            "plain model.gguf",
            "wren-3m-iq2_xs.gguf",
            "wren.BF16.gguf",
        ]);
        let tags: Vec<_> = tags(&files)
            .into_iter()
            .map(|(tag, file)| (tag, file.path.to_string()))
            .collect();
        let expected = [
            ("BF16", "wren.BF16.gguf"),
            ("Q8_0", "a/wren-3m.Q8_0.gguf"),
            ("iq2_xs", "wren-3m-iq2_xs.gguf"),
            ("other-Q8_0", "other-Q8_0.gguf"),
            ("plain_model", "plain model.gguf"),
        ];
        let expected = expected.map(|(tag, path)| (tag.to_owned(), path.to_owned()));
        assert_eq!(tags, expected);
        let kinds: Vec<_> = files
            .iter()
            .filter_map(companion)
            .map(|(_, kind)| kind)
            .collect();
        assert_eq!(kinds, ["projector"]);
    }
}
