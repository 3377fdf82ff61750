//! SIGKILL in the middle of writes: what was acknowledged is here afterwards, and nothing was read to find that out.
//!
//! The test runs its own binary again as a child that writes runs of groups and prints each after it is finished.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, atomic::Ordering},
};

use weft_registry::RocksRegistry;

use super::fixture::{MIB, Reference, have};
use crate::store::{BlobStore, Config};

const HOME: &str = "WEFT_TEST_STORE_HOME";
const ACKNOWLEDGED: &str = "acknowledged ";
const CHILD: &str = "store::tests::crash::child_that_writes_until_it_is_killed";
/// Groups of one run.
const RUN: usize = 4;

fn blob() -> Reference {
    Reference::new(33, 24 * MIB)
}

fn open(home: &Path) -> BlobStore {
    let registry = RocksRegistry::open(&home.join("registry")).unwrap();
    let config = Config {
        directory: home.join("blobs"),
        reserve: 0,
    };
    BlobStore::open(config, Arc::new(registry)).unwrap()
}

#[test]
fn acknowledged_groups_survive_sigkill_unread() {
    let home = tempfile::tempdir().unwrap();
    let reference = blob();
    for lines in [1, 2, 30, 7, 90, 1, 40] {
        let acknowledged = write_until_killed(home.path(), lines);
        let store = open(home.path());
        let have = have(&store, &reference.hash);
        for run in acknowledged {
            let groups = (run * RUN) as u32..((run + 1) * RUN) as u32;
            assert!(
                groups.into_iter().all(|group| have.contains(&group)),
                "run {run}"
            );
        }
        assert_eq!(store.inner.compared.load(Ordering::Relaxed), 0);
        // What it says is here is right.
        let blob = store.blob(&reference.hash).unwrap();
        for run in blob.have().runs() {
            let bytes = u64::from(run.start) * 16_384..u64::from(run.end) * 16_384;
            let read = blob.read_verified(bytes.clone()).unwrap();
            assert!(read == reference.data[bytes.start as usize..bytes.end as usize]);
        }
        store.close();
    }
}

/// The child. Passes at once unless it was started by the test above.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(home) = env::var_os(HOME) else {
        return;
    };
    let store = open(Path::new(&home));
    let reference = blob();
    let mut stdout = std::io::stdout().lock();
    let here = have(&store, &reference.hash);
    let runs = reference.groups() / RUN;
    // From the middle outwards, so that the runs do not touch at once.
    for run in (0..runs).map(|n| (n * 37 + 11) % runs) {
        if here.contains(&((run * RUN) as u32)) {
            continue;
        }
        let writer = store.begin(&reference.hash, reference.size(), 0).unwrap();
        reference
            .write(&writer, run * RUN..(run + 1) * RUN)
            .unwrap();
        writer.finish().unwrap();
        stdout
            .write_all(format!("\n{ACKNOWLEDGED}{run}\n").as_bytes())
            .unwrap();
        stdout.flush().unwrap();
        if run % 16 == 0 {
            store.checkpoint().unwrap();
        }
    }
    // Whoever started this process ends it.
    loop {
        std::thread::park();
    }
}

fn write_until_killed(home: &Path, lines: usize) -> Vec<usize> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", CHILD, "--nocapture"])
        .env(HOME, home)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let acknowledged = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix(ACKNOWLEDGED)?.parse().ok())
        .take(lines)
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    acknowledged
}
