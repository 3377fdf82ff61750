//! From an older schema to the present one, and away from a newer one.
//!
//! A migration is a list of steps, each from one version to the next, each one atomic batch that also
//! writes the new version: a crash in between repeats the step or goes on after it.

mod peers;

use crate::{
    error::Error,
    record::{self, corrupt},
    schema::{Family, VERSION, VERSION_KEY},
    tables::{Durability, Tables, Write},
};

/// Computes the writes that lift the tables from one version to the next.
pub type Step<T> = fn(&T) -> Result<Vec<Write>, Error>;

/// Makes the tables ones of the present [`VERSION`]: marks empty ones, lifts older ones, refuses newer ones.
///
/// # Errors
/// [`Error::Newer`], with nothing written; [`Error::Corrupt`] if the version is unreadable; failures of the
/// storage.
pub fn prepare(tables: &impl Tables) -> Result<(), Error> {
    // Version 3 adds the tables of blobs, which are empty until the blob store writes to them.
    let add_blobs: Step<_> = |_| Ok(Vec::new());
    lift(tables, VERSION, &[peers::gain_standing, add_blobs])
}

/// The schema version of the tables; `None` if they are new.
///
/// # Errors
/// [`Error::Corrupt`] if it is unreadable; failures of the storage.
pub fn version(tables: &impl Tables) -> Result<Option<u32>, Error> {
    tables
        .get(Family::Meta, VERSION_KEY)?
        .map(|bytes| record::fixed(Family::Meta, &bytes).map(u32::from_be_bytes))
        .transpose()
}

/// Refuses a version beyond the supported one.
///
/// # Errors
/// [`Error::Newer`].
pub fn check(found: u32, supported: u32) -> Result<(), Error> {
    if found > supported {
        return Err(Error::Newer { found, supported });
    }
    Ok(())
}

/// `steps[n]` lifts version n + 1 to n + 2.
fn lift<T: Tables>(tables: &T, supported: u32, steps: &[Step<T>]) -> Result<(), Error> {
    let Some(found) = version(tables)? else {
        return tables.write(vec![stamp(supported)], Durability::Synced);
    };
    check(found, supported)?;
    let done = found
        .checked_sub(1)
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| corrupt(Family::Meta, "schema version 0"))?;
    for (next, step) in (found + 1..=supported).zip(steps.iter().skip(done)) {
        let mut writes = step(tables)?;
        writes.push(stamp(next));
        tables.write(writes, Durability::Synced)?;
    }
    Ok(())
}

fn stamp(version: u32) -> Write {
    Write {
        family: Family::Meta,
        key: VERSION_KEY.to_vec(),
        value: Some(version.to_be_bytes().to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::MemoryTables;

    const STEPS: &[Step<MemoryTables>] = &[
        |_| Ok(vec![setting("two", b"2")]),
        |tables| {
            let two = tables.get(Family::Settings, b"two")?.unwrap();
            Ok(vec![setting("three", &two)])
        },
    ];

    #[test]
    fn new_tables_get_the_present_version() {
        let tables = MemoryTables::default();
        prepare(&tables).unwrap();
        assert_eq!(version(&tables), Ok(Some(VERSION)));
    }

    #[test]
    fn tables_of_version_1_are_lifted_and_keep_what_they_hold() {
        let tables = MemoryTables::default();
        tables
            .write(vec![stamp(1), setting("a", b"kept")], Durability::Synced)
            .unwrap();
        prepare(&tables).unwrap();
        assert_eq!(version(&tables), Ok(Some(VERSION)));
        assert_eq!(
            tables.get(Family::Settings, b"a"),
            Ok(Some(b"kept".to_vec()))
        );
    }

    #[test]
    fn newer_tables_are_refused_untouched() {
        let tables = MemoryTables::default();
        tables
            .write(vec![stamp(VERSION + 1)], Durability::Synced)
            .unwrap();
        let newer = Error::Newer {
            found: VERSION + 1,
            supported: VERSION,
        };
        assert_eq!(prepare(&tables), Err(newer));
        assert_eq!(version(&tables), Ok(Some(VERSION + 1)));
    }

    #[test]
    fn older_tables_are_lifted_step_by_step() {
        let tables = MemoryTables::default();
        tables.write(vec![stamp(1)], Durability::Synced).unwrap();
        lift(&tables, 3, STEPS).unwrap();
        assert_eq!(version(&tables), Ok(Some(3)));
        assert_eq!(
            tables.get(Family::Settings, b"three"),
            Ok(Some(b"2".to_vec()))
        );
    }

    #[test]
    fn steps_already_taken_are_not_repeated() {
        let tables = MemoryTables::default();
        tables
            .write(vec![stamp(2), setting("two", b"kept")], Durability::Synced)
            .unwrap();
        lift(&tables, 3, STEPS).unwrap();
        assert_eq!(
            tables.get(Family::Settings, b"two"),
            Ok(Some(b"kept".to_vec()))
        );
        assert_eq!(
            tables.get(Family::Settings, b"three"),
            Ok(Some(b"kept".to_vec()))
        );
    }

    #[test]
    fn unreadable_version_is_damage() {
        let tables = MemoryTables::default();
        let mut write = stamp(1);
        write.value = Some(vec![1]);
        tables.write(vec![write], Durability::Synced).unwrap();
        assert!(matches!(prepare(&tables), Err(Error::Corrupt { .. })));
    }

    fn setting(key: &str, value: &[u8]) -> Write {
        Write {
            family: Family::Settings,
            key: key.as_bytes().to_vec(),
            value: Some(value.to_vec()),
        }
    }
}
