//! The feed-forward part of a direct pass.

use weft_kernels::{Pool, elements};

use super::inputs::{Inputs, Output};
use crate::{
    decoder::{
        config::Activation,
        feed_forward::{Dense, FeedForward, Input, Mixture},
        linear::Linear,
    },
    refusal::Result,
};

/// Memory that layers use one after the other.
#[derive(Debug, Default)]
pub(in crate::decoder) struct Room {
    inner: Vec<f32>,
    other: Vec<f32>,
    pub(super) read: Inputs,
}

/// What a feed-forward part is told.
#[derive(Debug)]
pub(super) struct Feed<'a> {
    pub(super) pool: &'a Pool,
    /// Rows for its readers.
    pub(super) inputs: &'a Inputs,
    pub(super) room: &'a mut Room,
    /// How many they are.
    pub(super) rows: usize,
    /// What the part makes of each row is added here.
    pub(super) to: &'a mut [f32],
}

/// The first `len` numbers, of which nothing is known.
pub(super) fn slice(all: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if all.len() < len {
        all.resize(len, 0.0);
    }
    &mut all[..len]
}

impl FeedForward {
    /// Matrices that read its input.
    pub(super) fn readers(&self) -> Vec<&Linear> {
        match self {
            Self::Dense(dense) => dense.readers(),
            Self::Mixture(mixture) => vec![&mixture.router],
        }
    }

    /// Whether some of the rows are taken again.
    pub(super) fn takes_some(&self) -> bool {
        matches!(self, Self::Mixture(_))
    }

    /// Adds to each row what the part makes of it.
    pub(super) fn advance(&self, feed: Feed<'_>) -> Result<()> {
        match self {
            Self::Dense(dense) => dense.advance(feed),
            Self::Mixture(mixture) => mixture.advance(feed),
        }
    }
}

impl Dense {
    fn readers(&self) -> Vec<&Linear> {
        match &self.input {
            Input::Gated { gate, up } => vec![gate, up],
            Input::Fused(one) | Input::Plain(one) => vec![one],
        }
    }

    fn advance(&self, feed: Feed<'_>) -> Result<()> {
        let Feed {
            pool,
            inputs,
            room,
            rows,
            to,
        } = feed;
        let len = self.down.columns();
        let Room { inner, other, read } = room;
        let fused = matches!(self.input, Input::Fused(_));
        let inner = slice(inner, rows * len * if fused { 2 } else { 1 });
        let activated = |from: &[f32], to: &mut [f32]| {
            to.copy_from_slice(from);
            activate(self.activation, to);
        };
        let down = [&self.down];
        match &self.input {
            Input::Gated { gate, up } => {
                let other = slice(other, rows * len);
                inputs.multiply(&mut [Output::set(gate, inner), Output::set(up, other)])?;
                let (inner, other) = (&*inner, &*other);
                read.set(pool, &down, false, (rows, len), |row, to| {
                    let own = row * len..(row + 1) * len;
                    activated(&inner[own.clone()], to);
                    elements::multiply(to, &other[own]);
                });
            }
            Input::Fused(both) => {
                inputs.multiply(&mut [Output::set(both, inner)])?;
                let all = &*inner;
                read.set(pool, &down, false, (rows, len), |row, to| {
                    let (gate, up) = all[row * 2 * len..(row + 1) * 2 * len].split_at(len);
                    activated(gate, to);
                    elements::multiply(to, up);
                });
            }
            Input::Plain(up) => {
                inputs.multiply(&mut [Output::set(up, inner)])?;
                let inner = &*inner;
                read.set(pool, &down, false, (rows, len), |row, to| {
                    activated(&inner[row * len..(row + 1) * len], to);
                });
            }
        }
        read.multiply(&mut [Output::add(&self.down, to)])
    }
}

impl Mixture {
    fn advance(&self, feed: Feed<'_>) -> Result<()> {
        let Feed {
            pool,
            inputs,
            room,
            rows,
            to,
        } = feed;
        let count = self.experts.len();
        let hidden = to.len() / rows.max(1);
        let mut shares = vec![0.0; rows * count];
        inputs.multiply(&mut [Output::set(&self.router, &mut shares)])?;
        shares.chunks_exact_mut(count).for_each(elements::softmax);
        let mut own = Inputs::default();
        let picked = self.pick(shares.chunks_exact(count));
        for (expert, (picked, shares)) in self.experts.iter().zip(&picked) {
            if picked.is_empty() {
                continue;
            }
            let shape = (picked.len(), hidden);
            own.set(pool, &expert.readers(), false, shape, |row, to| {
                to.copy_from_slice(inputs.row(picked[row] as usize));
            });
            let mut part = vec![0.0; picked.len() * hidden];
            expert.advance(Feed {
                pool,
                inputs: &own,
                room: &mut *room,
                rows: picked.len(),
                to: &mut part,
            })?;
            for ((row, share), part) in picked.iter().zip(shares).zip(part.chunks_exact(hidden)) {
                let at = *row as usize * hidden;
                for (to, part) in to[at..at + hidden].iter_mut().zip(part) {
                    *to += part * share;
                }
            }
        }
        Ok(())
    }
}

fn activate(activation: Activation, x: &mut [f32]) {
    match activation {
        Activation::Silu => elements::sigmoid_linear(x),
        Activation::GeluTanh => elements::gelu_tanh(x),
        Activation::Gelu => elements::gelu(x),
    }
}
