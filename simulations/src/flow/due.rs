//! When each flow has its next step: a heap in which every entry can be moved.
#![expect(
    clippy::indexing_slicing,
    reason = "positions and flows point at each other, which `check` in tests confirms"
)]

/// Not in the heap.
const NOWHERE: u32 = u32::MAX;

/// A four-way heap of `(time, flow)`; equal times go by flow, so that order never depends on history.
#[derive(Debug, Default)]
pub(super) struct Due {
    heap: Vec<(u64, u32)>,
    /// Where each flow is in the heap.
    places: Vec<u32>,
}

impl Due {
    /// Makes room for one more flow.
    pub(super) fn grow(&mut self) {
        self.places.push(NOWHERE);
    }

    /// The earliest.
    pub(super) fn first(&self) -> Option<(u64, u32)> {
        self.heap.first().copied()
    }

    /// Plans a flow, or plans it anew.
    pub(super) fn set(&mut self, flow: u32, at: u64) {
        let place = self.places[flow as usize];
        if place == NOWHERE {
            self.heap.push((at, flow));
            self.up(self.heap.len() - 1);
            return;
        }
        let place = place as usize;
        let before = self.heap[place].0;
        self.heap[place].0 = at;
        if at < before {
            self.up(place);
        } else {
            self.down(place);
        }
    }

    /// Takes a flow out, if it is in.
    pub(super) fn remove(&mut self, flow: u32) {
        let place = self.places[flow as usize];
        if place == NOWHERE {
            return;
        }
        self.places[flow as usize] = NOWHERE;
        let place = place as usize;
        self.heap.swap_remove(place);
        if place < self.heap.len() {
            self.note(place);
            self.up(place);
            self.down(place);
        }
    }

    fn note(&mut self, place: usize) {
        let flow = self.heap[place].1;
        self.places[flow as usize] = u32::try_from(place).unwrap_or(NOWHERE);
    }

    fn up(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 4;
            if self.heap[parent] <= self.heap[place] {
                break;
            }
            self.heap.swap(parent, place);
            self.note(place);
            place = parent;
        }
        self.note(place);
    }

    fn down(&mut self, mut place: usize) {
        loop {
            let first = place * 4 + 1;
            let children = first..(first + 4).min(self.heap.len());
            let Some(least) = children.min_by_key(|child| self.heap[*child]) else {
                break;
            };
            if self.heap[place] <= self.heap[least] {
                break;
            }
            self.heap.swap(place, least);
            self.note(place);
            place = least;
        }
        self.note(place);
    }

    /// Checks that places and heap agree and that nobody is earlier than his parent.
    #[cfg(test)]
    pub(super) fn check(&self) {
        for (place, entry) in self.heap.iter().enumerate() {
            assert_eq!(self.places[entry.1 as usize] as usize, place);
            assert!(place == 0 || self.heap[(place - 1) / 4] <= *entry);
        }
    }
}
