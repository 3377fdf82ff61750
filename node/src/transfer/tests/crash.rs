//! A fetching process that can be killed: this test binary, started again for one test.

use std::{
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{ChildStdout, Command as Process, Stdio},
    sync::Arc,
};

use weft_protocol::id::NodeId;

use super::node::{File, Node, run};
use crate::transfer::Command;

/// What the child is to do: `home address peer blob size`.
const ORDER: &str = "WEFT_TEST_CRASH_ORDER";
const TEST: &str = "transfer::tests::keeping::process_to_be_killed";
const MARK: &str = "acknowledged ";

pub(super) struct Child {
    process: std::process::Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Child {
    pub(super) fn start(home: &Path, peer: &Node, file: &File) -> Self {
        let address = peer.handle.addresses()[0];
        let order = format!(
            "{} {address} {} {} {}",
            home.display(),
            peer.id(),
            file.blob,
            file.size
        );
        let mut process = Process::new(std::env::current_exe().unwrap())
            .args([TEST, "--exact", "--nocapture"])
            .env(ORDER, order)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// Pieces that the child says it has, read until there are `count` of them or no more come.
    pub(super) fn pieces_until(&mut self, count: usize) -> Vec<u32> {
        self.lines
            .by_ref()
            .map_while(Result::ok)
            // The test runner begins a line of its own before the first of ours.
            .filter_map(|line| line.split_once(MARK)?.1.trim().parse().ok())
            .take(count)
            .collect()
    }

    pub(super) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Fetches one piece after the other and prints which it has, if this process is a child.
pub(super) async fn run_child() {
    let Ok(order) = std::env::var(ORDER) else {
        return;
    };
    let words: Vec<_> = order.split(' ').collect();
    let [home, address, peer, blob, size] = words[..] else {
        panic!("`{order}` is not an order");
    };
    let peer: NodeId = peer.parse().unwrap();
    let file = File {
        bytes: Vec::new(),
        blob: blob.parse().unwrap(),
        size: size.parse().unwrap(),
    };
    let mut node = Node::start_at(Path::new(home), 101).await;
    let addresses = vec![address.to_owned()];
    node.handle
        .send(Command::LearnAddresses { peer, addresses })
        .await;
    node.keeps(&[file.blob]).await;
    let have = node.inspect(&file).await;
    for piece in (0..file.layout().pieces()).filter(|piece| !have.contains(*piece)) {
        let pieces = run(piece, piece + 1);
        assert_eq!(node.fetch(peer, &file, pieces).await, Ok(()));
        println!("{MARK}{piece}");
    }
    // Whoever started this process ends it.
    std::future::pending::<Arc<()>>().await;
}
