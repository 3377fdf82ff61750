//! Where the data directory is, and whether a node runs on it.

use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use weft_node::api::ErrorCode;

use crate::failure::fail;

/// Finds the data directory: the option (or its twin `WEFT_HOME`), else where XDG says.
pub(crate) fn find(option: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match option {
        Some(path) if !path.as_os_str().is_empty() => path.to_owned(),
        _ => default(|name| env::var_os(name).map(PathBuf::from)).ok_or_else(|| {
            fail(
                ErrorCode::Usage,
                "neither WEFT_HOME, XDG_DATA_HOME nor HOME is set, so there is no place for data",
                "name a data directory with `--home DIR`",
            )
        })?,
    };
    std::path::absolute(&path).with_context(|| format!("could not find `{}`", path.display()))
}

fn default(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // The XDG rules say that a relative path counts as unset.
    let xdg = variable("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let data = xdg.or_else(|| {
        variable("HOME")
            .filter(|path| path.is_absolute())
            .map(|home| home.join(".local/share"))
    });
    data.map(|data| data.join("weft"))
}

/// Whether a node holds the data directory. If none does, its control files are leftovers: whoever listens at the
/// address now must not be shown the token.
pub(crate) fn is_in_use(home: &Path) -> bool {
    match File::open(home.join("lock")) {
        // Let go of again at once.
        Ok(lock) => lock.try_lock_shared().is_err(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Where a node says it can be reached. It may have died without taking that back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Control {
    /// URL of its local port.
    pub(crate) url: String,
    /// What it wants to be shown.
    pub(crate) token: String,
}

/// The control files of a data directory.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    /// Holds the URL.
    pub(crate) address: PathBuf,
    /// Holds the token.
    pub(crate) token: PathBuf,
}

impl Files {
    pub(crate) fn new(home: &Path) -> Self {
        let home = weft_node::home::Home::new(home);
        Self {
            address: home.control_address(),
            token: home.control_token(),
        }
    }

    /// Reads both, or nothing if one of them is missing, empty or unreadable.
    pub(crate) fn read(&self) -> Option<Control> {
        let read = |path: &Path| {
            let text = fs::read_to_string(path).ok()?;
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let (url, token) = (read(&self.address)?, read(&self.token)?);
        let url = url.trim_end_matches('/');
        let url = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        Some(Control { url, token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_follows_xdg() {
        let with = |pairs: &'static [(&str, &str)]| {
            default(move |name| {
                pairs
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| PathBuf::from(value))
            })
        };
        assert_eq!(
            with(&[("XDG_DATA_HOME", "/data"), ("HOME", "/home/a")]),
            Some("/data/weft".into())
        );
        assert_eq!(
            with(&[("HOME", "/home/a")]),
            Some("/home/a/.local/share/weft".into())
        );
        assert_eq!(
            with(&[("XDG_DATA_HOME", "data"), ("HOME", "/home/a")]),
            Some("/home/a/.local/share/weft".into())
        );
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn a_directory_is_in_use_while_its_lock_is_held() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!is_in_use(directory.path()));
        let lock = File::create(directory.path().join("lock")).unwrap();
        assert!(!is_in_use(directory.path()));
        lock.lock().unwrap();
        assert!(is_in_use(directory.path()));
        drop(lock);
        assert!(!is_in_use(directory.path()));
    }

    #[test]
    fn control_files_are_read_leniently() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::new(directory.path());
        assert_eq!(files.read(), None);
        fs::write(&files.address, "127.0.0.1:4780/\n").unwrap();
        assert_eq!(files.read(), None);
        fs::write(&files.token, "secret\n").unwrap();
        let control = files.read().unwrap();
        assert_eq!(control.url, "http://127.0.0.1:4780");
        assert_eq!(control.token, "secret");
    }
}
