//! A data plane under test.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use weft_protocol::{
    id::{BlobHash, NodeId},
    layout::{Layout, PieceRange},
    piece_set::PieceSet,
    service::{Input, RequestId, TransferError},
};
use weft_registry::{MemoryRegistry, Registry, RocksRegistry};

use crate::transfer::{Command, Config, Handle, Imported, TcpListen, spawn};

/// Longer than anything here takes on a busy machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(50);

pub(super) struct Node {
    pub(super) home: Home,
    registry: Arc<dyn Registry>,
    tcp: TcpListen,
    pub(super) handle: Handle,
    /// While set, requests of peers are left waiting.
    pub(super) choked: Arc<AtomicBool>,
    inputs: mpsc::Receiver<Input>,
    seed: u8,
    requests: u64,
    /// Bytes reported by `PiecesProgress` so far.
    pub(super) progress: u64,
}

pub(super) enum Home {
    Temporary(Arc<TempDir>),
    Fixed(PathBuf),
}

impl Home {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Temporary(directory) => directory.path(),
            Self::Fixed(path) => path,
        }
    }
}

impl Node {
    pub(super) async fn start(seed: u8) -> Self {
        let listen = TcpListen::At("127.0.0.1:0".parse().unwrap());
        Self::start_anew(seed, listen).await
    }

    /// Starts without a TCP port for data.
    pub(super) async fn start_without_tcp(seed: u8) -> Self {
        Self::start_anew(seed, TcpListen::Off).await
    }

    async fn start_anew(seed: u8, tcp: TcpListen) -> Self {
        let home = Home::Temporary(Arc::new(tempfile::tempdir().unwrap()));
        // In memory, and handed on when the node is restarted.
        let registry = Arc::new(MemoryRegistry::in_memory());
        Self::start_listening(home, registry, seed, tcp).await
    }

    /// Starts on files that another process may have left.
    pub(super) async fn start_in(home: Arc<TempDir>, seed: u8) -> Self {
        Self::start_on_disk(Home::Temporary(home), seed).await
    }

    /// Starts on files that outlive the node.
    pub(super) async fn start_at(home: &Path, seed: u8) -> Self {
        Self::start_on_disk(Home::Fixed(home.to_owned()), seed).await
    }

    async fn start_on_disk(home: Home, seed: u8) -> Self {
        let path = home.path().join("registry");
        let opened = async {
            loop {
                // Tasks of the node before may still hold it for a moment.
                match RocksRegistry::open(&path) {
                    Err(weft_registry::Error::Locked { .. }) => tokio::task::yield_now().await,
                    opened => return Arc::new(opened.unwrap()),
                }
            }
        };
        let registry = tokio::time::timeout(PATIENCE, opened).await.unwrap();
        let listen = TcpListen::At("127.0.0.1:0".parse().unwrap());
        Self::start_listening(home, registry, seed, listen).await
    }

    async fn start_listening(
        home: Home,
        registry: Arc<dyn Registry>,
        seed: u8,
        tcp: TcpListen,
    ) -> Self {
        let (sender, heard) = mpsc::channel(1_024);
        let config = Config {
            secret_key_seed: [seed; 32],
            bind: "127.0.0.1:0".parse().unwrap(),
            tcp,
            directory: home.path().join("blobs"),
            registry: Arc::clone(&registry),
            collect_interval: Duration::from_secs(3_600),
        };
        let handle = spawn(config, sender, CancellationToken::new())
            .await
            .unwrap();
        let choked = Arc::new(AtomicBool::new(false));
        let inputs = serve(heard, handle.clone(), Arc::clone(&choked));
        Self {
            home,
            registry,
            tcp,
            handle,
            choked,
            inputs,
            seed,
            requests: 0,
            progress: 0,
        }
    }

    /// Shuts down in order and starts again on the same files.
    pub(super) async fn restart(self) -> Self {
        self.handle.shutdown().await;
        let Self {
            home,
            registry,
            seed,
            tcp,
            ..
        } = self;
        Self::start_listening(home, registry, seed, tcp).await
    }

    pub(super) fn id(&self) -> NodeId {
        self.handle.id()
    }

    pub(super) async fn knows(&self, other: &Self) {
        self.learns(other.id(), other.handle.data_addresses()).await;
    }

    pub(super) async fn learns(&self, peer: NodeId, addresses: Vec<String>) {
        let learn = Command::LearnAddresses { peer, addresses };
        self.handle.send(learn).await;
    }

    pub(super) async fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.home.path().join(name);
        tokio::fs::write(&path, bytes).await.unwrap();
        path
    }

    pub(super) async fn import(&self, name: &str, bytes: &[u8]) -> Imported {
        let path = self.write(name, bytes).await;
        self.handle.import(&path, |_| {}).await.unwrap()
    }

    /// Keeps and offers exactly these blobs.
    pub(super) async fn seeds(&self, blobs: &[BlobHash]) {
        self.keeps(blobs).await;
        let blobs = blobs.to_vec();
        self.handle.send(Command::Offer { blobs }).await;
    }

    pub(super) async fn keeps(&self, blobs: &[BlobHash]) {
        let blobs = blobs.to_vec();
        self.handle.send(Command::Protect { blobs }).await;
    }

    pub(super) async fn begin_fetch(
        &mut self,
        peer: NodeId,
        file: &File,
        pieces: PieceRange,
    ) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.handle
            .send(Command::Fetch {
                request,
                peer,
                blob: file.blob,
                size: file.size,
                pieces,
            })
            .await;
        request
    }

    pub(super) async fn fetched(&mut self, wanted: RequestId) -> Result<(), TransferError> {
        self.until(|input| match input {
            Input::PiecesFetched { request, result } if *request == wanted => Some(result.clone()),
            _ => None,
        })
        .await
    }

    pub(super) async fn fetch(
        &mut self,
        peer: NodeId,
        file: &File,
        pieces: PieceRange,
    ) -> Result<(), TransferError> {
        let request = self.begin_fetch(peer, file, pieces).await;
        self.fetched(request).await
    }

    pub(super) async fn inspect(&mut self, file: &File) -> PieceSet {
        self.requests += 1;
        let wanted = RequestId(self.requests);
        let blobs = vec![(file.blob, file.size)];
        self.handle
            .send(Command::Inspect {
                request: wanted,
                blobs,
            })
            .await;
        self.until(|input| match input {
            Input::BlobsInspected { request, have } if *request == wanted => have.first().cloned(),
            _ => None,
        })
        .await
    }

    pub(super) async fn observe(&self, peer: NodeId, file: &File) {
        self.handle
            .send(Command::Observe {
                peer,
                blob: file.blob,
                size: file.size,
            })
            .await;
    }

    /// Waits for the first input that `pick` takes.
    pub(super) async fn until<T>(&mut self, mut pick: impl FnMut(&Input) -> Option<T>) -> T {
        let wait = async {
            loop {
                let input = self.inputs.recv().await.expect("the data plane lives");
                if let Input::PiecesProgress { bytes, .. } = &input {
                    self.progress += bytes;
                }
                if let Some(picked) = pick(&input) {
                    return picked;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("the awaited input comes")
    }

    pub(super) async fn content(&self, file: &File) -> Vec<u8> {
        use futures::StreamExt;
        let mut bytes = Vec::new();
        let mut stream = self.handle.read(file.blob, 0..file.size);
        while let Some(part) = stream.next().await {
            bytes.extend_from_slice(&part.unwrap());
        }
        bytes
    }

    /// The store's own file of a blob.
    pub(super) fn data_file(&self, file: &File) -> PathBuf {
        let data = self.home.path().join("blobs").join("data");
        data.join(format!("{}.data", file.blob))
    }
}

/// Plays the machine: has every request of a peer served at once, and passes everything on.
fn serve(
    mut heard: mpsc::Receiver<Input>,
    handle: Handle,
    choked: Arc<AtomicBool>,
) -> mpsc::Receiver<Input> {
    // A test that looks at one node only must not hold up the machine of another.
    let (sender, inputs) = mpsc::channel(100_000);
    tokio::spawn(async move {
        loop {
            let input = tokio::select! {
                input = heard.recv() => input,
                // The node is gone, and with it must go what it holds open.
                () = sender.closed() => return,
            };
            let Some(input) = input else {
                return;
            };
            if let Input::UploadAsked { upload, .. } = &input
                && !choked.load(Ordering::Relaxed)
            {
                let upload = *upload;
                handle.send(Command::StartUpload { upload }).await;
            }
            if sender.send(input).await.is_err() {
                return;
            }
        }
    });
    inputs
}

/// Content to pass around.
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    pub(super) blob: BlobHash,
    pub(super) size: u64,
}

impl File {
    /// `size` bytes that depend on `seed` and do not repeat.
    pub(super) fn random(seed: u8, size: usize) -> Self {
        let mut bytes = vec![0; size];
        blake3::Hasher::new()
            .update(&[seed])
            .finalize_xof()
            .fill(&mut bytes);
        Self {
            blob: BlobHash::new(*blake3::hash(&bytes).as_bytes()),
            size: size as u64,
            bytes,
        }
    }

    pub(super) fn layout(&self) -> Layout {
        Layout::new(self.size)
    }

    pub(super) fn all(&self) -> PieceRange {
        run(0, self.layout().pieces())
    }
}

pub(super) fn run(start: u32, end: u32) -> PieceRange {
    PieceRange { start, end }
}

/// A node that offers the whole file.
pub(super) async fn seeder(seed: u8, file: &File) -> Node {
    let node = Node::start(seed).await;
    let imported = node.import("file", &file.bytes).await;
    assert_eq!(imported.blake3, file.blob);
    node.seeds(&[file.blob]).await;
    node
}
