//! Virtual time: a queue of what happens when.
//!
//! Time is in microseconds. Things planned for the same moment happen in the order in which they were planned,
//! so that a run never depends on the heap's whims.

use std::{cmp::Ordering, collections::BinaryHeap};

/// Microseconds in a millisecond, the grain of a machine's clock.
pub(crate) const MILLI: u64 = 1_000;
/// Microseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000;

/// What happens when.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Entry<T>>,
    planned: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: u64,
    order: u64,
    what: T,
}

impl<T> Queue<T> {
    /// Nothing happens.
    pub(crate) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            planned: 0,
        }
    }

    /// Plans something.
    pub(crate) fn push(&mut self, at: u64, what: T) {
        self.planned += 1;
        let order = self.planned;
        self.heap.push(Entry { at, order, what });
    }

    /// When the next thing happens.
    pub(crate) fn next(&self) -> Option<u64> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// The next thing.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.heap.pop().map(|entry| entry.what)
    }
}

impl<T> Ord for Entry<T> {
    /// The earliest is the greatest: the heap is one of maxima.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_times_happen_in_the_order_of_planning() {
        let mut queue = Queue::new();
        for (at, what) in [(5, 'b'), (3, 'a'), (5, 'c'), (5, 'd')] {
            queue.push(at, what);
        }
        assert_eq!(queue.next(), Some(3));
        let order: String = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, "abcd");
    }
}
