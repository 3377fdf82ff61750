//! The closed word lists of a manifest, and the guesses a publisher may start from.

use minicbor::{Decode, Encode};

/// What a repository holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Kind {
    /// Weights.
    #[n(0)]
    Model,
    /// Data.
    #[n(1)]
    Dataset,
    /// An app.
    #[n(2)]
    Space,
    /// An adapter on a base model.
    #[n(3)]
    Adapter,
}

/// What a file is for; decides its order of download and who may need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// Anything else.
    #[n(0)]
    Other,
    /// Weights.
    #[n(1)]
    Weights,
    /// Tokenizer.
    #[n(2)]
    Tokenizer,
    /// Configuration.
    #[n(3)]
    Config,
    /// README.
    #[n(4)]
    Card,
    /// Licence text.
    #[n(5)]
    License,
    /// Rows of a dataset.
    #[n(6)]
    Data,
}

/// How a model came from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Relation {
    /// Trained further.
    #[n(0)]
    Finetune,
    /// An adapter on top.
    #[n(1)]
    Adapter,
    /// Quantized.
    #[n(2)]
    Quantized,
    /// Merged with others.
    #[n(3)]
    Merge,
}

impl Role {
    /// Guesses a file's role from its path, as a publisher's starting point. Nothing is decided by it later.
    pub fn of_path(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        let stem = name.split('.').next().unwrap_or(&name);
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        if matches!(stem, "readme" | "modelcard" | "model_card") {
            return Self::Card;
        }
        if ["license", "licence", "copying", "notice"]
            .iter()
            .any(|word| stem.starts_with(word))
        {
            return Self::License;
        }
        let tokenizer = [
            "tokenizer",
            "vocab",
            "merges",
            "special_tokens",
            "added_tokens",
            "spiece",
        ];
        if tokenizer.iter().any(|word| stem.starts_with(word)) || name == "chat_template.jinja" {
            return Self::Tokenizer;
        }
        match extension {
            "safetensors" | "gguf" | "ggml" | "bin" | "pt" | "pth" | "ckpt" | "onnx" | "h5"
            | "msgpack" | "npz" | "tflite" | "mlmodel" => Self::Weights,
            "parquet" | "arrow" | "jsonl" | "csv" | "tsv" | "tar" | "zst" => Self::Data,
            "json" | "yaml" | "yml" | "toml" | "ini" => Self::Config,
            _ => Self::Other,
        }
    }
}

impl Kind {
    /// Guesses what a repository holds from its files' paths, as a publisher's starting point.
    pub fn of_paths<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut weights, mut data, mut app) = (false, false, false);
        for path in paths {
            let name = path.rsplit('/').next().unwrap_or(path);
            if name == "adapter_config.json" {
                return Self::Adapter;
            }
            app |= matches!(path, "app.py" | "Dockerfile" | "index.html");
            match Role::of_path(path) {
                Role::Weights => weights = true,
                Role::Data => data = true,
                Role::Other | Role::Tokenizer | Role::Config | Role::Card | Role::License => {}
            }
        }
        match (weights, data, app) {
            (true, _, _) => Self::Model,
            (false, _, true) => Self::Space,
            (false, true, false) => Self::Dataset,
            (false, false, false) => Self::Model,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_guessed_from_names() {
        for (path, role) in [
            ("README.md", Role::Card),
            ("LICENSE", Role::License),
            ("LICENSE-MIT.txt", Role::License),
            ("model-00001-of-00002.safetensors", Role::Weights),
            ("q4/tiny.GGUF", Role::Weights),
            ("tokenizer.json", Role::Tokenizer),
            ("vocab.txt", Role::Tokenizer),
            ("config.json", Role::Config),
            ("model.safetensors.index.json", Role::Config),
            ("data/train-00000.parquet", Role::Data),
            ("logo.png", Role::Other),
        ] {
            assert_eq!(Role::of_path(path), role, "{path}");
        }
    }

    #[test]
    fn kinds_are_guessed_from_files() {
        assert_eq!(
            Kind::of_paths(["config.json", "model.safetensors"]),
            Kind::Model
        );
        assert_eq!(
            Kind::of_paths(["adapter_config.json", "a.safetensors"]),
            Kind::Adapter
        );
        assert_eq!(
            Kind::of_paths(["README.md", "train.parquet"]),
            Kind::Dataset
        );
        assert_eq!(Kind::of_paths(["app.py", "README.md"]), Kind::Space);
        assert_eq!(Kind::of_paths(["README.md"]), Kind::Model);
    }
}
