//! What a sequence keeps of its tokens.

use std::ops::Range;

/// Tokens that lie together.
pub(super) const KEEP: usize = 64;

/// Keys and values of a sequence in one layer.
///
/// Of each 64 tokens, keys lie sixteen tokens side by side, which is how queries meet them, and values token by token.
/// Memory grows by as much; what is there never moves.
#[derive(Debug, Clone)]
pub struct Keep {
    heads: usize,
    head_len: usize,
    parts: Vec<Box<[f32]>>,
}

impl Keep {
    /// An empty one.
    pub fn new(heads: usize, head_len: usize) -> Self {
        Self {
            heads,
            head_len,
            parts: Vec::new(),
        }
    }

    /// A copy of the first `tokens`.
    #[must_use]
    pub fn first(&self, tokens: usize) -> Self {
        Self {
            parts: self.parts[..tokens.div_ceil(KEEP).min(self.parts.len())].to_vec(),
            ..*self
        }
    }

    /// Keeps the tokens from `at` on: of each, `keys` and `values` have heads × head length. What was kept from there
    /// on is forgotten.
    ///
    /// # Panics
    /// If there are more or fewer keys than values, or if tokens before `at` are missing.
    pub fn push(&mut self, at: usize, keys: &[f32], values: &[f32]) {
        assert_eq!(keys.len(), values.len(), "keys and values");
        let (stride, head_len) = (self.stride(), self.head_len);
        let tokens = keys.chunks_exact(self.heads * head_len);
        let tokens = tokens.zip(values.chunks_exact(self.heads * head_len));
        for (at, (keys, values)) in (at..).zip(tokens) {
            if at / KEEP == self.parts.len() {
                let len = self.heads * KEEP * (head_len + stride);
                self.parts.push(vec![0.0; len].into_boxed_slice());
            }
            let part = &mut self.parts[at / KEEP];
            let (token, lane) = (at % KEEP, at % 16);
            for head in 0..self.heads {
                let start = head * KEEP * (head_len + stride);
                let to = &mut part[start..start + KEEP * (head_len + stride)];
                let own = head * head_len..(head + 1) * head_len;
                let columns = &mut to[token / 16 * 16 * head_len..][..16 * head_len];
                for (to, key) in columns.chunks_exact_mut(16).zip(&keys[own.clone()]) {
                    to[lane] = *key;
                }
                let row = &mut to[KEEP * head_len + token * stride..][..head_len];
                row.copy_from_slice(&values[own]);
            }
        }
    }

    pub(super) fn heads(&self) -> usize {
        self.heads
    }

    pub(super) fn head_len(&self) -> usize {
        self.head_len
    }

    /// From one token's values to the next one's.
    pub(super) fn stride(&self) -> usize {
        self.head_len.next_multiple_of(16)
    }

    /// Tokens that have room.
    pub(super) fn room(&self) -> usize {
        self.parts.len() * KEEP
    }

    fn part(&self, head: usize, token: usize, within: Range<usize>) -> &[f32] {
        let start = head * KEEP * (self.head_len + self.stride());
        &self.parts[token / KEEP][start + within.start..start + within.end]
    }

    /// Keys of sixteen tokens from `token` on, a multiple of sixteen.
    pub(super) fn keys(&self, head: usize, token: usize) -> &[f32] {
        let start = token % KEEP / 16 * 16 * self.head_len;
        self.part(head, token, start..start + 16 * self.head_len)
    }

    /// Values from `token` on, the first of a part, without the first `column` numbers.
    pub(super) fn values(&self, head: usize, token: usize, column: usize) -> &[f32] {
        let start = KEEP * self.head_len;
        self.part(head, token, start + column..start + KEEP * self.stride())
    }
}
