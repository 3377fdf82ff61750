//! SIGKILL in the middle of commits: whatever was acknowledged is there afterwards.
//!
//! The test runs its own binary again as a child that does nothing but commit. The child prints an index
//! once its commit has returned; the parent reads some lines, kills it, and looks at what is left.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use weft_protocol::{
    id::ObjectId,
    op::{Op, Pin, RevisionRecord, RevisionState},
    sign::Envelope,
    time::Timestamp,
};
use weft_registry::{Registry, RocksRegistry};

use crate::samples::repository;

/// Where the child finds its registry; its presence is what makes a process the child.
const HOME: &str = "WEFT_TEST_CRASH_HOME";
const ACKNOWLEDGED: &str = "acknowledged ";

#[test]
fn acknowledged_heads_survive_sigkill() {
    let home = tempfile::tempdir().unwrap();
    let mut known = None;
    for lines in [1, 2, 3, 40, 7, 100, 1, 25] {
        let acknowledged = commit_until_killed(home.path(), lines);
        let found = tip(home.path()).expect("a head was acknowledged");
        assert!(
            Some(acknowledged) > known,
            "no progress: {acknowledged} after {known:?}"
        );
        assert!(
            found >= acknowledged,
            "index {acknowledged} was acknowledged, found {found}"
        );
        known = Some(found);
    }
}

/// The child. Passes at once unless it was started by the test above.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Some(home) = env::var_os(HOME) else {
        return;
    };
    let registry = RocksRegistry::open(Path::new(&home)).unwrap();
    let mut index = read_tip(&registry).map_or(0, |tip| tip + 1);
    let mut stdout = std::io::stdout().lock();
    loop {
        registry.commit(&batch(index)).unwrap();
        // Unbuffered and in one piece: the parent may kill us right after.
        stdout
            .write_all(format!("\n{ACKNOWLEDGED}{index}\n").as_bytes())
            .unwrap();
        stdout.flush().unwrap();
        index += 1;
    }
}

/// Lets a child commit until it has acknowledged `lines` heads, and gives back the last of them.
fn commit_until_killed(home: &Path, lines: usize) -> u64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::child_that_commits_until_it_is_killed",
            "--nocapture",
        ])
        .env(HOME, home)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let acknowledged = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix(ACKNOWLEDGED)?.parse().ok())
        .take(lines)
        .last();
    child.kill().unwrap();
    child.wait().unwrap();
    acknowledged.expect("the child acknowledged a head")
}

/// Opens what the child left, checks that no batch is there in part, and gives back the tip's index.
fn tip(home: &Path) -> Option<u64> {
    let registry = RocksRegistry::open(home).unwrap();
    let tip = read_tip(&registry)?;
    let snapshot = registry.snapshot().unwrap();
    assert_eq!(snapshot.repositories[0].leaves.len() as u64, tip);
    assert_eq!(snapshot.revisions.len() as u64, tip + 1);
    for index in 0..=tip {
        let head = registry.head(&repository(1, "a"), index).unwrap();
        assert_eq!(head, Some(head_at(index)));
    }
    Some(tip)
}

fn read_tip(registry: &RocksRegistry) -> Option<u64> {
    let snapshot = registry.snapshot().unwrap();
    let body = &snapshot.repositories.first()?.head.body;
    Some(u64::from_be_bytes(body[..8].try_into().unwrap()))
}

fn batch(index: u64) -> Vec<Op> {
    let repository = repository(1, "a");
    let mut ops = vec![
        Op::PutHead {
            repository: repository.clone(),
            index,
            id: id_at(index),
            head: head_at(index),
        },
        Op::PutRevision(RevisionRecord {
            repository: repository.clone(),
            revision: id_at(index),
            state: RevisionState::Wanted,
            pin: Pin::None,
            seed: false,
            bytes_total: 0,
            used: Timestamp(index),
            host: None,
        }),
    ];
    if let Some(before) = index.checked_sub(1) {
        ops.push(Op::PutLeaves {
            repository,
            first: before,
            ids: vec![id_at(before)],
        });
    }
    ops
}

fn head_at(index: u64) -> Envelope {
    Envelope {
        body: [&index.to_be_bytes()[..], &[7; 900]].concat(),
        signatures: vec![],
    }
}

fn id_at(index: u64) -> ObjectId {
    ObjectId::new(*blake3::hash(&index.to_be_bytes()).as_bytes())
}
