//! The part of a layer that looks at each token for itself.

use candle_core::{D, DType, Device, Tensor};
use weft_protocol::infer::Refusal;

use super::{
    config::{Activation, Config, Experts},
    linear::Linear,
};
use crate::{
    refusal::{OrRefuse, Result},
    weights::Weights,
};

/// The feed-forward part of a layer.
#[derive(Debug)]
pub(super) enum FeedForward {
    Dense(Dense),
    Mixture(Mixture),
}

impl FeedForward {
    pub(super) fn load(weights: &Weights, config: &Config, layer: usize) -> Result<Self, Refusal> {
        match &config.experts {
            Some(experts) if weights.has(&format!("blk.{layer}.ffn_gate_inp.weight")) => {
                Mixture::load(weights, config, *experts, layer).map(Self::Mixture)
            }
            _ => Dense::load(weights, config, layer).map(Self::Dense),
        }
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(dense) => dense.forward(x),
            Self::Mixture(mixture) => mixture.forward(x),
        }
    }
}

/// One part for all tokens.
#[derive(Debug)]
pub(super) struct Dense {
    pub(super) input: Input,
    pub(super) down: Linear,
    pub(super) activation: Activation,
}

#[derive(Debug)]
pub(super) enum Input {
    /// The activated gate times the other.
    Gated { gate: Linear, up: Linear },
    /// The same two as one matrix, the gate first.
    Fused(Linear),
    /// No gate.
    Plain(Linear),
}

impl Dense {
    fn load(weights: &Weights, config: &Config, layer: usize) -> Result<Self, Refusal> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let (hidden, len) = (config.hidden, config.intermediate);
        let linear = |part: &str, rows, columns| Linear::load(weights, &name(part), rows, columns);
        let rows = weights.shape(&name("ffn_up.weight")).map(|shape| shape[0]);
        let input = if weights.has(&name("ffn_gate.weight")) {
            Input::Gated {
                gate: linear("ffn_gate", len, hidden)?,
                up: linear("ffn_up", len, hidden)?,
            }
        } else if rows == Some(2 * len) {
            Input::Fused(linear("ffn_up", 2 * len, hidden)?)
        } else {
            Input::Plain(linear("ffn_up", len, hidden)?)
        };
        Ok(Self {
            input,
            down: linear("ffn_down", hidden, len)?,
            activation: config.activation,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let inner = match &self.input {
            Input::Gated { gate, up } => (self.activate(&gate.forward(x)?)? * up.forward(x)?)?,
            Input::Fused(both) => {
                let both = both.forward(x)?;
                let len = both.dim(D::Minus1)? / 2;
                let gate = both.narrow(D::Minus1, 0, len)?.contiguous()?;
                (self.activate(&gate)? * both.narrow(D::Minus1, len, len)?)?
            }
            Input::Plain(up) => self.activate(&up.forward(x)?)?,
        };
        self.down.forward(&inner)
    }

    fn activate(&self, x: &Tensor) -> Result<Tensor> {
        activate(self.activation, x)
    }
}

pub(crate) fn activate(activation: Activation, x: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::Silu => x.silu(),
        Activation::GeluTanh => x.gelu(),
        Activation::Gelu => x.gelu_erf(),
    }
}

/// Several parts, of which a router picks a few for each token.
#[derive(Debug)]
pub(super) struct Mixture {
    pub(super) router: Linear,
    pub(super) experts: Vec<Dense>,
    used: usize,
    normalised: bool,
}

impl Mixture {
    fn load(
        weights: &Weights,
        config: &Config,
        experts: Experts,
        layer: usize,
    ) -> Result<Self, Refusal> {
        let (hidden, len) = (config.hidden, experts.intermediate);
        let expert = |index: usize| {
            let linear = |part: &str, rows: usize, columns: usize| -> Result<Linear, Refusal> {
                let own = format!("blk.{layer}.{part}.{index}");
                if weights.has(&format!("{own}.weight")) {
                    return Linear::load(weights, &own, rows, columns);
                }
                let all = format!("blk.{layer}.{part}.weight");
                let matrix = weights.slice(&all, (index, experts.count), rows, columns)?;
                Linear::new(matrix, None).or_failed("an expert")
            };
            Ok(Dense {
                input: Input::Gated {
                    gate: linear("ffn_gate_exps", len, hidden)?,
                    up: linear("ffn_up_exps", len, hidden)?,
                },
                down: linear("ffn_down_exps", hidden, len)?,
                activation: config.activation,
            })
        };
        Ok(Self {
            router: Linear::load(
                weights,
                &format!("blk.{layer}.ffn_gate_inp"),
                experts.count,
                hidden,
            )?,
            experts: (0..experts.count).map(expert).collect::<Result<_, _>>()?,
            used: experts.used,
            normalised: experts.normalised,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let device = x.device();
        let shares = candle_nn::ops::softmax_last_dim(&self.router.forward(x)?)?;
        let shares: Vec<Vec<f32>> = shares.to_device(&Device::Cpu)?.to_vec2()?;
        let picked = self.pick(shares.iter().map(Vec::as_slice));
        let mut y = Tensor::zeros(x.shape(), DType::F32, device)?;
        for (expert, (rows, shares)) in self.experts.iter().zip(&picked) {
            if rows.is_empty() {
                continue;
            }
            let index = Tensor::new(rows.as_slice(), device)?;
            let shares = Tensor::new(shares.as_slice(), device)?.unsqueeze(1)?;
            let part = expert.forward(&x.index_select(&index, 0)?)?;
            y = y.index_add(&index, &part.broadcast_mul(&shares)?, 0)?;
        }
        Ok(y)
    }

    /// For each expert its tokens, and what each of them takes of it. `shares` are those of each token.
    pub(super) fn pick<'a>(
        &self,
        shares: impl Iterator<Item = &'a [f32]>,
    ) -> Vec<(Vec<u32>, Vec<f32>)> {
        let mut picked: Vec<(Vec<u32>, Vec<f32>)> = vec![Default::default(); self.experts.len()];
        for (row, shares) in (0_u32..).zip(shares) {
            let mut order: Vec<usize> = (0..shares.len()).collect();
            order.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]).then(a.cmp(b)));
            order.truncate(self.used);
            let total: f32 = order.iter().map(|expert| shares[*expert]).sum();
            for expert in order {
                let share = if self.normalised {
                    shares[expert] / total
                } else {
                    shares[expert]
                };
                picked[expert].0.push(row);
                picked[expert].1.push(share);
            }
        }
        picked
    }
}
