//! SentencePiece's byte-pair method: neighbours are merged, the best score first.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, HashMap},
};

/// A vocabulary with scores.
#[derive(Debug)]
pub(super) struct Spm {
    ids: HashMap<String, u32>,
    scores: Vec<f32>,
    bytes: HashMap<u8, u32>,
    /// Tokens that stand in texts as they are, by their first byte, the longest first.
    special: HashMap<u8, Vec<(String, u32)>>,
    unknown: Option<u32>,
    prefix: bool,
}

/// A piece of the text, in a chain with its neighbours.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    start: usize,
    /// 0 once it is part of the one before.
    len: usize,
    previous: Option<usize>,
    next: Option<usize>,
}

/// Two neighbours that could be one token.
#[derive(Debug, PartialEq)]
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    /// Length of both together; another length now means that one of them was merged meanwhile.
    len: usize,
}

impl Eq for Pair {}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score
            .total_cmp(&other.score)
            .then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Spm {
    pub(super) fn new(
        tokens: &[String],
        scores: &[f32],
        bytes: impl Iterator<Item = (u8, u32)>,
        special: &[(u32, &str, bool)],
        unknown: Option<u32>,
        prefix: bool,
    ) -> Self {
        let mut by_byte: HashMap<u8, Vec<(String, u32)>> = HashMap::new();
        for (id, text, _) in special {
            if let Some(first) = text.bytes().next() {
                let entry = by_byte.entry(first).or_default();
                entry.push(((*text).to_owned(), *id));
            }
        }
        for entry in by_byte.values_mut() {
            entry.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        }
        Self {
            ids: tokens.iter().cloned().zip(0..).collect(),
            scores: scores.to_vec(),
            bytes: bytes.collect(),
            special: by_byte,
            unknown,
            prefix,
        }
    }

    pub(super) fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let found = (0..rest.len()).find_map(|at| {
                let candidates = self.special.get(&rest.as_bytes()[at])?;
                let (text, id) = candidates
                    .iter()
                    .find(|(text, _)| rest.as_bytes()[at..].starts_with(text.as_bytes()))?;
                Some((at, text.len(), *id))
            });
            let (at, len) = found.map_or((rest.len(), 0), |(at, len, _)| (at, len));
            self.merge(&rest[..at], &mut ids);
            ids.extend(found.map(|(_, _, id)| id));
            rest = &rest[at + len..];
        }
        ids
    }

    fn merge(&self, text: &str, ids: &mut Vec<u32>) {
        if text.is_empty() {
            return;
        }
        let prefix = if self.prefix { "\u{2581}" } else { "" };
        let text = format!("{prefix}{}", text.replace(' ', "\u{2581}"));
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(at, (start, c))| Symbol {
                start,
                len: c.len_utf8(),
                previous: at.checked_sub(1),
                next: Some(at + 1),
            })
            .collect();
        if let Some(last) = symbols.last_mut() {
            last.next = None;
        }
        let mut heap = BinaryHeap::new();
        for right in 1..symbols.len() {
            heap.extend(self.pair(&text, &symbols, right - 1, right));
        }
        while let Some(pair) = heap.pop() {
            let (left, right) = (symbols[pair.left], symbols[pair.right]);
            if left.len == 0 || right.len == 0 || left.len + right.len != pair.len {
                continue;
            }
            symbols[pair.left].len = pair.len;
            symbols[pair.left].next = right.next;
            symbols[pair.right].len = 0;
            if let Some(next) = right.next {
                symbols[next].previous = Some(pair.left);
                heap.extend(self.pair(&text, &symbols, pair.left, next));
            }
            if let Some(previous) = left.previous {
                heap.extend(self.pair(&text, &symbols, previous, pair.left));
            }
        }
        for symbol in symbols.iter().filter(|symbol| symbol.len > 0) {
            let piece = &text[symbol.start..symbol.start + symbol.len];
            match self.ids.get(piece) {
                Some(id) => ids.push(*id),
                None => self.spell(piece, ids),
            }
        }
    }

    /// The token of two neighbours, if there is one.
    fn pair(&self, text: &str, symbols: &[Symbol], left: usize, right: usize) -> Option<Pair> {
        let len = symbols[left].len + symbols[right].len;
        let start = symbols[left].start;
        let id = self.ids.get(text.get(start..start + len)?)?;
        Some(Pair {
            score: *self.scores.get(*id as usize)?,
            left,
            right,
            len,
        })
    }

    /// A character that is no token, byte by byte.
    fn spell(&self, piece: &str, ids: &mut Vec<u32>) {
        for byte in piece.bytes() {
            ids.extend(self.bytes.get(&byte).copied().or(self.unknown));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_merge_by_score_and_the_rest_is_spelled() {
        let tokens: Vec<String> = [
            "<unk>",
            "<s>",
            "\u{2581}",
            "a",
            "b",
            "ab",
            "\u{2581}a",
            "<0xC3>",
            "<0xA9>",
        ]
        .map(str::to_owned)
        .to_vec();
        let scores = [0.0, 0.0, -9.0, -8.0, -7.0, -1.0, -2.0, 0.0, 0.0];
        let bytes = [(0xc3, 7), (0xa9, 8)].into_iter();
        let spm = Spm::new(&tokens, &scores, bytes, &[(1, "<s>", true)], Some(0), true);
        assert_eq!(spm.encode("ab"), [2, 5]);
        assert_eq!(spm.encode("aab"), [6, 5]);
        assert_eq!(spm.encode("\u{e9}"), [2, 7, 8]);
        assert_eq!(spm.encode("<s>a<s>"), [1, 6, 1]);
        assert_eq!(spm.encode(""), Vec::<u32>::new());
    }
}
