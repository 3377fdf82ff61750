//! Gossip that was passed on before.

use std::collections::{BTreeSet, VecDeque};

use crate::{id::ObjectId, limits};

/// A bounded memory of what was passed on.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    known: BTreeSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl Seen {
    /// Remembers what an announcement is about; false if it was known.
    pub(crate) fn is_news(&mut self, about: &[Option<ObjectId>]) -> bool {
        let mut hasher = blake3::Hasher::new();
        for id in about {
            hasher.update(id.as_ref().map_or(&[0; 32], ObjectId::as_bytes).as_slice());
        }
        let key = *hasher.finalize().as_bytes();
        if !self.known.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > limits::GOSSIP_SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_is_news_once_until_it_is_forgotten() {
        let id = |n: usize| {
            [Some(ObjectId::new(
                *blake3::hash(&n.to_be_bytes()).as_bytes(),
            ))]
        };
        let mut seen = Seen::default();
        assert!(seen.is_news(&id(0)));
        assert!(!seen.is_news(&id(0)));
        for n in 1..=limits::GOSSIP_SEEN_MAX {
            assert!(seen.is_news(&id(n)));
        }
        assert!(seen.is_news(&id(0)));
        assert!(seen.known.len() <= limits::GOSSIP_SEEN_MAX);
    }

    #[test]
    fn another_statement_about_the_same_head_is_news() {
        let head = Some(ObjectId::new([1; 32]));
        let mut seen = Seen::default();
        assert!(seen.is_news(&[head, None]));
        assert!(seen.is_news(&[head, Some(ObjectId::new([2; 32]))]));
        assert!(!seen.is_news(&[head, None]));
    }
}
