//! Of which family weights are, without an engine that loads them.
//!
//! Their own first bytes say it, and no more than those are read: a list of models is asked for often.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use serde_json::Value;
use weft_protocol::{
    formats::gguf,
    infer::{ModelId, model},
    manifest::Manifest,
};

use super::super::Operations;

/// How far into a GGUF file its family is looked for. Its writers put it first.
const GGUF_LEN: u64 = 4 * 1024;
/// The longest `config.json` that is read; those in use have some thousand bytes.
const CONFIG_LEN_MAX: u64 = 256 * 1024;
/// The longest name of a family.
const NAME_LEN_MAX: usize = 64;

impl Operations {
    /// The family that the files of weights name, in the words of engines. `None` if they are not here or do not say.
    pub(crate) async fn family(&self, manifest: &Manifest, id: &ModelId) -> Option<String> {
        let path = id.file.as_ref().map_or(model::CONFIG, |path| path.as_str());
        let mut files = manifest.files.iter();
        let file = files.find(|file| file.path.as_str() == path)?;
        let at = self.transfer.path(file.blake3).await?;
        let is_gguf = id.file.is_some();
        let read = tokio::task::spawn_blocking(move || match is_gguf {
            true => of_gguf(&at),
            false => of_config(&at),
        });
        match read.await {
            Ok(Ok(family)) => family.filter(|name| name.len() <= NAME_LEN_MAX),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the family of a model cannot be read");
                None
            }
            Err(_) => None,
        }
    }
}

fn of_gguf(path: &Path) -> io::Result<Option<String>> {
    let prefix = beginning(path, GGUF_LEN)?;
    Ok(gguf::first_architecture(&prefix).map(str::to_owned))
}

fn of_config(path: &Path) -> io::Result<Option<String>> {
    let config: Value = serde_json::from_slice(&beginning(path, CONFIG_LEN_MAX)?)?;
    let kind = [&config["text_config"], &config]
        .into_iter()
        .find_map(|part| part["model_type"].as_str());
    Ok(kind.map(|kind| model::architecture(kind).unwrap_or(kind).to_owned()))
}

fn beginning(path: &Path, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn a_config_names_the_family_as_engines_do() {
        let family = |text: &str| of_config(written(text.as_bytes()).path()).ok().flatten();
        let of = |name: &str| Some(name.to_owned());
        assert_eq!(family(r#"{"model_type": "mistral"}"#), of("llama"));
        assert_eq!(family(r#"{"model_type": "bert"}"#), of("bert"));
        let inner = r#"{"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}}"#;
        assert_eq!(family(inner), of("gemma3"));
        for nothing in ["{}", "[]", "no JSON", r#"{"model_type": 7}"#] {
            assert_eq!(family(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_gguf_file_names_its_family_first() {
        let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
        let kind = 8_u32.to_le_bytes();
        let entry = |key: &str, value: &str| [&text(key)[..], &kind, &text(value)].concat();
        let file = |entries: &[Vec<u8>]| {
            let head = [
                &b"GGUF"[..],
                &3_u32.to_le_bytes(),
                &0_u64.to_le_bytes(),
                &(entries.len() as u64).to_le_bytes(),
            ];
            written(&[head.concat(), entries.concat()].concat())
        };
        let architecture = || entry("general.architecture", "qwen2");
        let family = |entries: &[Vec<u8>]| of_gguf(file(entries).path()).unwrap();
        assert_eq!(family(&[architecture()]).as_deref(), Some("qwen2"));
        let name = entry("general.name", "x");
        assert_eq!(family(&[name, architecture()]).as_deref(), Some("qwen2"));
        // Behind what is not read.
        let long = entry("general.name", &"x".repeat(GGUF_LEN as usize));
        assert_eq!(family(&[long, architecture()]), None);
        assert_eq!(family(&[]), None);
        assert_eq!(of_gguf(written(b"").path()).unwrap(), None);
    }
}
