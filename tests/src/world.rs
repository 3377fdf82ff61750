//! The scratch directory of one test and the nodes in it.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::{Model, Node, Options};

/// Everything that one test touches. Removed with the value.
#[derive(Debug)]
pub struct World {
    directory: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// Several worlds at once would only make each other slow, and some tests need a fetch to last. `cargo test` runs
/// tests side by side in one process; nextest is told by its configuration.
static TURN: Mutex<()> = Mutex::new(());

impl World {
    /// An empty one, under the system's directory for temporary files.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn new() -> Result<Self> {
        // A test that failed with its world in hand leaves nothing behind that could harm the next one.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::Builder::new()
            .prefix("weft-test-")
            .tempdir()
            .context("cannot create a scratch directory")?;
        Ok(Self {
            directory,
            _turn: turn,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A path inside it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts a node with its own data directory and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn node(&self, name: &str, options: Options) -> Result<Node> {
        let mut node = self.idle_node(name, options);
        node.start()?;
        Ok(node)
    }

    /// A node that is not started yet.
    pub fn idle_node(&self, name: &str, options: Options) -> Node {
        Node::new(name, self.join(&format!("{name}.home")), options)
    }

    /// Starts a node that knows one address of another.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn node_knowing(&self, name: &str, other: &Node) -> Result<Node> {
        self.node(name, Options::knowing(other)?)
    }

    /// Makes a folder with files of the given sizes and repeatable pseudo-random contents.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn model(&self, name: &str, files: &[(&str, u64)], seed: u64) -> Result<Model> {
        Model::make(self.join(name), files, seed)
    }
}
