//! Virtual time: a queue of what happens when.
//!
//! Time is in microseconds. Things planned for the same moment happen in the order in which they were planned,
//! so that a run never depends on the heap's whims.
//!
//! Nearly all that is planned lies within two seconds. It waits in one basket for each millisecond; only the basket of
//! the present is kept in order. What lies further away waits in a heap.

use std::{cmp::Ordering, collections::BinaryHeap};

/// Microseconds in a millisecond, the grain of a machine's clock.
pub(crate) const MILLI: u64 = 1_000;
/// Microseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000;
/// Baskets: milliseconds that are near.
const NEAR: u64 = 2_048;

/// What happens when.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// What is planned for the present millisecond or before it.
    present: BinaryHeap<Entry<T>>,
    /// Which millisecond is the present.
    millisecond: u64,
    /// What is planned for the milliseconds after it, each in the basket of its remainder.
    near: Vec<Vec<Entry<T>>>,
    /// Entries in baskets.
    in_baskets: usize,
    far: BinaryHeap<Entry<T>>,
    planned: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: u64,
    order: u64,
    what: T,
}

/// The basket of a millisecond.
fn basket(millisecond: u64) -> usize {
    usize::try_from(millisecond % NEAR).unwrap_or(0)
}

impl<T> Queue<T> {
    /// Nothing happens.
    pub(crate) fn new() -> Self {
        Self {
            present: BinaryHeap::new(),
            millisecond: 0,
            near: (0..NEAR).map(|_| Vec::new()).collect(),
            in_baskets: 0,
            far: BinaryHeap::new(),
            planned: 0,
        }
    }

    /// Plans something.
    pub(crate) fn push(&mut self, at: u64, what: T) {
        self.planned += 1;
        let order = self.planned;
        self.put(Entry { at, order, what });
    }

    fn put(&mut self, entry: Entry<T>) {
        let millisecond = entry.at / MILLI;
        if millisecond <= self.millisecond {
            self.present.push(entry);
        } else if millisecond - self.millisecond >= NEAR {
            self.far.push(entry);
        } else if let Some(basket) = self.near.get_mut(basket(millisecond)) {
            basket.push(entry);
            self.in_baskets += 1;
        }
    }

    /// When the next thing happens.
    pub(crate) fn next(&mut self) -> Option<u64> {
        while self.present.is_empty() {
            if self.in_baskets == 0 {
                self.millisecond = self.far.peek()?.at / MILLI;
            } else {
                self.millisecond += 1;
            }
            let near = self.millisecond + NEAR;
            while self.far.peek().is_some_and(|e| e.at / MILLI < near) {
                let entry = self.far.pop()?;
                self.put(entry);
            }
            if let Some(basket) = self.near.get_mut(basket(self.millisecond)) {
                self.in_baskets -= basket.len();
                self.present.extend(basket.drain(..));
            }
        }
        self.present.peek().map(|entry| entry.at)
    }

    /// The next thing.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.next()?;
        self.present.pop().map(|entry| entry.what)
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

    #[test]
    fn near_and_far_things_happen_in_order() {
        let mut rng = fastrand::Rng::with_seed(1);
        let (mut queue, mut now, mut left) = (Queue::new(), 0, 0);
        for round in 0..20_000_u64 {
            for _ in 0..rng.u32(..3) {
                let reach = rng
                    .choice([0, 900, 5_000, 3_000_000, 40_000_000])
                    .unwrap_or(0);
                let at = now + rng.u64(..=reach);
                queue.push(at, (at, round));
                left += 1;
            }
            if rng.bool()
                && let Some((at, _)) = queue.pop()
            {
                assert!(at >= now, "time goes forward");
                now = at;
                left -= 1;
            }
        }
        let mut last = (now, 0);
        while let Some(next) = queue.pop() {
            assert!(next.0 > last.0 || next.0 == last.0 && next.1 >= last.1 || last.1 == 0);
            last = next;
            left -= 1;
        }
        assert_eq!(left, 0, "nothing is lost");
    }
}
