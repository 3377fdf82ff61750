//! Finds out which files belong to a model, and opens them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use serde_json::Value;
use weft_protocol::{formats::Format, infer::Refusal};

use super::{Mapped, Place, Target, Weights, names};
use crate::refusal::{OrRefuse, broken, invalid, unsupported};

/// The longest JSON file beside weights: vocabularies of a quarter million tokens take some 35 MB.
const JSON_LEN_MAX: u64 = 256 * 1024 * 1024;

/// What a path holds.
#[derive(Debug)]
pub(crate) enum Found {
    /// GGUF files with everything in them; the first has the metadata.
    Gguf(Vec<Mapped>),
    /// A folder with safetensors and their settings.
    Folder(PathBuf),
}

/// Finds a model at a path: a GGUF file, a folder with one, or a folder with safetensors.
pub(crate) fn open(path: &Path) -> Result<Found, Refusal> {
    let shown = || format!("`{}`", path.display());
    let metadata = fs::metadata(path).or_broken(shown)?;
    if metadata.is_dir() {
        return open_folder(path);
    }
    match path.to_str().and_then(Format::of_path) {
        Some(Format::Gguf) => open_gguf(path),
        Some(Format::Safetensors) => Ok(Found::Folder(
            path.parent().unwrap_or_else(|| Path::new(".")).to_owned(),
        )),
        None => Err(unsupported(format!(
            "{} is neither a GGUF nor a safetensors file",
            shown()
        ))),
    }
}

fn open_folder(path: &Path) -> Result<Found, Refusal> {
    let names = list(path)?;
    let ending = |format| move |name: &&String| Format::of_path(name) == Some(format);
    if names.iter().any(|name| name == "config.json")
        && names.iter().any(|name| ending(Format::Safetensors)(&name))
    {
        return Ok(Found::Folder(path.to_owned()));
    }
    let ggufs: Vec<_> = names.iter().filter(ending(Format::Gguf)).collect();
    let first: Vec<_> = ggufs
        .iter()
        .filter(|name| part_of(name).is_none_or(|(_, part, _)| part == 1))
        .collect();
    match first.as_slice() {
        [name] => open_gguf(&path.join(name)),
        [] if names.iter().any(|name| {
            [".bin", ".pt", ".pth", ".ckpt", ".pkl"]
                .iter()
                .any(|ending| name.ends_with(ending))
        }) =>
        {
            Err(unsupported(
                "pickled weights are never loaded; supported are safetensors and GGUF",
            ))
        }
        [] => Err(unsupported(
            "there are no weights here; supported are safetensors with their `config.json`, and GGUF",
        )),
        several => Err(invalid(format!(
            "there are several models here; name one of {}",
            several
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}

fn list(path: &Path) -> Result<Vec<String>, Refusal> {
    let shown = || format!("`{}`", path.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(path).or_broken(shown)? {
        if let Ok(name) = entry.or_broken(shown)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The stem, number and count of `stem-00001-of-00003.gguf`.
fn part_of(name: &str) -> Option<(&str, u32, u32)> {
    let (stem, _) = name.rsplit_once('.')?;
    let (stem, count) = stem.rsplit_once("-of-")?;
    let (stem, part) = stem.rsplit_once('-')?;
    let number = |text: &str| (text.len() == 5).then(|| text.parse().ok()).flatten();
    Some((stem, number(part)?, number(count)?))
}

fn open_gguf(path: &Path) -> Result<Found, Refusal> {
    let name = path.file_name().and_then(|name| name.to_str());
    let Some((stem, part, count)) = name.and_then(part_of) else {
        return Ok(Found::Gguf(vec![Mapped::open(path)?]));
    };
    if part != 1 {
        return Err(invalid("name the first part of a model in several files"));
    }
    (1..=count)
        .map(|part| {
            Mapped::open(&path.with_file_name(format!("{stem}-{part:05}-of-{count:05}.gguf")))
        })
        .collect::<Result<_, _>>()
        .map(Found::Gguf)
}

/// Reads a JSON file of a folder; `None` if there is none.
pub(crate) fn json(folder: &Path, name: &str) -> Result<Option<Value>, Refusal> {
    let Some(bytes) = bytes(folder, name)? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes)
        .or_broken(|| format!("`{name}`"))
        .map(Some)
}

/// Reads a file of a folder; `None` if there is none.
pub(crate) fn bytes(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
    let path = folder.join(name);
    let Ok(metadata) = fs::metadata(&path) else {
        return Ok(None);
    };
    if metadata.len() > JSON_LEN_MAX {
        return Err(broken(format!("`{name}` has {} bytes", metadata.len())));
    }
    fs::read(&path).or_broken(|| format!("`{name}`")).map(Some)
}

impl Weights {
    /// The tensors of GGUF files.
    pub(crate) fn of_gguf(files: Vec<Mapped>, target: Target) -> Result<Self, Refusal> {
        Self::read(files, Format::Gguf, target, |name| {
            Some(names::of_gguf(name))
        })
    }

    /// The tensors of a folder's safetensors; `rename` says what a tensor is called here.
    pub(crate) fn of_folder(
        folder: &Path,
        target: Target,
        rename: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Refusal> {
        let index = json(folder, "model.safetensors.index.json")?;
        let files: BTreeSet<String> = match &index {
            Some(index) => index["weight_map"]
                .as_object()
                .ok_or_else(|| broken("`model.safetensors.index.json` has no `weight_map`"))?
                .values()
                .filter_map(|file| file.as_str().map(str::to_owned))
                .collect(),
            None if folder.join("model.safetensors").exists() => {
                BTreeSet::from(["model.safetensors".to_owned()])
            }
            None => list(folder)?
                .into_iter()
                .filter(|name| Format::of_path(name) == Some(Format::Safetensors))
                .collect(),
        };
        let mut mapped = Vec::new();
        for file in files {
            // An index is a stranger's text; it names files of this folder and nothing else.
            if file.contains(['/', '\\']) || Format::of_path(&file) != Some(Format::Safetensors) {
                return Err(broken(format!("the index names `{file}`")));
            }
            mapped.push(Mapped::open(&folder.join(file))?);
        }
        Self::read(mapped, Format::Safetensors, target, rename)
    }

    fn read(
        files: Vec<Mapped>,
        format: Format,
        target: Target,
        rename: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Refusal> {
        let mut tensors = BTreeMap::new();
        for (file, mapped) in files.iter().enumerate() {
            for tensor in mapped.header(format)?.tensors {
                let Some(name) = rename(&tensor.name) else {
                    continue;
                };
                let number =
                    |value: u64| usize::try_from(value).or_broken(|| format!("`{}`", tensor.name));
                let mut shape = tensor
                    .shape
                    .iter()
                    .map(|len| number(*len))
                    .collect::<Result<Vec<_>, _>>()?;
                if format == Format::Gguf {
                    shape.reverse();
                }
                let place = Place {
                    file,
                    dtype: tensor.dtype,
                    shape,
                    offset: number(tensor.offset)?,
                    len: number(tensor.len)?,
                };
                if tensors.insert(name, place).is_some() {
                    return Err(broken(format!("`{}` stands twice", tensor.name)));
                }
            }
        }
        Ok(Self {
            files: files.into_iter().map(Into::into).collect(),
            tensors,
            target,
            by_candle: AtomicBool::new(false),
        })
    }
}

/// The tensors of a decoder in a folder.
pub(crate) fn decoder_weights(
    folder: &Path,
    architecture: &str,
    target: Target,
) -> Result<Weights, Refusal> {
    Weights::of_folder(folder, target, |name| names::of_decoder(architecture, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_split_model_are_known() {
        assert_eq!(part_of("m-00002-of-00003.gguf"), Some(("m", 2, 3)));
        assert_eq!(part_of("m.gguf"), None);
        assert_eq!(part_of("m-2-of-3.gguf"), None);
    }

    #[test]
    fn folders_say_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |expected: &str| {
            let error = open(folder.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        refusal("no weights");
        fs::write(folder.path().join("pytorch_model.bin"), b"x").unwrap();
        refusal("never loaded");
        fs::write(folder.path().join("a.gguf"), b"x").unwrap();
        fs::write(folder.path().join("b.gguf"), b"x").unwrap();
        refusal("`a.gguf`, `b.gguf`");
    }
}
