//! A pass with kernels of our own: numbers in slices, on this processor.
//!
//! Step by step it is what `block` and `feed_forward` do with candle's tensors, and the tests hold both against each
//! other. What is between two matrices is computed while the rows for the second are brought into its order.

mod feed;
mod inputs;

use std::sync::{
    PoisonError,
    atomic::{AtomicBool, Ordering},
};

use candle_core::{Device, Tensor};
use feed::{Feed, Room, slice};
use inputs::{Inputs, Output};
use weft_kernels::{Attention, Pool, Query, attend, elements};

use super::{
    Batch, Chunk, Decoder,
    block::{Block, Projection},
    linear::{Linear, Normalise},
    rope::Waves,
};
use crate::{process::pool, refusal::Result};

/// Memory that layers and passes use one after the other: fresh memory is slow.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    inputs: Inputs,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    all: Vec<f32>,
    attended: Vec<f32>,
    made: Vec<f32>,
    room: Room,
}

impl Decoder {
    pub(super) fn forward_directly(
        &self,
        stop: &AtomicBool,
        chunks: &mut [Chunk<'_>],
    ) -> Result<Option<Vec<Vec<f32>>>> {
        let Some((x, count)) = self.rows_directly(stop, chunks)? else {
            return Ok(None);
        };
        let hidden = self.config.hidden;
        let mut inputs = Inputs::default();
        inputs.set(pool(), &[&self.head], false, (count, hidden), |row, to| {
            self.norm.row(&x[row * hidden..(row + 1) * hidden], to);
        });
        let vocabulary = self.config.vocabulary;
        let mut logits = vec![0.0; count * vocabulary];
        inputs.multiply(&mut [Output::set(&self.head, &mut logits)])?;
        if let Some(cap) = self.config.output_cap {
            elements::cap(&mut logits, cap as f32);
        }
        let rows = logits.chunks_exact(vocabulary).map(<[f32]>::to_vec);
        Ok(Some(rows.collect()))
    }

    pub(super) fn hidden_directly(&self, chunks: &mut [Chunk<'_>]) -> Result<Option<Tensor>> {
        let rows = self.rows_directly(&AtomicBool::new(false), chunks)?;
        let Some((x, count)) = rows.filter(|(_, count)| *count > 0) else {
            return Ok(None);
        };
        let hidden = self.config.hidden;
        let mut y = vec![0.0; x.len()];
        for (x, to) in x.chunks_exact(hidden).zip(y.chunks_exact_mut(hidden)) {
            self.norm.row(x, to);
        }
        Tensor::from_vec(y, (count, hidden), &Device::Cpu).map(Some)
    }

    /// What is behind the last layer of the rows that are wanted, and how many they are; `None` if stopped before.
    fn rows_directly(
        &self,
        stop: &AtomicBool,
        chunks: &mut [Chunk<'_>],
    ) -> Result<Option<(Vec<f32>, usize)>> {
        let batch = Batch::of(chunks);
        let waves: Vec<Waves<'_>> = self
            .turns
            .iter()
            .map(|turn| turn.waves(&batch.positions))
            .collect();
        let mut x = self.embedding.floats(&batch.ids)?;
        if let Some(scale) = self.config.embedding_scale {
            let scale = scale as f32;
            x.iter_mut().for_each(|x| *x *= scale);
        }
        let scratch = self.scratch.lock();
        let mut scratch = scratch.unwrap_or_else(PoisonError::into_inner);
        for (layer, block) in self.blocks.iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let last = layer + 1 == self.blocks.len();
            let pass = Pass {
                layer,
                waves: self.config.layers[layer].rope.map(|rope| &waves[rope]),
                hidden: self.config.hidden,
                // Behind the last layer's keys and values, nobody asks for the other rows.
                wanted: last.then_some(&batch.wanted),
            };
            block.advance(&pass, &mut scratch, &mut x, chunks)?;
        }
        for chunk in chunks.iter_mut() {
            chunk.cache.extend(chunk.tokens);
        }
        Ok(Some((x, batch.wanted.len())))
    }
}

/// What a layer is told besides its rows.
struct Pass<'a> {
    layer: usize,
    waves: Option<&'a Waves<'a>>,
    hidden: usize,
    /// Rows whose outputs are wanted, if not all are.
    wanted: Option<&'a Vec<u32>>,
}

impl Block {
    /// Adds to each row what the layer makes of it, and drops rows that are not wanted.
    fn advance(
        &self,
        pass: &Pass<'_>,
        scratch: &mut Scratch,
        x: &mut Vec<f32>,
        chunks: &mut [Chunk<'_>],
    ) -> Result<()> {
        let (pool, hidden) = (pool(), pass.hidden);
        let mut rows = x.len() / hidden;
        let mut readers: Vec<&Linear> = match &self.projection {
            Projection::Apart { query, key, value } => vec![query, key, value],
            Projection::Fused(all) => vec![all],
        };
        let feeders = self.feed_forward.readers();
        let kept = self.feed_forward.takes_some();
        let parallel = self.norm.is_none();
        if parallel {
            readers.extend(&feeders);
        }
        let normed = |norm: &Normalise, x: &[f32], row: usize, to: &mut [f32]| {
            norm.row(&x[row * hidden..(row + 1) * hidden], to);
        };
        let shape = (rows, hidden);
        scratch
            .inputs
            .set(pool, &readers, parallel && kept, shape, |row, to| {
                normed(&self.attention_norm, x, row, to);
            });
        self.project(pool, scratch, rows, pass.waves)?;
        // Where the feed-forward part reads what attention reads, it does so for all rows.
        let wanted = pass
            .wanted
            .filter(|wanted| wanted.len() < rows && !parallel);
        if let Some(wanted) = wanted {
            let take = |row: &u32| &x[*row as usize * hidden..(*row as usize + 1) * hidden];
            *x = wanted.iter().flat_map(take).copied().collect();
            rows = wanted.len();
        }
        self.attend_directly(pool, scratch, pass.layer, wanted, chunks)?;
        let len = self.heads * self.head_len;
        let Scratch {
            inputs,
            attended,
            made,
            room,
            ..
        } = scratch;
        let mut read = std::mem::take(&mut room.read);
        read.set(pool, &[&self.output], false, (rows, len), |row, to| {
            to.copy_from_slice(&attended[row * len..(row + 1) * len]);
        });
        match &self.attention_post_norm {
            None => read.multiply(&mut [Output::add(&self.output, x)])?,
            Some(norm) => {
                let made = slice(made, x.len());
                read.multiply(&mut [Output::set(&self.output, made)])?;
                add_normed(x, made, hidden, norm);
            }
        }
        room.read = read;
        if let Some(norm) = &self.norm {
            inputs.set(pool, &feeders, kept, (rows, hidden), |row, to| {
                normed(norm, x, row, to);
            });
        }
        let mut feed = Feed {
            pool,
            inputs,
            room,
            rows,
            to: x,
        };
        match &self.post_norm {
            None => self.feed_forward.advance(feed)?,
            Some(norm) => {
                let made = slice(made, feed.to.len());
                made.fill(0.0);
                feed.to = made;
                self.feed_forward.advance(feed)?;
                add_normed(x, made, hidden, norm);
            }
        }
        if parallel && let Some(wanted) = pass.wanted.filter(|wanted| wanted.len() < rows) {
            let take = |row: &u32| &x[*row as usize * hidden..(*row as usize + 1) * hidden];
            *x = wanted.iter().flat_map(take).copied().collect();
        }
        Ok(())
    }

    /// Queries, keys and values of all rows.
    fn project(
        &self,
        pool: &Pool,
        scratch: &mut Scratch,
        rows: usize,
        waves: Option<&Waves<'_>>,
    ) -> Result<()> {
        let (len, len_kv) = (self.heads * self.head_len, self.heads_kv * self.head_len);
        let query = slice(&mut scratch.query, rows * len);
        let key = slice(&mut scratch.key, rows * len_kv);
        let value = slice(&mut scratch.value, rows * len_kv);
        match &self.projection {
            Projection::Apart {
                query: for_query,
                key: for_key,
                value: for_value,
            } => scratch.inputs.multiply(&mut [
                Output::set(for_query, query),
                Output::set(for_key, key),
                Output::set(for_value, value),
            ])?,
            Projection::Fused(linear) => {
                let all = slice(&mut scratch.all, rows * (len + 2 * len_kv));
                scratch.inputs.multiply(&mut [Output::set(linear, all)])?;
                for (row, all) in all.chunks_exact(len + 2 * len_kv).enumerate() {
                    let own = row * len_kv..(row + 1) * len_kv;
                    query[row * len..(row + 1) * len].copy_from_slice(&all[..len]);
                    key[own.clone()].copy_from_slice(&all[len..len + len_kv]);
                    value[own].copy_from_slice(&all[len + len_kv..]);
                }
            }
        }
        for (x, norm, len) in [
            (query, &self.query_norm, len),
            (key, &self.key_norm, len_kv),
        ] {
            pool.rows(x, len, &|row, x| {
                if let Some(norm) = norm {
                    let mut normed = vec![0.0; self.head_len];
                    for head in x.chunks_exact_mut(self.head_len) {
                        norm.row(head, &mut normed);
                        head.copy_from_slice(&normed);
                    }
                }
                if let Some(waves) = waves {
                    waves.turn(row, x, self.head_len);
                }
            });
        }
        Ok(())
    }

    /// Keeps keys and values, and attends for the rows that are wanted, or for all.
    fn attend_directly(
        &self,
        pool: &Pool,
        scratch: &mut Scratch,
        layer: usize,
        wanted: Option<&Vec<u32>>,
        chunks: &mut [Chunk<'_>],
    ) -> Result<()> {
        let (len, len_kv) = (self.heads * self.head_len, self.heads_kv * self.head_len);
        let mut start = 0;
        for chunk in chunks.iter_mut() {
            let before = chunk.cache.len();
            let own = start * len_kv..(start + chunk.tokens.len()) * len_kv;
            let keep = chunk.cache.keep_mut(layer)?;
            keep.push(before, &scratch.key[own.clone()], &scratch.value[own]);
            start += chunk.tokens.len();
        }
        let count = wanted.map_or(start, Vec::len);
        let mut to = slice(&mut scratch.attended, count * len);
        let mut queries = Vec::with_capacity(chunks.len());
        let mut start = 0;
        for chunk in &*chunks {
            let keep = chunk.cache.keep(layer)?;
            let before = chunk.cache.len();
            let mut query = |first: usize, many: usize| {
                let (own, rest) = std::mem::take(&mut to).split_at_mut(many * len);
                to = rest;
                queries.push(Query {
                    keep,
                    before: before + first,
                    queries: &scratch.query[(start + first) * len..(start + first + many) * len],
                    to: own,
                });
            };
            match wanted {
                None => query(0, chunk.tokens.len()),
                Some(_) => chunk.wanted.iter().for_each(|row| query(*row, 1)),
            }
            start += chunk.tokens.len();
        }
        let attention = Attention {
            heads: self.heads,
            scale: self.attention.scale as f32,
            cap: self.attention.cap.map(|cap| cap as f32),
            window: self.attention.window,
        };
        attend(pool, &attention, &mut queries);
        Ok(())
    }
}

fn add_normed(x: &mut [f32], y: &[f32], hidden: usize, norm: &Normalise) {
    let mut normed = vec![0.0; hidden];
    for (x, y) in x.chunks_exact_mut(hidden).zip(y.chunks_exact(hidden)) {
        norm.row(y, &mut normed);
        elements::add(x, &normed);
    }
}
