//! Gossiped ids that were seen before.

use std::collections::{BTreeSet, VecDeque};

use crate::{id::ObjectId, limits};

/// A bounded memory of ids.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    ids: BTreeSet<ObjectId>,
    order: VecDeque<ObjectId>,
}

impl Seen {
    /// Remembers an id; false if it was known.
    pub(crate) fn is_news(&mut self, id: ObjectId) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > limits::GOSSIP_SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_news_once_until_it_is_forgotten() {
        let id = |n: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
            ObjectId::new(bytes)
        };
        let mut seen = Seen::default();
        assert!(seen.is_news(id(0)));
        assert!(!seen.is_news(id(0)));
        for n in 1..=limits::GOSSIP_SEEN_MAX {
            assert!(seen.is_news(id(n)));
        }
        assert!(seen.is_news(id(0)));
        assert!(seen.ids.len() <= limits::GOSSIP_SEEN_MAX);
    }
}
