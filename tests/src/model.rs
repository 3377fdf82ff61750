//! Folders to publish, with contents that a seed fixes.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

/// One mebibyte.
pub const MIB: u64 = 1024 * 1024;

/// A folder and what must come out of it at the other end.
#[derive(Debug, Clone)]
pub struct Model {
    directory: PathBuf,
}

impl Model {
    /// Writes files of pseudo-random bytes.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn make(directory: PathBuf, files: &[(&str, u64)], seed: u64) -> Result<Self> {
        for (name, size) in files {
            let path = directory.join(name);
            let parent = path.parent().context("a file has a folder")?;
            fs::create_dir_all(parent)?;
            write_random(&path, *size, &format!("{seed}/{name}"))?;
        }
        Ok(Self { directory })
    }

    /// A folder that is there already.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// The folder, as an argument.
    pub fn arg(&self) -> &str {
        self.directory.to_str().expect("scratch paths are UTF-8")
    }

    /// Sum of the files' sizes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn bytes(&self) -> Result<u64> {
        Ok(digest(&self.directory)?
            .values()
            .map(|(size, _)| size)
            .sum())
    }

    /// Overwrites or adds one file.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<()> {
        let path = self.directory.join(name);
        fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        // A new file, so that hard links and references to the old one keep their bytes.
        if path.exists() {
            fs::remove_file(&path)?;
        }
        Ok(fs::write(path, contents)?)
    }

    /// Checks that `other` has exactly these files with exactly these bytes.
    ///
    /// # Errors
    /// When it has not.
    pub fn assert_same(&self, other: impl AsRef<Path>) -> Result<()> {
        let other = other.as_ref();
        let (want, have) = (digest(&self.directory)?, digest(other)?);
        let names =
            |map: &BTreeMap<String, (u64, blake3::Hash)>| map.keys().cloned().collect::<Vec<_>>();
        ensure!(
            names(&want) == names(&have),
            "`{}` has the files {:?}, expected {:?}",
            other.display(),
            names(&have),
            names(&want)
        );
        for (name, content) in &want {
            ensure!(
                have.get(name) == Some(content),
                "`{name}` in `{}` differs from what was published",
                other.display()
            );
        }
        Ok(())
    }
}

/// Writes `size` bytes that `label` fixes.
///
/// # Errors
/// When the disk says no.
pub fn write_random(path: &Path, size: u64, label: &str) -> Result<()> {
    let mut stream = blake3::Hasher::new()
        .update(label.as_bytes())
        .finalize_xof();
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut buffer = vec![0; 1 << 16];
    let mut left = size;
    while left > 0 {
        let length = usize::try_from(left.min(1 << 16))?;
        stream.fill(&mut buffer[..length]);
        file.write_all(&buffer[..length])?;
        left -= length as u64;
    }
    file.flush()?;
    Ok(())
}

/// Relative path, size and hash of each file below `directory`.
///
/// # Errors
/// When something cannot be read.
pub fn digest(directory: &Path) -> Result<BTreeMap<String, (u64, blake3::Hash)>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![directory.to_path_buf()];
    while let Some(next) = waiting.pop() {
        let entries =
            fs::read_dir(&next).with_context(|| format!("cannot read `{}`", next.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let name = path.strip_prefix(directory)?.to_string_lossy().into_owned();
                found.insert(name, hash(&path)?);
            }
        }
    }
    Ok(found)
}

fn hash(path: &Path) -> Result<(u64, blake3::Hash)> {
    let mut file = File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    let mut size = 0;
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok((size, hasher.finalize()));
        }
        size += length as u64;
        hasher.update(&buffer[..length]);
    }
}
