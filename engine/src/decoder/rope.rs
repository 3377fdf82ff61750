//! Turning queries and keys by their position, in all the ways that families stretch it.
//!
//! Powers, logarithms and waves are `libm`'s, because those of the system differ from one to the other in the last bit.

use std::f64::consts::PI;

use candle_core::{D, Device, Tensor};
use candle_nn::rotary_emb;
use libm::log;
use weft_protocol::infer::Refusal;

use crate::refusal::{Result, broken};

/// How positions become angles.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rope {
    /// Dimensions of a head that are turned; the others stay.
    pub(crate) dimensions: usize,
    pub(crate) base: f64,
    /// Neighbouring dimensions form a pair, rather than those half a head apart.
    pub(crate) interleaved: bool,
    pub(crate) scaling: Scaling,
}

/// How angles are stretched for contexts longer than those of training.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scaling {
    None,
    Linear(f64),
    /// Long waves are stretched, short ones are not.
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        context: f64,
    },
    Yarn {
        factor: f64,
        context: f64,
        fast: f64,
        slow: f64,
        /// Multiplies queries and keys; `None` for the usual `0.1 ln(factor) + 1`.
        attention: Option<f64>,
    },
    /// One divisor for each pair, and a multiplier for queries and keys.
    Divisors {
        divisors: Vec<f32>,
        attention: f64,
    },
}

impl Rope {
    pub(crate) fn check(&self, head_len: usize) -> Result<(), Refusal> {
        let fits = self.dimensions > 0
            && self.dimensions.is_multiple_of(2)
            && self.dimensions <= head_len
            && self.base.is_finite()
            && self.base > 0.0;
        let divisors = match &self.scaling {
            Scaling::Divisors { divisors, .. } => {
                divisors.len() == self.dimensions / 2
                    && divisors.iter().all(|divisor| divisor.is_normal())
            }
            _ => true,
        };
        if fits && divisors {
            Ok(())
        } else {
            Err(broken(format!(
                "{} of {head_len} dimensions are to be turned, with a base of {}",
                self.dimensions, self.base
            )))
        }
    }

    /// Radians per token of each pair, and what queries and keys are multiplied by.
    fn frequencies(&self) -> (Vec<f32>, f64) {
        let half = self.dimensions / 2;
        let plain = (0..half).map(|pair| {
            let exponent = 2.0 * pair as f64 / self.dimensions as f64;
            1.0 / libm::pow(self.base, exponent)
        });
        match &self.scaling {
            Scaling::None => (plain.map(|f| f as f32).collect(), 1.0),
            Scaling::Linear(factor) => (plain.map(|f| (f / factor) as f32).collect(), 1.0),
            Scaling::Divisors {
                divisors,
                attention,
            } => {
                let divided = plain.zip(divisors).map(|(f, d)| (f / f64::from(*d)) as f32);
                (divided.collect(), *attention)
            }
            Scaling::Llama3 {
                factor,
                low,
                high,
                context,
            } => {
                let stretched = plain.map(|f| {
                    let wave = 2.0 * PI / f;
                    let result = if wave < context / high {
                        f
                    } else if wave > context / low {
                        f / factor
                    } else {
                        let smooth = (context / wave - low) / (high - low);
                        (1.0 - smooth) * f / factor + smooth * f
                    };
                    result as f32
                });
                (stretched.collect(), 1.0)
            }
            Scaling::Yarn {
                factor,
                context,
                fast,
                slow,
                attention,
            } => {
                let dimension = |turns: f64| {
                    self.dimensions as f64 * log(context / (turns * 2.0 * PI))
                        / (2.0 * log(self.base))
                };
                let low = dimension(*fast).floor().max(0.0);
                let high = dimension(*slow)
                    .ceil()
                    .min(self.dimensions as f64 - 1.0)
                    .max(low + 0.001);
                let stretched = plain.enumerate().map(|(pair, f)| {
                    let ramp = ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0);
                    (f / factor * ramp + f * (1.0 - ramp)) as f32
                });
                let usual = if *factor > 1.0 {
                    0.1 * log(*factor) + 1.0
                } else {
                    1.0
                };
                (stretched.collect(), attention.unwrap_or(usual))
            }
        }
    }
}

/// Radians by which each pair of dimensions is turned from token to token.
#[derive(Debug)]
pub(super) struct Turn {
    frequencies: Vec<f32>,
    attention: f64,
    dimensions: usize,
    interleaved: bool,
}

impl Turn {
    pub(super) fn new(rope: &Rope) -> Self {
        let (frequencies, attention) = rope.frequencies();
        Self {
            frequencies,
            attention,
            dimensions: rope.dimensions,
            interleaved: rope.interleaved,
        }
    }

    /// Cosines and sines for tokens, a row each.
    pub(super) fn waves(&self, positions: &[usize]) -> Waves<'_> {
        let len = positions.len() * self.frequencies.len();
        let (mut cos, mut sin) = (Vec::with_capacity(len), Vec::with_capacity(len));
        for position in positions {
            for frequency in &self.frequencies {
                // In 32 bits, as where models are trained.
                let angle = *position as f32 * frequency;
                let (y, x) = libm::sincos(f64::from(angle));
                cos.push((x * self.attention) as f32);
                sin.push((y * self.attention) as f32);
            }
        }
        Waves {
            turn: self,
            cos,
            sin,
        }
    }
}

/// The cosines and sines of a batch: one row for each of its tokens.
#[derive(Debug)]
pub(super) struct Waves<'a> {
    turn: &'a Turn,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Waves<'_> {
    /// For candle.
    pub(super) fn angles(&self, device: &Device) -> Result<Angles> {
        let half = self.turn.frequencies.len();
        let tensor =
            |values: &[f32]| Tensor::from_slice(values, (values.len() / half, 1, half), device);
        Ok(Angles {
            cos: tensor(&self.cos)?,
            sin: tensor(&self.sin)?,
            dimensions: self.turn.dimensions,
            interleaved: self.turn.interleaved,
        })
    }

    /// Turns the heads of one token.
    pub(super) fn turn(&self, row: usize, heads: &mut [f32], head_len: usize) {
        let half = self.turn.frequencies.len();
        let cos = &self.cos[row * half..(row + 1) * half];
        let sin = &self.sin[row * half..(row + 1) * half];
        for head in heads.chunks_exact_mut(head_len) {
            let head = &mut head[..2 * half];
            if self.turn.interleaved {
                for ((pair, cos), sin) in head.chunks_exact_mut(2).zip(cos).zip(sin) {
                    let (a, b) = (pair[0], pair[1]);
                    pair[0] = a * cos - b * sin;
                    pair[1] = a * sin + b * cos;
                }
            } else {
                let (first, second) = head.split_at_mut(half);
                let pairs = first.iter_mut().zip(second);
                for (((a, b), cos), sin) in pairs.zip(cos).zip(sin) {
                    (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                }
            }
        }
    }
}

/// Cosines and sines as candle wants them.
#[derive(Debug)]
pub(super) struct Angles {
    cos: Tensor,
    sin: Tensor,
    dimensions: usize,
    interleaved: bool,
}

impl Angles {
    /// Turns the heads of each row: rows × heads × head length.
    pub(super) fn turn(&self, x: &Tensor) -> Result<Tensor> {
        let head_len = x.dim(D::Minus1)?;
        let turned = x.narrow(D::Minus1, 0, self.dimensions)?;
        let turned = turned.unsqueeze(2)?.contiguous()?;
        let turned = if self.interleaved {
            rotary_emb::rope_i(&turned, &self.cos, &self.sin)?
        } else {
            rotary_emb::rope(&turned, &self.cos, &self.sin)?
        };
        let turned = turned.squeeze(2)?;
        if self.dimensions == head_len {
            return Ok(turned);
        }
        let rest = x.narrow(D::Minus1, self.dimensions, head_len - self.dimensions)?;
        Tensor::cat(&[&turned, &rest], D::Minus1)
    }
}
