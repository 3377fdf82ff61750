//! Which weights are meant: those of one revision, in one of the forms in which it has them.

use minicbor::{Decode, Encode};

use crate::{id::RevisionId, manifest::File, path::RepoPath};

/// The tag that means "whatever is usual".
pub const LATEST: &str = "latest";
/// The tag of the safetensors files of a revision.
pub const SAFETENSORS: &str = "safetensors";
/// What a folder with safetensors files must have for a model to be made of them.
pub const CONFIG: &str = "config.json";

/// A model by what it is: the same id means the same bytes on every node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ModelId {
    /// The manifest that vouches for its files.
    #[n(0)]
    pub revision: RevisionId,
    /// Its GGUF file; the safetensors files beside the `config.json` at the top if absent.
    #[n(1)]
    pub file: Option<RepoPath>,
}

/// Why a tag does not say which weights.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// There are none.
    #[error(
        "there are no weights that an engine here could load: neither a GGUF file nor safetensors beside a `config.json`"
    )]
    None,
    /// None are called so.
    #[error("there are no weights called `{tag}`; there are {}", .found.join(", "))]
    NoSuch {
        /// What was asked for.
        tag: String,
        /// Tags of what there is.
        found: Vec<String>,
    },
    /// More than one are.
    #[error("several weights are meant; name one of {}", .found.join(", "))]
    Several {
        /// Tags or paths of those.
        found: Vec<String>,
    },
}

/// Chooses the weights of a revision: the GGUF file that the tag names; without one the only GGUF file, or the
/// safetensors files. `Ok(None)` means the latter.
///
/// # Errors
/// When that leaves nothing or too much.
pub fn choose(files: &[File], tag: Option<&str>) -> Result<Option<RepoPath>, ChoiceError> {
    let tag = tag.filter(|tag| !tag.eq_ignore_ascii_case(LATEST));
    let ggufs: Vec<&RepoPath> = files
        .iter()
        .map(|f| &f.path)
        .filter(|p| is_gguf(p))
        .collect();
    let has_safetensors = has_safetensors(files);
    if ggufs.is_empty() && !has_safetensors {
        return Err(ChoiceError::None);
    }
    let Some(tag) = tag else {
        return match ggufs.as_slice() {
            [only] => Ok(Some((*only).clone())),
            _ if has_safetensors => Ok(None),
            _ => Err(ChoiceError::Several { found: tags(files) }),
        };
    };
    if tag.eq_ignore_ascii_case(SAFETENSORS) && has_safetensors {
        return Ok(None);
    }
    let named = |path: &&&RepoPath| {
        let (stem, name) = (stem(path), tag_of(path));
        [stem, name].iter().any(|own| own.eq_ignore_ascii_case(tag)) || path.as_str() == tag
    };
    let matching: Vec<&&RepoPath> = ggufs.iter().filter(named).collect();
    match matching.as_slice() {
        [path] => Ok(Some((**path).clone())),
        [] => Err(ChoiceError::NoSuch {
            tag: tag.to_owned(),
            found: tags(files),
        }),
        several => Err(ChoiceError::Several {
            found: several.iter().map(|path| stem(path).to_owned()).collect(),
        }),
    }
}

/// The family of decoders that a `model_type` of a `config.json` means, as GGUF names it.
pub fn architecture(model_type: &str) -> Option<&'static str> {
    Some(match model_type {
        "llama" | "mistral" | "mixtral" => "llama",
        "qwen2" => "qwen2",
        "qwen3" => "qwen3",
        "qwen3_moe" => "qwen3moe",
        "gemma" => "gemma",
        "gemma2" => "gemma2",
        "gemma3" | "gemma3_text" => "gemma3",
        "phi" => "phi2",
        "phi3" => "phi3",
        "glm4" => "glm4",
        "smollm3" => "smollm3",
        _ => return None,
    })
}

/// Tags of all weights of a revision, `safetensors` first; each is understood by [`choose`].
pub fn tags(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    if has_safetensors(files) {
        found.push(SAFETENSORS.to_owned());
    }
    let ggufs = || files.iter().map(|f| &f.path).filter(|path| is_gguf(path));
    for path in ggufs() {
        let short = tag_of(path);
        let alike = ggufs().filter(|other| tag_of(other).eq_ignore_ascii_case(short));
        let tag = if alike.count() == 1 {
            short
        } else {
            stem(path)
        };
        found.push(tag.to_owned());
    }
    found
}

/// What a GGUF file is called as a tag: its quantization if its name ends in one, else its name.
pub fn tag_of(path: &RepoPath) -> &str {
    let stem = stem(path);
    let last = stem.rsplit(['.', '-']).next().unwrap_or(stem);
    if is_quantization(last) { last } else { stem }
}

/// The files that an engine is given for these weights: the GGUF file alone, which describes itself, or the safetensors
/// files at the top with all that describes them. Nothing that could be code is among them.
pub fn needed<'a>(files: &'a [File], file: Option<&RepoPath>) -> Vec<&'a File> {
    let is_needed = |other: &&File| match file {
        Some(path) => other.path == *path,
        None => is_of_safetensors(other.path.as_str()),
    };
    files.iter().filter(is_needed).collect()
}

fn is_of_safetensors(path: &str) -> bool {
    const WORDS: [&str; 4] = [".json", ".txt", ".model", ".jinja"];
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let describes = WORDS.iter().any(|end| name.ends_with(end));
    // The same weights once more, in their maker's own layout.
    let is_weights = name.ends_with(".safetensors") && !name.starts_with("consolidated");
    // Sentence encoders have their parts in folders with a number: `1_Pooling`.
    let is_part = !folder.contains('/') && folder.starts_with(|c: char| c.is_ascii_digit());
    (folder.is_empty() || is_part) && (describes || is_weights)
        || folder == "additional_chat_templates"
}

fn has_safetensors(files: &[File]) -> bool {
    let top = |end: &str| {
        files.iter().any(|file| {
            let path = file.path.as_str();
            !path.contains('/') && path.ends_with(end)
        })
    };
    top(".safetensors") && files.iter().any(|file| file.path.as_str() == CONFIG)
}

fn is_any_gguf(path: &RepoPath) -> bool {
    name(path).to_ascii_lowercase().ends_with(".gguf")
}

/// Whether a file is a whole model by itself: no part of several, and no projector of images.
fn is_gguf(path: &RepoPath) -> bool {
    is_any_gguf(path) && !is_part(stem(path)) && !name(path).contains("mmproj")
}

fn name(path: &RepoPath) -> &str {
    path.as_str().rsplit('/').next().unwrap_or_default()
}

fn stem(path: &RepoPath) -> &str {
    let name = name(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// `Q4_K_M`, `IQ2_XS`, `BF16` and the like.
fn is_quantization(text: &str) -> bool {
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (kind, rest) = text.split_at(letters);
    let kinds = ["Q", "IQ", "TQ", "F", "BF", "MXFP"];
    kinds.iter().any(|known| kind.eq_ignore_ascii_case(known))
        && rest.starts_with(|c: char| c.is_ascii_digit())
}

/// `…-00001-of-00003`.
fn is_part(stem: &str) -> bool {
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    stem.rsplit_once("-of-").is_some_and(|(rest, count)| {
        digits(count)
            && rest
                .rsplit_once('-')
                .is_some_and(|(_, number)| digits(number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::BlobHash, manifest::Role};

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

    fn check(paths: &[&str], tag: Option<&str>, expected: Option<&str>) {
        let chosen = choose(&files(paths), tag).unwrap();
        assert_eq!(chosen.as_ref().map(RepoPath::as_str), expected, "{tag:?}");
    }

    const WREN: [&str; 5] = [
        "config.json",
        "model.safetensors",
        "wren-3m.Q4_K_M.gguf",
        "wren-3m.Q8_0.gguf",
        "mmproj-wren.gguf",
    ];

    #[test]
    fn a_tag_names_a_gguf_file_in_any_case() {
        check(&WREN, Some("q4_k_m"), Some("wren-3m.Q4_K_M.gguf"));
        check(&WREN, Some("Q8_0"), Some("wren-3m.Q8_0.gguf"));
        check(&WREN, Some("wren-3m.q8_0"), Some("wren-3m.Q8_0.gguf"));
        check(&WREN, Some("safetensors"), None);
        check(&["a-iq2_xs.gguf"], Some("IQ2_XS"), Some("a-iq2_xs.gguf"));
    }

    #[test]
    fn without_a_tag_the_only_gguf_or_the_safetensors_are_meant() {
        check(&WREN, None, None);
        check(&WREN, Some("Latest"), None);
        check(&["a.gguf", "README.md"], None, Some("a.gguf"));
        check(
            &["config.json", "model.safetensors", "b.gguf"],
            None,
            Some("b.gguf"),
        );
    }

    #[test]
    fn what_is_not_clear_is_told_with_what_there_is() {
        let choose = |paths: &[&str], tag| choose(&files(paths), tag);
        assert_eq!(choose(&["README.md"], None), Err(ChoiceError::None));
        // Weights without a description of what they are, and a part of a model.
        let parts = [
            "model.safetensors",
            "a-00001-of-00002.gguf",
            "mmproj-a.gguf",
        ];
        assert_eq!(choose(&parts, None), Err(ChoiceError::None));
        let error = choose(&WREN, Some("Q2_K")).unwrap_err();
        let expected = "there are no weights called `Q2_K`; there are safetensors, Q4_K_M, Q8_0";
        assert_eq!(error.to_string(), expected);
        let two = ["a.Q8_0.gguf", "b.Q8_0.gguf"];
        let found = vec!["a.Q8_0".to_owned(), "b.Q8_0".to_owned()];
        assert_eq!(
            choose(&two, Some("q8_0")),
            Err(ChoiceError::Several {
                found: found.clone()
            })
        );
        assert_eq!(choose(&two, None), Err(ChoiceError::Several { found }));
    }

    #[test]
    fn an_engine_gets_what_it_needs_and_no_code() {
        let all = files(&[
            "1_Pooling/config.json",
            "config.json",
            "consolidated.safetensors",
            "model.safetensors",
            "modeling.py",
            "onnx/model.json",
            "pytorch_model.bin",
            "tokenizer.json",
            "wren.Q8_0.gguf",
        ]);
        let paths = |file: Option<&str>| {
            let file = file.map(|path| path.parse().unwrap());
            let needed = needed(&all, file.as_ref()).into_iter();
            needed.map(|file| file.path.to_string()).collect::<Vec<_>>()
        };
        let expected = [
            "1_Pooling/config.json",
            "config.json",
            "model.safetensors",
            "tokenizer.json",
        ];
        assert_eq!(paths(None), expected);
        assert_eq!(paths(Some("wren.Q8_0.gguf")), ["wren.Q8_0.gguf"]);
    }

    #[test]
    fn each_tag_of_a_list_is_understood() {
        let all = files(&[
            "config.json",
            "x.safetensors",
            "a.Q8_0.gguf",
            "d/b-Q8_0.gguf",
            "c.gguf",
        ]);
        let tags = tags(&all);
        assert_eq!(tags, ["safetensors", "a.Q8_0", "b-Q8_0", "c"]);
        for tag in tags {
            assert!(choose(&all, Some(&tag)).is_ok(), "{tag}");
        }
    }
}
