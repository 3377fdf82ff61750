//! The data directory: the only place this node writes to.
//!
//! ```text
//! node.key          the node's ed25519 seed; both planes use it
//! lock              held while a node runs here
//! config.toml       what the user set
//! control.token     what a program must show to change anything
//! control.addr      where the running node's local port is
//! registry/         RocksDB
//! blobs/            files by hash
//! repositories/     the same files by name: hard links
//! uploads/          what hub clients uploaded and did not commit yet
//! engines/          what running models are made of: links into the store
//! receipts/         what peers signed about their answers, with prompt and answer
//! identities/       release and freshness keys of local publishers
//! ```

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::{
    api::{ErrorBody, ErrorCode},
    error, files,
};

/// Paths inside a data directory.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// Names a data directory; touches nothing.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// What the user set.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }
    /// The secret that local programs show.
    pub fn control_token(&self) -> PathBuf {
        self.root.join("control.token")
    }
    /// The URL of the running node's local port.
    pub fn control_address(&self) -> PathBuf {
        self.root.join("control.addr")
    }
    pub(crate) fn node_key(&self) -> PathBuf {
        self.root.join("node.key")
    }
    pub(crate) fn registry(&self) -> PathBuf {
        self.root.join("registry")
    }
    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }
    /// The same files by name.
    pub fn repositories(&self) -> PathBuf {
        self.root.join("repositories")
    }
    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }
    /// What comes from another hub.
    pub(crate) fn upstream(&self) -> PathBuf {
        self.root.join("upstream")
    }
    /// Files of running models, as their engines see them: links only.
    pub(crate) fn engines(&self) -> PathBuf {
        self.root.join("engines")
    }
    /// Exists once the user was told that peers read prompts.
    pub(crate) fn peers_told(&self) -> PathBuf {
        self.root.join("peers-read-prompts")
    }
    /// Receipts of what peers answered.
    pub(crate) fn receipts(&self) -> PathBuf {
        self.root.join("receipts")
    }
    pub(crate) fn identities(&self) -> PathBuf {
        self.root.join("identities")
    }

    /// Creates the directory (readable by its owner only) and takes its lock.
    ///
    /// # Errors
    /// `Refused` if another node runs here; `Storage` if the directory cannot be used.
    pub(crate) fn open(&self) -> Result<Lock, ErrorBody> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.root)
            .map_err(|e| error::io(format!("cannot create `{}`", self.root.display()), &e))?;
        let path = self.root.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| error::io(format!("cannot open `{}`", path.display()), &e))?;
        match file.try_lock() {
            Ok(()) => {
                // One of a killed node: somebody else may listen there by now. Usually there is none.
                let _ = std::fs::remove_file(self.control_address());
                Ok(Lock { _file: file })
            }
            Err(TryLockError::WouldBlock) => Err(ErrorBody::new(
                ErrorCode::Refused,
                format!("another node already runs on `{}`", self.root.display()),
            )
            .with_hint(
                "use it (commands find it by themselves), stop it, or choose another WEFT_HOME",
            )),
            Err(TryLockError::Error(e)) => {
                Err(error::io(format!("cannot lock `{}`", path.display()), &e))
            }
        }
    }

    /// The node's seed, drawn on first use.
    ///
    /// # Errors
    /// `Storage` if it can be neither read nor written.
    pub(crate) fn node_seed(&self) -> Result<[u8; 32], ErrorBody> {
        self.seed_or_new(&self.node_key())
    }

    /// The token that local programs show, drawn on first use.
    ///
    /// # Errors
    /// `Storage` if it can be neither read nor written.
    pub(crate) fn token(&self) -> Result<String, ErrorBody> {
        let seed = self.seed_or_new(&self.control_token())?;
        Ok(weft_protocol::id::BlobHash::new(seed).to_string())
    }

    fn seed_or_new(&self, path: &Path) -> Result<[u8; 32], ErrorBody> {
        let attempt = || {
            if path.exists() {
                return files::read_seed(path);
            }
            let seed = files::random_seed()?;
            files::write_seed(path, seed)?;
            Ok(seed)
        };
        attempt().map_err(|e| error::io(format!("cannot use `{}`", path.display()), &e))
    }
}

/// Shows that this process alone uses the data directory; released when dropped, also by the kernel.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}
