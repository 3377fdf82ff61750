//! Small maps that are read far more often than they change: peers, neighbours, requests.
//!
//! Keys lie side by side in ascending order, values beside them. A look-up is a binary search among numbers in a few
//! cache lines, and going through all is going through memory. An insertion moves what comes after it, which is nothing
//! to speak of for the hundreds of entries that limits allow.
//!
//! # Invariants
//! Keys ascend and are distinct; there are as many heads and values as keys.

use std::cmp::Ordering;

use crate::{
    id::NodeId,
    service::{RequestId, UploadId},
};

/// What entries are found by.
pub(crate) trait Key: Ord + Copy {
    /// A number that ascends with the key and is nearly always another one for another key.
    fn head(&self) -> u64;
}

impl Key for NodeId {
    fn head(&self) -> u64 {
        let first = self.as_bytes().first_chunk();
        first.map_or(0, |first| u64::from_be_bytes(*first))
    }
}

impl Key for RequestId {
    fn head(&self) -> u64 {
        self.0
    }
}

impl Key for UploadId {
    fn head(&self) -> u64 {
        self.0
    }
}

/// A map in vectors.
#[derive(Debug, Clone)]
pub(crate) struct Table<K, V> {
    heads: Vec<u64>,
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            heads: Vec::new(),
            keys: Vec::new(),
            values: Vec::new(),
        }
    }
}

impl<K: Key, V> Table<K, V> {
    /// Where a key is, or where it would be.
    fn find(&self, key: &K) -> Result<usize, usize> {
        let head = key.head();
        let mut at = self.heads.partition_point(|other| *other < head);
        // Keys of one head are next to each other.
        while self.heads.get(at) == Some(&head) {
            match self.keys.get(at).map(|other| other.cmp(key)) {
                Some(Ordering::Equal) => return Ok(at),
                Some(Ordering::Less) => at += 1,
                Some(Ordering::Greater) | None => break,
            }
        }
        Err(at)
    }

    fn add(&mut self, at: usize, key: K, value: V) {
        self.heads.insert(at, key.head());
        self.keys.insert(at, key);
        self.values.insert(at, value);
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(self.find(key).ok()?)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.find(key).ok()?;
        self.values.get_mut(at)
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_ok()
    }

    /// Adds an entry or replaces its value.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.find(&key) {
            Ok(at) => {
                if let Some(old) = self.values.get_mut(at) {
                    *old = value;
                }
            }
            Err(at) => self.add(at, key, value),
        }
    }

    /// The value of a key, made if there is none.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let at = self.find(&key).unwrap_or_else(|at| {
            self.add(at, key, make());
            at
        });
        #[expect(clippy::indexing_slicing, reason = "found or inserted here")]
        &mut self.values[at]
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.find(key).ok()?;
        self.heads.remove(at);
        self.keys.remove(at);
        Some(self.values.remove(at))
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// All keys, ascending.
    pub(crate) fn keys(&self) -> std::slice::Iter<'_, K> {
        self.keys.iter()
    }

    /// All values, by ascending key.
    pub(crate) fn values(&self) -> std::slice::Iter<'_, V> {
        self.values.iter()
    }

    /// All entries, by ascending key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.keys.iter().zip(&self.values)
    }

    /// All entries, by ascending key.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.keys.iter().zip(&mut self.values)
    }

    /// The keys alone.
    pub(crate) fn into_keys(self) -> Vec<K> {
        self.keys
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl Key for (u8, u8) {
        fn head(&self) -> u64 {
            u64::from(self.0)
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(steps in prop::collection::vec(((0_u8..8, 0_u8..3), 0_u8..4), 0..200)) {
            let (mut table, mut model) = (Table::default(), BTreeMap::new());
            for (at, (key, what)) in steps.into_iter().enumerate() {
                match what {
                    0 => {
                        table.insert(key, at);
                        model.insert(key, at);
                    }
                    1 => prop_assert_eq!(table.remove(&key), model.remove(&key)),
                    2 => *table.get_or_insert_with(key, || at) = *model.entry(key).or_insert(at),
                    _ => {
                        if let (Some(value), Some(other)) = (table.get_mut(&key), model.get_mut(&key)) {
                            *value += 1;
                            *other += 1;
                        }
                    }
                }
                prop_assert_eq!(table.get(&key), model.get(&key));
                prop_assert_eq!(table.contains_key(&key), model.contains_key(&key));
            }
            prop_assert!(table.iter().eq(&model));
            prop_assert_eq!(table.len(), model.len());
            prop_assert!(table.keys().eq(model.keys()) && table.values().eq(model.values()));
        }
    }
}
