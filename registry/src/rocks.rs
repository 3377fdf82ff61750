//! The registry on disk, in RocksDB.
//!
//! One process owns a database; RocksDB's own lock file sees to that. The write-ahead log is the
//! truth: a synced commit is in it before it returns, and on open only an unfinished last record is
//! forgiven, anything else that does not add up is reported as damage. Before a database is opened for
//! writing its schema version is read without touching it.
//!
//! When the disk is full, commits fail with [`Error::Full`] and reads go on. RocksDB looks for space
//! every few seconds and takes writes again once there is some; no restart is needed.

mod options;

use std::{
    fs,
    path::{Path, PathBuf},
};

use rocksdb::{ColumnFamily, DB, Direction, ErrorKind, IteratorMode, WriteBatch, WriteOptions};

use crate::{
    error::Error,
    ledger::Ledger,
    migrate,
    record::{self, corrupt},
    schema::{Family, VERSION, VERSION_KEY},
    tables::{Durability, Entry, Tables, Write},
};

/// The registry of a real node.
pub type RocksRegistry = Ledger<RocksTables>;

impl RocksRegistry {
    /// Opens or creates the database in the directory `path`.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process has it open, [`Error::Newer`] if a newer version wrote it,
    /// [`Error::Corrupt`] if it is damaged, [`Error::Full`] or [`Error::Failed`] otherwise.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_tables(RocksTables::open(path)?)
    }
}

/// Column families of one database.
#[derive(Debug)]
pub struct RocksTables {
    database: DB,
    path: PathBuf,
}

impl RocksTables {
    /// Opens or creates the database in the directory `path`.
    ///
    /// # Errors
    /// As [`RocksRegistry::open`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error: std::io::Error| io(path, "creating the registry", &error);
        fs::create_dir_all(path).map_err(failed)?;
        refuse_remains(path)?;
        peek(path)?;
        let database = DB::open_cf_descriptors(&options::database(), path, options::families())
            .map_err(|error| failure(path, "opening the registry", &error))?;
        Ok(Self {
            database,
            path: path.to_owned(),
        })
    }

    fn family(&self, family: Family) -> Result<&ColumnFamily, Error> {
        self.database
            .cf_handle(family.name())
            .ok_or_else(|| corrupt(family, "missing"))
    }

    fn failure(&self, during: &'static str, error: &rocksdb::Error) -> Error {
        failure(&self.path, during, error)
    }
}

impl Tables for RocksTables {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.database
            .get_cf(self.family(family)?, key)
            .map_err(|error| self.failure("reading", &error))
    }

    fn scan(&self, family: Family, prefix: &[u8]) -> Result<Vec<Entry>, Error> {
        let from = IteratorMode::From(prefix, Direction::Forward);
        let mut entries = Vec::new();
        for entry in self.database.iterator_cf(self.family(family)?, from) {
            let (key, value) = entry.map_err(|error| self.failure("reading", &error))?;
            if !key.starts_with(prefix) {
                break;
            }
            entries.push((key.into_vec(), value.into_vec()));
        }
        Ok(entries)
    }

    fn write(&self, writes: Vec<Write>, durability: Durability) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        for Write { family, key, value } in writes {
            let family = self.family(family)?;
            match value {
                Some(value) => batch.put_cf(family, key, value),
                None => batch.delete_cf(family, key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        self.database
            .write_opt(batch, &options)
            .map_err(|error| self.failure("writing", &error))
    }

    fn sync(&self) -> Result<(), Error> {
        self.database
            .flush_wal(true)
            .map_err(|error| self.failure("syncing", &error))
    }
}

/// Refuses a directory that holds data but not the file that names the current state: RocksDB would take it
/// for new and throw the data away.
fn refuse_remains(path: &Path) -> Result<(), Error> {
    if path.join("CURRENT").exists() {
        return Ok(());
    }
    let failed = |error: std::io::Error| io(path, "opening the registry", &error);
    for entry in fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let extension = Path::new(&name).extension();
        if extension.is_some_and(|extension| extension == "sst" || extension == "log") {
            let what = format!("{} holds data but no file CURRENT", path.display());
            return Err(Error::Corrupt { what });
        }
    }
    Ok(())
}

/// Reads the schema version without changing a file.
fn peek(path: &Path) -> Result<(), Error> {
    if !path.join("CURRENT").exists() {
        return Ok(());
    }
    let mut options = options::database();
    options.create_if_missing(false);
    options.create_missing_column_families(false);
    let read_only = DB::open_cf_for_read_only(&options, path, [Family::Meta.name()], false)
        .and_then(|database| database.get(VERSION_KEY));
    match read_only {
        Ok(Some(bytes)) => {
            let found = u32::from_be_bytes(record::fixed(Family::Meta, &bytes)?);
            migrate::check(found, VERSION)
        }
        // A database that was created but not yet marked.
        Ok(None) => Ok(()),
        Err(error) if error.kind() == ErrorKind::Corruption => {
            Err(failure(path, "opening the registry", &error))
        }
        // A writer at work can move files from under a reader; opening for writing says what it is.
        Err(_) => Ok(()),
    }
}

/// RocksDB gives no codes to its callers, only the text of its status.
fn failure(path: &Path, during: &'static str, error: &rocksdb::Error) -> Error {
    let text = error.to_string();
    let says = |part: &str| text.contains(part);
    if says("No space left on device") || says("Disk quota exceeded") {
        Error::Full { during }
    } else if says("While lock file") || says("lock hold by current process") {
        Error::Locked {
            path: path.to_owned(),
        }
    } else if error.kind() == ErrorKind::Corruption {
        Error::Corrupt { what: text }
    } else {
        Error::Failed {
            during,
            cause: text,
        }
    }
}

fn io(path: &Path, during: &'static str, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Error::Full { during }
        }
        _ => Error::Failed {
            during,
            cause: format!("{}: {error}", path.display()),
        },
    }
}
