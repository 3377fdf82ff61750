//! Which files of a folder are published, and under which paths.

use std::path::{Path, PathBuf};

use weft_protocol::{limits, path::RepoPath};

use crate::{
    api::{ErrorBody, ErrorCode},
    error,
};

/// One file to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Where it is on disk, links resolved.
    pub(super) source: PathBuf,
    /// Where it will be in the repository.
    pub(super) path: RepoPath,
}

/// Folders of tools that are never part of a model.
const SKIPPED_DIRECTORIES: [&str; 3] = [".git", ".cache", "__pycache__"];
/// Files that file managers leave behind.
const SKIPPED_FILES: [&str; 2] = [".DS_Store", "Thumbs.db"];

/// Lists the files below `root`, sorted by path; or `root` itself if it is a file. Links to files are followed (that
/// is how the Hugging Face cache looks), links to folders are not.
///
/// # Errors
/// `Usage` for a missing or empty folder and for names that a repository cannot hold; `Storage` if it cannot be read.
pub(super) fn collect(root: &Path) -> Result<Vec<Found>, ErrorBody> {
    let metadata = std::fs::metadata(root).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => ErrorBody::new(
            ErrorCode::Usage,
            format!("there is no file or folder `{}`", root.display()),
        ),
        _ => error::io(format!("cannot read `{}`", root.display()), &e),
    })?;
    let mut found = Vec::new();
    if metadata.is_file() {
        let name = root.file_name().unwrap_or_default();
        found.push(one(root, &name.to_string_lossy())?);
    } else {
        walk(root, "", 0, &mut found)?;
    }
    if found.is_empty() {
        return Err(ErrorBody::new(
            ErrorCode::Usage,
            format!("`{}` holds no files", root.display()),
        ));
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn walk(
    directory: &Path,
    prefix: &str,
    depth: usize,
    found: &mut Vec<Found>,
) -> Result<(), ErrorBody> {
    let failed =
        |e: &std::io::Error| error::io(format!("cannot read `{}`", directory.display()), e);
    if depth > limits::PATH_DEPTH_MAX {
        return Err(ErrorBody::new(
            ErrorCode::Usage,
            format!(
                "`{}` is nested deeper than {} folders",
                directory.display(),
                limits::PATH_DEPTH_MAX
            ),
        ));
    }
    for entry in std::fs::read_dir(directory).map_err(|e| failed(&e))? {
        let entry = entry.map_err(|e| failed(&e))?;
        let source = entry.path();
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(ErrorBody::new(
                ErrorCode::Usage,
                format!("the name of `{}` is not valid Unicode", source.display()),
            )
            .with_hint("rename the file"));
        };
        let path = if prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{prefix}/{name}")
        };
        let kind = entry.file_type().map_err(|e| failed(&e))?;
        if kind.is_dir() {
            if !SKIPPED_DIRECTORIES.contains(&name) {
                walk(&source, &path, depth + 1, found)?;
            }
        } else if source.is_file() {
            if !SKIPPED_FILES.contains(&name) {
                found.push(one(&source, &path)?);
            }
        } else if kind.is_symlink() && !source.exists() {
            // Leaving it out would publish less than what seems to be there.
            return Err(ErrorBody::new(
                ErrorCode::Usage,
                format!("`{}` is a link to nothing", source.display()),
            )
            .with_hint("get the file it stands for, or delete the link"));
        } else {
            tracing::warn!(path = %source.display(), "neither a file nor a link to one: skipped");
        }
        if found.len() > limits::FILES_MAX {
            return Err(ErrorBody::new(
                ErrorCode::Usage,
                format!("more than {} files", limits::FILES_MAX),
            )
            .with_hint("publish several repositories, or pack small files together"));
        }
    }
    Ok(())
}

fn one(source: &Path, path: &str) -> Result<Found, ErrorBody> {
    let path = path.parse().map_err(|e| {
        ErrorBody::new(
            ErrorCode::Usage,
            format!("`{path}` cannot be published: {e}"),
        )
        .with_hint("rename the file; the same name must work on every system")
    })?;
    let source = source
        .canonicalize()
        .map_err(|e| error::io(format!("cannot read `{}`", source.display()), &e))?;
    Ok(Found { source, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_sorted_and_tool_folders_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("b/c")).unwrap();
        std::fs::create_dir_all(root.join(".git")).unwrap();
        for path in [
            "z.txt",
            "b/c/1.bin",
            "a.json",
            ".git/HEAD",
            ".DS_Store",
            ".gitattributes",
        ] {
            std::fs::write(root.join(path), path).unwrap();
        }
        let paths: Vec<_> = collect(root)
            .unwrap()
            .into_iter()
            .map(|found| found.path.to_string())
            .collect();
        assert_eq!(paths, [".gitattributes", "a.json", "b/c/1.bin", "z.txt"]);
    }

    #[test]
    fn a_link_to_nothing_is_a_usage_error() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a"), "a").unwrap();
        std::os::unix::fs::symlink("missing", directory.path().join("b")).unwrap();
        let error = collect(directory.path()).unwrap_err();
        assert_eq!(error.code, ErrorCode::Usage);
        assert!(error.message.contains("link to nothing"), "{error:?}");
    }

    #[test]
    fn an_empty_or_missing_folder_is_a_usage_error() {
        let directory = tempfile::tempdir().unwrap();
        for path in [directory.path(), &directory.path().join("missing")] {
            assert_eq!(collect(path).unwrap_err().code, ErrorCode::Usage);
        }
    }
}
