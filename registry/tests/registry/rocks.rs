//! What only the form on disk can show: locks, versions, damage.

use std::{fs, path::Path};

use tempfile::TempDir;
use weft_registry::{
    Error, Registry, RocksRegistry,
    rocks::RocksTables,
    schema::{Family, VERSION, VERSION_KEY},
    tables::{Durability, Tables, Write},
};

use crate::{
    conformance::Storage,
    samples::{envelope, put_head, put_object, repository},
};

/// A directory for one database, removed at the end.
pub(crate) struct Directory(TempDir);

impl Directory {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Storage for Directory {
    fn open(&self) -> Box<dyn Registry> {
        Box::new(RocksRegistry::open(self.path()).unwrap())
    }
}

#[test]
fn second_opener_is_told_that_the_registry_is_in_use() {
    let directory = Directory::new();
    let first = directory.open();
    let error = RocksRegistry::open(directory.path()).unwrap_err();
    let path = directory.path().to_owned();
    assert_eq!(error, Error::Locked { path });
    assert!(error.to_string().contains("in use by another process"));
    drop(first);
    directory.open();
}

#[test]
fn registry_of_a_newer_version_is_refused_and_not_one_byte_changes() {
    let directory = Directory::new();
    directory
        .open()
        .commit(&[put_head(&repository(1, "a"), 0)])
        .unwrap();
    let tables = RocksTables::open(directory.path()).unwrap();
    let newer = Write {
        family: Family::Meta,
        key: VERSION_KEY.to_vec(),
        value: Some((VERSION + 1).to_be_bytes().to_vec()),
    };
    tables.write(vec![newer], Durability::Synced).unwrap();
    drop(tables);

    let before = contents(directory.path());
    let refusal = Error::Newer {
        found: VERSION + 1,
        supported: VERSION,
    };
    assert_eq!(RocksRegistry::open(directory.path()).unwrap_err(), refusal);
    assert_eq!(contents(directory.path()), before);
}

#[test]
fn damage_in_the_middle_of_the_log_is_reported() {
    let directory = Directory::new();
    let registry = directory.open();
    for index in 0..100 {
        registry
            .commit(&[put_head(&repository(1, "a"), index)])
            .unwrap();
    }
    drop(registry);
    let log = newest(directory.path(), "log");
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&log, bytes).unwrap();
    let error = RocksRegistry::open(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
}

#[test]
fn log_cut_off_in_its_last_record_loses_only_that_record() {
    let directory = Directory::new();
    let a = repository(1, "a");
    let registry = directory.open();
    for index in 0..10 {
        registry.commit(&[put_head(&a, index)]).unwrap();
    }
    drop(registry);
    let log = newest(directory.path(), "log");
    let length = fs::metadata(&log).unwrap().len();
    fs::File::options()
        .write(true)
        .open(&log)
        .unwrap()
        .set_len(length - 3)
        .unwrap();
    let registry = directory.open();
    assert_eq!(registry.head(&a, 9), Ok(None));
    assert_eq!(
        registry.snapshot().unwrap().repositories[0].head,
        envelope(8)
    );
}

#[test]
fn data_without_a_current_file_is_not_taken_for_new() {
    let directory = Directory::new();
    directory.open().commit(&[put_object("one")]).unwrap();
    fs::remove_file(directory.path().join("CURRENT")).unwrap();
    let before = contents(directory.path());
    let error = RocksRegistry::open(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    assert_eq!(contents(directory.path()), before);
}

#[test]
fn path_that_cannot_be_a_directory_is_an_error_that_names_it() {
    let directory = Directory::new();
    let path = directory.path().join("file");
    fs::write(&path, b"").unwrap();
    let error = RocksRegistry::open(&path).unwrap_err();
    assert!(
        error.to_string().contains(&path.display().to_string()),
        "{error}"
    );
}

fn contents(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.display().to_string(), fs::read(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn newest(path: &Path, extension: &str) -> std::path::PathBuf {
    fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .max()
        .unwrap()
}
