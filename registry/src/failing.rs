//! Tables that fail on purpose, for tests and simulations.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    error::Error,
    schema::Family,
    tables::{Durability, Entry, Tables, Write},
};

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The disk is full; nothing happened.
    Full,
    /// The disk says no; nothing happened.
    Broken,
    /// The disk says no, but a write has happened all the same.
    Unacknowledged,
}

impl Failure {
    /// Every failure.
    pub const ALL: [Self; 3] = [Self::Full, Self::Broken, Self::Unacknowledged];

    fn error(self) -> Error {
        let during = "failing on purpose";
        match self {
            Self::Full => Error::Full { during },
            Self::Broken | Self::Unacknowledged => Error::Failed {
                during,
                cause: format!("{self:?}"),
            },
        }
    }
}

/// Decides which operation fails. Clones share their state.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    operations: u64,
    planned: Option<(u64, Failure)>,
}

impl Faults {
    /// Lets the operation with number `operation` fail, once. They are counted from zero.
    pub fn fail_at(&self, operation: u64, failure: Failure) {
        self.state().planned = Some((operation, failure));
    }

    /// How many operations there were so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    fn next(&self) -> Option<Failure> {
        let mut state = self.state();
        let operation = state.operations;
        state.operations += 1;
        match state.planned {
            Some((at, failure)) if at == operation => Some(failure),
            _ => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tables whose operations count, and of which one may fail.
#[derive(Debug, Clone)]
pub struct Failing<T> {
    tables: T,
    faults: Faults,
}

impl<T: Tables> Failing<T> {
    /// Wraps `tables`.
    pub fn new(tables: T, faults: Faults) -> Self {
        Self { tables, faults }
    }

    fn check(&self) -> Result<(), Error> {
        self.faults
            .next()
            .map_or(Ok(()), |failure| Err(failure.error()))
    }
}

impl<T: Tables> Tables for Failing<T> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.check()?;
        self.tables.get(family, key)
    }

    fn scan(&self, family: Family, prefix: &[u8]) -> Result<Vec<Entry>, Error> {
        self.check()?;
        self.tables.scan(family, prefix)
    }

    fn write(&self, writes: Vec<Write>, durability: Durability) -> Result<(), Error> {
        match self.faults.next() {
            None => self.tables.write(writes, durability),
            Some(Failure::Unacknowledged) => {
                self.tables.write(writes, durability)?;
                Err(Failure::Unacknowledged.error())
            }
            Some(failure) => Err(failure.error()),
        }
    }

    fn sync(&self) -> Result<(), Error> {
        self.check()?;
        self.tables.sync()
    }
}
